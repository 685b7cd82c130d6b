"""The clock of a feed and its fused top, row by row: compiled, on one symbol's state (columns of `kernels.live_market_state`)."""

from numba import njit

from core.market import NS
from kernels import live_market_state as c
from kernels.book import NONE


@njit(cache=True, nogil=True)
def heard(state, rules, ts_recv):
    """A row came: after a silence of longer than the allowed gap the seconds that are open were touched by it."""
    if state[c.RECV] and ts_recv - state[c.RECV] > rules[c.GAP]:
        state[c.GAP_END] = ts_recv
        if state[c.LATEST] >= 0:
            state[c.TOUCHED] = state[c.LATEST] // NS
    state[c.RECV] = max(state[c.RECV], ts_recv)


@njit(cache=True, nogil=True)
def owned(rules, event, ts_recv):
    """Whether the venue gave a time, and one that may be."""
    return event != 0 and abs(event - ts_recv - rules[c.OFFSET]) <= rules[c.SKEW]


@njit(cache=True, nogil=True)
def tell(state, rules, event, ts_recv):
    """Let a row tell the time. Seconds before the first are added as long as none is closed."""
    heard(state, rules, ts_recv)
    own = owned(rules, event, ts_recv)
    second = (event if own else ts_recv + rules[c.OFFSET]) // NS
    first = state[c.OPEN_SECOND]
    if first == c.NOTHING or (state[c.N_CLOSED] == 0 and second < first and second > first - c.SLOTS // 2):
        state[c.OPEN_SECOND] = second
    if own and event > state[c.LATEST]:
        state[c.LATEST] = event
        if state[c.GAP_END] == ts_recv:
            state[c.TOUCHED] = second


@njit(cache=True, nogil=True)
def move(state, rules, ts_recv, bid, bid_size, ask, ask_size):
    """Put a new top in place of the old and count its order flow (Cont, Kukanov & Stoikov 2014); 0 is unknown.

    What was known before this receipt is kept: trades are measured against it.
    """
    was_bid, was_ask = state[c.BID], state[c.ASK]
    if bid > 0 and ask > 0 and was_bid > 0 and was_ask > 0 and ts_recv - state[c.TOP_AT] <= rules[c.GAP]:
        e = 0
        if bid >= was_bid:
            e += bid_size
        if bid <= was_bid:
            e -= state[c.BID_SIZE]
        if ask <= was_ask:
            e -= ask_size
        if ask >= was_ask:
            e += state[c.ASK_SIZE]
        state[c.OFI] += e
        state[c.OFI_ABS] += abs(e)
    if state[c.TOP_AT] < ts_recv:
        state[c.WAS_BID], state[c.WAS_ASK], state[c.WAS_AT] = was_bid, was_ask, state[c.TOP_AT]
    state[c.BID], state[c.BID_SIZE], state[c.ASK], state[c.ASK_SIZE] = bid, bid_size, ask, ask_size
    state[c.TOP_AT] = ts_recv


@njit(cache=True, nogil=True)
def fuse(state, rules, ts_recv, update_id, bid, bid_size, ask, ask_size):
    """Whether this top is newer than the one there is, and put in its place."""
    if update_id != NONE and update_id <= state[c.TOP_ID]:
        return False
    state[c.TOP_ID] = max(state[c.TOP_ID], update_id)
    state[c.TOP_KNOWN] = 1
    move(state, rules, ts_recv, bid, bid_size, ask, ask_size)
    return True


@njit(cache=True, nogil=True)
def lose(state, rules, ts_recv):
    """The book is unknown: so is the top, where no quote ever told it."""
    if state[c.TOP_KNOWN] and not state[c.QUOTED]:
        state[c.TOP_KNOWN] = 0
        move(state, rules, ts_recv, 0, 0, 0, 0)


@njit(cache=True, nogil=True)
def outside(state):
    """Whether the top left the bounds it is watched for; it is told once."""
    if not state[c.WATCHED] or not state[c.TOP_KNOWN]:
        return False
    bid, ask = state[c.BID], state[c.ASK]
    inside = state[c.BID_LOW] <= bid <= state[c.BID_HIGH] and state[c.ASK_LOW] <= ask <= state[c.ASK_HIGH]
    state[c.WATCHED] = inside
    return not inside
