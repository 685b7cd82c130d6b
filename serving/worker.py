"""The live worker: frames and answers in, one engine, orders out. One asyncio loop; the engine sees one input after the other.

    exchange.feed ----> queue -> journal -> engine.step -> ledger -> desk -> exchange
    account, timers, predictions, commands -^

Nothing here decides: it waits, writes down, and passes on. When a task ends, for whatever reason, the worker is not healthy any more.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, cast

from msgspec import Struct

from core import ledger_control
from core.events import (
    AnyInput,
    CancelAll,
    Command,
    CommandKind,
    Connected,
    Decision,
    Disconnected,
    Filled,
    Incident,
    Input,
    Prediction,
    Unanswered,
)
from core.ledger import Ledger, StaleEpoch
from core.ledger_writer import Writer
from core.market import NS
from kernels import engine
from kernels.engine_plan import Plan
from kernels.frames_live import Live
from monitoring import metrics
from serving import rehearsal, upkeep
from serving.desk import Desk
from serving.exchange import Exchange, ExchangeError
from serving.inbox import Inbox, Item
from serving.journal import Journal
from serving.outbox import Outbox
from serving.predicting import Predicting
from serving.reconcile import Found, Reconciler
from serving.session import Session
from serving.upkeep import Snapshots

log = logging.getLogger(__name__)
TURN_NS = 5_000_000  # the engine lets others run after so long


class Rules(Struct, frozen=True, kw_only=True):
    """What the worker does besides trading; times as named."""

    queue: int = 10_000
    timer_ms: int = 100
    reconcile_s: float = 5.0
    answer_timeout_s: float = 2.0
    mute_s: float = 10.0
    horizon_s: float = 15.0
    dead_man_s: float = 10.0
    lease_s: float = 5.0
    equity_s: float = 10.0
    rehearse_ms: float = 0.0
    keep_orders_on_stop: bool = False


class Worker:
    """`published` hears of each input that is no frame and of each decision. `run` returns when `stop` was called.

    `started`: the time the engine begins with, as the journal's first page says. `predicting`: who answers, by version of the model.
    """

    def __init__(
        self,
        *,
        exchange: Exchange,
        ledger: Ledger,
        writer: Writer,
        journal: Journal | None,
        plan: Plan,
        clock: Callable[[], int],
        rules: Rules,
        started: int,
        predicting: Mapping[str, Predicting] | None = None,
        published: Callable[[Input | Decision], None] = lambda told: None,
    ) -> None:
        self.exchange, self.ledger, self.writer = exchange, ledger, writer
        self.plan, self.predicting, self.clock, self.rules, self.published = plan, dict(predicting or {}), clock, rules, published
        self.symbols = tuple(plan.listings)
        self.state = engine.init(plan, started)
        self.live = Live(engine.scales(plan), keep_unknown_fields=True)
        self.desk = Desk(exchange, writer, self.put, clock, rules.answer_timeout_s)
        self.reconciler = Reconciler(exchange, ledger, writer, self.desk, plan.listings, self.put, clock, round(rules.horizon_s * NS))
        self.session = Session(journal, lambda why: self.tell("recording_stopped", why))
        self.inbox = Inbox(rules.queue, self.symbols, self.session.aside)
        self.snapshots = Snapshots(exchange, plan.listings, clock, self.session.aside, self.put)
        self.tasks: dict[str, asyncio.Task[None]] = {}
        self.failed: dict[str, str] = {}  # task -> why it ended
        self.last_frame = self.beat = clock()
        self.last_found: Found | None = None
        self.beside: dict[str, Callable[[Worker], Coroutine[Any, Any, None]]] = {}  # tasks of others that live as long as we trade
        self.answers: dict[int, asyncio.Future[Sequence[Decision]]] = {}  # of commands that somebody waits for
        self._laps = engine.timed(self.state, time.perf_counter_ns)
        self.outbox = Outbox(self)
        self._scheduled, self._stopping = False, asyncio.Event()
        self._loop = asyncio.get_running_loop()

    # In

    def put(self, told: Input) -> None:
        """An input that is not a frame. A kill goes before all that waits."""
        self.inbox.put(told)
        self._wake()

    def command(self, told: Command) -> asyncio.Future[Sequence[Decision]]:
        """A command, and what the engine decides about it at once."""
        answer: asyncio.Future[Sequence[Decision]] = self._loop.create_future()
        self.answers[id(told)] = answer
        self.put(told)
        return answer

    def frames(self, payloads: Sequence[bytes], ts_recv: int) -> None:
        """Frames as they came off the socket. Where too many wait, older tickers go first; then the symbols go stale, and say so."""
        self.last_frame = ts_recv
        self.inbox.frames(payloads, ts_recv)
        self._wake()

    def _wake(self) -> None:
        if not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._turn)

    def _turn(self) -> None:
        """Take what waits, for a few milliseconds, then let sockets and timers run."""
        self._scheduled = False
        began = self.clock()
        try:
            while len(self.inbox):
                self._take(self.inbox.take())
                if self.outbox.later or self.clock() - began > TURN_NS:
                    break  # what was decided leaves before anything else is looked at
        except Exception as error:
            self.engine_failed(error)
            raise
        self.beat = self.clock()
        if len(self.inbox):
            self._wake()

    def engine_failed(self, error: Exception) -> None:
        """Nobody decides any more: block the account, take all orders away, and end."""
        log.exception("the engine stopped")
        self.failed["engine"] = repr(error)
        self.desk.blocked = f"the engine stopped: {error!r}"
        self.desk.cancel_all(CancelAll(ts=self.clock(), symbols=self.symbols, reason=self.desk.blocked, stops=False))
        try:
            ledger_control.latch(self.ledger, self.writer.account, self.desk.blocked, "worker", self.clock())
        finally:  # also where the ledger is what failed
            self._stopping.set()

    def _take(self, item: Item) -> None:
        if isinstance(item, Input):
            seq = self.session.input(item)
            with metrics.span("engine"):
                decisions = engine.step(self.state, cast(AnyInput, item), self.plan)
            self.published(item)
            ts = item.as_of if isinstance(item, Prediction) else item.ts
        else:
            payloads, ts = item
            metrics.QUEUE_WAIT.observe((self.clock() - ts) / NS)
            with metrics.span("record"):
                seq = self.session.frames(payloads, ts)
            with metrics.span("feed"):
                batch = self.live.decode(payloads, ts)
            metrics.FRAMES.inc(len(payloads))
            if batch.refused:
                metrics.FRAMES_REFUSED.inc(len(batch.refused))
            with metrics.span("engine"):
                decisions = engine.step(self.state, batch, self.plan)
        for part, ns in self._laps.taken():
            metrics.SPANS[part].observe(ns / NS)
        if decisions:
            self.outbox.carry_out(seq, decisions, ts)
        if isinstance(item, Unanswered):  # whether a stop may go out hangs on what became of it
            self.spawn("ask", self.compare())
        if isinstance(item, Filled):
            self._position(item.fill.symbol, ts)
        if isinstance(item, Command) and (answer := self.answers.pop(id(item), None)) is not None and not answer.done():
            answer.set_result(decisions)

    # Down

    def tell(self, kind: str, detail: str) -> None:
        """An incident that is not the engine's."""
        self.tell_of(Incident(ts=self.clock(), kind=kind, detail=detail))

    def tell_of(self, incident: Incident) -> None:
        """Whoever it came from: log, metrics, ledger, clients."""
        log.warning("%s: %s", incident.kind, incident.detail)
        metrics.INCIDENTS.labels(incident.kind).inc()
        self.writer.incident(incident)
        self.published(incident)

    def _position(self, symbol: str, ts: int) -> None:
        if symbol in self.state.desks:
            held = self.state.position(symbol)
            self.writer.position(symbol, held.size, held.average_price if held.owned else 0.0, held.realised_pnl, ts)

    # Life

    async def run(self) -> None:
        """Reconcile, then trade until `stop`, or until nothing more can be done: then `failed` says why."""
        self.spawn("lease", upkeep.lease(self), vital=True)
        await self._first_compare()
        if self._stopping.is_set():
            return
        self.spawn("feed", self.exchange.feed(self.symbols, self.frames, self._market_linked), vital=True)
        self.spawn("account", self.exchange.account(self.desk.told, self._account_linked), vital=True)
        self.spawn("timer", upkeep.timer(self), vital=True)
        self.spawn("reconcile", upkeep.reconcile(self), vital=True)
        self.spawn("equity", upkeep.equity(self), vital=True)
        if self.rules.dead_man_s:
            self.spawn("dead man", upkeep.dead_man(self), vital=True)
        if self.rules.rehearse_ms:
            self.spawn("rehearse", rehearsal.rehearse(self))
        for name, work in self.beside.items():
            self.spawn(name, work(self), vital=True)
        await self._stopping.wait()

    async def _first_compare(self) -> None:
        """Before the first order, for as long as it takes: a venue that was just restarted does not answer at once."""
        wait = 0.2
        while not self._stopping.is_set():
            try:
                self.last_found = await self.reconciler.compare(first=True)
                return
            except ExchangeError as error:
                log.warning("the venue cannot be compared with yet: %s", error)
                await asyncio.sleep(wait)
                wait = min(2 * wait, 5.0)

    def spawn(self, name: str, work: Coroutine[Any, Any, None], *, vital: bool = False) -> None:
        task = self._loop.create_task(work, name=name)
        self.tasks[name] = task
        task.add_done_callback(lambda done: self._ended(name, done, vital))

    def _ended(self, name: str, task: asyncio.Task[None], vital: bool) -> None:
        if not vital:
            self.tasks.pop(name, None)
        if self._stopping.is_set() or (task.cancelled() and not vital):
            return
        error = None if task.cancelled() else task.exception()
        if error is not None:
            log.error("%s ended", name, exc_info=error)
        if isinstance(error, StaleEpoch):  # what is open now is another worker's to cancel
            self.failed[name] = self.desk.blocked = str(error)
            self._stopping.set()
        elif vital:
            self.failed[name] = repr(error) if error is not None else "ended"
            key = f"task-{name}-{self.clock()}"
            self.put(
                Command(ts=self.clock(), kind=CommandKind.KILL, key=key, who="worker", reason=f"task {name} ended: {self.failed[name]}")
            )

    def _market_linked(self, up: bool, why: str) -> None:
        kind = Connected if up else Disconnected
        self.put(kind(ts=self.clock(), what="market", symbols=self.symbols, **({} if up else {"reason": why})))

    def _account_linked(self, up: bool, why: str) -> None:
        kind = Connected if up else Disconnected
        self.put(kind(ts=self.clock(), what="account", symbols=self.symbols, **({} if up else {"reason": why})))
        if up:
            self.spawn("catch up", self.compare())

    async def compare(self) -> None:
        """With the venue, now; what differs is told by the reconciler."""
        try:
            self.last_found = await self.reconciler.compare()
        except ExchangeError as error:
            log.warning("could not reconcile: %s", error)

    @property
    def seq(self) -> int:
        """Inputs so far, frames counted one by one."""
        return self.session.seq

    @property
    def muted_s(self) -> float:
        """Seconds since the last frame."""
        return (self.clock() - self.last_frame) / NS

    @property
    def healthy(self) -> bool:
        return not self.failed and self.muted_s < self.rules.mute_s and not self._stopping.is_set()

    def health(self) -> dict[str, Any]:
        """What `/healthz` says."""
        return {
            "healthy": self.healthy,
            "mode": self.state.mode.value,
            "tasks": {name: not task.done() for name, task in self.tasks.items()},
            "failed": self.failed,
            "feed_silent_s": round(self.muted_s, 3),
            "waiting": self.inbox.n_frames,
            "recording": self.session.state,
            "blocked": self.desk.blocked,
            "reconciled": self.last_found.clean if self.last_found is not None else None,
        }

    async def stop(self) -> None:
        """Cancel orders (or keep them, by setting), let what is on its way arrive, and end."""
        self.desk.blocked = self.desk.blocked or "the worker is stopping"
        await self.desk.settled(self.rules.answer_timeout_s * 2)
        if not self.rules.keep_orders_on_stop and not self.failed:
            self.desk.cancel_all(CancelAll(ts=self.clock(), symbols=self.symbols, reason="stop", stops=False))
        await self.desk.settled(self.rules.answer_timeout_s * 2)
        if not self.failed and not self._stopping.is_set():
            await self.compare()  # what became of them
            if not self.rules.keep_orders_on_stop and self.reconciler.n_open():
                # One that was on its way to the venue while all were cancelled.
                self.desk.cancel_all(CancelAll(ts=self.clock(), symbols=self.symbols, reason="stop", stops=False))
                await self.desk.settled(self.rules.answer_timeout_s * 2)
                await self.compare()
        await asyncio.sleep(0)
        self._stopping.set()
        for task in list(self.tasks.values()):
            task.cancel()
        for task in list(self.tasks.values()):
            with contextlib.suppress(asyncio.CancelledError, Exception):
                await task
        if self.rules.keep_orders_on_stop and self.rules.dead_man_s and not self.failed:
            try:
                await self.exchange.dead_man(self.symbols, 0)  # it would cancel in our place, a moment later
            except ExchangeError as error:
                self.tell("orders_not_kept", f"the dead man's switch is still on and will cancel all orders: {error}")
        while len(self.inbox) or self.outbox.later:
            self._turn()
            self.outbox.write_down()
        self.session.close()
