"""One history of trouble from a seed: the real worker, engine and ledger on a simulated venue, under one virtual clock.

seed -> market, latencies, faults, when the worker is killed -> run -> what must hold (`Broken` says which did not)

No duplicate order, no lost fill, exposure within limits, a ledger that sums to zero with the venue, everything reconciled at the end.
"""

import asyncio
import random
from pathlib import Path

from msgspec import Struct

from core import ledger_reader
from core.events import Approved, Command, CommandKind, Incident, ModeChanged
from core.ledger import Ledger
from core.ledger_writer import Writer
from core.market import NS, Side
from core.orders import Fill, Order, Status
from kernels import holdings
from kernels.engine_plan import Plan
from kernels.execution import Handling
from kernels.matching import Matching
from serving import virtual
from serving.exchange import Answer
from serving.journal import Journal
from serving.opened import opening_of
from serving.simulated import Faults, Simulated
from serving.simulation_drawn import (
    ACCOUNT,
    CAPITAL,
    LIMITS,
    QUICK,
    RULES,
    START,
    SYMBOL,
    History,
    drawn,
    listing,
    tape,
)
from serving.virtual import VirtualLoop
from serving.worker import Worker


class Broken(AssertionError):
    """What must hold did not; the message names the seed."""


class Outcome(Struct, kw_only=True):
    seed: int
    n_frames: int = 0
    n_orders: int = 0
    n_fills: int = 0
    n_restarts: int = 0
    n_incidents: int = 0
    n_refused: int = 0
    faults: dict[str, int] = {}


class Watched(Simulated):
    """Counts what reaches the venue: no order id may come twice."""

    sent: list[str]

    async def send(self, approved: Approved) -> Answer:
        self.sent.append(approved.order.order_id)
        return await super().send(approved)


