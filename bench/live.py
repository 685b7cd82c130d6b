"""The live worker at 5,000 frames a second, open loop: from a frame to an order's bytes, beside what the idle machine does by itself.

The sender keeps its own time: a frame is late from the moment when it should have been sent, whoever kept it. The frames are recorded
ones, in the bursts they came in, ten times as dense; orders rest, fill and are cancelled at a venue in a process of its own.
"""

from typing import Any

import numpy as np

from bench.live_ledger import commits
from bench.live_stage import RATE, Run, jitter, run, source
from bench.runner import Say, plain

SECONDS, IDLE_S = 20.0, 3.0
P50_US, P99_US = 300.0, 2_000.0


def take(say: Say) -> list[dict[str, Any]]:
    say("live: the idle machine")
    idle = jitter(IDLE_S)
    what, speed, of = source()
    say(f"live: {of}, {RATE:,.0f} frames a second")
    done = run(what, speed, seconds=SECONDS)
    say("live: commits of the ledger")
    return [*machine(idle), *fed(done, of), *ordered(done, idle), *spans(done), *commits()]


def us(values: Any, q: float) -> float:
    return float(np.percentile(values, q)) / 1e3 if len(values) else float("nan")


def row(name: str, unit: str, value: float, **more: Any) -> dict[str, Any]:
    return plain("live", name, unit, value, **{"higher_is_better": False, **more})


def machine(idle: Any) -> list[dict[str, Any]]:
    return [row(f"the machine alone: how late a sleep of 1 ms ends, p{q}", "us", us(idle, q), n=len(idle)) for q in (50, 99)]


def fed(done: Run, of: str) -> list[dict[str, Any]]:
    facts = done.facts
    held = f"{of}; load average {done.load[0]:.1f}"
    through = done.through - done.came
    whole = done.through - done.intended
    return [
        row("frames a second", "frames/s", facts["frames"] / facts["seconds"], higher_is_better=True, held=held, n=facts["frames"]),
        row("CPU of the worker's process at that rate", "% of a core", 100 * facts["cpu"] / facts["seconds"]),
        *(row(f"sent later than intended (the sender's own lateness), p{q}", "us", us(done.sent_late, q)) for q in (50, 99)),
        *(row(f"frame in to engine done, p{q}", "us", us(through, q), n=len(through)) for q in (50, 99)),
        *(row(f"intended time of sending to engine done, p{q}", "us", us(whole, q), n=len(whole)) for q in (50, 99)),
        row("compilations after warm-up", "", facts["compiles"], at_most=0),
        row("frames dropped or refused", "", facts["dropped"] + facts["refused"], at_most=0),
    ]


def ordered(done: Run, idle: Any, *, cause: str = "frame", most: tuple[float, float] = (P50_US, P99_US)) -> list[dict[str, Any]]:
    """From what led to an order (or to a cancel) until the bytes of the request were handed to the socket."""
    rows = []
    for kind, name in (("place", "an order out"), ("cancel", "a cancel out")):
        times = done.out.get((kind, cause), np.empty((2, 0)))
        for q, bound in ((50, most[0]), (99, most[1])):
            asked = {"at_most": bound} if kind == "place" and bound else {}
            rows.append(row(f"frame in to {name}, p{q}", "us", us(times[0], q), n=times.shape[1], **asked))
        rows.append(row(f"intended time of sending to {name}, p50", "us", us(times[1], 50), n=times.shape[1]))
    return rows


def spans(done: Run) -> list[dict[str, Any]]:
    return [
        row(f"span {name}, p50", "us", middle * 1e6, p99_over_median=p99 / middle, n=n)
        for name, (n, middle, p99) in done.facts["spans"].items()
    ]
