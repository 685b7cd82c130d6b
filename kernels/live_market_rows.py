"""The compiled loop over the rows of one batch, and the changes of one book.

The rules are those of the batch kernels: `kernels.bars` (what closes a second, what is late), `kernels.book` (the chain of ids),
`kernels.top` (which of quotes and book is newer), `kernels.quality` (what is refused), `kernels.book_features` (order flow).
"""

from numba import njit

from core.market import NS
from kernels import frames_live_scan as f
from kernels import live_market_state as c
from kernels.book import APPLIED, NONE, SUPERSEDED, chained
from kernels.book import BROKEN as NO_LONGER
from kernels.book import CROSSED as AMISS
from kernels.book_sides import change, put
from kernels.live_market_top import fuse, heard, lose, outside, owned, tell
from kernels.live_market_trades import jumps, told_before, trade

END, SECOND, TOP, BROKEN, CROSSED, WAITS, GROWS = range(7)  # why the loop stopped; the last two are the caller's to see to


@njit(cache=True, nogil=True)
def renew(state, rules, book, levels, bids, n_bids, asks, n_asks, update_id, ts_recv):
    """Replace the book by a whole one, levels best first; whether it is sound."""
    nb, na = 0, 0
    for j in range(bids + n_bids - 1, bids - 1, -1):
        nb = put(book[0], book[1], nb, levels[0, j], levels[1, j], 1)
    for j in range(asks + n_asks - 1, asks - 1, -1):
        na = put(book[2], book[3], na, levels[0, j], levels[1, j], -1)
    state[c.N_BIDS], state[c.N_ASKS], state[c.LAST_ID], state[c.AWAITS] = nb, na, update_id, 1
    return stands(state, rules, book, update_id, ts_recv)


@njit(cache=True, nogil=True)
def stands(state, rules, book, update_id, ts_recv):
    """Whether the book is not crossed; then its best levels are a row of the top."""
    nb, na = state[c.N_BIDS], state[c.N_ASKS]
    bid, bid_size, ask, ask_size = 0, 0, 0, 0
    if nb:
        bid, bid_size = book[0, nb - 1], book[1, nb - 1]
    if na:
        ask, ask_size = book[2, na - 1], book[3, na - 1]
    if nb and na and bid > ask:
        state[c.KNOWN] = 0
        return False
    state[c.KNOWN], state[c.BOOK_AT] = 1, ts_recv
    fuse(state, rules, ts_recv, update_id, bid, bid_size, ask, ask_size)
    return True


@njit(cache=True, nogil=True)
def differ(state, rules, book, levels, row, ts_recv, at, which):
    """Change a known book by a diff: `APPLIED`, `SUPERSEDED`, `NO_LONGER` (its sequence broke) or `AMISS` (it crossed)."""
    code = chained(row[f.FIRST], row[f.ID], row[f.LAST], state[c.LAST_ID], state[c.AWAITS] == 1)
    if code == NO_LONGER:
        state[c.KNOWN] = 0
    if code != APPLIED:
        return code
    bids, n_bids, asks, n_asks = row[f.BIDS], row[f.N_BIDS], row[f.ASKS], row[f.N_ASKS]
    if n_bids:
        state[c.N_BIDS] = change(book[0], book[1], state[c.N_BIDS], levels[0], levels[1], bids, bids + n_bids, 1, at, which)
    if n_asks:
        state[c.N_ASKS] = change(book[2], book[3], state[c.N_ASKS], levels[0], levels[1], asks, asks + n_asks, -1, at, which)
    state[c.LAST_ID], state[c.AWAITS] = row[f.ID], 0
    return APPLIED if stands(state, rules, book, row[f.ID], ts_recv) else AMISS


