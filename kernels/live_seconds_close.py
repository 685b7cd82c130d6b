"""Closing a second: what was traded in it, the top and the book known at its close, and from them its features. Compiled."""

import numpy as np
from numba import njit

from core.market import NS
from kernels import live_market_state as c
from kernels import live_seconds as g
from kernels.bars import OVERFLOW
from kernels.book_features import N_LEVELS, _one_side
from kernels.book_sides import emit
from kernels.live_seconds_windows import NULL
from kernels.seconds import CARRY_S

# What is told of a second beside its features, int64; `NULL` where it is not there.
(
    TS_BAR, KNOWN_AT, SEGMENT, OPEN, HIGH, LOW, CLOSE, VOLUME, BUYS, SELLS, N_TRADES, NOTIONAL, CARRIED, BID, ASK, TOLD,
) = range(16)  # fmt: skip
LONGEST_AWAY = 120  # seconds told of a silence: longer than any window, and nothing is known of the others either


@njit(cache=True, nogil=True)
def _traded(slot, second, told):
    """The bar of a second; whether it has one. A notional beyond 64 bits is `NULL`."""
    told[OPEN : NOTIONAL + 1] = 0
    if slot[c.SECOND_NO] != second or slot[c.N_TRADES] == 0:
        return False
    told[OPEN], told[HIGH], told[LOW], told[CLOSE] = slot[c.OPEN], slot[c.HIGH], slot[c.LOW], slot[c.CLOSE]
    told[VOLUME], told[BUYS], told[SELLS] = slot[c.VOLUME], slot[c.BUYS], slot[c.SELLS]
    told[N_TRADES], told[NOTIONAL] = slot[c.N_TRADES], slot[c.NOTIONAL]
    return True


@njit(cache=True, nogil=True)
def _carried(state, traded, weigh, spreads, s, told, given):
    """The close and the effective spread of the second, or those of one before it in its unbroken run."""
    state[c.CARRIED_S] += 1
    state[c.SPREAD_S] += 1
    if traded:
        state[c.CARRIED], state[c.CARRIED_S] = told[CLOSE], 0
        if abs(weigh[c.ABOUT]) >= OVERFLOW:
            told[NOTIONAL] = NULL
        if weigh[c.WEIGHT] > 0:
            spreads[s], state[c.SPREAD_S] = weigh[c.WEIGHTED] / weigh[c.WEIGHT], 0
    told[CARRIED] = state[c.CARRIED] if state[c.CARRIED_S] <= CARRY_S else NULL
    given[g.G_SPREAD] = spreads[s] if state[c.SPREAD_S] <= CARRY_S else np.nan


@njit(cache=True, nogil=True)
def _seen(state, rules, book, known_at, price_unit, size_unit, offsets, best, given):
    """The top and the sums of the book that hold at the close; whether a top does."""
    made = given[g.G_LEVELS :].reshape(1, g.GIVEN - g.G_LEVELS)
    if state[c.KNOWN] and known_at - state[c.BOOK_AT] <= rules[c.GAP]:
        offsets[1] = emit(book[0], book[1], state[c.N_BIDS], N_LEVELS, best[0], best[1], 0)
        _one_side(offsets, best[0], best[1], made, 0, 2, 4, 6, 8)
        offsets[1] = emit(book[2], book[3], state[c.N_ASKS], N_LEVELS, best[0], best[1], 0)
        _one_side(offsets, best[0], best[1], made, 1, 3, 5, 7, 9)
    bid, ask, age = state[c.BID], state[c.ASK], known_at - state[c.TOP_AT]
    if bid <= 0 or ask <= 0 or age > rules[c.GAP]:
        return False
    given[g.G_BID], given[g.G_ASK], given[g.G_MID] = bid / price_unit, ask / price_unit, (bid + ask) / (2 * price_unit)
    given[g.G_BID_SIZE], given[g.G_ASK_SIZE] = state[c.BID_SIZE] / size_unit, state[c.ASK_SIZE] / size_unit
    given[g.G_TOP_AGE] = age / NS
    return True


@njit(cache=True, nogil=True)
def _begun(state, rules, away):
    """Number the unbroken runs: one ends where a silence begins. What is carried ends with it."""
    if not away:
        state[c.WAS_AWAY], state[c.AWAY_RUN] = 0, 0
        return
    if not state[c.WAS_AWAY] and state[c.N_CLOSED]:
        state[c.SEGMENT] += 1
    state[c.WAS_AWAY] = 1
    state[c.CARRIED_S], state[c.SPREAD_S] = CARRY_S, CARRY_S
    state[c.AWAY_RUN] += 1
    if state[c.AWAY_RUN] == 1:
        closing = min(state[c.TOUCHED], (state[c.LATEST] - rules[c.LATENESS]) // NS - 1)
        state[c.OPEN_SECOND] = max(state[c.OPEN_SECOND], closing - LONGEST_AWAY)


@njit(cache=True, nogil=True)
def close(s, known_at, state, rules, book, pending, weights, spreads, units, rings, work, told, given, whole, out):
    """Close the first open second of symbol `s` at the receipt `known_at`: fill `told`, `given` and the features `out`.

    `units` [2] are what to divide prices and sizes by; `rings` the symbol's of `live_seconds.cold_rings`; `work` room to work in:
    offsets [2], best levels [2, 20], [2, 1].
    """
    away = state[c.OPEN_SECOND] <= state[c.TOUCHED]
    _begun(state, rules, away)
    second = state[c.OPEN_SECOND]
    place = second & (c.SLOTS - 1)
    given[:] = np.nan
    whole[:] = NULL
    traded = _traded(pending[place], second, told)
    told[TS_BAR], told[KNOWN_AT], told[SEGMENT] = (second + 1) * NS, known_at, c.NOTHING if away else state[c.SEGMENT]
    told[CARRIED], told[BID], told[ASK] = NULL, NULL, NULL
    if not away:
        _carried(state, traded, weights[place], spreads, s, told, given)
        whole[g.G_CLOSE], whole[g.G_VOLUME], whole[g.G_BUYS], whole[g.G_SELLS] = told[CARRIED], told[VOLUME], told[BUYS], told[SELLS]
        if _seen(state, rules, book, known_at, units[0], units[1], work[0], work[1], given):
            first = state[c.N_CLOSED] == 0  # before the first second closes there is none to count order flow in
            whole[g.G_OFI], whole[g.G_OFI_ABS] = 0 if first else state[c.OFI], 0 if first else state[c.OFI_ABS]
            told[BID], told[ASK] = state[c.BID], state[c.ASK]
    g.features_of(state[c.N_CLOSED], told[TS_BAR], given, whole, units[0], units[1], rings[0], rings[1], rings[2], work[2], out)
    state[c.OFI], state[c.OFI_ABS] = 0, 0
    state[c.N_CLOSED] += 1
    state[c.OPEN_SECOND] = second + 1
