"""One run of a live worker under load: venue, sender and worker in processes of their own, and what came of it."""

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bench.harness import BenchError
from bench.runner import ROOT, THREADS

RECORDED = ROOT.parent / "shared" / "data" / "hftbacktest" / "usdm"
RATE = 5_000.0  # frames a second
WARM_S, MOST_S = 5.0, 240.0
MS = 1e6
Ints = NDArray[np.int64]


class Run(NamedTuple):
    """Times in ns. `came` [n]: when each receipt came, `intended` when its first frame was to be sent, `through` when it was done with."""

    facts: dict[str, Any]
    came: Ints
    intended: Ints
    through: Ints
    sent_late: Ints
    out: dict[tuple[str, str], Ints]  # (place or cancel, by frame, prediction or other) -> [2, n]: from the receipt, from the intended time
    load: tuple[float, float, float]


def source() -> tuple[str, float, str]:
    """What is played, how many times life makes `RATE`, and what to call it."""
    if RECORDED.exists():
        return str(RECORDED), 10.2, "recordings of two symbols"
    begin = int(time.time()) // 10 * 10
    return f"generated:2:{RATE / 20:g}:{begin}", 10.0, "a generated market of two symbols"


@contextmanager
def started(*words: str, log: Path) -> Iterator["subprocess.Popen[str]"]:
    """A process of ours that ends with us; its first line of JSON is read by `told`."""
    env = os.environ | dict.fromkeys(THREADS, "1") | {"PYTHONPATH": str(ROOT)}
    with log.open("a") as errors:
        process = subprocess.Popen(
            [sys.executable, "-m", *words], cwd=ROOT, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True
        )
    late = threading.Timer(MOST_S, process.kill)
    late.daemon = True
    late.start()
    try:
        yield process
    finally:
        late.cancel()
        process.kill()
        process.wait()
        for end in (process.stdin, process.stdout):
            if end is not None and not end.closed:
                with suppress(BrokenPipeError):
                    end.close()


def told(process: "subprocess.Popen[str]", log: Path) -> dict[str, Any]:
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line.startswith("{"):
        raise BenchError(f"a process of the live benchmark ended:\n{log.read_text()[-1500:]}")
    return json.loads(line)


def say_to(process: "subprocess.Popen[str]", line: str) -> None:
    assert process.stdin is not None
    process.stdin.write(line + "\n")
    process.stdin.flush()


@contextmanager
def ready(folder: Path) -> Iterator["subprocess.Popen[str]"]:
    """A worker's process that has imported and compiled what it needs."""
    log = folder / "worker.log"
    with started("bench.live_worker", log=log) as worker:
        told(worker, log)
        yield worker


def run(what: str, speed: float, *, seconds: float, **asked: Any) -> Run:
    """Raises `BenchError` where a part of it ends early."""
    with tempfile.TemporaryDirectory(prefix="scalp-bench-live-") as scratch, ExitStack() as stack:
        folder = Path(scratch)
        log = folder / "log"
        worker = stack.enter_context(ready(folder))
        venue = stack.enter_context(started("bench.live_sender", "venue", what, str(speed), log=log))
        of_venue = told(venue, log)
        words = ("frames", what, str(speed), str(of_venue["began"]), str(folder / "sent.npy"))
        sender = stack.enter_context(started("bench.live_sender", *words, log=log))
        of_sender = told(sender, log)
        given = {"folder": scratch, "urls": of_venue["urls"], "port": of_sender["port"], "seconds": seconds, "warm_s": WARM_S, **asked}
        say_to(worker, json.dumps(given))
        facts = told(worker, folder / "worker.log")
        load = os.getloadavg()
        assert sender.stdin is not None
        sender.stdin.close()  # it writes down what it sent
        until = time.monotonic() + 10
        while not (folder / "sent.npy").exists() and time.monotonic() < until:
            time.sleep(0.1)
        time.sleep(0.3)
        if facts["failed"] or facts["dropped"]:
            raise BenchError(f"the worker did not keep up, or failed: {facts}")
        with np.load(folder / "times.npz") as found:
            return read(facts, dict(found), np.load(folder / "sent.npy"), load)


def read(facts: Mapping[str, Any], found: Mapping[str, Any], sent: Ints, load: tuple[float, float, float]) -> Run:
    """What was measured after the worker was warm. The k-th frame received is the k-th sent."""
    came, first = found["came"].T
    within = (came > facts["began"]) & (came < facts["ended"]) & (first < sent.shape[1])
    came, first, through = came[within], first[within], found["through"][within]
    intended = sent[0][first]
    due = dict(zip(came.tolist(), intended.tolist(), strict=True))
    as_of = dict(found["asked"].tolist())
    out: dict[tuple[str, str], list[tuple[int, int]]] = {}
    for kind, led, left in zip(found["kinds"].tolist(), found["led"].tolist(), found["left"].tolist(), strict=True):
        cause = "frame" if led in due else "prediction" if led in as_of else "other"
        base = as_of.get(led, led) if cause == "prediction" else led
        if facts["began"] < base < facts["ended"] and (cause == "other" or base in due):
            out.setdefault((kind, cause), []).append((left - base, left - due.get(base, base)))
    late = (sent[1] - sent[0])[first[0] : first[-1]] if len(first) else sent[0][:0]
    done = {key: np.array(value, np.int64).T for key, value in out.items()}
    return Run(dict(facts), came, intended, through, late, done, load)


def jitter(seconds: float) -> Ints:
    """How much later than asked for sleeps of 1 ms end on an idle thread, ns."""
    late = []
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        began = time.perf_counter_ns()
        time.sleep(0.001)
        late.append(time.perf_counter_ns() - began - 1_000_000)
    return np.array(late)
