"""The last minute of one symbol, second by second, and windows over it: compiled.

Each column is kept twice over, half a ring apart, so that the last values always stand side by side.
"""

import numpy as np
from numba import njit

from kernels.indicators import std_to, sum_to

RING = 64  # seconds kept; the longest window is 60
NULL = -(2**63)  # an integer that is not there


@njit(cache=True, nogil=True)
def keep(column, n, value):
    """Put the value of second `n` into a column [2 x RING]."""
    place = n & (RING - 1)
    column[place] = value
    column[place + RING] = value


@njit(cache=True, nogil=True)
def last(n):
    """Where second `n` stands with all before it to its left."""
    return (n & (RING - 1)) + RING


@njit(cache=True, nogil=True)
def exact_sum(column, n, window):
    """Sum of integers over the last `window` seconds, NaN where one is not there."""
    end = last(n)
    total = 0
    for j in range(end - window + 1, end + 1):
        if column[j] == NULL:
            return NULL
        total += column[j]
    return total


@njit(cache=True, nogil=True)
def window_sum(column, n, window):
    return sum_to(column, last(n), window)


@njit(cache=True, nogil=True)
def window_std(column, n, window, ddof):
    return std_to(column, last(n), window, ddof)


@njit(cache=True, nogil=True)
def window_median(column, n, window):
    """The median over an even `window`, NaN where a value is not there."""
    end = last(n)
    some = column[end - window + 1 : end + 1].copy()
    for j in range(window):
        if np.isnan(some[j]):
            return np.nan
    some.sort()
    low, high = some[window // 2 - 1], some[window // 2]
    return low + (high - low) * 0.5


@njit(cache=True, nogil=True)
def of(value, unit):
    """An integer in its unit, NaN where it is not there."""
    return np.nan if value == NULL else value / unit


@njit(cache=True, nogil=True)
def log_return(value, before):
    return np.log(value / before) if value > 0 and before > 0 else np.nan


@njit(cache=True, nogil=True)
def signed_share(difference, whole):
    """difference / whole, 0 where the whole is 0: nothing leans where nothing is."""
    if whole == 0:
        return np.nan if np.isnan(difference) else 0.0
    return difference / whole


@njit(cache=True, nogil=True)
def exact_share(difference, whole):
    """The same of integers."""
    if NULL in (difference, whole):
        return np.nan
    return 0.0 if whole == 0 else difference / whole
