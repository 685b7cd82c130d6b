"""The orders and fills that a simulated venue remembers: all that are open, and of the others the latest ones."""

from bisect import bisect_left
from collections.abc import Iterable

from kernels.matching_words import VenueFill, VenueOrder

KEEP = 100_000  # closed orders and fills of a symbol


class Orders:
    """By venue id, by client id (the latest that had it), open ones, and fills, each by symbol."""

    def __init__(self, symbols: Iterable[str], first_id: int, keep: int = KEEP) -> None:
        self.next_id, self.keep = first_id, keep
        self.of: dict[str, dict[int, VenueOrder]] = {symbol: {} for symbol in symbols}
        self.open: dict[str, dict[int, VenueOrder]] = {symbol: {} for symbol in self.of}
        self.fills: dict[str, list[VenueFill]] = {symbol: [] for symbol in self.of}
        self.n_fills = dict.fromkeys(self.of, first_id - 1)  # fills are counted from there too
        self._clients: dict[str, dict[str, VenueOrder]] = {symbol: {} for symbol in self.of}

    def add(self, order: VenueOrder) -> None:
        """A new open order; its id is `next_id`."""
        self.next_id += 1
        self.of[order.symbol][order.venue_id] = self.open[order.symbol][order.venue_id] = order
        self._clients[order.symbol][order.client_id] = order

    def close(self, order: VenueOrder) -> None:
        """An order is over."""
        del self.open[order.symbol][order.venue_id]
        kept = self.of[order.symbol]
        if len(kept) > 2 * self.keep + len(self.open[order.symbol]):
            clients = self._clients[order.symbol]
            for old in [each for each in kept.values() if not each.is_open][: self.keep]:
                del kept[old.venue_id]
                if clients[old.client_id] is old:
                    del clients[old.client_id]

    def fill(self, fill: VenueFill) -> None:
        kept = self.fills[fill.symbol]
        kept.append(fill)
        self.n_fills[fill.symbol] += 1
        if len(kept) > 2 * self.keep:
            del kept[: self.keep]

    def found(self, symbol: str, venue_id: int, client_id: str) -> VenueOrder | None:
        """By the venue's id where given, else the latest by client id; with both they have to belong together."""
        if venue_id:
            order = self.of[symbol].get(venue_id)
            return None if order is None or (client_id and order.client_id != client_id) else order
        return self._clients[symbol].get(client_id)

    def has_open(self, symbol: str, client_id: str) -> bool:
        order = self._clients[symbol].get(client_id)
        return order is not None and order.is_open

    def standing(self, symbol: str) -> list[VenueOrder]:
        """Open orders of a symbol, of all where it is empty, oldest first."""
        of = [self.open[symbol]] if symbol else self.open.values()
        return sorted((order for each in of for order in each.values()), key=lambda order: order.venue_id)

    def listed(self, symbol: str, *, from_id: int, since: int, until: int, limit: int) -> list[VenueOrder]:
        """Oldest first; from an id or time on the first `limit`, else the latest ones."""
        found = [
            order
            for order in self.of[symbol].values()
            if order.venue_id >= from_id and order.ts_created >= since and (not until or order.ts_created <= until)
        ]
        return found[:limit] if from_id or since else found[max(0, len(found) - limit) :]

    def traded(self, symbol: str, *, from_id: int, since: int, until: int, venue_id: int, limit: int) -> list[VenueFill]:
        """Oldest first; from an id or time on the first `limit`, else the latest ones."""
        fills = self.fills[symbol]
        start = bisect_left(fills, from_id, key=lambda fill: fill.trade_id) if from_id else 0
        start = max(start, bisect_left(fills, since, key=lambda fill: fill.ts_event) if since else 0)
        if not until and not venue_id:
            end = start + limit if from_id or since else len(fills)
            return fills[max(start, end - limit) : end]
        found = [fill for fill in fills[start:] if (not until or fill.ts_event <= until) and (not venue_id or fill.venue_id == venue_id)]
        return found[:limit] if from_id or since else found[max(0, len(found) - limit) :]
