"""The compiled loop over many receipts, for as long as none of them has anything to tell."""

from numba import njit

from kernels import live_market_state as c
from kernels.live_market_rows import END, run


@njit(cache=True, nogil=True)
def quiet(rows, levels, ends, ts_recv, first, now, usual_ns, states, rules, books, pendings, weights, seen, at, which):
    """Receipts from `first` on: (the one that stopped, and what `run` said of it; `END` where it was not begun)."""
    for k in range(first, len(ends)):
        if not 0 <= ts_recv[k] - now <= usual_ns:
            return k, 0, END, c.NOTHING
        begin = ends[k - 1] if k else 0
        row, why, code = run(rows[begin : ends[k]], levels, 0, ts_recv[k], states, rules, books, pendings, weights, seen, at, which)
        if why != END:
            return k, row, why, code
        now = ts_recv[k]
    return len(ends), 0, END, c.NOTHING