@njit(cache=True, nogil=True)
def run(rows, levels, start, ts_recv, states, rules, books, pendings, weights, seen, at, which):
    """Rows from `start` on, received at `ts_recv`: (the row after the last one done, why it stopped, the symbol's place)."""
    room = books.shape[2]
    for i in range(start, len(rows)):
        row = rows[i]
        kind, s = row[f.KIND], row[f.SYMBOL]
        if kind == f.ODD:
            continue
        state = states[s]
        if kind in (f.TRADE, f.AGGREGATE):
            if state[c.PRINTS] == c.NOTHING:
                state[c.PRINTS] = kind
            price, size, event = row[f.PRICE], row[f.SIZE], row[f.EVENT]
            if state[c.PRINTS] != kind or not row[f.MARKET] or price <= 0 or size <= 0 or (event and not owned(rules, event, ts_recv)):
                continue
            if told_before(seen[s], row[f.ID], event, state[c.LATEST]) or jumps(state, rules, price):
                continue
            tell(state, rules, event, ts_recv)
            trade(state, rules, pendings[s], weights[s], event or ts_recv + rules[c.OFFSET], ts_recv, row[f.ID], price, size, row[f.SIDE])
        elif kind == f.QUOTE:
            bid, bid_size, ask, ask_size = row[f.PRICE], row[f.SIZE], row[f.ASK], row[f.ASK_SIZE]
            event = row[f.EVENT]
            if min(bid, bid_size, ask, ask_size) <= 0 or bid > ask or (event and not owned(rules, event, ts_recv)):
                continue
            tell(state, rules, event, ts_recv)
            moved = fuse(state, rules, ts_recv, row[f.ID], bid, bid_size, ask, ask_size)
            state[c.QUOTED] = 1
            if moved and outside(state):
                return i + 1, TOP, s
        elif kind == f.DIFF:
            if state[c.N_BIDS] + row[f.N_BIDS] > room or state[c.N_ASKS] + row[f.N_ASKS] > room:
                return i, GROWS, s
            state[c.BOOK_BY] = c.BY_DIFFS
            code = differ(state, rules, books[s], levels, row, ts_recv, at, which) if state[c.KNOWN] else NONE
            if code == AMISS:
                return i + 1, CROSSED, s
            if code == SUPERSEDED:
                continue
            tell(state, rules, row[f.EVENT], ts_recv)
            if code != APPLIED:
                lose(state, rules, ts_recv)
                return i + 1, BROKEN if code == NO_LONGER else WAITS, s
            if outside(state):
                return i + 1, TOP, s
        elif kind == f.BOOK:
            if state[c.BOOK_BY] == c.BY_DIFFS or (state[c.KNOWN] and row[f.ID] <= state[c.LAST_ID]):
                continue
            if row[f.N_BIDS] > room or row[f.N_ASKS] > room:
                return i, GROWS, s
            state[c.BOOK_BY] = c.BY_WHOLE
            sides = row[f.BIDS], row[f.N_BIDS], row[f.ASKS], row[f.N_ASKS]
            if not renew(state, rules, books[s], levels, *sides, row[f.ID], ts_recv):
                return i + 1, CROSSED, s
            tell(state, rules, row[f.EVENT], ts_recv)
            if outside(state):
                return i + 1, TOP, s
        elif kind == f.MARK:
            state[c.MARK_PRICE], state[c.INDEX_PRICE], state[c.SETTLE_PRICE] = row[f.PRICE], row[f.SIZE], row[f.ASK]
            state[c.FUNDING_RATE], state[c.NEXT_FUNDING], state[c.MARK_AT] = row[f.ASK_SIZE], row[f.ID], ts_recv
    for s in range(len(states)):
        state = states[s]
        if state[c.OPEN_SECOND] != c.NOTHING and state[c.OPEN_SECOND] < (state[c.LATEST] - rules[c.LATENESS]) // NS:
            return len(rows), SECOND, s
    return len(rows), END, c.NOTHING


@njit(cache=True, nogil=True)
def restart(state, rules, book, levels, n_bids, update_id, ts_recv):
    """Take a snapshot, its bids being the first `n_bids` levels; whether it is sound."""
    heard(state, rules, ts_recv)
    second = (ts_recv + rules[c.OFFSET]) // NS
    if state[c.OPEN_SECOND] == c.NOTHING:
        state[c.OPEN_SECOND] = second
    return renew(state, rules, book, levels, 0, n_bids, n_bids, levels.shape[1] - n_bids, update_id, ts_recv)
