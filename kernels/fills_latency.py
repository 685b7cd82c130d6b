"""How long an order takes to the venue and its answer back: constant, or interpolated between measured ones."""

import numpy as np
from numba import njit

SENT, ARRIVED, ANSWERED = 0, 1, 2  # columns of measured latencies, ns: sent here, at the venue, answer received here


@njit(cache=True, nogil=True)
def between(ts, begun, ended, rows, rows_at, place):
    """The latency at the time `ts` by the measured columns `begun` -> `ended`, linear in between and constant outside.

    `rows_at[place]` remembers the row found: times of one kind only go forward.
    """
    n = len(rows)
    if ts < rows[0, begun]:
        return rows[0, ended] - rows[0, begun]
    i = rows_at[place]
    while i + 1 < n and rows[i + 1, begun] <= ts:
        i += 1
    rows_at[place] = i
    here = rows[i, ended] - rows[i, begun]
    if i + 1 == n:
        return here
    there = rows[i + 1, ended] - rows[i + 1, begun]
    span = rows[i + 1, begun] - rows[i, begun]
    return np.int64((there - here) / span * (ts - rows[i, begun])) + here


@njit(cache=True, nogil=True, forceinline=True)
def entry(ts, constant, rows, rows_at, place):
    """ns from sending at `ts` to the venue."""
    return constant if len(rows) == 0 else between(ts, SENT, ARRIVED, rows, rows_at, place)


@njit(cache=True, nogil=True, forceinline=True)
def response(ts, constant, rows, rows_at, place):
    """ns from the venue's answer at `ts` to its receipt."""
    return constant if len(rows) == 0 else between(ts, ARRIVED, ANSWERED, rows, rows_at, place)
