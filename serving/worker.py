"""The live worker: frames and answers in, one engine, orders out. One asyncio loop; the engine sees one input after the other.

    exchange.feed ----> queue -> journal -> engine.step -> ledger -> desk -> exchange
    account, timers, predictions, commands -^

Nothing here decides: it waits, writes down, and passes on. When a task ends, for whatever reason, the worker is not healthy any more.
"""

import asyncio
import contextlib
import logging
import math
import time
from collections import deque
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, cast

from msgspec import Struct

from core import ledger_control
from core.events import (
    AnyInput,
    Approved,
    Ask,
    Cancel,
    CancelAll,
    Command,
    CommandKind,
    Connected,
    Decision,
    Disconnected,
    Filled,
    Incident,
    Input,
    ModeChanged,
    Overflowed,
    Prediction,
    Refused,
    Resync,
    Signal,
    Timer,
)
from core.ledger import Ledger, StaleEpoch
from core.ledger_writer import Writer
from core.market import NS
from kernels import engine, holdings
from kernels.engine_plan import Plan
from kernels.frames_live import Live
from monitoring import metrics
from serving.desk import Desk
from serving.exchange import Exchange, ExchangeError
from serving.journal import Journal
from serving.predicting import Predicting
from serving.reconcile import Found, Reconciler
from serving.snapshots import snapshot_of

