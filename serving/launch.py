"""Everything a worker stands on, put together and taken apart again in order: lease, venue, plan, journal, models, engine.

    Wanted (plain values) -> launch -> Launched(worker, ...) -> worker.run -> Launched.close

Nothing is sent before the lease is held, the venue has answered, and the plan is in the journal.
"""

import logging
import os
import socket
from collections.abc import Callable
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from core import ledger_control, machine, pids, triton
from core.ledger import Lease, Ledger
from core.ledger_writer import Writer
from core.market import NS
from core.orders import Listing
from kernels import engine, strategies
from kernels.engine_plan import ModelFacts, Plan, caps
from kernels.execution import Handling
from kernels.fusion import Weights
from kernels.risk_limits import Limits
from kernels.rule_signals import Rule
from monitoring import metrics
from serving import evidence, journal, reach, recorder
from serving.exchange import Exchange
from serving.guard import Charge, guarded
from serving.journal import Journal
from serving.leasing import taken
from serving.opened import opening_of
from serving.predicting import Predicting
from serving.reach import Reach
from serving.worker import Rules, Worker

log = logging.getLogger(__name__)
SESSIONS = "sessions"
COMPILED = "/jax/core/compile/backend_compile_duration"  # JAX's name of one compilation
Told = Callable[[str], None]


class Refused(RuntimeError):
    """This worker must not start; the message says why and what to do."""


class Model(Struct, frozen=True, kw_only=True):
    """A deployed version: `folder` holds what runs it in-process, `url` is Triton's gRPC address (empty: in-process)."""

    facts: ModelFacts
    number: int
    name: str
    folder: Path
    url: str = ""
    fallback: bool = True


class Wanted(Struct, frozen=True, kw_only=True):
    """What a worker is started with. `symbols` empty: all that the venue lists."""

    data_dir: Path
    account: str  # <venue>/<name>: one worker at a time
    ledger_url: str
    synchronous: str = "NORMAL"
    lease_s: float = 5.0
    symbols: tuple[str, ...] = ()
    capital: float = 10_000.0
    weights: dict[str, float] = {}  # share of the capital that each symbol may use; empty: equal shares
    limits: Limits = Limits()
    rule: Rule = Rule()
    fusion: Weights = Weights()
    models: tuple[Model, ...] = ()
    deadline_ns: int = 50_000_000
    max_age_ns: int = 1_500_000_000
    strategy: str = "scalping"
    params: dict[str, Any] = {}
    handling: Handling = Handling()
    lateness_ns: int = 250_000_000
    gap_ns: int = 10 * NS
    rules: Rules = Rules()
    journal: bool = True
    rotate_mb: float = 64.0
    paper: bool = True
    reach: Reach | None = None  # None: nobody but us can cancel our orders, and there is no guard
    key: str = ""
    secret: str = ""
    guard_s: float = 1.4  # the guard cancels all when the engine was silent for so long; 0: no guard


class Launched(Struct, kw_only=True):
    """`folder` is the session's, whether it is written or not."""

    wanted: Wanted
    plan: Plan
    worker: Worker
    ledger: Ledger
    writer: Writer
    lease: Lease
    folder: Path
    clock: Callable[[], int]

    @property
    def session(self) -> str:
        return self.folder.name

    async def close(self) -> None:
        """Stop the worker (orders by its rules), then let go of journal, models, venue, lease and ledger, in this order."""
        try:
            await self.worker.stop()
        finally:
            for predicting in self.worker.predicting.values():
                predicting.close()
            await self.worker.exchange.close()
            self.writer.release(self.clock())
            self.writer.close()
            self.ledger.close()


async def launch(wanted: Wanted, exchange: Exchange, clock: Callable[[], int], told: Told) -> Launched:
    """A worker that only has to be run. Raises `LedgerError` where somebody else trades the account, `ExchangeError`, `Refused`,
    `ValueError` or `LookupError` for a plan that cannot be traded by. The exchange is closed then."""
    ledger: Ledger | None = None
    writer: Writer | None = None
    asked: dict[str, Predicting] = {}
    try:
        count_compiles()
        listings = chosen(await exchange.open(), wanted.symbols)
        engine.compile_all(plan_of(wanted, exchange.venue, listings, 1, ""))  # a lease is too short to compile in
        asked = predicting(wanted.models, clock, told, wanted.data_dir)
        ledger = Ledger(wanted.ledger_url, synchronous=wanted.synchronous)
        lease = await taken(ledger, wanted.account, wanted.lease_s, clock, told)
        started = clock()
        session = f"{exchange.venue}-{datetime.fromtimestamp(started // NS, UTC):%Y%m%dT%H%M%S}-e{lease.epoch}"
        writer = Writer(ledger, lease, session=session)
        told(f"account {wanted.account}: epoch {lease.epoch}, held by {lease.holder}")
        with ledger.read() as connection:
            latched = ledger_control.latched(connection, wanted.account)
            capital, opening = opening_of(connection, wanted.account, listings, wanted.capital)
        plan = plan_of(wanted, exchange.venue, listings, lease.epoch, str(latched["reason"]) if latched else "")
        plan = msgspec.structs.replace(plan, capital=capital, opening=opening)
        if latched:
            told(f"the kill switch is on since {latched['who']} said: {latched['reason']}; nothing is sent until scalp rearm --reason ...")
        folder = wanted.data_dir / SESSIONS / session
        for packed in pack_dead(folder.parent):
            told(f"packed {packed.parent.name}/{packed.name}, left over from a worker that is gone")
        worker = Worker(
            exchange=exchange, ledger=ledger, writer=writer, plan=plan, clock=clock, rules=wanted.rules, started=started, predicting=asked,
            journal=Journal(folder, meta(wanted, plan, started), rotate_mb=wanted.rotate_mb) if wanted.journal else None,
        )  # fmt: skip
        for one in asked.values():
            one.put = worker.put
        beside(worker, wanted, lease)
        return Launched(wanted=wanted, plan=plan, worker=worker, ledger=ledger, writer=writer, lease=lease, folder=folder, clock=clock)
    except BaseException:
        for one in asked.values():
            one.close()
        if writer is not None:
            writer.release(clock())
            writer.close()
        if ledger is not None:
            ledger.close()
        await exchange.close()
        raise


