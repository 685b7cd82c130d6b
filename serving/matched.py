"""An account in this process: our orders to `kernels.matching`, and what it says in our words. Simulated and paper venues stand on it.

Nothing here waits: how long orders and answers are on their way, and what gets lost, is the venue's matter.
"""

from collections.abc import Callable, Sequence

import msgspec

from core.orders import Balance, Fill, Held, Kind, Order, Standing
from kernels import matching_words as words
from kernels.matching import Matching
from kernels.matching_words import AccountUpdate, New, OrderUpdate, Placed, Refusal, VenueOrder
from serving.answers import refused
from serving.exchange import AccountEvent, Answer

KINDS = {Kind.LIMIT: words.Kind.LIMIT, Kind.MARKET: words.Kind.MARKET, Kind.STOP: words.Kind.STOP_MARKET}


class Matched:
    """`clock`: ours; what is said was received then."""

    def __init__(self, matching: Matching, clock: Callable[[], int]) -> None:
        self.matching, self.clock = matching, clock

    def place(self, now: int, order: Order) -> Placed | Refusal:
        """An order of ours arrives at `now`, the venue's time."""
        stop = order.kind is Kind.STOP
        new = New(
            client_id=order.order_id, symbol=order.symbol, side=order.side, kind=KINDS[order.kind], tif=order.tif, price=order.price,
            size=0 if stop else order.size, reduce_only=order.reduce_only and not stop, stop_price=order.stop_price, close_position=stop,
        )  # fmt: skip
        return self.matching.place(now, new)

    def answer(self, order: Order, placed: Placed | Refusal) -> Answer:
        """What the venue says to an order."""
        if isinstance(placed, Refusal):
            return refused(order, placed.code, placed.text, self.clock())
        return Answer(known=True, standing=self.standing(placed.order), fills=tuple(self.fill(fill) for fill in placed.fills))

    def gone(self, found: VenueOrder | Refusal) -> Answer:
        """What it says to a cancel."""
        if isinstance(found, Refusal):
            return Answer(known=True, code=found.code, reason=found.text)
        return Answer(known=True, standing=self.standing(found))

    def events(self) -> list[AccountEvent]:
        """User data of what happened since the last call, in order."""
        told = (self._event(update) for update in self.matching.taken())
        return [event for event in told if event is not None]

    def _event(self, update: OrderUpdate | AccountUpdate) -> AccountEvent | None:
        if isinstance(update, OrderUpdate):
            fill = self.fill(update.fill) if update.fill is not None else None
            return AccountEvent(standing=self.standing(update.order), fill=fill)
        if update.reason == "FUNDING_FEE":
            return AccountEvent(funding=(update.symbol, update.amount / 10.0**self.matching.decimals, update.ts // 1_000_000))
        return None

    def standing(self, order: VenueOrder) -> Standing:
        return Standing(
            order_id=order.client_id, symbol=order.symbol, status=order.status, filled=order.filled, venue_id=str(order.venue_id),
            side=order.side, price=order.price, size=order.size, reduce_only=order.reduce_only or order.close_position,
            ts_event=order.ts_updated, ts_recv=self.clock(),
        )  # fmt: skip

    def fill(self, fill: Fill) -> Fill:
        plain = {name: getattr(fill, name) for name in Fill.__struct_fields__}
        return msgspec.convert(plain | {"ts_recv": self.clock()}, Fill)

    # Queries

    def order(self, symbol: str, order_id: str) -> Standing | None:
        found = self.matching.order(symbol, client_id=order_id)
        return None if isinstance(found, Refusal) else self.standing(found)

    def open_orders(self, symbols: Sequence[str]) -> list[Standing]:
        return [self.standing(order) for symbol in symbols for order in self.matching.open_orders(symbol)]

    def fills(self, symbol: str, from_id: int, since: int) -> list[Fill]:
        return [self.fill(fill) for fill in self.matching.my_trades(symbol, from_id=from_id, since=since, limit=1_000_000)]

    def held(self) -> tuple[list[Held], list[Balance]]:
        decimals = self.matching.decimals
        positions = [
            Held(symbol=p.symbol, size=p.size, entry_price=p.entry_price, liquidation_price=p.liquidation_price, leverage=p.leverage)
            for p in self.matching.positions()
        ]
        balances = [
            Balance(asset=m.asset, free=words.text(m.free, decimals), locked=words.text(m.locked, decimals))
            for m in self.matching.balances()
        ]
        return positions, balances
