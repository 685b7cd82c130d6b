"""The trades of seconds that are still open: exact sums, first and last by the venue's time, and their effective spread."""

import numpy as np
from numba import njit

from core.market import NS
from kernels import live_market_state as c
from kernels.quality import NEW_LEVEL


@njit(cache=True, nogil=True)
def told_before(seen, trade_id, event, latest):
    """Whether a trade of this id came before; ids from further back than is remembered count as told.

    What is younger than all that came is new, whatever its id: then the venue counts from anew, and what was remembered is void.
    """
    at = trade_id & (c.REMEMBERED - 1)
    if seen[at] >= trade_id:
        if event <= latest:
            return True
        seen[:] = c.NOTHING
    seen[at] = trade_id
    return False


@njit(cache=True, nogil=True)
def jumps(state, rules, price):
    """Whether a price is further from the last accepted one than prices move (the rule of `kernels.quality.jumps`)."""
    level, share = state[c.LEVEL], rules[c.JUMP_PCT] / 100.0
    if level == 0 or abs(price - level) <= share * level:
        state[c.LEVEL], state[c.RUN] = price, 0
        return False
    if state[c.RUN] and abs(price - state[c.CANDIDATE]) <= share * state[c.CANDIDATE]:
        state[c.RUN] += 1
        if state[c.RUN] >= NEW_LEVEL:
            state[c.LEVEL], state[c.RUN] = price, 0
            return False
        return True
    state[c.RUN], state[c.CANDIDATE] = 1, price
    return True


@njit(cache=True, nogil=True)
def trade(state, rules, pending, weights, event, ts_recv, trade_id, price, size, side):
    """Count a trade in its second, or as late where that is closed."""
    second = event // NS
    if second < state[c.OPEN_SECOND]:
        state[c.N_LATE] += 1
        return
    place = second & (c.SLOTS - 1)
    slot, weigh = pending[place], weights[place]
    if slot[c.SECOND_NO] != second:
        if slot[c.SECOND_NO] > second:
            state[c.N_LATE] += 1  # its place went to a second that is younger by many minutes
            return
        slot[:] = 0
        weigh[:] = 0.0
        slot[c.SECOND_NO], slot[c.HIGH], slot[c.LOW] = second, price, price
    if slot[c.N_TRADES] == 0 or (event, trade_id) < (slot[c.OPEN_TS], slot[c.OPEN_ID]):
        slot[c.OPEN], slot[c.OPEN_TS], slot[c.OPEN_ID] = price, event, trade_id
    if slot[c.N_TRADES] == 0 or (event, trade_id) >= (slot[c.CLOSE_TS], slot[c.CLOSE_ID]):
        slot[c.CLOSE], slot[c.CLOSE_TS], slot[c.CLOSE_ID] = price, event, trade_id
    slot[c.HIGH], slot[c.LOW] = max(slot[c.HIGH], price), min(slot[c.LOW], price)
    slot[c.VOLUME] += size
    if side > 0:
        slot[c.BUYS] += size
    elif side < 0:
        slot[c.SELLS] += size
    slot[c.NOTIONAL] += price * size
    weigh[c.ABOUT] += float(price) * float(size)
    slot[c.N_TRADES] += 1
    now = state[c.TOP_AT] < ts_recv
    bid, ask, at = (state[c.BID], state[c.ASK], state[c.TOP_AT]) if now else (state[c.WAS_BID], state[c.WAS_ASK], state[c.WAS_AT])
    if bid > 0 and ask > 0 and ts_recv - at <= rules[c.GAP]:
        both = bid + ask
        weigh[c.WEIGHTED] += size * (2.0 * abs(2 * price - both) / both)
        weigh[c.WEIGHT] += size


def remembered(n: int) -> np.ndarray:
    """Room for the ids of the trades of `n` symbols."""
    return np.full((n, c.REMEMBERED), c.NOTHING, np.int64)
