"""Many receipts at once, for whoever has them all already (replay): the same steps, those that decide nothing in compiled code.

receipts -> (from, to, decisions): stretches with nothing to decide, and between them single receipts as `kernels.engine.step` takes them
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from core.events import Decision
from kernels import engine
from kernels.decimals import Ints
from kernels.engine_plan import Plan
from kernels.engine_state import State
from kernels.frames_live import Batch, Refused

NONE: Mapping[int, Refused] = {}


class Receipts(NamedTuple):
    """What was received at several times, oldest first, decoded together: `ends` [n] is the row after the last of each, `ts_recv` [n]."""

    rows: Ints
    levels: Ints
    ends: Ints
    ts_recv: Ints
    symbols: tuple[str, ...]

    def batch(self, k: int) -> Batch:
        begin = int(self.ends[k - 1]) if k else 0
        return Batch(int(self.ts_recv[k]), self.rows[begin : int(self.ends[k])], self.levels, NONE, self.symbols)


def receipts(whole: Batch, sizes: Sequence[int], ts_recv: Sequence[int]) -> Receipts:
    """Payloads decoded as one batch, by how many arrived together and when."""
    return Receipts(whole.rows, whole.levels, np.cumsum(np.array(sizes, np.int64)), np.array(ts_recv, np.int64), whole.symbols)


def steps(state: State, told: Receipts, plan: Plan) -> Iterator[tuple[int, int, Sequence[Decision]]]:
    """Fold receipts in: (first, the one after the last, decisions), in order and without a gap. Decisions are those of `engine.step`, one
    receipt after the other; stretches in which nothing had to be looked at are told as one, without any."""
    at, n = 0, len(told.ends)
    while at < n:
        to = state.market.quiet(told.rows, told.levels, told.ends, told.ts_recv, at, state.clock.now, state.usual_ns)
        if to > at:
            state.seq += int(told.ends[to - 1]) - (int(told.ends[at - 1]) if at else 0)
            state.clock.now = int(told.ts_recv[to - 1])
            yield at, to, ()
        if to < n:
            yield to, to + 1, engine.step(state, told.batch(to), plan)
        at = to + 1
