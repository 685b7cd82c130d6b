"""What the venue says and what we thought come together again, whatever happened between two questions."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from core import ledger_reader
from core.events import Account, Cancel, Connected, Disconnected, Incident, Input, Snapshot
from core.ledger import Ledger
from core.ledger_writer import Writer
from core.market import NS, Side
from core.orders import Balance, Fill, Held, Order, Standing, Status
from kernels import engine
from kernels.engine_plan import Plan
from serving.desk import Desk
from serving.exchange import Answer, ExchangeError
from serving.reconcile import Found, Reconciler
from serving.simulation import listing

SYMBOL, ACCOUNT, START = "SIMUSDT", "test/one", 1_767_225_600 * NS
PRICE = 600_000


def order_of(order_id: str, size: int = 5) -> Order:
    return Order(order_id=order_id, symbol=SYMBOL, side=Side.BUY, size=size, price=PRICE, ts=START - NS)


class Book:
    """What a venue knows of one futures account. `between`: happens after fills were asked for, before positions are."""

    def __init__(self) -> None:
        self.orders: dict[str, Standing] = {}
        self.trades: list[Fill] = []
        self.cancelled: list[str] = []
        self.between: list[Callable[[], object]] = []
        self.hidden = 0  # so many of the newest trades are not listed yet
        self.answers = True

    def stands(self, order: Order, status: Status = Status.NEW) -> None:
        filled = sum(trade.size for trade in self.trades if trade.order_id == order.order_id)
        self.orders[order.order_id] = Standing(
            order_id=order.order_id, symbol=SYMBOL, status=status, filled=filled, side=order.side, price=order.price, size=order.size
        )

    def fills_some(self, order: Order, size: int) -> Fill:
        fill = Fill(
            order_id=order.order_id, symbol=SYMBOL, trade_id=len(self.trades) + 1, side=order.side, price=order.price, size=size,
            maker=True, fee=0, fee_asset="USDT", ts_event=START,
        )  # fmt: skip
        self.trades.append(fill)
        filled = sum(trade.size for trade in self.trades if trade.order_id == order.order_id)
        self.stands(order, Status.FILLED if filled == order.size else Status.PARTIAL)
        return fill

    async def open_orders(self, symbols: object) -> list[Standing]:
        await asyncio.sleep(0)
        return [standing for standing in self.orders.values() if standing.status.is_open]

    async def order(self, symbol: str, order_id: str) -> Standing | None:
        return self.orders.get(order_id)

    async def fills(self, symbol: str, *, from_id: int = 0, since: int = 0) -> list[Fill]:
        await asyncio.sleep(0)
        seen = self.trades[: len(self.trades) - self.hidden]
        return [fill for fill in seen if fill.trade_id >= from_id]

    async def held(self) -> tuple[list[Held], list[Balance]]:
        if self.between:
            self.between.pop(0)()
        await asyncio.sleep(0)
        return [Held(symbol=SYMBOL, size=sum(fill.size * fill.side.sign for fill in self.trades), entry_price=PRICE / 10)], []

    async def cancel(self, symbol: str, order_id: str) -> Answer:
        self.cancelled.append(order_id)
        if not self.answers:
            raise ExchangeError("no answer")
        self.orders[order_id] = msgspec.structs.replace(self.orders[order_id], status=Status.CANCELLED)
        return Answer(known=True, standing=self.orders[order_id])


class Session:
    """An engine, a desk and a ledger that an earlier worker may have written to."""

    def __init__(self, folder: Path, before: Callable[[Writer], None] = lambda writer: None) -> None:
        self.venue, self.now = Book(), START
        self.ledger = Ledger(f"sqlite:///{folder / 'ledger.db'}")
        before(Writer(self.ledger, self.ledger.take(ACCOUNT, "earlier", START - NS, 0.0)))
        self.writer = Writer(self.ledger, self.ledger.take(ACCOUNT, "now", START, 60.0))
        self.plan = Plan(venue="test", listings={SYMBOL: listing(False)}, caps={SYMBOL: 1_000.0}, epoch=self.writer.lease.epoch)
        self.state = engine.init(self.plan, START)
        self.incidents: list[str] = []
        self.desk = Desk(self.venue, self.writer, self.put, lambda: self.now, 1.0)  # type: ignore[arg-type]
        self.reconciler = Reconciler(
            self.venue, self.ledger, self.writer, self.desk, self.plan.listings, self.put, lambda: self.now, 15 * NS  # type: ignore[arg-type]
        )  # fmt: skip
        levels = tuple((PRICE + 10 * n, 1_000) for n in range(1, 4))
        self.put(Connected(ts=START, what="market"))
        self.put(Snapshot(ts=START, symbol=SYMBOL, update_id=1, bids=tuple((2 * PRICE - p, s) for p, s in levels), asks=levels))

    def put(self, told: Input) -> None:
        for decision in engine.step(self.state, told, self.plan):  # type: ignore[arg-type]
            if isinstance(decision, Cancel):
                self.desk.cancel(decision)
            elif isinstance(decision, Incident):
                self.incidents.append(decision.kind)

    async def compare(self, *, first: bool = False, after_s: float = 5.0) -> Found:
        self.now += round(after_s * NS)
        found = await self.reconciler.compare(first=first)
        await self.desk.settled(5.0)
        return found

    @property
    def size(self) -> int:
        return self.state.position(SYMBOL).size


def left(*orders: Order) -> Callable[[Writer], None]:
    def write(writer: Writer) -> None:
        for order in orders:
            writer.intend(order, seq=1)

    return write


def test_a_fill_between_the_questions_of_the_first_comparison_counts_once(tmp_path: Path):
    async def run() -> None:
        order = order_of("sc1-1")
        session = Session(tmp_path, left(order))
        session.venue.stands(order)
        session.venue.between.append(lambda: session.venue.fills_some(order, 2))
        await session.compare(first=True)
        assert session.size == 2
        await session.compare()
        assert session.size == 2

    asyncio.run(run())


def test_an_engine_that_differs_is_put_right_although_the_ledger_does_not(tmp_path: Path):
    async def run() -> None:
        order = order_of("sc1-1")
        session = Session(tmp_path, left(order))
        session.venue.fills_some(order, 2)
        session.venue.hidden = 1  # the position is listed before the trade
        await session.compare(first=True)
        session.venue.hidden = 0
        for _ in range(3):
            await session.compare()
        assert session.size == 2

    asyncio.run(run())


def test_two_comparisons_at_once_are_one_after_the_other(tmp_path: Path):
    async def run() -> None:
        session = Session(tmp_path)
        await session.compare(first=True)
        order = order_of("web-1")
        session.venue.between.append(lambda: session.venue.fills_some(order, 2))
        await asyncio.gather(session.reconciler.compare(), session.reconciler.compare())
        assert session.size == 2
        await session.compare()
        assert session.size == 2
        assert "position_differs" not in session.incidents

    asyncio.run(run())


def test_what_filled_while_nobody_was_there_is_not_taken_off_twice(tmp_path: Path):
    async def run() -> None:
        order = order_of("sc1-1", 6)
        session = Session(tmp_path, left(order))
        session.venue.fills_some(order, 2)
        session.venue.answers = False  # it cannot be cancelled
        await session.compare(first=True)
        assert session.state.orders.by_id["sc1-1"].left == 4
        assert session.size == 2

    asyncio.run(run())


@pytest.mark.parametrize("order_id", ["sc1-7", "web-1"], ids=["of ours that the ledger lost", "of somebody else"])
def test_an_order_that_the_ledger_does_not_have_counts_as_long_as_it_stands(tmp_path: Path, order_id: str):
    async def run() -> None:
        order, ours = order_of(order_id, 6), order_id.startswith("sc")
        session = Session(tmp_path)
        session.venue.stands(order)
        session.venue.answers = False
        assert not (await session.compare(first=True)).clean
        assert session.state.orders.by_id[order_id].left == 6
        session.desk.fill(session.venue.fills_some(order, 2))
        await session.compare()
        assert session.state.orders.by_id[order_id].left == 4
        assert (order_id in session.venue.cancelled) is ours
        session.venue.stands(order, Status.CANCELLED)
        await session.compare()
        assert not session.state.orders.by_id and session.size == 2

    asyncio.run(run())


def test_an_order_that_arrives_after_it_was_given_up_is_taken_away(tmp_path: Path):
    async def run() -> None:
        order = order_of("sc1-1")
        session = Session(tmp_path, left(order))
        await session.compare(first=True, after_s=20.0)
        with session.ledger.read() as connection:
            found = ledger_reader.order(connection, "sc1-1")
        assert found is not None and found[1].status is Status.EXPIRED
        session.venue.cancelled.clear()
        session.venue.stands(order)
        for _ in range(2):
            await session.compare()
        assert session.venue.cancelled == ["sc1-1"]
        assert not session.venue.orders["sc1-1"].status.is_open

    asyncio.run(run())


def test_a_comparison_is_not_hearing_of_user_data(tmp_path: Path):
    async def run() -> None:
        session = Session(tmp_path)
        await session.compare(first=True)
        assert session.state.accounted
        session.put(Disconnected(ts=session.now, what="account"))
        session.put(Account(ts=session.now, positions=(), balances=(), clean=True))
        assert not session.state.accounted
        session.put(Connected(ts=session.now, what="account"))
        assert session.state.accounted

    asyncio.run(run())
