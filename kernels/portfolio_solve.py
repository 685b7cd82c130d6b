"""One compiled call from means to an answer and its proof: what the live path pays for (numba)."""

import numpy as np
from numba import njit

from kernels.portfolio_active import gradient
from kernels.portfolio_certificate import proof, settled
from kernels.portfolio_exact import solve_deviation, solve_variance, variance_of

ROUNDED = 1e-12  # of a sum of weights
FIGURES = 7  # behind the weights of an answer: objective, gap, price, missed, infeasible, steps, allowed (one array: boxing costs)


@njit(cache=True, nogil=True, error_model="numpy")
def answer(w: np.ndarray, objective: float, gap: float, nu: float, missed: float, out: float, steps: int, allowed: float) -> np.ndarray:
    """The weights [n] with their FIGURES, [n + 7]."""
    n = len(w)
    made = np.empty(n + FIGURES)
    made[:n] = w
    made[n], made[n + 1], made[n + 2], made[n + 3] = objective, gap, nu, missed
    made[n + 4], made[n + 5], made[n + 6] = out, steps, allowed
    return made


@njit(cache=True, nogil=True, error_model="numpy")
def cheapest(s: np.ndarray, caps: np.ndarray, kinks: np.ndarray, costs: np.ndarray) -> np.ndarray:
    """The feasible weights that minimise s'w + sum c |w - p|: filled from the cheapest segment up (exact: each asset's cost is convex)."""
    n = len(s)
    w, best = np.zeros(n), np.argmin(s)
    if caps[best] >= 1.0 and not np.any(costs):
        w[best] = 1.0
        return w
    rate, room = np.empty(2 * n), np.empty(2 * n)
    rate[:n], room[:n] = s - costs, kinks
    rate[n:], room[n:] = s + costs, caps - kinks
    rest = 1.0
    for at in np.argsort(rate, kind="mergesort"):
        take = min(rest, room[at])
        w[at % n] += take
        rest -= take
        if rest <= 0.0:
            break
    settled(w, caps, kinks)
    return w


@njit(cache=True, nogil=True, error_model="numpy")
def feasible(start: np.ndarray, caps: np.ndarray, kinks: np.ndarray) -> np.ndarray:
    """Weights to begin from, made feasible: cut into their bounds, what is held filled up or cut down in proportion, and where that is
    not enough all others too (only then: each asset held is a free one to begin with)."""
    w = np.minimum(np.maximum(start, 0.0), caps)
    total = np.sum(w)
    if total > 0.0:
        w = np.minimum(w / total, caps)
        total = np.sum(w)
    if total < 1.0 - ROUNDED:
        room = caps - w
        w += room * ((1.0 - total) / max(np.sum(room), 1.0 - total))
    settled(w, caps, kinks)
    return w


@njit(cache=True, nogil=True, error_model="numpy")
def allowance(m: np.ndarray, largest: float, aversion: float, costs: np.ndarray, tolerance: float) -> float:
    """The gap to stop at: `tolerance`, less in proportion where the objective's slopes are below one, more only where they are above
    twenty (rounding)."""
    mean = cost = 0.0
    for i in range(len(m)):
        mean, cost = max(mean, abs(m[i])), max(cost, costs[i])
    magnitude = mean + aversion * max(largest, np.sqrt(largest)) + cost
    return tolerance * max(min(1.0, magnitude), magnitude / 20.0)


@njit(cache=True, nogil=True, error_model="numpy")
def kinks_of(caps: np.ndarray, costs: np.ndarray, old: np.ndarray) -> np.ndarray:
    """Where the slope of the turnover cost changes: at the weights held, cut into [0, cap]; at nought without a cost."""
    kinks = np.empty(len(caps))
    for i in range(len(kinks)):
        kinks[i] = 0.0 if costs[i] == 0.0 else min(max(old[i], 0.0), caps[i])
    return kinks


@njit(cache=True, nogil=True, error_model="numpy")
def worth(
    S: np.ndarray, m: np.ndarray, k: float, deviating: bool, caps: np.ndarray, costs: np.ndarray, old: np.ndarray, w: np.ndarray
) -> tuple[float, float, np.ndarray]:
    """The objective at w, how far w is from feasible, and the gradient of the smooth cost."""
    product = gradient(S, m, 0.0, w)
    variance = variance_of(w, product, S)
    objective, budget, out = 0.0, 0.0, 0.0
    for i in range(len(w)):
        objective += m[i] * w[i] - costs[i] * abs(w[i] - old[i])
        budget += w[i]
        out = max(out, -w[i], w[i] - caps[i])
    if not deviating:
        return objective - k * variance, max(out, abs(budget - 1.0)), 2.0 * k * product - m
    s = np.sqrt(variance)
    return objective - k * s, max(out, abs(budget - 1.0)), (k / s if s > 0.0 else 0.0) * product - m


@njit(cache=True, nogil=True, error_model="numpy")
def judged(S, largest, m, k, deviating, caps, costs, old, found, tolerance) -> np.ndarray:
    """Weights found elsewhere, settled, with their proof."""
    w, kinks = found.copy(), kinks_of(caps, costs, old)
    settled(w, caps, kinks)
    objective, out, g = worth(S, m, k, deviating, caps, costs, old, w)
    gap, nu, missed = proof(g, w, caps, kinks, costs)
    return answer(w, objective, gap, nu, missed, out, 0, allowance(m, largest, k, costs, tolerance))


@njit(cache=True, nogil=True, error_model="numpy")
def solved(S, largest, m, k, deviating, caps, costs, old, start, tolerance) -> np.ndarray:
    """The best weights by the active set and their FIGURES; an empty `start` begins cold. Means that are not finite give a gap of NaN."""
    n = len(m)
    allowed = allowance(m, largest, k, costs, tolerance)
    if not np.isfinite(np.sum(m)):
        return answer(np.full(n, np.nan), np.nan, np.nan, np.nan, np.nan, np.nan, 0, allowed)
    kinks = kinks_of(caps, costs, old)
    if k == 0.0 or largest == 0.0:  # no risk to weigh: filled from the best asset down
        w, steps = cheapest(-m, caps, kinks, costs), 0
        objective, out, g = worth(S, m, k, deviating, caps, costs, old, w)
        gap, nu, missed = proof(g, w, caps, kinks, costs)
        return answer(w, objective, gap, nu, missed, out, steps, allowed)
    if len(start):
        w = feasible(start, caps, kinks)
    else:
        alone = np.empty(n)
        for i in range(n):
            alone[i] = k * S[i, i] - m[i]
        w = cheapest(alone, caps, kinks, costs)
    if deviating:
        gap, nu, missed, steps = solve_deviation(S, m, k, caps, kinks, costs, w, 20 * n + 200, allowed)
    else:
        gap, nu, missed, steps = solve_variance(S, m, k, caps, kinks, costs, w, 20 * n + 200, allowed)
    objective, out, g = worth(S, m, k, deviating, caps, costs, old, w)
    return answer(w, objective, gap, nu, missed, out, steps, allowed)
