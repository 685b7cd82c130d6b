"""Seven indicators of many symbols at once: a day in one call, in pieces, or bar by bar (`step`), to the same bits.

The state [rows, symbol] carries everything from one call to the next. `indicators_compiled` does the work, `signals` is the JAX form.
"""

from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import numpy as np

from kernels.indicators_compiled import ENDS_WINDOWS, ROWS, Floats, averages, cold, step, windows

NAMES = ("sma_20", "std_20", "bollinger_upper", "bollinger_lower", "macd", "macd_signal", "rsi_14")
WARM_UP = (19, 19, 19, 19, 25, 33, 14)  # rows of an unbroken run before each has a value
TILE = 128  # symbols at a time: their state stays in the cache; narrower ones tear the rows (56: half the speed)
LINE = 8  # float64 in a cache line
__all__ = ["NAMES", "WARM_UP", "advance", "batch", "init", "step"]


def init(n: int) -> Floats:
    """The state [rows, n] of `n` symbols that nothing is known of."""
    nothing = np.full((ENDS_WINDOWS, n), np.nan)
    return np.concatenate([nothing, cold(3, n), cold(3, n), cold(3, n), cold(6, n), np.zeros((1, n))])


def advance(closes: Floats, state: Floats, out: Floats, *, threads: int = 1) -> None:
    """Closes [time, symbol] into `state` [rows, symbol] (changed in place), the indicators `NAMES` into `out` [7, time, symbol].

    All C-contiguous float64; NaN where there is no close, and where an indicator has no value yet. Whole numbers (closes in price units)
    give exact sums, any others sums to rounding. Windows and recurrences, and many symbols, are split over `threads`.
    Raises `ValueError` where shapes or kinds do not fit.
    """
    rows, n = closes.shape
    if out.shape != (len(NAMES), rows, n) or state.shape != (ROWS, n):
        raise ValueError(f"closes {closes.shape} want a state of {(ROWS, n)} and an out of {(len(NAMES), rows, n)}")
    if any(a.dtype != np.float64 or not a.flags.c_contiguous for a in (closes, state, out)):
        raise ValueError("closes, state and out are C-contiguous arrays of float64")
    if not rows or not n:
        return
    # Two threads share by kind, not by symbol: rows that are torn in halves are slower to write than one thread writes them whole.
    groups = max(-(-n // TILE), -(-threads // 2))
    edges = sorted({n * k // groups // LINE * LINE for k in range(groups)} | {n})
    jobs = [(part, a, b) for a, b in pairwise(edges) for part in (windows, averages)]
    if threads == 1:
        for part, a, b in jobs:
            part(closes, state, out, a, b)
        return
    with ThreadPoolExecutor(threads) as pool:
        for job in [pool.submit(part, closes, state, out, a, b) for part, a, b in jobs]:
            job.result()


def batch(closes: Floats, *, threads: int = 1) -> Floats:
    """The indicators `NAMES` [7, time, symbol] of closes [time, symbol]; see `advance`, which saves making a new array each time."""
    out = np.empty((len(NAMES), *closes.shape))
    advance(closes, init(closes.shape[1]), out, threads=threads)
    return out
