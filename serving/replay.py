"""A journalled session, run through the same engine again: every signal, refusal and intent has to come out as it did.

session folder -> plan, inputs in order -> engine.step -> decisions, compared one by one with those that were written down
"""

import hashlib
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
from msgspec import Struct

from core.events import AnyInput, Approved, Ask, Decision, Prediction, Refused, Signal
from core.inference import Answers
from kernels import engine, engine_many
from kernels.engine_plan import Plan
from kernels.frames_live import Batch, Live
from serving import journal
from serving.journal import Frames

SHOWN = 10  # differences that are kept
AT_ONCE = 2_000  # payloads decoded together
TOLD = 50_000  # inputs between two words of progress
FAR = 2**62


class Difference(Struct, frozen=True):
    """Where the two runs part: what was decided then (`was`) and now (`now`), None where there was nothing."""

    seq: int
    was: Decision | None
    now: Decision | None


class Afresh(Struct, kw_only=True):
    """Predictions asked again: the largest difference of a number, and how many directions flipped."""

    n: int = 0
    missing: int = 0  # asked, and never answered then
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
    n_unwritten: int = 0  # decisions about the last input of a session that was killed before it wrote them down
    different: list[Difference] = []
    seconds: float = 0.0
    lived_s: float = 0.0  # from the first input to the last
    afresh: Afresh | None = None

    @property
    def equal(self) -> bool:
        return not self.n_different


def plan_of(folder: Path) -> Plan:
    """The plan a session was run with; what it did not know of yet is as the default. Raises `ValueError` where it is not whole."""
    meta = journal.meta_of(folder)
    if (found := _hash(meta["plan"])) != meta["plan_hash"]:
        raise ValueError(f"{folder}: the plan does not have the hash it was written with ({found}, {meta['plan_hash']})")
    return msgspec.convert(meta["plan"], Plan, strict=False)


def _hash(plan: dict[str, Any]) -> str:
    """`Plan.hash` of a plan as it is written down, also where `Plan` has other fields by now: of what are no structs, keys are sorted."""
    sort = {name: dict(sorted(plan[name].items())) for name in ("listings", "caps") if name in plan}
    sort["params"] = msgspec.json.decode(msgspec.json.encode(plan.get("params", {}), order="sorted"))
    return hashlib.sha256(msgspec.json.encode(plan | sort)).hexdigest()[:16]


def told(decision: Decision) -> Decision:
    """As it reads back from the journal: without the window of features, floats as they are."""
    return msgspec.structs.replace(decision, window=None) if isinstance(decision, Ask) else decision


def replay(folder: Path, *, ask: Callable[[Ask], Answers | None] | None = None, progress: Callable[[int], None] | None = None) -> Replayed:
    """Run a session again. `ask` answers what the engine asks (`asking`): predict afresh, and compare with what was answered then.

    Raises `FileNotFoundError` where there is no such session, `ValueError` where it cannot be run again, `LookupError` for a strategy.
    """
    plan = plan_of(folder)
    made = Replayed(session=folder.name)
    made.afresh = Afresh() if ask is not None else None
    asked: dict[tuple[str, str, int], Answers | None] = {}
    written = _by_seq(folder)
    state = engine.init(plan, journal.meta_of(folder)["started"])
    began, first, last = time.perf_counter(), 0, 0
    told_at = 0
    left: tuple[int, Sequence[Decision]] = 0, ()  # decided now, with nothing written: it may be the last input of a session that was killed
    for seq, n, ts, told, decisions in steps(folder, state, plan):
        first, last = first or ts, ts
        if ask is not None:
            if isinstance(told, Prediction):
                _compare(made, told, asked.pop((told.version, told.symbol, told.as_of), None))
            asked |= {(d.version, d.symbol, d.as_of): ask(d) for d in decisions if isinstance(d, Ask)}  # answered later, if at all
        made.n_inputs += n
        if left[1]:
            _count(made, *left, [])
        was = written(seq)
        left = (seq, decisions) if decisions and not was else (0, ())
        if was:
            _count(made, seq, decisions, was)
        if progress is not None and made.n_inputs - told_at >= TOLD:
            told_at = made.n_inputs
            progress(told_at)
    made.n_unwritten = len(left[1])
    if more := written(FAR):
        _count(made, FAR, [], more)
    if made.afresh is not None:
        made.afresh.missing = len(asked)
    made.seconds, made.lived_s = time.perf_counter() - began, (last - first) / 1e9
    return made


class Step(NamedTuple):
    """What the engine did with an input, or (`told` None) with a stretch of frames that it decided nothing about."""

    seq: int  # of the input, or the last of the stretch
    n: int  # inputs
    ts: int
    told: AnyInput | Batch | None
    decisions: Sequence[Decision]


def steps(folder: Path, state: engine.State, plan: Plan) -> Iterator[Step]:
    """Run a session through an engine. Frames are decoded many receipts at once: those of a step are good until the next is asked for.

    Raises `ValueError` where the journal is not whole, `OSError`.
    """
    live = Live(engine.scales(plan), keep_unknown_fields=True)
    waiting: list[tuple[int, Frames]] = []
    n = 0
    for seq, item in journal.read(folder):
        if isinstance(item, Frames):
            waiting.append((seq, item))
            n += len(item.payloads)
            if n < AT_ONCE:
                continue
        yield from _frames(waiting, live, state, plan)
        waiting, n = [], 0
        if not isinstance(item, Frames):
            yield Step(seq, 1, item.ts, item, engine.step(state, item, plan))
    yield from _frames(waiting, live, state, plan)


def _frames(waiting: list[tuple[int, Frames]], live: Live, state: engine.State, plan: Plan) -> Iterator[Step]:
    if not waiting:
        return
    whole = live.decode([payload for _, frames in waiting for payload in frames.payloads], 0)
    told = engine_many.receipts(whole, [len(of.payloads) for _, of in waiting], [of.ts_recv for _, of in waiting])
    for first, to, decisions in engine_many.steps(state, told, plan):
        n = int(told.ends[to - 1]) - (int(told.ends[first - 1]) if first else 0)
        seq, of = waiting[to - 1]
        if to > first + 1 or not decisions:
            yield Step(seq + len(of.payloads) - 1, n, of.ts_recv, None, decisions)
        else:
            yield Step(seq, n, of.ts_recv, told.batch(first), decisions)


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


def _count(made: Replayed, seq: int, now: Sequence[Decision], was: Sequence[Decision]) -> None:
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


def _compare(made: Replayed, was: Prediction, now: Answers | None) -> None:
    afresh = made.afresh
    if afresh is None or now is None:
        return
    then = np.array([was.down, was.flat, was.up, was.confidence, was.volatility])
    again = np.concatenate([now.direction[0], now.confidence[0], now.volatility[0]]).astype(np.float64)
    afresh.n += 1
    afresh.largest = max(afresh.largest, float(np.abs(then - again).max()))
    afresh.flipped += int(np.argmax(then[:3]) != np.argmax(again[:3]))
