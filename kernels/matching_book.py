"""The book of one symbol as a simulated venue keeps it: `kernels.fills_venue` over a window of prices that moves with the market.

Prices come in units and stand on the listing's tick; sizes stay in units (a lot of `fills_venue` is one unit here). Levels outside of
the window wait in a dictionary and come in when the window moves, as do orders of ours: nothing is forgotten.
"""

import numpy as np

from core.orders import Listing
from kernels import fills_arrivals, fills_venue, matching_levels
from kernels.fills_book import BEST, BUY, FARTHEST, N_OWN, N_REPORTS, NONE, SELL, key_of, price_of
from kernels.fills_queue import AHEAD, ID, KEY, LEFT
from kernels.fills_venue import LIMIT, Rules, Venue, mark
from kernels.matching_levels import OFF_GRID, put_depth, put_depth_alone, put_level, put_quote, put_quote_alone, put_trade

HALF = 1.5  # of the price band on either side of the middle: after a third of it the window moves, so that the band is always inside
LEAST, MOST = 2_048, 1 << 22  # ticks on either side
FAR = 16  # halves of a window away a best price is left outside


class GridError(ValueError):
    """A market price that is not on the listing's tick."""


class MovingBook:
    """One symbol's book and our orders in it. `ticks` in, units out; `reports` are those of `kernels.fills_venue`."""

    def __init__(self, listing: Listing, *, model: int, partial: bool, room: int, in_front: bool) -> None:
        self.symbol, self.tick, self.band = listing.instrument.symbol, listing.tick, listing.band
        self.lot = 10.0**-listing.instrument.size_decimals
        self.model, self.partial, self.room, self.in_front = model, partial, room, in_front
        self.rules = Rules(0, -1)
        self.state: Venue | None = None
        self.far: tuple[dict[int, int], dict[int, int]] = {}, {}
        self.centre = self.half = self.read = 0
        self.book_id = self.quote_id = self.bid = self.ask = 0  # update ids of the latest change and quote, and that quote
        self.busy = False  # whether an order of ours may rest: the market then takes the longer way
        self._outside = np.empty(1_024, np.int64)

    # the market

    def snapshot(self, ts: int, bids: np.ndarray, asks: np.ndarray, update_id: int = 0) -> None:
        """The whole book. What it does not have is gone."""
        self.book_id = self.quote_id = 0
        for side, levels in ((BUY, bids), (SELL, asks)):
            self.far[side].clear()
            if self.state is not None:
                stay = set((levels[0] // self.tick).tolist())
                for key in np.flatnonzero(self.state.levels[side]).tolist():
                    if price_of(side, key, self.rules.low, self.rules.last) not in stay:
                        put_level(self.state, self.rules, ts, side, key, 0)
        self.depth(ts, bids, asks, update_id)

    def depth(self, ts: int, bids: np.ndarray, asks: np.ndarray, update_id: int = 0) -> None:
        """Levels [2, n] that changed; size 0 takes one away. A quote with a later update id is right about what it tells of."""
        self.book_id = max(self.book_id, update_id)
        if 0 < update_id < self.quote_id:
            bids, asks = bids[:, bids[0] < self.bid], asks[:, asks[0] > self.ask]
        n_bids, n_asks = bids.shape[1], asks.shape[1]
        if self.state is None and n_bids + n_asks:
            self.move(int((bids if n_bids else asks)[0, 0]) // self.tick)
        if n_bids + n_asks > len(self._outside):
            self._outside = np.empty(2 * (n_bids + n_asks), np.int64)
        row = 0
        while row < n_bids + n_asks:
            state, rules = self.state, self.rules
            assert state is not None
            if self.busy:
                row, n, bid, ask = put_depth(state, rules, ts, self.tick, bids, asks, row, self._outside)
            else:
                row, n, bid, ask = put_depth_alone(state.levels, state.at, rules.low, rules.last, self.tick, bids, asks, row, self._outside)
            if row == OFF_GRID:
                self._ticks(int(bids[0, n] if n < n_bids else asks[0, n - n_bids]))
            if n:
                self._keep(bids, asks, self._outside[:n].tolist())
            if row < n_bids + n_asks:
                self.move(int(bids[0, row] if row < n_bids else asks[0, row - n_bids]) // self.tick)
            else:
                self.follow(bid, ask)

    def trade(self, ts: int, sign: int, price: int, size: int) -> None:
        """A public trade; its price may be outside of the window."""
        ticks, off = divmod(price, self.tick)
        if off:
            raise GridError(f"{self.symbol}: price {price} is not a multiple of the tick {self.tick}")
        if self.busy:
            put_trade(self.state, self.rules, ts, BUY if sign > 0 else SELL, ticks, size)

    def quote(self, ts: int, bid: int, bid_size: int, ask: int, ask_size: int, update_id: int = 0) -> None:
        """Best bid and ask: what stands before them is gone. A side of size 0 is left alone, and so is all by an old update id."""
        if update_id and update_id < self.book_id:
            return
        self.quote_id, self.bid, self.ask = update_id, bid, ask
        bid_ticks, ask_ticks = bid // self.tick, ask // self.tick
        if bid_size:
            bid_ticks = self._ticks(bid)
        if ask_size:
            ask_ticks = self._ticks(ask, bid_ticks if bid_size else ask_ticks)
        state, (low, last) = self.state, self.rules[:2]
        if state is None:
            return
        keys, sizes = (low + last - bid_ticks, ask_ticks - low), (bid_size, ask_size)
        if self.busy:
            put_quote(state, self.rules, ts, keys, sizes)
        else:
            put_quote_alone(state.levels, state.at, last, keys, sizes)
        if bid_size and ask_size:
            self.follow(keys[0], keys[1])

    def _ticks(self, price: int, *also: int) -> int:
        """A market price in ticks; the window is moved where it is outside. GridError where it is not on the tick."""
        ticks, off = divmod(price, self.tick)
        if off:
            raise GridError(f"{self.symbol}: price {price} is not a multiple of the tick {self.tick}")
        if self.state is None or not self.rules.low <= ticks <= self.rules.low + self.rules.last:
            self.move(ticks, *also)
        return ticks

    def _keep(self, bids: np.ndarray, asks: np.ndarray, rows: list[int]) -> None:
        """Levels on the far side of the window."""
        n_bids = bids.shape[1]
        for row in rows:
            price, size = (bids[:, row] if row < n_bids else asks[:, row - n_bids]).tolist()
            far = self.far[BUY if row < n_bids else SELL]
            if size:
                far[price // self.tick] = size
            else:
                far.pop(price // self.tick, None)

    # our orders

    def place(self, ts: int, order: int, side: int, price: int, size: int, kind: int, tif: int) -> None:
        ticks = price // self.tick
        if self.state is None or (kind == LIMIT and not self.rules.low <= ticks <= self.rules.low + self.rules.last):
            self.move(self.centre if self.state is not None else ticks, ticks)
        assert self.state is not None
        self.busy = True
        fills_arrivals.place(self.state, self.rules, ts, order, side, ticks, size, kind, tif)
        if self.in_front:
            for own in self.state.own[side, : self.state.at[N_OWN + side]]:
                if own[ID] == order:
                    own[AHEAD] = 0

    def cancel(self, ts: int, order: int) -> None:
        assert self.state is not None
        self.busy = True  # its report is to be read
        fills_arrivals.cancel(self.state, self.rules, ts, order)

    @property
    def reported(self) -> bool:
        """Whether there are new reports."""
        return self.busy and self.state is not None and self.state.at[N_REPORTS] != self.read

    def reports(self) -> list[list[int]]:
        """What became of our orders since the last call; prices in ticks."""
        if self.state is None or not self.reported:
            return []
        new = fills_venue.drained(self.state, self.read)
        self.read += len(new)
        self.busy = bool(self.state.at[N_OWN] + self.state.at[N_OWN + 1])
        return new.tolist()

    # what stands there

    def top(self) -> tuple[int, int, int, int]:
        """Best bid and its size, best ask and its size, in units; 0 where a side is empty."""
        if self.state is None:
            return 0, 0, 0, 0
        found = []
        for side in (BUY, SELL):
            key = int(self.state.at[BEST + side])
            if key == NONE:
                found += [0, 0]
            else:
                found += [price_of(side, key, self.rules.low, self.rules.last) * self.tick, int(self.state.levels[side, key])]
        return found[0], found[1], found[2], found[3]

    def offers(self, side: int, size: int) -> list[tuple[int, int]]:
        """(price, size) in units of the levels that an order of `side` would take, best first, until `size` is reached."""
        if self.state is None or self.state.at[BEST + 1 - side] == NONE:
            return []
        other = 1 - side
        first, room = int(self.state.at[BEST + other]), 256
        while True:
            keys, sizes = np.empty(room, np.int64), np.empty(room, np.int64)
            n = matching_levels.offers(self.state.levels[other], first, self.rules.last, size, keys, sizes)
            if n < room:
                break
            room *= 4
        prices = [price_of(other, key, self.rules.low, self.rules.last) * self.tick for key in keys[:n].tolist()]
        return list(zip(prices, sizes[:n].tolist(), strict=True))

    def own(self, side: int) -> list[tuple[int, int, int, int]]:
        """(order, price in units, left, lots ahead) of our resting orders of a side, best first."""
        if self.state is None:
            return []
        rows = self.state.own[side, : self.state.at[N_OWN + side]].tolist()
        return [(r[ID], price_of(side, r[KEY], self.rules.low, self.rules.last) * self.tick, r[LEFT], r[AHEAD]) for r in rows]

    # the window

    def follow(self, bid: int, ask: int) -> None:
        """Move the window where the market, its best prices at these keys, has walked a third of the way to its edge, or out of it."""
        if NONE not in (bid, ask):
            middle = self.rules.low + (self.rules.last - bid + ask) // 2
            if abs(middle - self.centre) > self.half // 3:
                self.move(middle)
            return
        low, high = self.rules.low, self.rules.low + self.rules.last
        beyond = [t for t in self.far[BUY] if t < low] if bid == NONE else []
        above = [t for t in self.far[SELL] if t > high] if ask == NONE else []
        if beyond or above:
            self.move(max(beyond) if beyond else min(above), *([min(above)] if above else []))

    def move(self, centre: int, *also: int) -> None:
        """A window around `centre` that holds our orders, the prices `also` (in ticks) and the best prices, unless those are very far."""
        self.centre = centre
        self.half = min(max(int(HALF * self.band * centre), LEAST), MOST)
        old, rules = self.state, self.rules
        needed = [centre - self.half, centre + self.half, *also]
        if old is not None:
            needed += [price // self.tick for side in (BUY, SELL) for _, price, _, _ in self.own(side)]
            bests = [price_of(side, int(key), rules.low, rules.last) for side in (BUY, SELL) if (key := old.at[BEST + side]) != NONE]
            needed += [ticks for ticks in bests if abs(ticks - centre) <= FAR * self.half]
        low = max(0, min(needed))
        self.rules = Rules(low, max(needed) - low, lot=self.lot, model=self.model, partial=self.partial)
        self.state = fills_venue.venue(self.rules, room=self.room)
        if old is not None:
            self.state = self.state._replace(own=old.own, places=old.places, reports=old.reports)
            self.state.at[N_REPORTS] = old.at[N_REPORTS]
            for side in (BUY, SELL):
                self._carry(side, old, rules)

    def _carry(self, side: int, old: Venue, was: Rules) -> None:
        """Levels, best and orders of a side from the old window (and from outside of it) into the new one."""
        assert self.state is not None
        state, low, last, far = self.state, self.rules.low, self.rules.last, self.far[side]
        for key in np.flatnonzero(old.levels[side]).tolist():
            far[price_of(side, key, was.low, was.last)] = int(old.levels[side, key])
        for ticks in [t for t in far if low <= t <= low + last]:
            state.levels[side, key_of(side, ticks, low, last)] = far.pop(ticks)
        standing = np.flatnonzero(state.levels[side])
        if len(standing):
            state.at[FARTHEST + side] = standing[-1]
        # What the other side's better quote overtook is no best: that is the first level from the old one on, or from beyond the window.
        best = int(old.at[BEST + side])
        from_key = key_of(side, price_of(side, best if best != NONE else was.last + 1, was.low, was.last), low, last)
        standing = standing[standing >= from_key]
        state.at[BEST + side] = standing[0] if len(standing) else NONE
        n = old.at[N_OWN + side]
        state.at[N_OWN + side] = n
        for own in state.own[side, :n]:
            own[KEY] = key_of(side, price_of(side, int(own[KEY]), was.low, was.last), low, last)
        mark(state, side)
