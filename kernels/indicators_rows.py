"""The seven indicators of up to `TILE` symbols at once: a day at a time or a bar at a time.

Columns are [time, symbol], so that the machine's vector lanes run over symbols and a recurrence over time is no obstacle to them. A state
[ROWS, TILE] carries everything from one call to the next: a day in one call, in pieces, or bar by bar gives the same bits. Its width is
known when this is compiled, and so are the distances between its rows: see `indicators_lines`. Some rows of results are made in the
cache, as `planes` one after the other, and then written in runs as long as can be.
"""

import numpy as np
from numba import njit

from kernels.indicators_compiled import (
    FAST,
    MACD,
    SLOW,
    SMA,
    SMOOTH,
    STRENGTH,
    WIDTH,
    WINDOW,
    average_begins,
    index_of,
    over,
    strength_begins,
)
from kernels.indicators_lines import copy, get, put, settle

TILE = 104
RUN = 40  # rows made in the cache before they are written: shorter runs are slower to write
PLANE = RUN * TILE
PLANES = 4 * PLANE  # as much as either kind makes in the cache
LARGE = 2_000_000  # results that do not stay in the cache
BLOCK = 10 * WINDOW  # rows whose closes do

# The rows of the state.
RING = 0  # the last 20 closes, each in the row of its phase
SUMS = RING + WINDOW  # of the 20 before this phase began: sums of those still in the window ...
SQUARES = SUMS + WINDOW  # ... and of their squares, both as distances from the anchor
ANCHOR = SQUARES + WINDOW
SUM, SQUARE = ANCHOR + 1, ANCHOR + 2  # of those since the phase began
ENDS_WINDOWS = SQUARE + 1
QUICK = ENDS_WINDOWS  # of each average: its value, how many values a lane without one has seen, their sum so far
STEADY, SIGNALS = QUICK + 3, QUICK + 6
BEFORE = QUICK + 9  # the last close
GAIN, LOSS, SEEN, GAINED, LOST = range(BEFORE + 1, BEFORE + 6)
PHASE = BEFORE + 6
ROWS = PHASE + 1


@njit(cache=True, nogil=True, error_model="numpy")
def _turn(state, n):
    """Begin a new phase: sums over the last 1, 2 ... 19 closes, as distances from the new anchor."""
    state[SUMS + WINDOW - 1] = 0.0
    state[SQUARES + WINDOW - 1] = 0.0
    state[SUM] = 0.0
    state[SQUARE] = 0.0
    flat = state.reshape(-1)
    for k in range(1, WINDOW):
        row = (WINDOW - k) * TILE
        for s in range(n):
            d = get(flat, RING * TILE + row + s) - get(flat, ANCHOR * TILE + s)
            put(flat, (SUMS - 1) * TILE + row + s, get(flat, SUMS * TILE + row + s) + d)
            put(flat, (SQUARES - 1) * TILE + row + s, get(flat, SQUARES * TILE + row + s) + d * d)


@njit(cache=True, nogil=True)
def _write(planes, count, out, at, rows, first, last):
    """Write so many rows of so many planes to `out` [planes, time, symbol]."""
    n = last - first
    past = out.size > LARGE
    for k in range(count):
        if n == out.shape[2]:
            copy(out[k, at : at + rows].reshape(-1), planes, k * PLANE, rows * n, past)
        else:
            for i in range(rows):
                copy(out[k, at + i, first:last], planes, k * PLANE + i * n, n, past)


@njit(cache=True, nogil=True, error_model="numpy")
def windows(closes, state, planes, out, at, rows, first, last):
    """Average, standard deviation and bands of the last 20, for `rows` rows from `at` on.

    A window is the rest of the last phase and what there is of this one (van Herk 1992), as distances from the first close of this phase,
    which is always among them: each window is summed anew, nothing drifts, whole numbers give exact sums and an exact variance.
    """
    n, flat = last - first, state.reshape(-1)
    inverse = 1.0 / WINDOW
    phase, begin = int(state[PHASE, 0]), at
    for t in range(at, at + rows):
        x = closes[t, first:last]
        if phase == 0:
            state[ANCHOR, :n] = x
            _turn(state, n)
        rest, made = state[SUMS + phase :].reshape(-1), planes[(t - begin) * n :]
        for s in range(n):
            anchor = get(flat, ANCHOR * TILE + s)
            away = get(x, s) - anchor
            total, square = get(flat, SUM * TILE + s) + away, get(flat, SQUARE * TILE + s) + away * away
            put(flat, SUM * TILE + s, total)
            put(flat, SQUARE * TILE + s, square)
            a, b = total + get(rest, s), square + get(rest, (SQUARES - SUMS) * TILE + s)
            mean = over(WINDOW * anchor + a, WINDOW, inverse)
            variance = WINDOW * b - a * a
            deviation = np.sqrt(0.0 if variance < 0.0 else variance) * inverse
            put(made, s, mean)
            put(made, PLANE + s, deviation)
            put(made, 2 * PLANE + s, mean + WIDTH * deviation)
            put(made, 3 * PLANE + s, mean - WIDTH * deviation)
        state[RING + phase, :n] = x
        phase = (phase + 1) % WINDOW
        if t + 1 - begin == RUN or t + 1 == at + rows:
            _write(planes, 4, out[SMA:MACD], begin, t + 1 - begin, first, last)
            begin = t + 1
    state[PHASE] = phase
    settle()


