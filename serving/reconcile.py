"""The venue is right: orders, fills and positions are compared with it before the first order and every few seconds, and differences told.

An order that is `UNKNOWN` is asked for by its id, never sent again. One that the venue does not know is over once it can no longer
arrive: a request older than the receive window is turned away, so after `horizon` it is `EXPIRED`. One that stands at the venue although
the ledger has it as over is cancelled when it is seen so twice; one that the ledger does not have at all is told to the engine, which
counts it, and cancels it where its id is one of ours (the ledger lost its end with the power).
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import NamedTuple

import msgspec

from core import ledger_reader
from core.events import Account, Cancel, Incident, Input, Ordered
from core.ledger import Ledger
from core.ledger_writer import Writer
from core.orders import Balance, Held, Kind, Listing, Order, Standing, Status, numbers_of
from kernels import holdings
from serving.desk import Desk
from serving.exchange import Exchange, ExchangeError

log = logging.getLogger(__name__)
SETTLED_NS = 10_000_000_000  # younger fills may become visible in another order than their ids


class Found(NamedTuple):
    """What a comparison found. `clean`: nothing differed from what we thought."""

    clean: bool
    incidents: tuple[Incident, ...]
    n_fills: int  # that we had not heard of
    n_orders: int  # whose state we had not heard of
    n_unknown: int  # still unknown


class Reconciler:
    """`horizon_ns`: after it an order that the venue does not know can no longer arrive."""

    def __init__(
        self,
        exchange: Exchange,
        ledger: Ledger,
        writer: Writer,
        desk: Desk,
        listings: dict[str, Listing],
        put: Callable[[Input], None],
        clock: Callable[[], int],
        horizon_ns: int,
    ) -> None:
        self.exchange, self.ledger, self.writer, self.desk = exchange, ledger, writer, desk
        self.listings, self.put, self.clock, self.horizon_ns = listings, put, clock, horizon_ns
        self.symbols = tuple(listings)
        self.told: set[str] = set()  # incidents that were told already
        self.differs: dict[str, int] = {}  # positions that differed the last time, and by how much
        self.elsewhere: dict[str, Standing] = {}  # open orders that the ledger does not have, as they stood
        self.revived: set[str] = set()  # over by the ledger, and open at the venue the last time
        self._asking = asyncio.Lock()  # one comparison at a time: two at once would see one fill on its way twice alike

    async def compare(self, *, first: bool = False) -> Found:
        """One comparison. Raises `ExchangeError` where the venue cannot be asked. `first`: before anything was sent."""
        async with self._asking:
            return await self._compare(first)

    async def _compare(self, first: bool) -> Found:
        found: list[Incident] = []
        if first:
            self._tell_open()
        n_orders = await self._orders(found)
        n_fills = await self._all_fills(found)
        held, balances = await self.exchange.held()
        while first and (more := await self._all_fills(found)):
            n_fills += more  # they came before the positions or after: the first positions are believed, so asked for again
            held, balances = await self.exchange.held()
        differs = self._positions(held, balances)
        for symbol, by in differs.items():
            if first or self.differs.get(symbol) == by:  # twice alike: nothing was on its way
                self._tell(found, "position_differs", symbol, f"the venue holds {by:+d} units more of {symbol} than our fills add up to")
        self.differs = differs
        clean = not differs and not found
        # Also where nothing differs from the ledger: the engine may.
        self.put(Account(ts=self.clock(), positions=(*held, *self._bought()), balances=tuple(balances), clean=clean))
        unknown = sum(standing.status is Status.UNKNOWN for _, standing in self._open())
        return Found(clean, tuple(found), n_fills, n_orders, unknown)

    def n_open(self) -> int:
        """How many of our orders may still fill, stops at the venue left out."""
        return sum(order.kind is not Kind.STOP for order, _ in self._open())

    def _open(self) -> list[tuple[Order, Standing]]:
        with self.ledger.read() as connection:
            return ledger_reader.open_orders(connection, self.writer.account)

    async def _orders(self, found: list[Incident]) -> int:
        """Open orders here and there. What we think open and the venue does not list is asked for one by one."""
        asked_at = self.clock()
        ours = {order.order_id: (order, standing) for order, standing in self._open()}
        listed = {standing.order_id: standing for standing in await self.exchange.open_orders(self.symbols)}
        changed = 0
        for order_id, standing in listed.items():
            if order_id in ours:
                changed += self.desk.standing(standing)
            elif not self._known(order_id):
                what = "an order of ours that the ledger does not have" if numbers_of(order_id) else "an order that is not ours"
                self._tell(found, "foreign_order", standing.symbol, f"{what} is open: {order_id}, {standing.side} {standing.size}")
                self._told_elsewhere(standing)
            elif order_id in self.revived:
                self._tell(found, "order_revived", standing.symbol, f"{order_id} is over by the ledger, and open at the venue: cancelled")
                self.desk.cancel(Cancel(ts=self.clock(), order_id=order_id, symbol=standing.symbol, reason="over by the ledger"))
        self.revived = {order_id for order_id in listed if order_id not in ours and order_id not in self.elsewhere}
        for order_id in [one for one in self.elsewhere if one not in listed]:
            was = self.elsewhere[order_id]
            ended = await self.exchange.order(was.symbol, order_id)
            del self.elsewhere[order_id]  # not before the venue answered: else nobody would ask again
            self._told_elsewhere(ended or msgspec.structs.replace(was, status=Status.EXPIRED))
        for order_id, (order, standing) in ours.items():
            if order_id in listed or order.ts > asked_at:
                continue
            told = await self.exchange.order(order.symbol, order_id)
            if told is not None:
                changed += self.desk.standing(told)
            elif asked_at - order.ts > self.horizon_ns:
                gone = Standing(
                    order_id=order_id, symbol=order.symbol, status=Status.EXPIRED, filled=standing.filled,
                    reason=f"the venue does not know it {(asked_at - order.ts) / 1e9:.0f} s after it was sent",
                )  # fmt: skip
                changed += self.desk.standing(gone)
        return changed

    def _told_elsewhere(self, standing: Standing) -> None:
        """An order that the ledger does not have, to the engine: it counts as long as it stands, less the fills that came."""
        status = standing.status if standing.status.is_open else Status.EXPIRED
        told = msgspec.structs.replace(standing, status=status, filled=self._filled(standing.order_id))
        if status.is_open:
            was, self.elsewhere[standing.order_id] = self.elsewhere.get(standing.order_id), standing
            if was is not None and was.filled == standing.filled:
                return
        self.put(Ordered(ts=self.clock(), standing=told))

    def _filled(self, order_id: str) -> int:
        """How much of an order the ledger has the fills of: what the engine has seen of it. More is still to come, and counted then."""
        with self.ledger.read() as connection:
            return sum(fill.size for fill in ledger_reader.fills(connection, self.writer.account, order_id=order_id))

    def _tell_open(self) -> None:
        """What an earlier worker left open, to an engine that knows nothing: it counts until it is known to be over."""
        for _, standing in self._open():
            status = Status.UNKNOWN if standing.status in (Status.INTENT, Status.SENT) else standing.status
            told = msgspec.structs.replace(standing, status=status, filled=self._filled(standing.order_id))
            self.put(Ordered(ts=self.clock(), standing=told))

    def _known(self, order_id: str) -> bool:
        with self.ledger.read() as connection:
            return ledger_reader.order(connection, order_id) is not None

    async def _all_fills(self, found: list[Incident]) -> int:
        return sum([await self._fills(symbol, found) for symbol in self.symbols])

    async def _fills(self, symbol: str, found: list[Incident]) -> int:
        """Fills we have not heard of, by trade id: from where all were compared on, as user data may have lost one between others."""
        with self.ledger.read() as connection:
            compared = ledger_reader.compared(connection, self.writer.account, symbol)
        new, settled, before = 0, compared, self.clock() - SETTLED_NS
        for fill in await self.exchange.fills(symbol, from_id=compared + 1):
            if fill.ts_event < before:
                settled = max(settled, fill.trade_id)
            if not self.desk.fill(fill):
                continue
            new += 1
            if not self._known(fill.order_id):
                self._tell(found, "foreign_fill", symbol, f"trade {fill.trade_id} of order {fill.order_id}: {fill.side} {fill.size}")
        if settled > compared:
            self.writer.compared(symbol, settled)
        return new

    def _positions(self, held: Sequence[Held], balances: Sequence[Balance]) -> dict[str, int]:
        """By how much the venue's positions differ from the sums of our fills, size units; on spot, balances are no positions."""
        with self.ledger.read() as connection:
            ours = ledger_reader.positions(connection, self.writer.account)
        theirs = {position.symbol: position.size for position in held}
        futures = [symbol for symbol, listing in self.listings.items() if not listing.spot]
        return {symbol: by for symbol in futures if (by := theirs.get(symbol, 0) - ours.get(symbol, 0))}

    def _bought(self) -> list[Held]:
        """What is held on spot: what our fills add up to, fees in the base asset taken off. A balance may hold more:
        that is not ours to sell."""
        spot = {symbol: listing for symbol, listing in self.listings.items() if listing.spot}
        if not spot:
            return []
        sums = holdings.init(spot, 0.0, 0)
        with self.ledger.read() as connection:
            for fill in ledger_reader.fills(connection, self.writer.account):
                if fill.symbol in spot:
                    holdings.apply(sums, fill)
        return [
            Held(symbol=symbol, size=position.size, entry_price=position.average_price if position.size else 0.0)
            for symbol, position in sums.positions.items()
        ]

    def _tell(self, found: list[Incident], kind: str, symbol: str, detail: str) -> None:
        """An incident, told once."""
        if f"{kind} {detail}" in self.told:
            return
        self.told.add(f"{kind} {detail}")
        incident = Incident(ts=self.clock(), kind=kind, symbol=symbol, detail=detail)
        self.writer.incident(incident)
        log.warning("%s: %s", kind, detail)
        found.append(incident)


__all__ = ["ExchangeError", "Found", "Reconciler"]
