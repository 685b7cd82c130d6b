"""Orders and cancels that arrive at the simulated venue: they take, rest, expire or are rejected, and a report says which.

An order that crosses on arrival takes the best price of the other side, as a whole; with partial fills level by level, and what
is left of a GTC order then at its limit (it cannot rest in a replayed book that it crosses), of any other expires.
"""

from numba import njit

from kernels.fills_book import BEST, N_OWN, NONE, key_of, price_of
from kernels.fills_queue import AHEAD, ID, KEY, LEFT, TIME_IN_FORCE, joined
from kernels.fills_venue import CANCELLED, EXPIRED, FILLED, GTC, GTX, IOC, LIMIT, MARKET, NEW, PARTIAL, REJECTED, mark, remove, report


@njit(cache=True, nogil=True)
def _take(state, rules, ts, order, side, key, size, tif, kind):
    """An order that crosses takes what is there."""
    opposite = 1 - side
    best = state.at[BEST + opposite]
    if not rules.partial:
        report(state, ts, order, FILLED, side, price_of(opposite, best, rules.low, rules.last), size, 0, 0)
        return
    end = rules.last if kind == MARKET else min(rules.last - key, rules.last)
    left = size
    while best <= end and left:
        level = state.levels[opposite, best]
        if level:
            some = min(level, left)
            left -= some
            status = PARTIAL if left else FILLED
            report(state, ts, order, status, side, price_of(opposite, best, rules.low, rules.last), some, left, 0)
        best += 1
    if left and kind == LIMIT and tif == GTC:
        report(state, ts, order, FILLED, side, price_of(side, key, rules.low, rules.last), left, 0, 0)
    elif left:
        report(state, ts, order, EXPIRED, side, 0, 0, left, 0)


@njit(cache=True, nogil=True)
def _known(state, order):
    """(side, place) of a resting order; place -1 where it does not rest."""
    for side in range(2):
        for i in range(state.at[N_OWN + side]):
            if state.own[side, i, ID] == order:
                return side, i
    return 0, -1


@njit(cache=True, nogil=True)
def place(state, rules, ts, order, side, price, size, kind, tif):
    """An order arrives at the venue at `ts`: it takes, rests, expires or is rejected (no size, an id that rests already, a price
    outside of the window to rest at, no room)."""
    last = rules.last
    key = key_of(side, price, rules.low, last)
    opposite = state.at[BEST + 1 - side]
    if size <= 0 or _known(state, order)[1] >= 0:
        report(state, ts, order, REJECTED, side, price, 0, size, 0)
    elif kind == MARKET or key + opposite <= last:
        if opposite == NONE or (tif == GTX and kind == LIMIT):
            report(state, ts, order, EXPIRED, side, price, 0, size, 0)
        else:
            _take(state, rules, ts, order, side, key, size, tif, kind)
    elif tif == IOC:
        report(state, ts, order, EXPIRED, side, price, 0, size, 0)
    elif key < 0 or key > last or state.at[N_OWN + side] == state.own.shape[1]:
        report(state, ts, order, REJECTED, side, price, 0, size, 0)
    else:
        i = state.at[N_OWN + side]
        while i and state.own[side, i - 1, KEY] > key:
            state.own[side, i] = state.own[side, i - 1]
            state.places[side, i] = state.places[side, i - 1]
            i -= 1
        own = state.own[side, i]
        own[KEY], own[ID], own[LEFT], own[TIME_IN_FORCE], own[AHEAD] = key, order, size, tif, 0
        joined(own, state.places[side, i], state.levels[side, key], rules.model, rules.lot)
        state.at[N_OWN + side] += 1
        mark(state, side)
        report(state, ts, order, NEW, side, price, 0, size, 0)


@njit(cache=True, nogil=True)
def cancel(state, rules, ts, order):
    """A cancel arrives: the order is cancelled, or the cancel rejected because it does not rest (any more)."""
    side, i = _known(state, order)
    if i < 0:
        report(state, ts, order, REJECTED, 0, 0, 0, 0, 0)
        return
    own = state.own[side, i]
    report(state, ts, order, CANCELLED, side, price_of(side, own[KEY], rules.low, rules.last), 0, own[LEFT], 0)
    remove(state, side, i)
    mark(state, side)
