"""The levels of one side of a book, sorted with the best last: set one by one, changed by a whole row, and the best told."""

import numpy as np
from numba import njit

SMALL = 64  # levels of a side up to which moving them one place at a time is quicker


@njit(cache=True, nogil=True)
def _shift(values, start, stop, by):
    """Move `values[start:stop]` by one place. Unsigned indices spare numba the test for negative ones, and let it use vectors."""
    one, first, last = np.uintp(1), np.uintp(start), np.uintp(stop)
    if by < 0:
        for j in range(first, last):
            values[j - one] = values[j]
    else:
        for k in range(np.uintp(0), last - first):
            j = last - k
            values[j] = values[j - one]


@njit(cache=True, nogil=True)
def put(prices, sizes, n, price, size, sign):
    """Set one level in a side sorted by `sign * price`; returns the new number of levels."""
    low, high = 0, n
    key = sign * price
    if n and sign * prices[n - 1] < key:
        low = n
    else:
        while low < high:
            middle = (low + high) >> 1
            if sign * prices[middle] < key:
                low = middle + 1
            else:
                high = middle
    if low < n and prices[low] == price:
        if size > 0:
            sizes[low] = size
            return n
        _shift(prices, low + 1, n, -1)
        _shift(sizes, low + 1, n, -1)
        return n - 1
    if size > 0:
        _shift(prices, low, n, 1)
        _shift(sizes, low, n, 1)
        prices[low] = price
        sizes[low] = size
        return n + 1
    return n


@njit(cache=True, nogil=True)
def _find(prices, low, n, key, sign):
    """The first place from `low` on whose price is not before `key`: at most `n`. Without a branch to guess, and so quicker than with."""
    at, room, one = np.uintp(low), np.uintp(n - low), np.uintp(1)
    while room > 1:
        half = room >> one
        at += half * np.uintp(sign * prices[at + half - one] < key)
        room -= half
    return np.int64(at + room * np.uintp(room > 0 and sign * prices[at] < key))


@njit(cache=True, nogil=True)
def _move(values, start, stop, by):
    """Move `values[start:stop]` by so many places. Unsigned indices spare numba the test for negative ones, and let it use vectors."""
    first, last, far, one = np.uintp(start), np.uintp(stop), np.uintp(abs(by)), np.uintp(1)
    if by < 0:
        for j in range(first, last):
            values[j - far] = values[j]
    else:
        for k in range(np.uintp(0), last - first):
            j = last - k - one
            values[j + far] = values[j]


@njit(cache=True, nogil=True)
def change(prices, sizes, n, new_prices, new_sizes, start, stop, sign, at, which):
    """Set the levels `start` to `stop` of a row in one side, each stretch of the side being moved once; returns the new length.

    The levels are in order of price, one way or the other; where they are not, or the side is small, they are set one by one.
    `at` and `which` are room for the places and the levels that come or go.
    """
    if n < SMALL:
        for i in range(start, stop):
            n = put(prices, sizes, n, new_prices[i], new_sizes[i], sign)
        return n
    rises = sign * new_prices[start] < sign * new_prices[stop - 1]
    place, n_changes, before = 0, 0, 0
    for k in range(stop - start):
        j = start + k if rises else stop - 1 - k
        key = sign * new_prices[j]
        if k and key <= before:
            for i in range(start, stop):
                n = put(prices, sizes, n, new_prices[i], new_sizes[i], sign)
            return n
        before = key
        place = _find(prices, place, n, key, sign)
        there = place < n and prices[place] == new_prices[j]
        if there and new_sizes[j] > 0:
            sizes[place] = new_sizes[j]
        elif there or new_sizes[j] > 0:
            at[n_changes], which[n_changes] = place, j
            n_changes += 1
    # What stands between two changes moves by what came less what went before it: first what moves up, from the top, then the rest.
    total = 0
    for k in range(n_changes):
        total += 1 if new_sizes[which[k]] > 0 else -1
    by, end = total, n
    for k in range(n_changes - 1, -1, -1):
        comes = new_sizes[which[k]] > 0
        begin = at[k] if comes else at[k] + 1
        if by > 0:
            _move(prices, begin, end, by)
            _move(sizes, begin, end, by)
        by -= 1 if comes else -1
        end = at[k]
    by = 0
    for k in range(n_changes):
        comes = new_sizes[which[k]] > 0
        begin = at[k] if comes else at[k] + 1
        place = at[k] + by
        by += 1 if comes else -1
        if by < 0:
            end = at[k + 1] if k + 1 < n_changes else n
            _move(prices, begin, end, by)
            _move(sizes, begin, end, by)
        at[k] = place if comes else -1
    for k in range(n_changes):
        if at[k] >= 0:
            prices[at[k]], sizes[at[k]] = new_prices[which[k]], new_sizes[which[k]]
    return n + total


@njit(cache=True, nogil=True)
def emit(prices, sizes, n, keep, out_prices, out_sizes, at):
    """Copy the best `keep` levels, best first, to `at` and on; returns where they end. Unsigned indices, as in `_shift`."""
    few = min(n, keep)
    best, to = np.uintp(n - 1), np.uintp(at)
    for j in range(np.uintp(few)):
        out_prices[to + j] = prices[best - j]
    for j in range(np.uintp(few)):
        out_sizes[to + j] = sizes[best - j]
    return at + few
