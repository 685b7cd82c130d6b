"""A journalled session, run through the same engine again: every signal, refusal and intent has to come out as it did.

session folder -> plan, inputs in order -> engine.step -> decisions, compared one by one with those that were written down
"""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from msgspec import Struct

from core.events import Approved, Ask, Decision, Input, Prediction, Refused, Signal
from kernels import engine
from kernels.engine_plan import Plan
from kernels.frames_live import Live
from serving import journal

SHOWN = 10  # differences that are kept


class Difference(Struct, frozen=True):
    """Where the two runs part: what was decided then (`was`) and now (`now`), None where there was nothing."""

    seq: int
    was: Decision | None
    now: Decision | None


class Afresh(Struct, kw_only=True):
    """Predictions asked again: the largest difference of a number, and how many directions flipped."""

    n: int = 0
    missing: int = 0  # asked now, never answered then
    largest: float = 0.0
    flipped: int = 0


class Replayed(Struct, kw_only=True):
    session: str
    n_inputs: int = 0  # frames counted one by one
    n_decisions: int = 0
    n_signals: int = 0
    n_orders: int = 0
    n_refused: int = 0
    n_different: int = 0
    different: list[Difference] = []
    seconds: float = 0.0
    lived_s: float = 0.0  # from the first input to the last
    afresh: Afresh | None = None

    @property
    def equal(self) -> bool:
        return not self.n_different


def plan_of(folder: Path) -> Plan:
    """The plan a session was run with. Raises `ValueError` where it is not whole, or its strategy is not the one of today."""
    meta = journal.meta_of(folder)
    plan = msgspec.convert(meta["plan"], Plan, strict=False)
    if plan.hash != meta["plan_hash"]:
        raise ValueError(f"{folder}: the plan does not have the hash it was written with ({plan.hash}, {meta['plan_hash']})")
    return plan


def told(decision: Decision) -> Decision:
    """As it reads back from the journal: without the window of features, floats as they are."""
    return msgspec.structs.replace(decision, window=None) if isinstance(decision, Ask) else decision


def replay(folder: Path, *, ask: Callable[[Any], Any] | None = None, progress: Callable[[int], None] | None = None) -> Replayed:
    """Run a session again. `ask`: a window [1, n, features] to answers (`core.inference`): predict afresh, and compare."""
    plan = plan_of(folder)
    made = Replayed(session=folder.name)
    made.afresh = Afresh() if ask is not None else None
    asked: dict[tuple[str, int], Any] = {}
    written = _by_seq(folder)
    began, first, last = time.perf_counter(), 0, 0
    state: engine.State | None = None
    scales = {s: (of.instrument.price_decimals, of.instrument.size_decimals) for s, of in plan.listings.items()}
    live = Live(scales, keep_unknown_fields=True)
    for seq, item in journal.read(folder):
        if isinstance(item, Input):
            ts, n, event = item.ts, 1, item
            if ask is not None and isinstance(item, Prediction):
                _compare(made, item, asked.pop((item.symbol, item.as_of), None))
        else:
            ts, n, event = item.ts_recv, len(item.payloads), live.decode(item.payloads, item.ts_recv)
        if state is None:
            state, first = engine.init(plan, journal.meta_of(folder)["started"]), ts
        last = ts
        decisions = engine.step(state, event, plan)
        made.n_inputs += n
        if ask is not None:
            for decision in decisions:
                if isinstance(decision, Ask):
                    asked[decision.symbol, decision.as_of] = ask(np.asarray(decision.window, np.float32)[None])
        was = written(seq)
        if decisions or was:
            _count(made, seq, decisions, was)
        if progress is not None and made.n_inputs % 50_000 < n:
            progress(made.n_inputs)
    if made.afresh is not None:
        made.afresh.missing = len(asked)
    made.seconds, made.lived_s = time.perf_counter() - began, (last - first) / 1e9
    return made


def _by_seq(folder: Path) -> Callable[[int], list[Decision]]:
    """The decisions written down for one input after the other."""
    lines: Iterator[journal.Decided] = journal.decided(folder)
    ahead = next(lines, None)

    def of(seq: int) -> list[Decision]:
        nonlocal ahead
        found: list[Decision] = []
        while ahead is not None and ahead.seq <= seq:
            found.append(ahead.decision)
            ahead = next(lines, None)
        return found

    return of


def _count(made: Replayed, seq: int, now: list[Decision], was: list[Decision]) -> None:
    made.n_decisions += len(now)
    for decision in now:
        made.n_signals += isinstance(decision, Signal)
        made.n_orders += isinstance(decision, Approved)
        made.n_refused += isinstance(decision, Refused)
    for k in range(max(len(now), len(was))):
        a = was[k] if k < len(was) else None
        b = told(now[k]) if k < len(now) else None
        # Compared as they are written: NaN is not itself, and JSON has none.
        if msgspec.json.encode(a) != msgspec.json.encode(b):
            made.n_different += 1
            if len(made.different) < SHOWN:
                made.different.append(Difference(seq, a, b))


def _compare(made: Replayed, was: Prediction, now: Any) -> None:
    afresh = made.afresh
    if afresh is None or now is None:
        return
    then = np.array([was.down, was.flat, was.up, was.confidence, was.volatility])
    again = np.concatenate([now.direction[0], now.confidence[0], now.volatility[0]]).astype(np.float64)
    afresh.n += 1
    afresh.largest = max(afresh.largest, float(np.abs(then - again).max()))
    afresh.flipped += int(np.argmax(then[:3]) != np.argmax(again[:3]))
