"""The venue's side of the simulation: a book that the market's events make, our orders that rest in it, and what becomes of them.

    state = venue(rules);  step(...) for each event of the market;  fills_arrivals.place(...), cancel(...) for ours  ->  reports

Reports (acks, fills, expiries, refusals) are appended to a ring; a live loop (paper trading, the venue simulator) reads them with
`drained` after each call, the backtest (`kernels.fills`) takes them after their latency. The market is replayed and so does not
react: our orders take nothing away from it. Rules of filling are those of the hftbacktest project's exchange models (nkaz001, 2022
on), so that results can be compared fill for fill:

    a resting order is filled when a trade goes through its price, when the other side's best reaches its price, or when a trade at
    its price reaches it in the queue (`kernels.fills_queue`); without partial fills always as a whole
"""

from typing import NamedTuple

import numpy as np
from numba import njit

from kernels.fills_book import (
    BEST,
    DEPTH,
    FIRST_OWN,
    LAST_OWN,
    N_OUTSIDE,
    N_OWN,
    N_REPORTS,
    NONE,
    TRADE,
    book,
    clear,
    key_of,
    price_of,
    put,
)
from kernels.fills_queue import ID, KEY, LEFT, N_FIELDS, RISK_AVERSE, changed, traded

GTC, GTX, IOC = 0, 1, 2  # good till cancelled; post only; immediate or cancel
LIMIT, MARKET = 0, 1
PENDING, NEW, EXPIRED, FILLED, CANCELLED, PARTIAL, REJECTED = 0, 1, 2, 3, 4, 5, 6  # of an order, and what a report says of it
# Fields of a report: received here (0 until it is known), the venue's time, order, status, side, price, filled now, left, maker.
RECEIVED, TS, ORDER, STATUS, SIDE, PRICE, SIZE, REST, MAKER = range(9)
N_REPORT = 16  # fields kept for a report: two cache lines


class Rules(NamedTuple):
    """What holds for a run. Prices in ticks, times in ns, `lot` is the size of one lot, fees are shares of notional."""

    low: int  # the lowest price of the books' window
    last: int  # its highest price less its lowest
    lot: float = 1.0
    tick: float = 1.0
    model: int = RISK_AVERSE
    power: float = 1.0  # of the probability model POWER
    partial: bool = False
    entry_ns: int = 0
    response_ns: int = 0
    maker_fee: float = 0.0
    taker_fee: float = 0.0


class Venue(NamedTuple):
    """The venue's state, in plain arrays that the functions here change in place."""

    levels: np.ndarray  # lots [2, window]
    at: np.ndarray  # places, see fills_book
    own: np.ndarray  # our resting orders [2, room, fields], best price first, then as they came
    places: np.ndarray  # [2, room, 2] their places by the probability models
    reports: np.ndarray  # ring [room, fields]


def venue(rules: Rules, *, room: int = 64) -> Venue:
    """An empty venue with room for so many resting orders a side."""
    levels, at = book(rules.last)
    ring = 1 << int(np.ceil(np.log2(16 * room)))
    return Venue(levels, at, np.zeros((2, room, N_FIELDS), np.int64), np.zeros((2, room, 2)), np.zeros((ring, N_REPORT), np.int64))


@njit(cache=True, nogil=True, forceinline=True)
def report(state, ts, order, status, side, price, size, rest, maker):
    row = state.reports[state.at[N_REPORTS] & (len(state.reports) - 1)]
    row[RECEIVED], row[TS], row[ORDER], row[STATUS], row[SIDE] = 0, ts, order, status, side
    row[PRICE], row[SIZE], row[REST], row[MAKER] = price, size, rest, maker
    state.at[N_REPORTS] += 1


@njit(cache=True, nogil=True, forceinline=True)
def mark(state, side):
    """Note again where our orders of a side begin and end."""
    n = state.at[N_OWN + side]
    state.at[FIRST_OWN + side] = state.own[side, 0, KEY] if n else NONE
    state.at[LAST_OWN + side] = state.own[side, n - 1, KEY] if n else -1


@njit(cache=True, nogil=True)
def remove(state, side, i):
    n = state.at[N_OWN + side] - 1
    for j in range(i, n):
        state.own[side, j] = state.own[side, j + 1]
        state.places[side, j] = state.places[side, j + 1]
    state.at[N_OWN + side] = n


