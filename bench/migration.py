"""The same job done the plain way (pandas, PyTorch as it comes, FastAPI) and ours: what a team that moves over gains.

Overnight: an archive of trades in, features, windows, predictions, a Parquet file. Live: trades at a steady rate over a WebSocket, a
prediction back after every fiftieth; its latency is taken by who sends them. Both give the same predictions, or nothing is timed.
"""

import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import psutil

from bench import migration_job, migration_ours, migration_plain
from bench.harness import Arrays, Bench, BenchError, Row, Variant, same
from bench.migration_job import EVERY, FIRST, RATE, STEADY_S, WARM_S
from bench.runner import PEERS, ROOT, THREADS, Say, plain, run
from core.services import free_ports

TICK = 0.005  # s between handfuls of trades
PLAIN, OURS = "pandas, PyTorch, FastAPI", "ours"


def check(found: Mapping[str, Arrays]) -> str:
    same("predictions", found[OURS]["direction"], found[PLAIN]["direction"], within=2e-4)
    return "every prediction, to 2e-4"


BENCH = Bench(
    "migration", "a day's archive to predictions", migration_job.made, 20_000, 1_000_000,
    (Variant(OURS, migration_ours.job, repeats=3), Variant(PLAIN, migration_plain.job, peer=True, repeats=2)),
    (Row("archive to predictions, one core", "trades/s", OURS, (PLAIN,), "n"), Row("its memory", "MB", OURS, (PLAIN,))),
    check, rounds=1,
)  # fmt: skip


class Served(NamedTuple):
    latency: np.ndarray  # s, of each prediction
    cpu: float  # share of a core
    peak: int  # bytes
    directions: dict[int, list[float]]


def take(say: Say) -> list[dict[str, Any]]:
    rows = run(BENCH, say)
    with tempfile.TemporaryDirectory(prefix="scalp-bench-migration-") as folder:
        migration_job.made(Path(folder), int(RATE * (WARM_S + STEADY_S)) + FIRST)
        sides = {OURS: sys.executable, PLAIN: str(PEERS)}
        found: dict[str, Served] = {}
        for name, python in sides.items():
            say(f"migration: {name}, live at {RATE:,} trades/s")
            module = "bench.migration_ours" if name == OURS else "bench.migration_plain"
            found[name] = served(python, module, Path(folder))
    ours, peer = found[OURS], found[PLAIN]
    common = sorted(set(ours.directions) & set(peer.directions))
    if len(common) < STEADY_S * RATE / EVERY / 2:
        raise BenchError(f"only {len(common)} predictions came back from both sides")
    same("live predictions", *(np.array([side.directions[a] for a in common]) for side in (ours, peer)), within=2e-4)
    held = f"{len(common)} live predictions, to 2e-4"
    of = f"live, {RATE:,} trades/s"
    for what, unit, value, other in (
        (f"{of}: trade to prediction, p50", "ms", *(float(np.percentile(s.latency, 50)) * 1e3 for s in (ours, peer))),
        (f"{of}: trade to prediction, p99", "ms", *(float(np.percentile(s.latency, 99)) * 1e3 for s in (ours, peer))),
        (f"{of}: share of a core", "%", ours.cpu * 100, peer.cpu * 100),
        (f"{of}: peak memory", "MB", ours.peak / 1e6, peer.peak / 1e6),
    ):
        more = {"peer": PLAIN, "peer_value": other, "peers": {PLAIN: other}, "ratio": other / value, "held": held}
        rows.append(plain("migration", what, unit, value, higher_is_better=False, n=len(ours.latency), **more))
    return rows


def served(python: str, module: str, folder: Path) -> Served:
    """Start a side's server, send it trades at `RATE`, and end it."""
    (port,) = free_ports(1)
    env = os.environ | dict.fromkeys(THREADS, "1") | {"PYTHONPATH": str(ROOT)}
    process = subprocess.Popen([python, "-m", module, str(folder), str(port)], cwd=ROOT, env=env)
    try:
        return asyncio.run(loaded(psutil.Process(process.pid), port, migration_job.frames(folder)))
    finally:
        process.kill()
        process.wait()


async def loaded(server: psutil.Process, port: int, frames: list[bytes]) -> Served:
    from picows import WSFrame, WSListener, WSMsgType, WSTransport

    sent: dict[int, float] = {}
    latency: dict[int, float] = {}
    directions: dict[int, list[float]] = {}

    class Answers(WSListener):
        def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
            if frame.msg_type == WSMsgType.TEXT:
                now, told = time.perf_counter(), json.loads(frame.get_payload_as_bytes())
                latency[told["a"]] = now - sent[told["a"]]
                directions[told["a"]] = told["direction"]

    transport = await connected(Answers, port, server)
    begun, at = time.perf_counter(), 0
    steady, used = 0.0, 0.0
    while at < len(frames):
        now = time.perf_counter()
        if not steady and now - begun > WARM_S:
            steady, used = now, sum(server.cpu_times()[:2])
        until = min(len(frames), int((now - begun) * RATE))
        for i in range(at, until):
            if (i + 1) % EVERY == 0:
                sent[i] = time.perf_counter()
            transport.send(WSMsgType.TEXT, frames[i])
        at = max(at, until)
        await asyncio.sleep(TICK)
    cpu = (sum(server.cpu_times()[:2]) - used) / (time.perf_counter() - steady)
    await asyncio.sleep(0.3)
    peak = peak_of(server.pid)
    transport.disconnect()
    late = [latency[a] for a in latency if a > WARM_S * RATE]
    return Served(np.array(late), cpu, peak, directions)


def peak_of(pid: int) -> int:
    """VmHWM of a process, in bytes."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


async def connected(listener: Any, port: int, server: psutil.Process) -> Any:
    from picows import ws_connect

    for _ in range(300):
        if not server.is_running() or server.status() == psutil.STATUS_ZOMBIE:
            raise BenchError("a server of the migration benchmark ended at once; its words are above")
        try:
            return (await ws_connect(listener, f"ws://127.0.0.1:{port}/"))[0]
        except OSError:
            await asyncio.sleep(0.1)
    raise BenchError("a server of the migration benchmark did not listen within 30 s")
