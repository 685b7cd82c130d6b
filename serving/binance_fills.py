"""Our fills, page by page; which of our orders each belongs to is told from the venue's order ids."""

from core.orders import Fill, Listing
from serving.binance_rest import MS, Rest, query, read
from serving.binance_words import Row, Traded, fill

PAGE = 1_000  # rows the venue gives at once
KEPT = 50_000  # names remembered


class Names:
    """Our ids of orders, by the venue's."""

    def __init__(self) -> None:
        self.known: dict[tuple[str, int], str] = {}

    def put(self, symbol: str, venue_id: int, order_id: str) -> None:
        self.known[symbol, venue_id] = order_id
        if len(self.known) > KEPT:
            for key in list(self.known)[: KEPT // 2]:
                del self.known[key]

    def get(self, symbol: str, venue_id: int) -> str | None:
        return self.known.get((symbol, venue_id))


async def fills(rest: Rest, spot: bool, listing: Listing, names: Names, *, from_id: int, since: int) -> list[Fill]:
    """From a trade id on, or since a time (ns), in order of trade ids. Raises what `Rest` raises."""
    symbol = listing.instrument.symbol
    path, weight = ("myTrades", 20) if spot else ("userTrades", 5)
    rows: dict[int, Traded] = {}
    start: dict[str, int] = {"startTime": since // MS} if since and not from_id else {"fromId": from_id}
    while True:
        reply = await rest.signed("GET", path, weight, query(symbol=symbol, limit=PAGE, **start))
        page = read(reply, list[Traded])
        rows |= {row.id: row for row in page}
        if len(page) < PAGE:
            break
        start = {"fromId": max(rows) + 1}
    now = rest.clock()
    ordered = [rows[number] for number in sorted(rows) if number >= from_id]
    await learn(rest, spot, symbol, names, sorted({row.orderId for row in ordered}))
    return [fill(row, names.get(symbol, row.orderId) or f"venue-{row.orderId}", listing, now) for row in ordered]


async def learn(rest: Rest, spot: bool, symbol: str, names: Names, venue_ids: list[int]) -> None:
    """Find the names of these orders, in pages from the oldest that has none."""
    missing = [number for number in venue_ids if names.get(symbol, number) is None]
    while missing:
        asked = query(symbol=symbol, orderId=missing[0], limit=PAGE)
        reply = await rest.signed("GET", "allOrders", 20 if spot else 5, asked)
        page = read(reply, list[Row])
        for row in page:
            names.put(symbol, row.orderId, row.clientOrderId)
        missing = [number for number in missing[1:] if names.get(symbol, number) is None] if page else []
