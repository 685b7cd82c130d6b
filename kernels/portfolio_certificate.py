"""What weights are worth, and the proof: a bound on how much any other weights could gain (numba).

With s the gradient of the smooth part at w and any price nu of the budget, no feasible weights cost less than
sum_i min_{0<=v<=cap_i} [(s_i + nu) v + c_i |v - p_i|] - nu (convexity, then Lagrange; Frank and Wolfe 1956). The gap is what w costs
above that bound.
"""

import numpy as np
from numba import njit

NEAR = 1e-15  # of a knot: on it (where every asset is on one, the budget may need the last digit of a weight)


@njit(cache=True, nogil=True, error_model="numpy")
def slopes(w: float, cap: float, kink: float, cost: float) -> tuple[float, float]:
    """Left and right derivative of the turnover cost with the bounds 0 <= w <= cap as infinite walls."""
    before = -np.inf if w <= 0.0 else (cost if w > kink else -cost)
    after = np.inf if w >= cap else (cost if w >= kink else -cost)
    return before, after


@njit(cache=True, nogil=True, error_model="numpy")
def prices(s: np.ndarray, w: np.ndarray, caps: np.ndarray, kinks: np.ndarray, costs: np.ndarray) -> tuple[float, float]:
    """Between which prices of the budget the conditions of Karush, Kuhn and Tucker hold; crossed where an asset misses its own.

    Asset i holds where -(s_i + nu) lies between its left and right slope.
    """
    low, high = -np.inf, np.inf
    for i in range(len(w)):
        before, _ = slopes(w[i] - NEAR, caps[i], kinks[i], costs[i])
        _, after = slopes(w[i] + NEAR, caps[i], kinks[i], costs[i])
        low = max(low, -s[i] - after)
        high = min(high, -s[i] - before)
    if high == np.inf:  # no asset has weight to give
        high = low
    if low == -np.inf:  # or room to take
        low = high
    return low, high


@njit(cache=True, nogil=True, error_model="numpy")
def excess(s: np.ndarray, w: np.ndarray, caps: np.ndarray, kinks: np.ndarray, costs: np.ndarray, nu: float) -> float:
    """The gap: what w costs above the bound of the price nu."""
    gap, budget = 0.0, -1.0
    for i in range(len(w)):
        price, cost = s[i] + nu, costs[i]
        budget += w[i]
        least = min(cost * kinks[i], price * caps[i] + cost * (caps[i] - kinks[i]))
        if cost > 0.0:
            least = min(least, price * kinks[i])
        gap += price * w[i] + cost * abs(w[i] - kinks[i]) - least
    return gap + abs(nu * budget)


@njit(cache=True, nogil=True, error_model="numpy")
def proof(s: np.ndarray, w: np.ndarray, caps: np.ndarray, kinks: np.ndarray, costs: np.ndarray) -> tuple[float, float, float]:
    """The gap, the budget's price in the middle of those that hold, and by how much the worst asset misses its condition there.

    Every price gives a bound; without caps and costs the lowest gives Frank and Wolfe's.
    """
    low, high = prices(s, w, caps, kinks, costs)
    nu = 0.5 * (low + high)
    gap = excess(s, w, caps, kinks, costs, low)
    if high != low:
        gap = min(gap, excess(s, w, caps, kinks, costs, nu), excess(s, w, caps, kinks, costs, high))
    return gap, nu, max(0.0, 0.5 * (low - high))


@njit(cache=True, nogil=True, error_model="numpy")
def settled(w: np.ndarray, caps: np.ndarray, kinks: np.ndarray) -> None:
    """Mend weights that miss feasibility by rounding, in place: into their bounds, and the rest of the budget
    to an asset off its knots (one on a knot would look as if it had left it)."""
    for i in range(len(w)):
        w[i] = min(max(w[i], 0.0), caps[i])
    for _ in range(4):
        rest = 1.0
        lost = 0.0
        for i in range(len(w)):  # compensated (Kahan 1965), so that the sum is one to the last digit
            term = -w[i] - lost
            total = rest + term
            lost = (total - rest) - term
            rest = total
        if abs(rest) <= 1e-16:
            return
        at, room = 0, 0.0
        for i in range(len(w)):
            free = min(w[i], caps[i] - w[i])
            if free > room and w[i] != kinks[i]:
                at, room = i, free
        if room == 0.0:
            for i in range(len(w)):
                free = caps[i] - w[i] if rest > 0 else w[i]
                if free > room:
                    at, room = i, free
        w[at] = min(max(w[at] + rest, 0.0), caps[at])
