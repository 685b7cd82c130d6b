"""Adapter, desk, reconciler and ledger together: whatever gets lost or told twice, the ledger ends up with what the venue has."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from msgspec.structs import replace

from core import ledger_reader
from core.events import Approved, Funding, Input
from core.ledger import Ledger
from core.ledger_writer import Writer
from core.orders import Kind, Order, Status, Tif
from serving.desk import Desk
from serving.reconcile import Reconciler

from .conformance import NATIVE, SYMBOL, Trader, trade

pytestmark = [pytest.mark.server, pytest.mark.recordings, pytest.mark.parametrize("adapter", NATIVE)]
HORIZON_NS = 1_000_000_000


class Office:
    """A desk that sends by an adapter and writes to a ledger."""

    def __init__(self, trader: Trader, ledger: Ledger) -> None:
        lease = ledger.take("account", "here", time.time_ns(), 60.0)
        self.trader, self.ledger, self.inputs = trader, ledger, list[Input]()
        self.writer = Writer(ledger, lease)
        self.desk = Desk(trader.exchange, self.writer, self.inputs.append, time.time_ns, 2.0)
        listings = {SYMBOL: trader.listing}
        self.reconciler = Reconciler(
            trader.exchange, ledger, self.writer, self.desk, listings, self.inputs.append, time.time_ns, HORIZON_NS
        )  # fmt: skip

    async def send(self, order: Order) -> Order:
        order = replace(order, ts=time.time_ns())
        approved = Approved(ts=order.ts, order=order)
        assert self.desk.intend(approved, 1)
        self.desk.send(approved)
        assert await self.desk.settled(5.0)
        return order

    def status(self, order: Order) -> Status:
        with self.ledger.read() as connection:
            found = ledger_reader.order(connection, order.order_id)
        assert found is not None
        return found[1].status

    def fills(self) -> dict[int, int]:
        with self.ledger.read() as connection:
            return {fill.trade_id: fill.size for fill in ledger_reader.fills(connection, "account", SYMBOL)}

    def venue_fills(self) -> dict[int, int]:
        return {fill.trade_id: fill.size for fill in self.trader.venue.matching.my_trades(SYMBOL)}


def work(shared: Path, folder: Path, adapter: str, case: Callable[[Office], Awaitable[None]]) -> None:
    async def run(trader: Trader) -> None:
        with Ledger(f"sqlite:///{folder / 'ledger.db'}") as ledger:
            office = Office(trader, ledger)
            trader.told_account = office.desk.told
            try:
                await trader.connected()
                await case(office)
            finally:
                office.writer.close()

    trade(shared, adapter, run)


def test_user_data_told_twice_or_out_of_order_fills_once(shared: Path, tmp_path: Path, adapter: str) -> None:
    async def case(office: Office) -> None:
        orders = []
        for kind in ("duplicate", "reorder", "duplicate", "reorder", "duplicate"):
            office.trader.fault(kind, where="account")
            orders.append(await office.send(office.trader.order(kind=Kind.MARKET, tif=Tif.GTC)))
        await office.send(office.trader.order())
        await office.trader.until(lambda: office.fills() == office.venue_fills() and len(office.fills()) >= 5)
        await office.trader.until(lambda: all(office.status(order) is Status.FILLED for order in orders))

    work(shared, tmp_path, adapter, case)


def test_funding_told_twice_is_counted_once(shared: Path, tmp_path: Path, adapter: str) -> None:
    if adapter != NATIVE[0]:
        pytest.skip("only futures pay funding")

    async def case(office: Office) -> None:
        await office.trader.buy()
        office.trader.fault("duplicate", where="account", stream="ACCOUNT_UPDATE")
        office.trader.fault("funding", symbol=SYMBOL, rate="0.001")
        await office.trader.until(lambda: any(isinstance(told, Funding) for told in office.inputs))
        await asyncio.sleep(0.3)
        office.trader.fault("funding", symbol=SYMBOL, rate="0.002")
        await office.trader.until(lambda: sum(isinstance(told, Funding) for told in office.inputs) > 1)
        first, second = [told.amount for told in office.inputs if isinstance(told, Funding)]
        assert second < first < 0

    work(shared, tmp_path, adapter, case)


def test_a_lost_answer_is_unknown_until_the_venue_was_asked_and_nothing_is_sent_twice(shared: Path, tmp_path: Path, adapter: str) -> None:
    async def case(office: Office) -> None:
        office.trader.fault("mute", where="account", ms=3_600_000)
        office.trader.fault("lose_answer", match="POST")
        arrived = await office.send(office.trader.order())
        office.trader.fault("lose_request", match="POST")
        never = await office.send(office.trader.order())
        assert office.status(arrived) is Status.UNKNOWN and office.status(never) is Status.UNKNOWN
        await office.reconciler.compare()
        assert office.status(arrived) is Status.NEW and office.status(never) is Status.UNKNOWN  # it might still arrive
        for _ in range(100):
            if office.status(never) is Status.EXPIRED:
                break
            await asyncio.sleep(0.05)
            await office.reconciler.compare()
        assert office.status(never) is Status.EXPIRED
        assert [order.client_id for order in office.trader.venue.matching.all_orders(SYMBOL)] == [arrived.order_id]

    work(shared, tmp_path, adapter, case)


def test_fills_missed_while_nothing_was_heard_are_found_by_trade_id(shared: Path, tmp_path: Path, adapter: str) -> None:
    async def case(office: Office) -> None:
        office.trader.fault("mute", where="account", ms=3_600_000)
        orders = [await office.send(office.trader.order(kind=Kind.MARKET, tif=Tif.GTC)) for _ in range(3)]
        found = await office.reconciler.compare()
        assert office.fills() == office.venue_fills() and len(office.fills()) >= 3 and not found.incidents
        assert all(office.status(order) is Status.FILLED for order in orders)

    work(shared, tmp_path, adapter, case)
