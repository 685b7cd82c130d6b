"""The backtest: the real worker and engine on the venue's matching kernel, over a tape, under a virtual clock.

    tape -> simulated venue (feed, entry and response latency) -> worker -> engine -> ledger -> venue;  what happened -> Watched

Each tape is run twice: nobody ahead of us in the queue, and everybody. The truth lies between. The market is replayed and does not
react to us (docs/simulation.md).
"""

import asyncio
import dataclasses
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
from msgspec import Struct
from msgspec.structs import replace

from core.events import Ask, Input, Prediction
from core.inference import Answers
from core.ledger import Ledger
from core.ledger_writer import Writer
from core.market import NS
from core.orders import Listing
from kernels.engine_plan import Plan
from kernels.matching import Matching
from serving import launch, virtual
from serving.backtest_watch import Watched
from serving.journal import Journal
from serving.launch import Wanted
from serving.simulated import Frame, Latency, Simulated
from serving.virtual import VirtualLoop
from serving.worker import Worker

Queue = Literal["pessimistic", "optimistic"]
QUEUES: tuple[Queue, ...] = ("pessimistic", "optimistic")
BEFORE_NS = NS  # the worker starts so long before the first frame
HORIZONS_S = (0.1, 1.0, 5.0, 30.0)
Asked = Callable[[np.ndarray], Answers]  # float32 [1, window, features]


class Setup(Struct, frozen=True, kw_only=True):
    """What is tried: one symbol of one venue. `tape` begins anew each time it is called; `wanted` is what a worker would be started with.

    `ask`: by version of the model, who answers in this process; `model_ns` is how long that takes on the virtual clock.
    """

    venue: str
    listing: Listing
    tape: Callable[[], Iterable[Frame]]
    begin: int  # receive time of the first frame
    wanted: Wanted
    latency: Latency = Latency()
    balance: float = 100_000.0  # at the venue, quote currency
    leverage: int = 10
    ask: Mapping[str, Asked] = {}
    model_ns: int = 1_000_000

    @property
    def symbol(self) -> str:
        return self.listing.instrument.symbol


class Foretelling:
    """A model in this process, answering on the virtual clock: what `serving.predicting` is to a worker over sockets."""

    def __init__(self, ask: Asked, loop: VirtualLoop, takes_ns: int) -> None:
        self.answers, self.loop, self.takes_ns = ask, loop, takes_ns
        self.put: Callable[[Input], None] = lambda _: None

    def ask(self, asked: Ask) -> None:
        said = self.answers(np.asarray(asked.window, np.float32)[None])
        self.loop.call_later(self.takes_ns / NS, self._tell, asked, said)

    def _tell(self, asked: Ask, said: Answers) -> None:
        self.put(prediction(asked, said, self.loop.clock()))

    def close(self) -> None:
        """Nothing is held open."""


def prediction(asked: Ask, said: Answers, ts: int) -> Prediction:
    down, flat, up = (float(p) for p in said.direction[0])
    return Prediction(
        ts=ts, symbol=asked.symbol, as_of=asked.as_of, version=asked.version, alias=asked.alias, down=down, flat=flat, up=up,
        confidence=float(said.confidence[0, 0]), volatility=float(said.volatility[0, 0]), served_by="in-process",
    )  # fmt: skip


@dataclasses.dataclass(slots=True)
class Tried:
    """One run. `failed`: why the worker ended before the tape did, by task."""

    queue: Queue
    plan: Plan
    watched: Watched
    n_frames: int
    failed: dict[str, str]


def run(setup: Setup, queue: Queue, *, folder: Path | None = None, progress: Callable[[int], None] | None = None) -> Tried:
    """Play the tape once. `folder`: keep the session there, as of a worker. Raises what the worker raises."""
    loop = VirtualLoop(setup.begin - setup.latency.feed - BEFORE_NS)
    ledger = Ledger(setup.wanted.ledger_url if folder is not None else "sqlite://")
    try:
        return virtual.run(_play(setup, queue, loop, ledger, folder, progress), loop)
    finally:
        ledger.close()


def both(setup: Setup, progress: Callable[[int], None] | None = None) -> list[Tried]:
    """Pessimistic, then optimistic."""
    return [run(setup, queue, progress=progress) for queue in QUEUES]


async def _play(
    setup: Setup, queue: Queue, loop: VirtualLoop, ledger: Ledger, folder: Path | None, progress: Callable[[int], None] | None
) -> Tried:
    wanted, symbol = setup.wanted, setup.symbol
    listings = {symbol: setup.listing}
    matching = Matching(
        listings, kind="spot" if setup.listing.spot else "usdm", quote_balance=setup.balance, queue=queue,
        leverage=1 if setup.listing.spot else min(setup.leverage, int(setup.listing.max_leverage)),
    )  # fmt: skip
    exchange = Simulated(matching, _counted(setup.tape(), progress), loop, venue=setup.venue, latency=setup.latency)
    started = loop.clock()
    lease = ledger.take(wanted.account, "backtest", started, wanted.lease_s)
    plan = launch.plan_of(wanted, setup.venue, listings, lease.epoch, "")
    asked = [model for model in plan.models if model.version in setup.ask]
    foretelling = {model.version: Foretelling(setup.ask[model.version], loop, setup.model_ns) for model in asked}
    writer = Writer(ledger, lease, session=folder.name if folder is not None else "backtest")
    watched = Watched(symbol, setup.latency.feed, HORIZONS_S, loop)
    predicting: Any = foretelling
    rules = replace(wanted.rules, rehearse_ms=0.0)  # a virtual clock would stand still in it
    worker = Worker(
        exchange=exchange, ledger=ledger, writer=writer, plan=plan, clock=loop.clock, rules=rules, started=started,
        predicting=predicting, published=watched.hear,
        journal=Journal(folder, launch.meta(wanted, plan, started), rotate_mb=wanted.rotate_mb) if folder is not None else None,
    )  # fmt: skip
    for one in foretelling.values():
        one.put = worker.put
    watched.state = worker.state
    running = asyncio.create_task(worker.run())
    over = asyncio.create_task(exchange.ended.wait())
    await asyncio.wait({running, over}, return_when=asyncio.FIRST_COMPLETED)
    if running.done():
        running.result()
    failed = dict(worker.failed)
    await worker.stop()
    await running
    watched.end()
    writer.close()
    return Tried(queue, plan, watched, exchange.n_frames, failed)


def _counted(tape: Iterable[Frame], progress: Callable[[int], None] | None) -> Iterable[Frame]:
    if progress is None:
        return tape
    return _telling(tape, progress)


def _telling(tape: Iterable[Frame], progress: Callable[[int], None]) -> Iterable[Frame]:
    for n, frame in enumerate(tape, 1):
        if n % 10_000 == 0:
            progress(n)
        yield frame
