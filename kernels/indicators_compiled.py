"""Averages and strength of columns, compiled, and what they share with `indicators_rows`, which makes all seven indicators at once.

NaN is "no value" throughout. A recurrence that has none yet has a NaN state, which is what its arithmetic gives for it unasked; only such
lanes are looked at one by one, to seed them as TA-Lib does. So a NaN in the input restarts its own symbol and costs the others nothing.
"""

import numpy as np
from numba import njit, types
from numba.extending import intrinsic
from numpy.typing import NDArray

Floats = NDArray[np.float64]

NEGLIGIBLE = 1e-14  # TA-Lib's own idea of zero (TA_EPSILON)
SMA, STD, UPPER, LOWER, MACD, SIGNAL, RSI = range(7)
WINDOW, WIDTH, FAST, SLOW, SMOOTH, STRENGTH = 20, 2.0, 12, 26, 9, 14


@intrinsic
def _fma(typing, a, b, c):
    """a x b + c, rounded once."""

    def made(context, builder, signature, args):
        return builder.fma(*args)

    return types.float64(types.float64, types.float64, types.float64), made


@njit(cache=True, nogil=True)
def over(a, b, inverse):
    """a / b, to the last bit, given `inverse` = 1 / b: Markstein 1990. A third of the time of a division."""
    q = a * inverse
    return _fma(_fma(-q, b, a), inverse, q)  # pyright: ignore[reportCallIssue]


@njit(cache=True, nogil=True)
def average_begins(average, seen, total, s, x, window, lead):
    """One more value for lane `s`, which has no average yet: it is seeded with the plain one of `window` values after `lead`."""
    if np.isnan(x):
        seen[s], total[s] = 0.0, 0.0
        return
    seen[s] += 1.0
    if seen[s] > lead:
        total[s] += x
    if seen[s] == lead + window:
        average[s] = total[s] / window
        seen[s], total[s] = 0.0, 0.0


@njit(cache=True, nogil=True)
def index_of(gain, whole):
    """Relative strength index of an average gain, given the sum of it and the average loss."""
    return 0.0 if whole < NEGLIGIBLE else 100.0 * (gain / whole)


@njit(cache=True, nogil=True)
def strength_begins(gain, loss, seen, gained, lost, s, change, window):
    """One more change for lane `s`, which has no average gain and loss yet: they are seeded with the plain ones of `window` changes."""
    if np.isnan(change):
        seen[s], gained[s], lost[s] = 0.0, 0.0, 0.0
        return
    seen[s] += 1.0
    gained[s] += max(change, 0.0)
    lost[s] += max(-change, 0.0)
    if seen[s] == window:
        gain[s], loss[s] = gained[s] / window, lost[s] / window
        seen[s], gained[s], lost[s] = 0.0, 0.0, 0.0


@njit(cache=True, nogil=True)
def ema_rows(values, window, lead, state, out, first, last):
    """Exponential average, with weight 2 / (window + 1), of symbols `first` to `last` of values [time, symbol].

    Seeded with the plain average of the `window` values after `lead`. `state` [3, those symbols]: the average, how many values a
    lane without one has seen, their sum so far.
    """
    k = 2.0 / (window + 1.0)
    average, seen, total = state[0], state[1], state[2]
    for t in range(len(values)):
        x, made = values[t, first:last], out[t, first:last]
        cold = 0
        for s in range(len(average)):
            new = (x[s] - average[s]) * k + average[s]
            average[s] = new
            made[s] = new
            cold += np.isnan(new)
        if cold:
            for s in range(len(average)):
                if np.isnan(average[s]):
                    average_begins(average, seen, total, s, x[s], window, lead)
                    made[s] = average[s]


@njit(cache=True, nogil=True)
def rsi_rows(values, window, state, out, first, last):
    """Relative strength index (Wilder 1978) of symbols `first` to `last` of values [time, symbol]; 0 where nothing has moved.

    `state` [6, those symbols]: the value before, average gain and loss, changes seen by a lane
    without them, their gains and losses so far.
    """
    before, gain, loss = state[0], state[1], state[2]
    seen, gained, lost = state[3], state[4], state[5]
    inverse = 1.0 / window
    for t in range(len(values)):
        x, made = values[t, first:last], out[t, first:last]
        cold = 0
        for s in range(len(gain)):
            change = x[s] - before[s]
            up = 0.5 * (change + abs(change))
            g = over(gain[s] * (window - 1) + up, window, inverse)
            f = over(loss[s] * (window - 1) + (up - change), window, inverse)
            gain[s] = g
            loss[s] = f
            made[s] = index_of(g, g + f)
            cold += np.isnan(g + f)
        if cold:
            for s in range(len(gain)):
                if np.isnan(gain[s]):
                    strength_begins(gain, loss, seen, gained, lost, s, x[s] - before[s], window)
                    made[s] = index_of(gain[s], gain[s] + loss[s])
        for s in range(len(gain)):
            before[s] = x[s]


def cold(rows: int, n: int = 1) -> Floats:
    """The state of `ema_rows` (3 rows) or `rsi_rows` (6) that has seen nothing: the first half has no value, the counters are at 0."""
    state = np.zeros((rows, n))
    state[: max(rows // 2, 1)] = np.nan
    return state
