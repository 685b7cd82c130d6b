"""A book of two dense sides over a window of prices, in ticks and lots: a level is set in one store, and the best is followed.

A side counts its *keys* from the end where its best prices are: the key of a bid is `high - price`, of an ask `price - low`. So the
best level of either side is its smallest key, and bid and ask at keys `b` and `a` cross exactly where `a + b <= last`, `last`
being the largest key. Levels that a better quote of the other side overtakes keep their size, as the venue's diffs are yet to
take them away, but the best no longer is among them (hftbacktest's market depth does the same, and so equals it fill for fill).
"""

import numpy as np
from numba import njit

BUY, SELL = 0, 1  # sides; the bids are the book's side 0, the asks 1; a trade has its aggressor's
DEPTH, TRADE, CLEAR = 0, 1, 2  # kinds of events: a level's new size; a trade; a side's levels up to and with a price are gone
NONE = 1 << 60  # the key of a best that is not there
# Places in the array that goes with a book's levels. Those of a side are pairs: add the side.
BEST, FARTHEST, N_OWN, FIRST_OWN, LAST_OWN = 0, 2, 4, 6, 8
N_REPORTS, N_OUTSIDE = 10, 11
N_PLACES = 12


def book(last: int) -> tuple[np.ndarray, np.ndarray]:
    """An empty book of `last + 1` prices: sizes in lots [2, last + 1], and where its bests stand (int64)."""
    at = np.zeros(N_PLACES, np.int64)
    at[[BEST, BEST + 1, FIRST_OWN, FIRST_OWN + 1]] = NONE
    at[[FARTHEST, FARTHEST + 1, LAST_OWN, LAST_OWN + 1]] = -1
    return np.zeros((2, last + 1), np.int64), at


@njit(cache=True, nogil=True, forceinline=True)
def key_of(side, price, low, last):
    """The key of a price on a side; below 0 or above `last` outside of the window."""
    return np.int64(price) - low if side else low + last - np.int64(price)


@njit(cache=True, nogil=True, forceinline=True)
def price_of(side, key, low, last):
    return low + key if side else low + last - key


@njit(cache=True, nogil=True)
def next_best(levels, at, side, key):
    """Move a side's best to its first level from `key` on."""
    farthest = at[FARTHEST + side]
    while key <= farthest:
        if levels[side, np.uintp(key)]:
            at[BEST + side] = key
            return
        key += 1
    at[BEST + side] = NONE


@njit(cache=True, nogil=True)
def worse(levels, at, side, key):
    """The best has gone: the next one, from `key` on. A side found empty forgets how far it reached."""
    next_best(levels, at, side, key)
    if at[BEST + side] == NONE:
        at[FARTHEST + side] = -1


@njit(cache=True, nogil=True, forceinline=True)
def put(levels, at, last, side, key, size):
    """Set a level to so many lots; 0 takes it away. The key has to be within the window."""
    levels[side, np.uintp(key)] = size
    best = at[BEST + side]
    if size:
        at[FARTHEST + side] = max(at[FARTHEST + side], key)
        if key < best:
            at[BEST + side] = key
            if key + at[BEST + 1 - side] <= last:
                next_best(levels, at, 1 - side, last - key + 1)
    elif key == best:
        worse(levels, at, side, key + 1)


@njit(cache=True, nogil=True)
def clear(levels, at, last, side, key):
    """Take away a side's levels up to and with `key` (all where it is `last` or more)."""
    end = min(key, last)
    if end >= 0:
        levels[side, : end + 1] = 0
    if at[BEST + side] <= end:
        worse(levels, at, side, end + 1)


@njit(cache=True, nogil=True, forceinline=True)
def follow(levels, at, low, last, events, order, row, until):
    """Apply what is received up to and with the time `until`, from the place `row` in order of receipt on; returns the next place."""
    straight = len(order) == 0
    n = len(events)
    while row < n:
        event = events[row if straight else order[row]]
        if event.ts_recv > until:
            break
        if event.kind == DEPTH:
            side = np.int64(event.side)
            key = key_of(side, event.price, low, last)
            if np.uint64(key) <= np.uint64(last):
                put(levels, at, last, side, key, event.size)
            else:
                at[N_OUTSIDE] += 1
        elif event.kind == CLEAR:
            clear(levels, at, last, np.int64(event.side), key_of(np.int64(event.side), event.price, low, last))
        row += 1
    return row
