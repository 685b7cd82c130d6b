"""What the market does to a book that is a window of prices, compiled: the levels of a diff, a trade, best bid and ask.

Each comes twice: with our orders in the book (`state`, what they fill is reported), and a shorter way for a book without.
"""

from numba import njit

from kernels.fills_book import BEST, BUY, DEPTH, N_OWN, SELL, TRADE, key_of, put
from kernels.fills_queue import KEY
from kernels.fills_venue import level_changed, reached, step

OFF_GRID = -1


@njit(cache=True, nogil=True)
def put_depth(state, rules, ts, tick, bids, asks, row, outside):
    """Set levels [2, n], bids and then asks, from `row` on. Returns (next row, how many of `outside` are set, key of the best bid, of the
    best ask): short of the end where a level would be a best price beyond the window, OFF_GRID and the row where one is not on the
    tick. `outside`: rows of the levels that are on the far side of the window."""
    n_bids, n = bids.shape[1], 0
    end = n_bids + asks.shape[1]
    while row < end:
        side, levels, at = (BUY, bids, row) if row < n_bids else (SELL, asks, row - n_bids)
        price, size = levels[0, at], levels[1, at]
        ticks = price // tick
        if ticks * tick != price:
            return OFF_GRID, row, 0, 0
        key = key_of(side, ticks, rules.low, rules.last)
        if 0 <= key <= rules.last:
            step(state, rules, ts, DEPTH, side, ticks, size)
        elif key < 0 and size:
            break
        else:
            outside[n] = row
            n += 1
        row += 1
    return row, n, state.at[BEST], state.at[BEST + 1]


@njit(cache=True, nogil=True)
def put_depth_alone(book, places, low, last, tick, bids, asks, row, outside):
    """`put_depth` where no order of ours rests."""
    n_bids, n = bids.shape[1], 0
    end = n_bids + asks.shape[1]
    while row < end:
        side, levels, at = (BUY, bids, row) if row < n_bids else (SELL, asks, row - n_bids)
        price, size = levels[0, at], levels[1, at]
        ticks = price // tick
        if ticks * tick != price:
            return OFF_GRID, row, 0, 0
        key = key_of(side, ticks, low, last)
        if 0 <= key <= last:
            put(book, places, last, side, key, size)
        elif key < 0 and size:
            break
        else:
            outside[n] = row
            n += 1
        row += 1
    return row, n, places[BEST], places[BEST + 1]


@njit(cache=True, nogil=True)
def put_trade(state, rules, ts, side, ticks, size):
    step(state, rules, ts, TRADE, side, ticks, size)


@njit(cache=True, nogil=True)
def put_level(state, rules, ts, side, key, size):
    """One level, by its key within the window."""
    before, best = state.levels[side, key], state.at[BEST + side]
    put(state.levels, state.at, rules.last, side, key, size)
    level_changed(state, rules, side, key, before, size)
    if size and key < best and state.at[N_OWN + 1 - side] and state.own[1 - side, 0, KEY] <= rules.last - key:
        reached(state, rules, 1 - side, rules.last - key, ts)


@njit(cache=True, nogil=True)
def put_quote(state, rules, ts, keys, sizes):
    """Best bid and ask at two keys: what stands before them is gone. A side of size 0 is left alone."""
    at = state.at
    for side in range(2):
        if sizes[side]:
            while at[BEST + side] < keys[side]:
                put_level(state, rules, ts, side, at[BEST + side], 0)
            put_level(state, rules, ts, side, keys[side], sizes[side])


@njit(cache=True, nogil=True)
def put_quote_alone(book, places, last, keys, sizes):
    """`put_quote` where no order of ours rests."""
    for side in range(2):
        if sizes[side]:
            while places[BEST + side] < keys[side]:
                put(book, places, last, side, places[BEST + side], 0)
            put(book, places, last, side, keys[side], sizes[side])


@njit(cache=True, nogil=True)
def offers(levels, first, last, size, keys, sizes):
    """Fill keys and sizes of the levels from `first` on that hold `size` together; returns how many levels those are."""
    n = 0
    while first <= last and size > 0 and n < len(keys):
        if levels[first]:
            keys[n], sizes[n] = first, levels[first]
            size -= levels[first]
            n += 1
        first += 1
    return n