def beside(worker: Worker, wanted: Wanted, lease: Lease) -> None:
    """What runs as long as the worker does: it gathers evidence, and a guard hears its heart."""
    worker.beside["evidence"] = lambda of: evidence.gather(of, wanted.account, wanted.paper)
    if wanted.reach is None:
        return
    reached = msgspec.structs.replace(wanted.reach, account=wanted.account, symbols=tuple(worker.plan.symbols))
    reach.write(wanted.data_dir, reached)
    if wanted.guard_s:
        charge = Charge(
            reach=reached, ledger_url=wanted.ledger_url, key=wanted.key, secret=wanted.secret, epoch=lease.epoch, silent_s=wanted.guard_s
        )
        worker.beside["guard"] = lambda of: guarded(of, charge, wanted.data_dir / "logs" / "guard.log")


@cache
def count_compiles() -> None:
    """Let the metric of compilations follow what JAX and numba do, from here on; what is loaded from their caches is no compilation of
    numba's."""
    import jax
    from numba.core import event as numba_event

    class Compiled(numba_event.Listener):
        def on_start(self, event: numba_event.Event) -> None:
            metrics.RECOMPILES.inc()

        def on_end(self, event: numba_event.Event) -> None:
            pass

    numba_event.register("numba:compile", Compiled())

    def told(event: str, duration_secs: float, **_: str | int) -> None:
        if event == COMPILED:
            metrics.RECOMPILES.inc()

    jax.monitoring.register_event_duration_secs_listener(told)


def chosen(listed: dict[str, Listing], symbols: tuple[str, ...]) -> dict[str, Listing]:
    """The listings to trade, in the order asked for. Raises `Refused`."""
    if unknown := [symbol for symbol in symbols if symbol not in listed]:
        raise Refused(f"the venue does not list {', '.join(unknown)}; it lists {', '.join(sorted(listed)[:20]) or 'nothing'}")
    found = {symbol: listed[symbol] for symbol in symbols or listed}
    if not found:
        raise Refused("the venue lists nothing that could be traded")
    return found


def plan_of(wanted: Wanted, venue: str, listings: dict[str, Listing], epoch: int, latched: str) -> Plan:
    """What the engine is told, once."""
    return Plan(
        venue=venue, listings=listings, caps=caps(tuple(listings), wanted.weights, wanted.capital), limits=wanted.limits, rule=wanted.rule,
        weights=wanted.fusion, models=tuple(model.facts for model in wanted.models), deadline_ns=wanted.deadline_ns,
        max_age_ns=wanted.max_age_ns, strategy=wanted.strategy, params=wanted.params,
        strategy_hash=strategies.code_hash(wanted.strategy), handling=wanted.handling, capital=wanted.capital, epoch=epoch,
        latched=latched, lateness_ns=wanted.lateness_ns, gap_ns=wanted.gap_ns,
    )  # fmt: skip


def meta(wanted: Wanted, plan: Plan, started: int) -> dict[str, Any]:
    """The first page of a session: with it and the journal the session can be run again."""
    return {
        "plan": msgspec.to_builtins(plan), "plan_hash": plan.hash, "started": started, "account": wanted.account, "paper": wanted.paper,
        "code": machine.code_version(), "versions": machine.versions(), "strategy_hash": plan.strategy_hash,
        "pid": os.getpid(), "pid_started": pids.start_time(os.getpid()), "host": socket.gethostname(),
    }  # fmt: skip


def pack_dead(sessions: Path) -> list[Path]:
    """Gzip what workers that are gone left plain; those that run on this machine are left alone."""
    packed: list[Path] = []
    for folder in sorted({path.parent for path in sessions.glob(f"*/*{recorder.PLAIN}")}):
        try:
            told = journal.meta_of(folder)
            lives = told["host"] == socket.gethostname() and pids.is_same(int(told["pid"]), float(told["pid_started"]))
        except (FileNotFoundError, KeyError, ValueError):
            lives = False
        if not lives:
            packed += [done for path in sorted(folder.glob(f"*-*{recorder.PLAIN}")) if (done := recorder.pack(path)) is not None]
    return packed


def triton_url(data_dir: Path) -> str:
    """Of the server that runs on this data folder now; empty where none does."""
    found = triton.running(data_dir)
    return found.grpc_url if found is not None else ""


def predicting(models: tuple[Model, ...], clock: Callable[[], int], told: Told, data_dir: Path) -> dict[str, Predicting]:
    """Who answers, by version; each was asked once. Answers go nowhere before `put` is set."""
    made: dict[str, Predicting] = {}
    for model in models:
        facts = model.facts
        one = Predicting(
            lambda _: None, clock, version_id=facts.version, alias=facts.alias, number=model.number, model=model.name, folder=model.folder,
            url=model.url, fallback=model.fallback, where=lambda: triton_url(data_dir),
        )  # fmt: skip
        made[facts.version] = one
        told(f"model {facts.version} ({facts.alias}) answers {one.warm(facts.window, len(facts.features))}")
    return made
