"""Windows and recurrences over a second-by-second column, as Polars expressions.

All run on nulls alone: a null in a window makes its result null, and a recurrence starts afresh after one. A gap's rows are null, so
nothing spans a gap. Windows over integers are Polars' rolling sums (exact: nothing drifts); windows over floats are summed anew
for each row, so that the answer does not depend on where the column began.

Averages and the relative strength index are seeded as TA-Lib seeds them, and agree with it to rounding after warm-up.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import polars as pl
from numba import njit
from numpy.typing import NDArray

Floats = NDArray[np.float64]
NEGLIGIBLE = 1e-14  # TA-Lib's own idea of zero (TA_EPSILON)


@njit(cache=True, nogil=True)
def _ema(values, window, lead):
    out = np.full(len(values), np.nan)
    k = 2.0 / (window + 1.0)
    run = 0
    last = 0.0
    for i in range(len(values)):
        if np.isnan(values[i]):
            run = 0
            continue
        run += 1
        if run == lead + window:
            total = 0.0
            for j in range(i - window + 1, i + 1):
                total += values[j]
            last = total / window
        elif run > lead + window:
            last = (values[i] - last) * k + last
        if run >= lead + window:
            out[i] = last
    return out


@njit(cache=True, nogil=True)
def _rsi(values, window):
    out = np.full(len(values), np.nan)
    run = 0
    gain, loss = 0.0, 0.0
    for i in range(len(values)):
        if np.isnan(values[i]):
            run = 0
            continue
        run += 1
        if run == 1:
            gain, loss = 0.0, 0.0
            continue
        change = values[i] - values[i - 1]
        up, down = max(change, 0.0), max(-change, 0.0)
        if run <= window + 1:
            gain += up
            loss += down
            if run == window + 1:
                gain /= window
                loss /= window
        else:
            gain = (gain * (window - 1) + up) / window
            loss = (loss * (window - 1) + down) / window
        if run > window:
            whole = gain + loss
            out[i] = 100.0 * (gain / whole) if whole >= NEGLIGIBLE else 0.0
    return out


@njit(cache=True, nogil=True)
def _sum(values, window):
    out = np.full(len(values), np.nan)
    for i in range(window - 1, len(values)):
        total = 0.0
        for j in range(i - window + 1, i + 1):
            total += values[j]
        out[i] = total
    return out


@njit(cache=True, nogil=True)
def _std(values, window, ddof):
    out = np.full(len(values), np.nan)
    for i in range(window - 1, len(values)):
        first = values[i - window + 1]
        total, squares = 0.0, 0.0
        for j in range(i - window + 1, i + 1):
            total += values[j] - first
        mean = total / window
        for j in range(i - window + 1, i + 1):
            squares += (values[j] - first - mean) ** 2
        out[i] = np.sqrt(squares / (window - ddof))
    return out


def compiled(of: pl.Expr, kernel: Callable[..., Floats], *args: Any) -> pl.Expr:
    """A compiled pass over a whole column, null being NaN on the way in and out."""

    def run(column: pl.Series) -> pl.Series:
        values = np.array(column.cast(pl.Float64).to_numpy(), dtype=np.float64)
        return pl.Series(column.name, kernel(values, *args), nan_to_null=True)

    return of.map_batches(run, return_dtype=pl.Float64)


def window_sum(of: pl.Expr, window: int) -> pl.Expr:
    """Sum of floats over the last `window` rows."""
    return compiled(of, _sum, window)


def window_std(of: pl.Expr, window: int, *, ddof: int) -> pl.Expr:
    """Standard deviation over the last `window` rows: of the sample (`ddof` 1) or of the population (0)."""
    return compiled(of, _std, window, ddof)


def exact_sum(of: pl.Expr, window: int) -> pl.Expr:
    """Sum of integers over the last `window` rows."""
    return of.rolling_sum(window, min_samples=window)


def log_return(of: pl.Expr) -> pl.Expr:
    """ln of a value over that of the row before."""
    return (of / of.shift(1)).log()


def ema(of: pl.Expr, window: int, *, lead: int = 0) -> pl.Expr:
    """Exponential moving average with weight 2 / (window + 1), seeded with the plain average of the first `window` values after `lead`."""
    return compiled(of, _ema, window, lead)


def rsi(of: pl.Expr, window: int) -> pl.Expr:
    """Relative strength index, 0 to 100 (Wilder, New Concepts in Technical Trading Systems, 1978); 0 where nothing has moved."""
    return compiled(of, _rsi, window)


def macd(of: pl.Expr, fast: int, slow: int) -> pl.Expr:
    """Difference of two exponential averages (Appel 1979), both seeded to start at row `slow`."""
    return ema(of, fast, lead=slow - fast) - ema(of, slow)


def signed_share(difference: pl.Expr, whole: pl.Expr) -> pl.Expr:
    """difference / whole, 0 where the whole is 0: nothing leans where nothing is."""
    return pl.when(whole == 0).then(pl.when(difference.is_not_null()).then(0.0)).otherwise(difference / whole)


def regime(volatility: pl.Expr, fast: pl.Expr, slow: pl.Expr, close: pl.Expr, window: int) -> pl.Expr:
    """3 x (volatility above its own median of the last `window` rows) + trend (0 down, 1 none, 2 up): 0 to 5.

    A trend is a distance of the averages of more than one second's volatility. Only the past is looked at.
    """
    rough = (volatility > volatility.rolling_median(window, min_samples=window)).cast(pl.Float64)
    distance = (fast - slow) / close
    trend = (distance > volatility).cast(pl.Float64) - (distance < -volatility).cast(pl.Float64)
    return 3.0 * rough + trend + 1.0
