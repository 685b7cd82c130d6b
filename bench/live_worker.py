"""A worker that is measured, in a process of its own: it says `{}` when it has compiled, reads what is asked, tells what it measured.

It is launched as `scalp live` launches one (lease, ledger, journal, /stream with its fan-out process); its frames come from a sender's
socket by the feed's own code, its orders go to a venue by REST. Times are taken where frames leave the socket and where the bytes of a
request are handed to one.
"""

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from msgspec import Struct

from bench import live_asking
from core.events import Approved, Cancel, Prediction
from monitoring import metrics
from serving import wire
from serving.binance import Binance
from serving.binance_open import Urls
from serving.binance_streams import market

IDS = ("newClientOrderId=", "origClientOrderId=")


class Asked(Struct, kw_only=True):
    folder: str
    urls: list[str]
    kind: str = "usdm"
    port: int  # of the sender
    seconds: float
    warm_s: float = 8.0
    models: str = ""  # a data folder with a deployed version
    use: str = "in-process"
    symbols: tuple[str, ...] = ()
    clients: int = 0  # of /stream
    rehearse_ms: float = 5.0


class Fed(Binance):
    """Its frames come from the sender."""

    def __init__(self, asked: Asked, meter: "Meter") -> None:
        from serving.venue_keys import KEY, SECRET

        super().__init__(asked.kind, api_key=KEY, api_secret=SECRET, urls=Urls(*asked.urls), symbols=asked.symbols, venue="local")  # pyright: ignore[reportArgumentType]
        self.port, self.meter = asked.port, meter

    async def feed(self, symbols: Any, told: Any, linked: Any) -> None:
        def heard(payloads: Any, ts_recv: int) -> None:
            self.meter.frames(len(payloads), ts_recv)
            told(payloads, ts_recv)

        await market([f"ws://127.0.0.1:{self.port}/stream"], heard, linked, self.clock, mute_s=self.mute_s, rng=self.rng)


class Meter:
    """When frames came, when the engine was through with them, and when what they led to left."""

    def __init__(self) -> None:
        self.came: list[tuple[int, int]] = []  # ts_recv, frames before these
        self.n = 0
        self.through: dict[int, int] = {}  # ts_recv -> when the engine was done
        self.led: dict[str, tuple[str, int]] = {}  # what was to leave -> kind, ts_recv of what led to it
        self.gone: dict[str, int] = {}  # what left -> when
        self.asked: dict[int, int] = {}  # time of an answer -> of the features it is about

    def frames(self, n: int, ts_recv: int) -> None:
        self.came.append((ts_recv, self.n))
        self.n += n

    def published(self, said: Any) -> None:
        if isinstance(said, Prediction):
            self.asked[said.ts] = said.as_of
        elif isinstance(said, Approved):
            self.led[f"newClientOrderId={said.order.order_id}"] = "place", said.ts
        elif isinstance(said, Cancel):
            self.led.setdefault(f"origClientOrderId={said.order_id}", ("cancel", said.ts))

    def sent(self, request: bytes, now: int) -> None:
        target = request.split(b" ", 2)[1].decode()
        for word in target.partition("?")[2].split("&"):
            if word.startswith(IDS):
                self.gone.setdefault(word, now)

    @property
    def left(self) -> list[tuple[str, int, int]]:
        """Kind, ts_recv of what led to it, when its bytes left."""
        return [(kind, ts, self.gone[word]) for word, (kind, ts) in self.led.items() if word in self.gone]


class Kept(metrics.Times):
    """Every time by itself."""

    def __init__(self) -> None:
        super().__init__()
        self.all: list[float] = []

    def observe(self, seconds: float) -> None:
        self.all.append(seconds)


def listening(url: str, n: int, symbols: Sequence[str]) -> "subprocess.Popen[str]":
    """So many clients of /stream, in a process of their own; all are connected when this returns."""
    command = [sys.executable, "-m", "bench.live_audience", url, str(n), *symbols]
    audience = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert audience.stdout is not None
    audience.stdout.readline()
    return audience


