"""Stops at Binance USD-M: conditional orders are a service of their own there, with their own ids, queries and user data.

The order that one becomes when it goes off has another venue id; it is told here, so that its fills are known to be ours.
"""

from collections.abc import Callable, Mapping, Sequence
from urllib.parse import quote

from msgspec import Struct

from core.market import Side
from core.orders import Listing, Order, Standing, Status
from kernels.matching_words import text
from serving.binance_listed import whole
from serving.binance_rest import MS, Rest, Said, query, read
from serving.binance_words import NO_SUCH_ORDER, SIDES, UNKNOWN_ORDER

WAITING = {
    "NEW": Status.NEW, "TRIGGERING": Status.NEW, "TRIGGERED": Status.NEW, "FINISHED": Status.FILLED, "CANCELED": Status.CANCELLED,
    "REJECTED": Status.REJECTED, "EXPIRED": Status.EXPIRED,
}  # fmt: skip


class Waiting(Struct):
    """A conditional order of USD-M. `actualOrderId`: of the order it became, empty until then."""

    algoId: int
    clientAlgoId: str
    symbol: str = ""
    side: str = "BUY"
    quantity: str | None = None
    algoStatus: str = "NEW"
    closePosition: bool = False
    reduceOnly: bool = False
    updateTime: int = 0
    actualOrderId: str | None = None
    actualQty: str | None = None


class Told(Struct):
    """`o` of ALGO_UPDATE: `ai`, `aq` are the id and the filled size of the order it became."""

    caid: str
    aid: int
    s: str
    S: str
    X: str
    q: str | None = None
    ai: str | None = None
    aq: str | None = None
    cp: bool = False
    R: bool = False


def sent(order: Order, listing: Listing) -> str:
    """The parameters of a stop, as the service for conditional orders takes them: it closes whatever is held."""
    trigger = text(order.stop_price, listing.instrument.price_decimals, listing.instrument.price_decimals)
    made = f"algoType=CONDITIONAL&symbol={order.symbol}&side={SIDES[order.side]}&type=STOP_MARKET&triggerPrice={trigger}"
    return f"{made}&closePosition=true&workingType=CONTRACT_PRICE&clientAlgoId={quote(order.order_id, safe='')}"


def standing(row: Waiting, listing: Listing, now: int) -> Standing:
    """A conditional order. One that went off is what became of the order it made."""
    of = listing.instrument
    filled = whole(row.actualQty or "0", of.size_decimals)
    status = WAITING.get(row.algoStatus, Status.UNKNOWN)
    if row.algoStatus == "FINISHED" and not filled:
        status = Status.EXPIRED
    return Standing(
        order_id=row.clientAlgoId, symbol=row.symbol, status=status, filled=filled, venue_id=str(row.algoId), side=Side(row.side.lower()),
        size=whole(row.quantity or "0", of.size_decimals), reduce_only=row.closePosition or row.reduceOnly, ts_event=row.updateTime * MS,
        ts_recv=now,
    )  # fmt: skip


class Stops:
    """`named` is told (symbol, venue id, our id) of the orders that stops became. Calls raise what `Rest` raises."""

    def __init__(self, rest: Rest, listings: Callable[[], Mapping[str, Listing]], named: Callable[[str, int, str], None]) -> None:
        self.rest, self.listings, self.named = rest, listings, named
        self.mine: set[str] = set()  # our ids that were sent here

    async def send(self, order: Order) -> Standing:
        reply = await self.rest.signed("POST", "algoOrder", 0, sent(order, self.listings()[order.symbol]), orders=1, urgent=True)
        self.mine.add(order.order_id)
        row = read(reply, Waiting)
        return Standing(
            order_id=order.order_id, symbol=order.symbol, status=Status.NEW, venue_id=str(row.algoId), side=order.side, size=order.size,
            reduce_only=True, ts_event=self.rest.now(), ts_recv=self.rest.clock(),
        )  # fmt: skip

    async def cancel(self, symbol: str, order_id: str) -> Standing:
        await self.rest.signed("DELETE", "algoOrder", 1, query(symbol=symbol, clientAlgoId=order_id), urgent=True)
        self.mine.discard(order_id)
        now = self.rest.clock()
        return Standing(order_id=order_id, symbol=symbol, status=Status.CANCELLED, reduce_only=True, ts_event=self.rest.now(), ts_recv=now)

    async def cancel_all(self, symbol: str) -> None:
        try:
            await self.rest.signed("DELETE", "algoOpenOrders", 1, query(symbol=symbol), urgent=True)
        except Said as said:
            if said.code != UNKNOWN_ORDER:  # none was open
                raise

    async def order(self, symbol: str, order_id: str) -> Standing | None:
        try:
            reply = await self.rest.signed("GET", "algoOrder", 1, query(symbol=symbol, clientAlgoId=order_id))
        except Said as said:
            if said.code in (NO_SUCH_ORDER, UNKNOWN_ORDER):
                return None
            raise
        return self._standing(read(reply, Waiting))

    async def open(self, symbols: Sequence[str]) -> list[Standing]:
        """All that wait, of these symbols."""
        replies = [await self.rest.signed("GET", "openAlgoOrders", 1, query(symbol=symbol)) for symbol in symbols]
        return [self._standing(row) for reply in replies for row in read(reply, list[Waiting])]

    def told(self, told: Told) -> Standing | None:
        """User data. None for what is not listed."""
        listing = self.listings().get(told.s)
        if listing is None:
            return None
        row = Waiting(
            algoId=told.aid, clientAlgoId=told.caid, symbol=told.s, side=told.S, quantity=told.q, algoStatus=told.X, closePosition=told.cp,
            reduceOnly=told.R, updateTime=self.rest.now() // MS, actualOrderId=told.ai, actualQty=told.aq,
        )  # fmt: skip
        return self._standing(row)

    def _standing(self, row: Waiting) -> Standing:
        if row.actualOrderId and row.actualOrderId != "0":
            self.named(row.symbol, int(row.actualOrderId), row.clientAlgoId)
        return standing(row, self.listings()[row.symbol], self.rest.clock())