class _Run:
    def __init__(self, history: History, folder: Path) -> None:
        self.history, self.folder = history, folder
        self.loop = VirtualLoop(START)
        self.outcome = Outcome(seed=history.seed)
        self.matching = Matching(
            {SYMBOL: listing(history.spot)}, kind="spot" if history.spot else "usdm", quote_balance=100_000, leverage=10, room=64
        )
        self.chance = random.Random(history.seed + 1)
        self.ledger = Ledger("sqlite://")
        self.restarts = 0
        self.latched = ""

    async def play(self) -> None:
        history = self.history
        self.exchange = Watched(
            self.matching,
            tape(history.seed, history.seconds),
            self.loop,
            venue="simulated",
            latency=history.latency,
            faults=history.faults,
            chance=self.chance,
        )
        self.exchange.sent = []
        deaths = list(history.killed_at)
        while True:
            worker, running, writer = await self._start()
            dies = asyncio.create_task(asyncio.sleep(self.loop.until(START + round(deaths[0] * NS)) if deaths else 1e9))
            over = asyncio.create_task(self.exchange.ended.wait())
            await asyncio.wait({running, dies, over}, return_when=asyncio.FIRST_COMPLETED)
            if running.done():
                running.result()
                raise Broken(f"seed {history.seed}: the worker stopped: {worker.failed}")
            for task in (dies, over):
                task.cancel()
            if self.exchange.ended.is_set():
                break
            deaths.pop(0)
            await self._kill(worker, running, writer)
            await asyncio.sleep(self.chance.uniform(0.1, 3.0))
        await self._settle(worker, running, writer)

    async def _start(self) -> tuple[Worker, asyncio.Task[None], Writer]:
        """A worker as after a start of the process: it knows what the ledger and the venue know."""
        clock = self.loop.clock
        lease = self.ledger.take(ACCOUNT, f"run {self.restarts}", clock() + 10 * NS * self.restarts, 0.0)
        writer = Writer(self.ledger, lease)
        listings = {SYMBOL: listing(self.history.spot)}
        with self.ledger.read() as connection:
            capital, opening = opening_of(connection, ACCOUNT, listings, CAPITAL)
        plan = Plan(
            venue="simulated", listings=listings, caps={SYMBOL: 2_500.0}, limits=LIMITS, rule=QUICK,
            strategy="restless", params={"seed": self.history.seed},
            handling=Handling(patience_ns=1_500_000_000, venue_stop_bps=self.history.stop_bps),
            epoch=lease.epoch, capital=capital, opening=opening, latched=self.latched,
        )  # fmt: skip
        kept = Journal(self.folder / f"run{self.restarts}", {}) if self.folder.name else None
        worker = Worker(
            exchange=self.exchange, ledger=self.ledger, writer=writer, journal=kept, plan=plan, clock=clock, rules=RULES, started=clock(),
            published=self._published,
        )  # fmt: skip
        self.restarts += 1
        running = asyncio.create_task(worker.run())
        if self.history.kill_switch_at and not self.latched:
            at = START + round(self.history.kill_switch_at * NS)
            if at > clock():
                self.loop.call_later(self.loop.until(at), self._kill_switch, worker)
        return worker, running, writer

    def _kill_switch(self, worker: Worker) -> None:
        self.latched = "pulled"
        worker.put(Command(ts=self.loop.clock(), kind=CommandKind.KILL, key="pulled", who="a person", reason="pulled"))

    def _published(self, told: object) -> None:
        if isinstance(told, Incident):
            self.outcome.n_incidents += 1
        elif isinstance(told, ModeChanged) and told.latched:
            self.latched = told.reason
        elif isinstance(told, Approved):
            self._within(told.order)

    def _within(self, order: Order) -> None:
        """No order may take the venue's position, with all that is open there, beyond the limit (a little for what the price moved)."""
        if order.reduce_only:
            return
        held = sum(p.size for p in self.matching.positions()) if not self.history.spot else self._bought()
        same = [o for o in self.matching.open_orders(SYMBOL) if o.side is order.side and not o.client_id.startswith("web_")]
        units = held * order.side.sign + sum(o.left for o in same if o.client_id != order.order_id) + order.size
        notional = units * order.price / 1e4
        if notional > LIMITS.max_position * 1.02:
            raise Broken(
                f"seed {self.history.seed}: {order.order_id} could take the position to {notional:.0f} of {LIMITS.max_position:.0f}"
            )

    def _bought(self) -> int:
        return sum(f.size if f.side is Side.BUY else -f.size for f in self.matching.my_trades(SYMBOL, limit=10**6))

    async def _kill(self, worker: Worker, running: asyncio.Task[None], writer: Writer) -> None:
        """kill -9: nothing is said, nothing is flushed; what was sent is on its way."""
        sends = list(worker.desk.doing)
        for task in [running, *worker.tasks.values()]:
            task.cancel()
        worker.inbox.clear()
        worker.put = lambda told: None  # type: ignore[method-assign]
        worker.desk.put = worker.reconciler.put = lambda told: None
        self.exchange.told_account = self.exchange.linked_account = None
        gone = _Gone()
        worker.desk.writer = worker.writer = worker.reconciler.writer = gone  # type: ignore[assignment]
        await asyncio.sleep(0)
        writer.close()
        for task in sends:
            task.cancel() if self.chance.random() < 0.5 else None  # before or after it left the machine
        self.outcome.n_restarts += 1

    async def _settle(self, worker: Worker, running: asyncio.Task[None], writer: Writer) -> None:
        """The market stands still; everything that was lost has to be found again by asking."""
        self.exchange.faults = Faults()
        worker.put(Command(ts=self.loop.clock(), kind=CommandKind.CANCEL_ALL, key="end", who="a person", reason="the end"))
        await asyncio.sleep(14.0)
        if running.done():
            running.result()
        found = worker.last_found
        if found is None or found.n_unknown or not found.clean:
            raise Broken(f"seed {self.history.seed}: not reconciled at the end: {found}")
        await worker.stop()
        running.cancel()
        self._check(worker)
        writer.close()

    def _check(self, worker: Worker) -> None:
        history, seed, outcome = self.history, self.history.seed, self.outcome
        sent = self.exchange.sent
        if len(set(sent)) != len(sent):
            raise Broken(f"seed {seed}: an order was sent twice: {sorted(o for o in set(sent) if sent.count(o) > 1)}")
        with self.ledger.read() as connection:
            fills = ledger_reader.fills(connection, ACCOUNT)
            still_open = ledger_reader.open_orders(connection, ACCOUNT)
            known = {order_id: ledger_reader.order(connection, order_id) for order_id in sent}
        theirs = self.matching.my_trades(SYMBOL, limit=10**6)
        ours = {(f.trade_id, f.order_id, f.side, f.price, f.size, f.fee) for f in fills}
        if ours != {(f.trade_id, f.order_id, f.side, f.price, f.size, f.fee) for f in theirs}:
            raise Broken(f"seed {seed}: the ledger has {len(fills)} fills, the venue {len(theirs)}, or they differ")
        if missing := [order_id for order_id, row in known.items() if row is None]:
            raise Broken(f"seed {seed}: sent and not in the ledger: {missing}")
        stand = {o.client_id: o for o in self.matching.open_orders(SYMBOL) if not o.client_id.startswith("web_")}
        stops = {order_id for order_id, order in stand.items() if order.close_position}
        if set(stand) - stops or {o.order_id for o, _ in still_open} != stops:
            raise Broken(f"seed {seed}: orders stand at the end: {set(stand)}, in the ledger {[o.order_id for o, _ in still_open]}")
        held = any(position.size for position in self.matching.positions())
        # There may be none: the last order to cancel everything took it, and without a quote it is not placed again.
        if len(stops) > (held and history.stop_bps > 0 and not self.latched):
            raise Broken(f"seed {seed}: {len(stops)} stops behind a position of {self.matching.positions()}")
        by_order: dict[str, int] = {}
        for fill in fills:
            by_order[fill.order_id] = by_order.get(fill.order_id, 0) + fill.size
        for order_id, row in known.items():
            if row is not None and row[1].filled != by_order.get(order_id, 0) and row[1].status is not Status.REJECTED:
                raise Broken(f"seed {seed}: {order_id} has fills of {by_order.get(order_id, 0)}, and says {row[1].filled}")
        net = sum(f.size if f.side is Side.BUY else -f.size for f in fills)
        engine_says = worker.state.holdings.positions[SYMBOL].size
        if not self.history.spot and (net != sum(p.size for p in self.matching.positions()) or net != engine_says):
            raise Broken(f"seed {seed}: fills add up to {net}, the venue holds {self.matching.positions()}, the engine {engine_says}")
        self._check_equity(worker, fills)
        outcome.n_orders, outcome.n_fills, outcome.n_frames = len(sent), len(fills), self.exchange.n_frames
        outcome.faults = dict(self.exchange.counts)

    def _check_equity(self, worker: Worker, fills: list[Fill]) -> None:
        """What the engine thinks it is worth is what all fills add up to, across restarts."""
        engine_says = worker.state.holdings
        sums = holdings.init(worker.plan.listings, CAPITAL, START)
        for fill in fills:
            holdings.apply(sums, fill)
        middle = engine_says.positions[SYMBOL].twice_mid
        holdings.mark(sums, SYMBOL, (middle - 1) // 2, middle - (middle - 1) // 2, self.loop.clock())
        by = holdings.equity_now(sums) - holdings.equity_now(engine_says)
        if middle and abs(by) > 1e-6:
            raise Broken(f"seed {self.history.seed}: all fills add up to {by:+.4f} more than the engine thinks it is worth")


class _Gone:
    """The ledger of a dead process: whoever still asks it has died too."""

    def __getattr__(self, name: str) -> object:
        raise asyncio.CancelledError


def simulate(seed: int, folder: Path = Path()) -> Outcome:
    """Run the history of a seed. Raises `Broken`. `folder`: where journals go (none are kept without)."""
    made = _Run(drawn(seed), folder)
    try:
        virtual.run(made.play(), made.loop)
    finally:
        made.ledger.close()
    return made.outcome