def resident() -> int:
    """Bytes of memory of this process."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def told(times: Any) -> dict[str, tuple[int, float, float]]:
    """Name -> (how many, median, p99), s."""
    kept = {name: of.all for name, of in times.items() if isinstance(of, Kept) and of.all}
    return {name: (len(found), *np.percentile(found, [50, 99]).tolist()) for name, found in kept.items()}


async def measured(asked: Asked) -> dict[str, Any]:
    from kernels.execution import Handling
    from kernels.risk_limits import pack
    from kernels.rule_signals import Rule
    from serving.control import Control
    from serving.deployed import deployed
    from serving.fanout import FanOut
    from serving.launch import Wanted, launch
    from serving.stream import Stream
    from serving.worker import Rules

    meter, folder, say = Meter(), Path(asked.folder), lambda text: print(text, file=sys.stderr, flush=True)
    given = wire.Line.ask

    def noted(line: wire.Line, request: bytes) -> Any:
        answer = given(line, request)
        meter.sent(request, time.time_ns())
        return answer

    wire.Line.ask = noted  # type: ignore[method-assign]
    models = live_asking.champion(deployed(Path(asked.models), asked.use, "in-process", say)) if asked.models else ()
    far = {"max_daily_loss": 1e7, "max_drawdown": 1e7, "max_loss_streak": 10**6, "max_leverage": 20.0, "max_orders_per_s": 50}
    wanted = Wanted(
        data_dir=folder, account="local/bench", ledger_url=f"sqlite:///{folder / 'ledger.db'}", limits=pack(LIMITS | far), models=models,
        strategy="restless", params={"every_s": 1}, rules=Rules(rehearse_ms=asked.rehearse_ms),
        handling=Handling(reprice_ns=100_000_000, patience_ns=3 * 10**9, ioc_slip_bps=5.0),
        capital=10_000.0, rule=Rule(2, 3, 2, 3, 2, 2, volume_window=2),  # speaks after a few bars
    )  # fmt: skip
    metrics.SPANS.update({name: Kept() for name in metrics.SPANS})
    launched = await launch(wanted, Fed(asked, meter), time.time_ns, say)
    worker = launched.worker
    control = Control(worker, launched.ledger, wanted.account, time.time_ns, folder)
    fanout = FanOut(folder / "fanout.log")
    stream = Stream(worker, control, {}, api_key="bench", queue=1_000, fanout=fanout)
    await stream.start("127.0.0.1", 0)
    heard = worker.published
    worker.published = lambda said: (meter.published(said), heard(said))[0]
    took = worker._take

    def through(item: Any) -> None:
        took(item)
        if isinstance(item, tuple):
            meter.through[item[1]] = time.time_ns()

    worker._take = through  # type: ignore[method-assign]
    if models:
        live_asking.impatient(worker)
    running = asyncio.create_task(worker.run())
    audience = None
    if asked.clients:
        audience = await asyncio.to_thread(listening, fanout.url, asked.clients, worker.symbols)
    await asyncio.sleep(asked.warm_s)
    n_warm, began, cpu = meter.n, time.time_ns(), time.process_time()
    compiles = metrics.RECOMPILES._value.get()
    await asyncio.wait({running}, timeout=asked.seconds / 3)
    rss_third = resident()
    await asyncio.wait({running}, timeout=asked.seconds * 2 / 3)
    ended = time.time_ns()
    heard_by_all = 0
    if audience is not None:
        heard_by_all = json.loads((await asyncio.to_thread(audience.communicate, "\n", 10))[0].splitlines()[-1])["heard"]
    facts = {
        "frames": meter.n - n_warm, "seconds": (ended - began) / 1e9, "cpu": time.process_time() - cpu, "began": began, "ended": ended,
        "mode": worker.state.mode.value, "failed": worker.failed, "dropped": metrics.FRAMES_DROPPED._value.get(),
        "refused": metrics.FRAMES_REFUSED._value.get(), "compiles": metrics.RECOMPILES._value.get() - compiles,
        "spans": told(metrics.SPANS),
        "rss_third": rss_third, "rss_end": resident(), "heard": heard_by_all,
        "orders": metrics.ORDERS_SENT._value.get(), "clean": worker.last_found.clean if worker.last_found else None,
    }  # fmt: skip
    running.cancel()
    await launched.close()
    await stream.stop()
    came = np.array(meter.came, np.int64)
    np.savez(
        folder / "times.npz", came=came, through=np.array([meter.through.get(ts, 0) for ts, _ in meter.came], np.int64),
        kinds=np.array([kind for kind, _, _ in meter.left]), led=np.array([ts for _, ts, _ in meter.left], np.int64),
        left=np.array([at for _, _, at in meter.left], np.int64), asked=np.array(list(meter.asked.items()), np.int64).reshape(-1, 2),
    )  # fmt: skip
    return facts


LIMITS: dict[str, Any] = {}


def compiled() -> None:
    """All that the first steps of an engine compile, or load: before the venue's tape begins."""
    from core.market import Instrument
    from core.orders import Listing
    from kernels import engine
    from kernels.engine_plan import Plan

    listings = {}
    for symbol in ("AUSDT", "BUSDT"):
        instrument = Instrument(venue="local", symbol=symbol, price_decimals=1, size_decimals=3, tick_size=0.1, lot_size=0.001)
        listings[symbol] = Listing(instrument=instrument, tick=1, lot=1, min_size=1, max_size=10**9, min_notional=5.0)
    engine.compile_all(Plan(venue="local", listings=listings, caps={}, strategy="restless"))


def main() -> None:
    import msgspec

    from core.live_settings import Limits
    from serving import launch, stream  # noqa: F401  (imported before it counts)

    LIMITS.update(Limits().model_dump())
    if hasattr(os, "sched_setaffinity") and len(os.sched_getaffinity(0)) > 1:
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    compiled()
    print("{}", flush=True)
    asked = msgspec.json.decode(sys.stdin.readline(), type=Asked)
    print(json.dumps(asyncio.run(measured(asked))), flush=True)


if __name__ == "__main__":
    main()