log = logging.getLogger(__name__)
TURN_NS = 5_000_000  # the engine lets others run after so long
TICKERS = b"bookTicker"
CALM_NS = 10 * NS  # after it a book that breaks is fetched at once again
FIRST_WAIT_S, LONGEST_WAIT_S = 0.05, 5.0


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
        self.exchange, self.ledger, self.writer, self.journal = exchange, ledger, writer, journal
        self.plan, self.predicting, self.clock, self.rules, self.published = plan, dict(predicting or {}), clock, rules, published
        self.symbols = tuple(plan.listings)
        self.state = engine.init(plan, started)
        self.live = Live(engine.scales(plan), keep_unknown_fields=True)
        self.desk = Desk(exchange, writer, self.put, clock, rules.answer_timeout_s)
        self.reconciler = Reconciler(exchange, ledger, writer, self.desk, plan.listings, self.put, clock, round(rules.horizon_s * NS))
        self.waiting: deque[Input | tuple[Sequence[bytes], int]] = deque()
        self.n_waiting = 0  # frames
        self.seq = 0
        self.tasks: dict[str, asyncio.Task[None]] = {}
        self.failed: dict[str, str] = {}  # task -> why it ended
        self.last_frame = self.beat = clock()
        self.last_found: Found | None = None
        self.recording = "on" if journal is not None else "off"
        self.resyncing: set[str] = set()
        self.resynced: dict[str, tuple[int, float]] = {}  # when last, and how long that was put off (s)
        self.beside: dict[str, Callable[[Worker], Coroutine[Any, Any, None]]] = {}  # tasks of others that live as long as we trade
        self.answers: dict[int, asyncio.Future[Sequence[Decision]]] = {}  # of commands that somebody waits for
        self._crowd = 0  # frames that came since room was made last
        self._laps = engine.timed(self.state, time.perf_counter_ns)
        self._later: deque[tuple[int, Sequence[Decision], int, int, float]] = deque()  # carried out, not written down yet
        self._scheduled, self._stopping = False, asyncio.Event()
        self._loop = asyncio.get_running_loop()

    # In

    def put(self, told: Input) -> None:
        """An input that is not a frame. A kill goes before all that waits."""
        if isinstance(told, Command) and told.kind in (CommandKind.KILL, CommandKind.FLATTEN):
            self.waiting.appendleft(told)
        else:
            self.waiting.append(told)
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
        self._crowd += len(payloads)
        if self.n_waiting + len(payloads) > self.rules.queue and self._crowd > self.rules.queue // 10:
            self._make_room()
            self._crowd = 0
        if self.n_waiting + len(payloads) > self.rules.queue:
            metrics.FRAMES_DROPPED.inc(len(payloads))
            self._aside(payloads, ts_recv)
            if not (self.waiting and isinstance(self.waiting[-1], Overflowed)):
                self.waiting.append(Overflowed(ts=ts_recv, symbols=self.symbols))
        else:
            self.waiting.append((payloads, ts_recv))
            self.n_waiting += len(payloads)
        self._wake()

    def _make_room(self) -> None:
        """Of the tickers that wait, only the newest of each stream says anything: the others are recorded and go."""
        kept: deque[Input | tuple[Sequence[bytes], int]] = deque()
        seen: set[bytes] = set()
        for item in reversed(self.waiting):
            if isinstance(item, Input):
                kept.appendleft(item)
                continue
            payloads, gone = [], []
            for payload in reversed(item[0]):
                stream = payload[:64].partition(b'"data"')[0]
                old = TICKERS in stream and stream in seen
                seen.add(stream)
                (gone if old else payloads).append(payload)
            if gone:
                metrics.TICKERS_CONFLATED.inc(len(gone))
                self._aside(gone[::-1], item[1])
            if payloads:
                kept.appendleft((payloads[::-1], item[1]))
        self.waiting = kept
        self.n_waiting = sum(len(item[0]) for item in kept if not isinstance(item, Input))

    def _wake(self) -> None:
        if not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._turn)

    def _turn(self) -> None:
        """Take what waits, for a few milliseconds, then let sockets and timers run."""
        self._scheduled = False
        began = self.clock()
        try:
            while self.waiting:
                self._take(self.waiting.popleft())
                if self._later or self.clock() - began > TURN_NS:
                    break  # what was decided leaves before anything else is looked at
        except Exception as error:
            self._engine_failed(error)
            raise
        self.beat = self.clock()
        if self.waiting:
            self._wake()

    def _engine_failed(self, error: Exception) -> None:
        """Nobody decides any more: block the account, take all orders away, and end."""
        log.exception("the engine stopped")
        self.failed["engine"] = repr(error)
        self.desk.blocked = f"the engine stopped: {error!r}"
        self.desk.cancel_all(CancelAll(ts=self.clock(), symbols=self.symbols, reason=self.desk.blocked, stops=False))
        try:
            ledger_control.latch(self.ledger, self.writer.account, self.desk.blocked, "worker", self.clock())
        finally:  # also where the ledger is what failed
            self._stopping.set()

    def _take(self, item: Input | tuple[Sequence[bytes], int]) -> None:
        if isinstance(item, Input):
            seq = self._journalled(item)
            with metrics.span("engine"):
                decisions = engine.step(self.state, cast(AnyInput, item), self.plan)
            self.published(item)
            ts = item.as_of if isinstance(item, Prediction) else item.ts
        else:
            payloads, ts = item
            self.n_waiting -= len(payloads)
            metrics.QUEUE_WAIT.observe((self.clock() - ts) / NS)
            with metrics.span("record"):
                seq = self._recorded(payloads, ts)
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
            self._carry_out(seq, decisions, ts)
        if isinstance(item, Filled):
            self._position(item.fill.symbol, ts)
        if isinstance(item, Command) and (answer := self.answers.pop(id(item), None)) is not None and not answer.done():
            answer.set_result(decisions)

    # Down

    def _recorded(self, payloads: Sequence[bytes], ts_recv: int) -> int:
        first = self.seq + 1
        self.seq += len(payloads)
        if self.journal is not None:
            try:
                self.journal.frames(payloads, ts_recv)
            except OSError as error:
                self._no_journal(error)
        return first

    def _aside(self, payloads: Sequence[bytes], ts_recv: int) -> None:
        if self.journal is not None:
            try:
                self.journal.aside(payloads, ts_recv)
            except OSError as error:
                self._no_journal(error)

    def _journalled(self, told: Input) -> int:
        self.seq += 1
        if self.journal is not None:
            try:
                self.journal.input(told)
            except OSError as error:
                self._no_journal(error)
        return self.seq

    def _no_journal(self, error: OSError) -> None:
        """The disk is full or gone: trading goes on, this session cannot be replayed past here, and everybody is told."""
        self.journal = None
        self.recording = f"stopped: {error}"
        metrics.RECORDING.set(0)
        self._tell(Incident(ts=self.clock(), kind="recording_stopped", detail=str(error)))

    def tell(self, kind: str, detail: str) -> None:
        """An incident that is not the engine's."""
        self._tell(Incident(ts=self.clock(), kind=kind, detail=detail))

    def _tell(self, incident: Incident) -> None:
        log.warning("%s: %s", incident.kind, incident.detail)
        metrics.INCIDENTS.labels(incident.kind).inc()
        self.writer.incident(incident)
        self.published(incident)

    def _position(self, symbol: str, ts: int) -> None:
        if symbol in self.state.desks:
            held = self.state.position(symbol)
            self.writer.position(symbol, held.size, held.average_price if held.owned else 0.0, held.realised_pnl, ts)

    # Out

    def _carry_out(self, seq: int, decisions: Sequence[Decision], ts: int) -> None:
        """Intents into the ledger, then out; all the rest is written down and told when the bytes have left."""
        approved = [decision for decision in decisions if isinstance(decision, Approved)]
        sends: list[Approved] = []
        if approved:
            with metrics.span("ledger"), self.writer.batch():
                sends = [one for one in approved if self.desk.intend(one, seq)]
        began = time.perf_counter()
        for one in sends:
            self.desk.send(one)
        for decision in decisions:
            self._pass_on(decision)
        self._later.append((seq, decisions, ts, len(sends), began))
        self._loop.call_soon(self._write_down)  # the tasks that send come before it

    def _write_down(self) -> None:
        """What was decided, in one transaction for each input: why an order was sent, what was refused, signals, incidents."""
        try:
            while self._later:
                seq, decisions, ts, n_sent, began = self._later.popleft()
                if n_sent:
                    metrics.ORDERS_SENT.inc(n_sent)
                    metrics.SPANS["send"].observe(time.perf_counter() - began)
                    metrics.FRAME_TO_ORDER.observe((self.clock() - ts) / NS)
                self._written(seq, decisions)
        except Exception as error:
            self._engine_failed(error)
            raise

    def _written(self, seq: int, decisions: Sequence[Decision]) -> None:
        with self.writer.batch():
            for decision in decisions:
                if isinstance(decision, Approved):
                    self._verdict(decision, "approved", "", seq)
                elif isinstance(decision, Refused):
                    self._verdict(decision, decision.code, decision.detail, seq)
                    metrics.ORDERS_REFUSED.labels(decision.code).inc()
                elif isinstance(decision, Signal):
                    self.writer.signal(decision, decision.seq)
                elif isinstance(decision, Incident):
                    self._tell(decision)
        if self.journal is not None:
            try:
                self.journal.decisions(seq, decisions)
            except OSError as error:
                self._no_journal(error)
        for decision in decisions:
            if not isinstance(decision, Incident):  # that one was told when it was written down
                self.published(decision)

    def _verdict(self, decision: Approved | Refused, verdict: str, detail: str, seq: int) -> None:
        desk, champion = self.state.desks.get(decision.order.symbol), self.plan.champion
        version, features = champion.version if champion is not None else "", desk.features_hash if desk is not None else ""
        self.writer.verdict(decision.order, verdict, detail, seq=seq, version=version, features=features)

    def _pass_on(self, decision: Decision) -> None:
        if isinstance(decision, Cancel):
            self.desk.cancel(decision)
        elif isinstance(decision, CancelAll):
            self.desk.cancel_all(decision)
        elif isinstance(decision, Ask):
            if (predicting := self.predicting.get(decision.version)) is not None:
                predicting.ask(decision)
        elif isinstance(decision, Resync):
            self._begin_resync(decision.symbol)
        elif isinstance(decision, ModeChanged):
            metrics.MODE.set({"active": 0, "reducing": 1, "halted": 2}[decision.mode.value])
            log.warning("mode %s: %s", decision.mode, decision.reason)
            self._loop.call_soon(self._latch, decision)  # after the cancels beside it have left: the ledger may be slow

    def _latch(self, decision: ModeChanged) -> None:
        """What the engine halted by itself stays so after a restart."""
        if decision.latched:
            ledger_control.latch(self.ledger, self.writer.account, decision.reason, "engine", self.clock())

    def _begin_resync(self, symbol: str) -> None:
        if symbol not in self.resyncing:
            self.resyncing.add(symbol)
            self._spawn(f"resync {symbol}", self._resync(symbol))

    async def _resync(self, symbol: str) -> None:
        """A snapshot for the engine. A book that breaks again and again is asked for less and less often: the venue counts it."""
        last, wait = self.resynced.get(symbol, (0, 0.0))
        calm = self.clock() - last > CALM_NS
        wait = 0.0 if calm else min(2 * wait + FIRST_WAIT_S, LONGEST_WAIT_S)
        try:
            while not self._stopping.is_set():
                await asyncio.sleep(wait)
                try:
                    whole = await self.exchange.snapshot(symbol)
                    told = snapshot_of(whole, self.plan.listings[symbol])
                except ExchangeError as error:
                    log.warning("no snapshot of %s: %s", symbol, error)
                    wait = min(2 * wait + FIRST_WAIT_S, LONGEST_WAIT_S)
                    continue
                self.resynced[symbol] = self.clock(), wait
                self._aside((whole.text,), whole.ts_recv)
                self.put(told)
                return
        finally:
            self.resyncing.discard(symbol)

    # Life

    async def run(self) -> None:
        """Reconcile, then trade until `stop`, or until nothing more can be done: then `failed` says why."""
        self._spawn("lease", self._lease(), vital=True)
        await self._first_compare()
        if self._stopping.is_set():
            return
        self._spawn("feed", self.exchange.feed(self.symbols, self.frames, self._market_linked), vital=True)
        self._spawn("account", self.exchange.account(self.desk.told, self._account_linked), vital=True)
        self._spawn("timer", self._timer(), vital=True)
        self._spawn("reconcile", self._reconcile(), vital=True)
        self._spawn("equity", self._equity(), vital=True)
        if self.rules.dead_man_s:
            self._spawn("dead man", self._dead_man(), vital=True)
        for name, work in self.beside.items():
            self._spawn(name, work(self), vital=True)
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

    def _spawn(self, name: str, work: Coroutine[Any, Any, None], *, vital: bool = False) -> None:
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
            self._spawn("catch up", self._compare())

    async def _timer(self) -> None:
        while True:
            await asyncio.sleep(self.rules.timer_ms / 1000)
            self.put(Timer(ts=self.clock()))

    async def _lease(self) -> None:
        """Ours as long as we say so in time. Raises `StaleEpoch` where somebody else took the account over."""
        while True:
            self.writer.renew(self.clock(), self.rules.lease_s)
            await asyncio.sleep(self.rules.lease_s / 3)

    async def _equity(self) -> None:
        """What we are worth, into the ledger, where it is known."""
        while True:
            await asyncio.sleep(self.rules.equity_s)
            if self.waiting:  # what is in the ledger is counted first: the next worker adds the fills that came later
                await asyncio.sleep(0)
            if self.waiting:
                continue
            held = self.state.holdings
            of = held.positions.values()
            money = {
                "equity": holdings.equity_now(held), "realised": sum(p.realised_pnl for p in of),
                "unrealised": sum(p.unrealised_pnl for p in of),
                "fees": sum(p.fees_paid for p in of), "funding": sum(p.funding_paid for p in of), "peak": held.peak,
                "day_start": held.day_first,
            }  # fmt: skip
            if all(math.isfinite(value) for value in money.values()):
                self.writer.equity(self.clock(), **money)

    async def _reconcile(self) -> None:
        while True:
            await asyncio.sleep(self.rules.reconcile_s)
            await self._compare()

    async def _compare(self) -> None:
        try:
            self.last_found = await self.reconciler.compare()
        except ExchangeError as error:
            log.warning("could not reconcile: %s", error)

    async def _dead_man(self) -> None:
        """The venue cancels everything when it does not hear of us: told of us only while all is well."""
        while True:
            if self.healthy:
                try:
                    await self.exchange.dead_man(self.symbols, self.rules.dead_man_s)
                except ExchangeError as error:
                    log.warning("the dead man's switch was not set: %s", error)
            await asyncio.sleep(self.rules.dead_man_s / 3)

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
            "waiting": self.n_waiting,
            "recording": self.recording,
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
            await self._compare()  # what became of them
            if not self.rules.keep_orders_on_stop and self.reconciler.n_open():
                # One that was on its way to the venue while all were cancelled.
                self.desk.cancel_all(CancelAll(ts=self.clock(), symbols=self.symbols, reason="stop", stops=False))
                await self.desk.settled(self.rules.answer_timeout_s * 2)
                await self._compare()
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
        while self.waiting or self._later:
            self._turn()
            self._write_down()
        if self.journal is not None:
            self.journal.close()
