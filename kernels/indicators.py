"""Windows and recurrences over a second-by-second column, as Polars expressions.

All run on nulls alone: a null in a window makes its result null, and a recurrence starts afresh after one. A gap's rows are null, so
nothing spans a gap. Windows over integers are Polars' rolling sums (exact: nothing drifts); windows over floats are summed anew
for each row, so that the answer does not depend on where the column began.

Averages and the relative strength index are those of `indicators_compiled`, over one symbol: seeded as TA-Lib seeds them, and equal to it
to rounding after warm-up.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import polars as pl
from numba import njit
from numpy.typing import NDArray

from kernels import indicators_compiled as compiled_rows

Floats = NDArray[np.float64]


def _ema(values: Floats, window: int, lead: int) -> Floats:
    out = np.empty((len(values), 1))
    compiled_rows.ema_rows(values.reshape(-1, 1), window, lead, compiled_rows.cold(3), out, 0, 1)
    return out[:, 0]


def _rsi(values: Floats, window: int) -> Floats:
    out = np.empty((len(values), 1))
    compiled_rows.rsi_rows(values.reshape(-1, 1), window, compiled_rows.cold(6), out, 0, 1)
    return out[:, 0]


@njit(cache=True, nogil=True)
def sum_to(values, end, window):
    """Sum of the `window` values up to place `end`."""
    total = 0.0
    for j in range(end - window + 1, end + 1):
        total += values[j]
    return total


@njit(cache=True, nogil=True)
def std_to(values, end, window, ddof):
    """Standard deviation of the `window` values up to place `end`, as distances from the first of them."""
    first = values[end - window + 1]
    total, squares = 0.0, 0.0
    for j in range(end - window + 1, end + 1):
        total += values[j] - first
    mean = total / window
    for j in range(end - window + 1, end + 1):
        squares += (values[j] - first - mean) ** 2
    return np.sqrt(squares / (window - ddof))


@njit(cache=True, nogil=True)
def _sum(values, window):
    out = np.full(len(values), np.nan)
    for i in range(window - 1, len(values)):
        out[i] = sum_to(values, i, window)
    return out


@njit(cache=True, nogil=True)
def _std(values, window, ddof):
    out = np.full(len(values), np.nan)
    for i in range(window - 1, len(values)):
        out[i] = std_to(values, i, window, ddof)
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