@njit(cache=True, nogil=True)
def _fill(state, rules, side, i, size, ts):
    """Fill `size` lots of our i-th order of a side as a maker; returns whether it is gone."""
    own = state.own[side, i]
    own[LEFT] -= size
    price = price_of(side, own[KEY], rules.low, rules.last)
    report(state, ts, own[ID], FILLED if own[LEFT] == 0 else PARTIAL, side, price, size, own[LEFT], 1)
    if own[LEFT] == 0:
        remove(state, side, i)
        return True
    return False


@njit(cache=True, nogil=True, forceinline=True)
def level_changed(state, rules, side, key, before, after):
    """Our orders at a level whose size changed."""
    for i in range(state.at[N_OWN + side]):
        own = state.own[side, i]
        if own[KEY] == key:
            changed(own, state.places[side, i], before, after, rules.model, rules.power, rules.lot)
        elif own[KEY] > key:
            break


@njit(cache=True, nogil=True)
def reached(state, rules, side, key, ts):
    """The other side's best has come to `key` of ours: what rests there or before it is filled."""
    while state.at[N_OWN + side] and state.own[side, 0, KEY] <= key:
        _fill(state, rules, side, 0, state.own[side, 0, LEFT], ts)
    mark(state, side)


@njit(cache=True, nogil=True)
def hit(state, rules, side, key, size, ts):
    """A trade of `size` lots at `key` of ours: better prices are filled, at that price as far as the queue lets it reach."""
    i = 0
    while i < state.at[N_OWN + side]:
        own = state.own[side, i]
        if own[KEY] > key:
            break
        fills = own[LEFT]
        if own[KEY] == key:
            reach = traded(own, state.places[side, i], size, rules.model, rules.lot)
            fills = 0 if reach <= 0 else min(reach, own[LEFT]) if rules.partial else own[LEFT]
        if fills == 0 or not _fill(state, rules, side, i, fills, ts):
            i += 1
    mark(state, side)


@njit(cache=True, nogil=True, forceinline=True)
def step(state, rules, ts, kind, side, price, size):
    """One event of the market; `ts` is the venue's time in ns, kinds as in `fills_book`. What it fills is reported."""
    levels, at, low, last = state.levels, state.at, rules.low, rules.last
    if kind == DEPTH:
        key = key_of(side, price, low, last)
        if not 0 <= key <= last:
            at[N_OUTSIDE] += 1
            return
        before, best = levels[side, key], at[BEST + side]
        put(levels, at, last, side, key, size)
        if at[FIRST_OWN + side] <= key <= at[LAST_OWN + side]:
            level_changed(state, rules, side, key, before, size)
        if size and key < best and key + at[FIRST_OWN + 1 - side] <= last:
            reached(state, rules, 1 - side, last - key, ts)
    elif kind == TRADE:
        key = key_of(1 - side, price, low, last)
        if at[FIRST_OWN + 1 - side] <= key:
            hit(state, rules, 1 - side, key, size, ts)
    else:
        clear(levels, at, last, side, key_of(side, price, low, last))


@njit(cache=True, nogil=True, forceinline=True)
def replay(state, rules, events, row, until):
    """`step` for the events from `row` on up to and with the time `until`; returns the next row. What is far from our orders is
    dealt with here: most events are."""
    levels, at, low, last = state.levels, state.at, rules.low, rules.last
    n = len(events)
    while row < n:
        event = events[row]
        if event.ts_event > until:
            break
        kind, side = event.kind, np.int64(event.side)
        if kind == DEPTH:
            key = key_of(side, event.price, low, last)
            ours = at[FIRST_OWN + side] <= key <= at[LAST_OWN + side] or key + at[FIRST_OWN + 1 - side] <= last
            if ours or np.uint64(key) > np.uint64(last):
                step(state, rules, event.ts_event, DEPTH, side, event.price, event.size)
            else:
                put(levels, at, last, side, key, event.size)
        elif kind != TRADE or at[FIRST_OWN + 1 - side] <= key_of(1 - side, event.price, low, last):
            step(state, rules, event.ts_event, kind, side, event.price, event.size)
        row += 1
    return row


def drained(state: Venue, read: int) -> np.ndarray:
    """The reports since the `read`-th, oldest first, [n, 9]; the caller's next `read` is that many more."""
    ring = len(state.reports)
    return state.reports[np.arange(read, state.at[N_REPORTS]) % ring][:, : MAKER + 1]
