"""Where in the queue of its price level an order stands, as far as level 2 data can tell.

*Risk averse*: ahead of a new order is the whole level; only trades at its price bring it forward, and what is taken away is taken
from behind it, but never is more ahead of it than the level has. *Probability* models let a share of what is taken away come from
ahead: with f(back) / (f(back) + f(ahead)) it was behind, f being log(1 + x) or x ** power, in units of the base asset (R. Cont,
"How do we estimate position of our order in order book", quant.stackexchange 3782, 2012; E. Rigtorp, "Estimating order queue
position", 2013). Volume that traded at the price is not counted again when the level shrinks by it.
"""

import numpy as np
from numba import njit

RISK_AVERSE, LOG, POWER = 0, 1, 2
KEY, ID, LEFT, AHEAD, TIME_IN_FORCE = 0, 1, 2, 3, 4  # fields of a resting order; keys as in `fills_book`, sizes in lots
N_FIELDS = 5
FRONT, TRADED = 0, 1  # fields of its place by the probability models, in the base asset


@njit(cache=True, nogil=True)
def weight(size, model, power):
    return np.log(1.0 + size) if model == LOG else size**power


@njit(cache=True, nogil=True, forceinline=True)
def joined(order, place, level, model, lot):
    """A new order behind a level of so many lots."""
    order[AHEAD] = level
    if model != RISK_AVERSE:
        place[FRONT] = level * lot
        place[TRADED] = 0.0


@njit(cache=True, nogil=True, forceinline=True)
def traded(order, place, size, model, lot):
    """A trade of `size` lots at the order's price: returns how many lots of it reach the order, 0 or less where none does."""
    if model == RISK_AVERSE:
        order[AHEAD] -= size
        reach = -order[AHEAD]
        if reach > 0:
            order[AHEAD] = 0
        return reach
    place[FRONT] -= size * lot
    place[TRADED] += size * lot
    reach = np.int64(np.floor(-place[FRONT] / lot + 0.5))
    if reach > 0:
        place[FRONT] = 0.0
    return reach


@njit(cache=True, nogil=True, forceinline=True)
def changed(order, place, before, after, model, power, lot):
    """The order's level went from `before` to `after` lots."""
    if model == RISK_AVERSE:
        order[AHEAD] = min(order[AHEAD], after)
        return
    level = after * lot
    front = place[FRONT]
    gone = before * lot - level - place[TRADED]
    place[TRADED] = 0.0
    if gone < 0.0:
        place[FRONT] = min(front, level)
        return
    back = before * lot - front
    behind = weight(back, model, power)
    share = behind / (behind + weight(front, model, power)) if behind + weight(front, model, power) != 0.0 else np.nan
    if np.isinf(share):
        share = 1.0
    estimate = front - (1.0 - share) * gone + min(back - share * gone, 0.0)
    place[FRONT] = level if np.isnan(estimate) else min(estimate, level)
