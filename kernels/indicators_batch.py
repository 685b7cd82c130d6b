"""Seven indicators of many symbols at once: a day in one call, in pieces, or bar by bar (`step`), to the same bits.

The state [tiles, rows, symbols of a tile] carries everything from one call to the next. `indicators_rows` does the work, `signals` is the
JAX form.
"""

from concurrent.futures import ThreadPoolExecutor

import numpy as np

from kernels.indicators_compiled import Floats
from kernels.indicators_rows import BEFORE, GAIN, LOSS, PLANES, QUICK, ROWS, SIGNALS, STEADY, TILE, averages, both, step, windows

NAMES = ("sma_20", "std_20", "bollinger_upper", "bollinger_lower", "macd", "macd_signal", "rsi_14")
WARM_UP = (19, 19, 19, 19, 25, 33, 14)  # rows of an unbroken run before each has a value
__all__ = ["NAMES", "WARM_UP", "advance", "batch", "init", "step"]


def init(n: int) -> Floats:
    """The state [tiles, rows, `TILE`] of `n` symbols that nothing is known of."""
    state = np.zeros((-(-n // TILE), ROWS, TILE))
    state[:, :QUICK] = np.nan
    state[:, [QUICK, STEADY, SIGNALS, BEFORE, GAIN, LOSS]] = np.nan
    return state


def advance(closes: Floats, state: Floats, out: Floats, *, threads: int = 1) -> None:
    """Closes [time, symbol] into `state` (see `init`; changed in place), the indicators `NAMES` into `out` [7, time, symbol].

    All C-contiguous float64; NaN where there is no close, and where an indicator has no value yet. Whole numbers (closes in price units)
    give exact sums, any others sums to rounding. Windows and recurrences, and many symbols, are split over `threads`.
    Raises `ValueError` where shapes or kinds do not fit.
    """
    rows, n = closes.shape
    tiles = -(-n // TILE)
    if out.shape != (len(NAMES), rows, n) or state.shape != (tiles, ROWS, TILE):
        raise ValueError(f"closes {closes.shape} want a state of {(tiles, ROWS, TILE)} and an out of {(len(NAMES), rows, n)}")
    if any(a.dtype != np.float64 or not a.flags.c_contiguous for a in (closes, state, out)):
        raise ValueError("closes, state and out are C-contiguous arrays of float64")
    if not rows or not n:
        return
    edges = [(k, n * k // tiles, n * (k + 1) // tiles) for k in range(tiles)]
    if threads == 1:
        for k, a, b in edges:
            both(closes, state[k], np.empty(PLANES), out, a, b)
        return
    # By kind, not by symbol: rows that are torn in halves are slower to write than one thread writes them whole.
    with ThreadPoolExecutor(threads) as pool:
        jobs = [
            pool.submit(kind, closes, state[k], np.empty(PLANES), out, 0, rows, a, b) for k, a, b in edges for kind in (windows, averages)
        ]
        for job in jobs:
            job.result()


def batch(closes: Floats, *, threads: int = 1) -> Floats:
    """The indicators `NAMES` [7, time, symbol] of closes [time, symbol]; see `advance`, which saves making a new array each time."""
    out = np.empty((len(NAMES), *closes.shape))
    advance(closes, init(closes.shape[1]), out, threads=threads)
    return out
