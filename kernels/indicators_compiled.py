"""The compiled indicators: one pass over many symbols at once, a day at a time or a bar at a time.

Columns are [time, symbol], so that the machine's vector lanes run over symbols and a recurrence over time is no obstacle to them. A state
[rows, symbol] carries everything from one call to the next: a day in one call, in pieces, or bar by bar gives the same bits.

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

# The rows of the state.
RING = 0  # the last 20 closes, each in the row of its phase
SUMS = RING + WINDOW  # of the 20 before this phase began: sums of those still in the window ...
SQUARES = SUMS + WINDOW  # ... and of their squares, both as distances from the anchor
ANCHOR = SQUARES + WINDOW
SUM, SQUARE = ANCHOR + 1, ANCHOR + 2  # of those since the phase began
ENDS_WINDOWS = SQUARE + 1
PHASE = ENDS_WINDOWS + 3 * 3 + 6  # three averages and the index between
ROWS = PHASE + 1


@intrinsic
def _fma(typing, a, b, c):
    """a x b + c, rounded once."""

    def made(context, builder, signature, args):
        return builder.fma(*args)

    return types.float64(types.float64, types.float64, types.float64), made


@njit(cache=True, nogil=True)
def _over(a, b, inverse):
    """a / b, to the last bit, given `inverse` = 1 / b: Markstein 1990. A third of the time of a division."""
    q = a * inverse
    return _fma(_fma(-q, b, a), inverse, q)  # pyright: ignore[reportCallIssue]


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
                if not np.isnan(average[s]):
                    continue
                if np.isnan(x[s]):
                    seen[s], total[s] = 0.0, 0.0
                    continue
                seen[s] += 1.0
                if seen[s] > lead:
                    total[s] += x[s]
                if seen[s] == lead + window:
                    average[s] = total[s] / window
                    made[s] = average[s]
                    seen[s], total[s] = 0.0, 0.0


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
            g = _over(gain[s] * (window - 1) + up, window, inverse)
            f = _over(loss[s] * (window - 1) + (up - change), window, inverse)
            gain[s] = g
            loss[s] = f
            whole = g + f
            made[s] = 0.0 if whole < NEGLIGIBLE else 100.0 * (g / whole)
            cold += np.isnan(whole)
        if cold:
            for s in range(len(gain)):
                if not np.isnan(gain[s]):
                    continue
                change = x[s] - before[s]
                if np.isnan(change):
                    seen[s], gained[s], lost[s] = 0.0, 0.0, 0.0
                    continue
                seen[s] += 1.0
                gained[s] += max(change, 0.0)
                lost[s] += max(-change, 0.0)
                if seen[s] == window:
                    gain[s], loss[s] = gained[s] / window, lost[s] / window
                    whole = gain[s] + loss[s]
                    made[s] = 100.0 * (gain[s] / whole) if whole >= NEGLIGIBLE else 0.0
                    seen[s], gained[s], lost[s] = 0.0, 0.0, 0.0
        for s in range(len(gain)):
            before[s] = x[s]


@njit(cache=True, nogil=True)
def _turn(state):
    """Begin a new phase: sums over the last 1, 2 ... 19 closes, as distances from the new anchor."""
    anchor = state[ANCHOR]
    for k in range(1, WINDOW):
        j = WINDOW - k
        x, total, square = state[RING + j], state[SUMS + j - 1], state[SQUARES + j - 1]
        if k == 1:
            for s in range(len(anchor)):
                d = x[s] - anchor[s]
                total[s] = d
                square[s] = d * d
        else:
            later, squares = state[SUMS + j], state[SQUARES + j]
            for s in range(len(anchor)):
                d = x[s] - anchor[s]
                total[s] = later[s] + d
                square[s] = squares[s] + d * d
    state[SUMS + WINDOW - 1] = 0.0
    state[SQUARES + WINDOW - 1] = 0.0
    state[SUM] = 0.0
    state[SQUARE] = 0.0


@njit(cache=True, nogil=True)
def _moments(values, state, phase, out, at, first, last):
    """Average, standard deviation and bands of the last 20, for the rows of one phase.

    A window is the rest of the last phase and what there is of this one (van Herk 1992), as distances from the first close of this phase,
    which is always among them: each window is summed anew, nothing drifts, whole numbers give exact sums and an exact variance.
    """
    anchor, total, square = state[ANCHOR], state[SUM], state[SQUARE]
    inverse = 1.0 / WINDOW
    for i in range(len(values)):
        j = phase + i
        x, kept = values[i, first:last], state[RING + j]
        if j == 0:
            for s in range(len(x)):
                anchor[s] = x[s]
            _turn(state)
        rest, squares = state[SUMS + j], state[SQUARES + j]
        sma, std = out[SMA, at + i, first:last], out[STD, at + i, first:last]
        upper, lower = out[UPPER, at + i, first:last], out[LOWER, at + i, first:last]
        for s in range(len(x)):
            kept[s] = x[s]
        for s in range(len(x)):
            away = x[s] - anchor[s]
            total[s] += away
            square[s] += away * away
            a, b = total[s] + rest[s], square[s] + squares[s]
            mean = _over(WINDOW * anchor[s] + a, WINDOW, inverse)
            variance = WINDOW * b - a * a
            deviation = np.sqrt(0.0 if variance < 0.0 else variance) * inverse
            sma[s] = mean
            std[s] = deviation
        for s in range(len(x)):  # apart: more arrays in one loop cost more checks that they do not overlap than they save
            upper[s] = sma[s] + WIDTH * std[s]
            lower[s] = sma[s] - WIDTH * std[s]


@njit(cache=True, nogil=True)
def windows(closes, state, out, first, last):
    """The indicators over a window, phase by phase."""
    whole = last - first == len(state[0])
    own = state if whole else state[:ENDS_WINDOWS, first:last].copy()  # threads that write to one cache line would wait for each other
    at, phase = 0, int(state[PHASE, first])
    while at < len(closes):
        m = min(WINDOW - phase, len(closes) - at)
        _moments(closes[at : at + m], own, phase, out, at, first, last)
        at += m
        phase = (phase + m) % WINDOW
    if not whole:
        state[:ENDS_WINDOWS, first:last] = own
    state[PHASE, first:last] = phase


@njit(cache=True, nogil=True)
def averages(closes, state, out, first, last):
    """The recurrences, some rows at a time: what one makes is still in the cache when the next reads it."""
    rows = len(closes)
    whole = last - first == len(state[0])
    own = state[ENDS_WINDOWS:PHASE] if whole else state[ENDS_WINDOWS:PHASE, first:last].copy()
    fast, slow = np.empty((2, min(rows, WINDOW), last))
    for at in range(0, rows, WINDOW):
        m = min(WINDOW, rows - at)
        new, macd = closes[at : at + m], out[MACD, at : at + m]
        ema_rows(new, FAST, SLOW - FAST, own[:3], fast, first, last)
        ema_rows(new, SLOW, 0, own[3:6], slow, first, last)
        for i in range(m):
            made, a, b = macd[i, first:last], fast[i, first:last], slow[i, first:last]
            for s in range(len(made)):
                made[s] = a[s] - b[s]
        ema_rows(macd, SMOOTH, 0, own[6:9], out[SIGNAL, at : at + m], first, last)
        rsi_rows(new, STRENGTH, own[9:15], out[RSI, at : at + m], first, last)
    if not whole:
        state[ENDS_WINDOWS:PHASE, first:last] = own


def cold(rows: int, n: int = 1) -> Floats:
    """The state of `ema_rows` (3 rows) or `rsi_rows` (6) that has seen nothing: the first half has no value, the counters are at 0."""
    state = np.zeros((rows, n))
    state[: max(rows // 2, 1)] = np.nan
    return state


@njit(cache=True, nogil=True)
def step(closes, state, out):
    """One bar of every symbol: closes [symbol] into `state` [rows, symbol], the indicators into `out` [7, symbol]."""
    row, made = closes.reshape((1, len(closes))), out.reshape((7, 1, len(closes)))
    windows(row, state, made, 0, len(closes))
    averages(row, state, made, 0, len(closes))