@njit(cache=True, nogil=True)
def _begin(x, before, state, made, n):
    """Seed the lanes that have no value yet."""
    for s in range(n):
        if np.isnan(state[SIGNALS, s]):
            if np.isnan(state[QUICK, s]):
                average_begins(state[QUICK], state[QUICK + 1], state[QUICK + 2], s, x[s], FAST, SLOW - FAST)
            if np.isnan(state[STEADY, s]):
                average_begins(state[STEADY], state[STEADY + 1], state[STEADY + 2], s, x[s], SLOW, 0)
            made[s] = state[QUICK, s] - state[STEADY, s]
            average_begins(state[SIGNALS], state[SIGNALS + 1], state[SIGNALS + 2], s, made[s], SMOOTH, 0)
            made[PLANE + s] = state[SIGNALS, s]
        if np.isnan(state[GAIN, s]):
            strength_begins(state[GAIN], state[LOSS], state[SEEN], state[GAINED], state[LOST], s, x[s] - before[s], STRENGTH)
            made[2 * PLANE + s] = index_of(state[GAIN, s], state[GAIN, s] + state[LOSS, s])


@njit(cache=True, nogil=True, error_model="numpy")
def averages(closes, state, planes, out, at, rows, first, last):
    """The difference of two averages, its own average, and the index of strength: all recurrences in one pass."""
    n, flat = last - first, state.reshape(-1)
    quick, steady, smooth = 2.0 / (FAST + 1.0), 2.0 / (SLOW + 1.0), 2.0 / (SMOOTH + 1.0)
    inverse = 1.0 / STRENGTH
    before, begin = state[BEFORE, :n], at
    for t in range(at, at + rows):
        x, made = closes[t, first:last], planes[(t - begin) * n :]
        cold = 0
        for s in range(n):
            close = get(x, s)
            a, b, c = get(flat, QUICK * TILE + s), get(flat, STEADY * TILE + s), get(flat, SIGNALS * TILE + s)
            a, b = (close - a) * quick + a, (close - b) * steady + b
            between = a - b
            c = (between - c) * smooth + c
            put(flat, QUICK * TILE + s, a)
            put(flat, STEADY * TILE + s, b)
            put(flat, SIGNALS * TILE + s, c)
            change = close - get(before, s)
            up = 0.5 * (change + abs(change))
            gain = over(get(flat, GAIN * TILE + s) * (STRENGTH - 1) + up, STRENGTH, inverse)
            loss = over(get(flat, LOSS * TILE + s) * (STRENGTH - 1) + (up - change), STRENGTH, inverse)
            put(flat, GAIN * TILE + s, gain)
            put(flat, LOSS * TILE + s, loss)
            put(made, s, between)
            put(made, PLANE + s, c)
            put(made, 2 * PLANE + s, index_of(gain, gain + loss))
            cold += np.isnan(c + (gain + loss))  # a NaN above is one in `c`
        if cold:
            _begin(x, before, state, made, n)
        before = x
        if t + 1 - begin == RUN or t + 1 == at + rows:
            _write(planes, 3, out[MACD:], begin, t + 1 - begin, first, last)
            begin = t + 1
    state[BEFORE, :n] = before
    settle()


@njit(cache=True, nogil=True)
def both(closes, state, planes, out, first, last):
    """All seven, some rows at a time: the closes that one kind has read are still in the cache for the other."""
    for at in range(0, len(closes), BLOCK):
        rows = min(BLOCK, len(closes) - at)
        windows(closes, state, planes, out, at, rows, first, last)
        averages(closes, state, planes, out, at, rows, first, last)


@njit(cache=True, nogil=True)
def step(closes, state, out):
    """One bar of every symbol: closes [symbol] into the state [tiles, ROWS, TILE], the indicators into `out` [7, symbol]."""
    n, tiles = len(closes), len(state)
    row, made = closes.reshape((1, n)), out.reshape((7, 1, n))
    planes = np.empty(PLANES)
    for k in range(tiles):
        both(row, state[k], planes, made, n * k // tiles, n * (k + 1) // tiles)
