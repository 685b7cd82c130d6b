"""Our market maker, as one would write it: every 10 ms the quotes it wants, cancelled and sent where they are not there."""

import numpy as np
from numba import njit

from kernels.fills import AT_PRICE, BUY, GTX, LIMIT, N_OPEN, NONE, OF_SIDE, POSITION, SELL, best, cancel, elapse, submit


@njit(cache=True, nogil=True)
def make_market(run, feed, step_ns, half, levels, size, most):
    """`levels` orders a side one tick apart, `half` ticks from the middle leaned against the position, none beyond `most` lots."""
    wanted = np.zeros((2, levels), np.bool_)
    n_steps = 0
    while elapse(run, feed, step_ns):
        n_steps += 1
        bid, ask = best(run, BUY), best(run, SELL)
        if NONE in (bid, ask):
            continue
        position = run.account[POSITION]
        middle = bid + ask - 2 * (position * half // most)
        first_bid = min((middle - 2 * half) // 2, bid)
        first_ask = max(-((-middle - 2 * half) // 2), ask)
        wanted[0] = position < most
        wanted[1] = position > -most
        for i in range(run.clock[N_OPEN]):
            order = run.orders[i]
            side = order[OF_SIDE]
            place = first_bid - order[AT_PRICE] if side == BUY else order[AT_PRICE] - first_ask
            if 0 <= place < levels and wanted[side, place]:
                wanted[side, place] = False
            else:
                cancel(run, i)
        for place in range(levels):
            if wanted[0, place]:
                submit(run, BUY, first_bid - place, size, LIMIT, GTX)
            if wanted[1, place]:
                submit(run, SELL, first_ask + place, size, LIMIT, GTX)
    return n_steps
