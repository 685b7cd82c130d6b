"""The two portfolios solved exactly: mean - lambda variance by one active set, mean - k deviation by a sequence of them (numba).

The best deviation s of the variance problem's optimum at tau obeys s^2 = a + b tau^2 while the same assets are free (Markowitz's
critical line), and the deviation problem's optimum is where s = k tau. So Newton's method in tau^2 ends on it, inside a bracket. Where
its optimum has no risk at all the root is at tau = 0, and the line is followed there.
"""

import numpy as np
from numba import njit

from kernels.portfolio_active import descend, gradient
from kernels.portfolio_certificate import proof, settled

ROUNDS = 80
ROUNDING = 8 * 2.2e-16
PART = 0.02  # of the tolerance, what a single asset may still gain a unit moved


@njit(cache=True, nogil=True, error_model="numpy")
def solve_variance(S, m, aversion, caps, kinks, costs, w, most, allowed) -> tuple[float, float, float, int]:
    """Take w to the best mean - aversion variance. Returns gap, budget price, missed condition, steps. Stops at gap <= allowed."""
    tau, steps = 0.5 / aversion, 0
    gap, nu, missed = np.inf, 0.0, np.inf
    before, nothing = w.copy(), np.empty(0)
    for _ in range(6):  # each begins from a fresh gradient and factor: iterative refinement
        steps += descend(S, m, tau, caps, kinks, costs, w, most, PART * allowed * tau, nothing)
        settled(w, caps, kinks)
        g = gradient(S, m, tau, w)
        for i in range(len(g)):
            g[i] /= tau
        again, price, miss = proof(g, w, caps, kinks, costs)
        if again >= gap:
            w[:] = before
            break
        gap, nu, missed = again, price, miss
        before[:] = w
        if gap <= allowed:
            break
    return gap, nu, missed, steps


@njit(cache=True, nogil=True, error_model="numpy")
def rounding_of(w: np.ndarray, S: np.ndarray) -> float:
    """The rounding of w'Sw: of the largest that its terms can sum to without their signs (Cauchy and Schwarz)."""
    total = 0.0
    for i in range(len(w)):
        if w[i] != 0.0:
            total += abs(w[i]) * np.sqrt(max(S[i, i], 0.0))
    return ROUNDING * total * total


@njit(cache=True, nogil=True, error_model="numpy")
def variance_of(w: np.ndarray, Sw: np.ndarray, S: np.ndarray) -> float:
    """w'Sw; nought where it is no more than its own rounding, whose root would be far from nought."""
    found = np.dot(w, Sw)
    return found if found > rounding_of(w, S) else 0.0


@njit(cache=True, nogil=True, error_model="numpy")
def solve_deviation(S, m, aversion, caps, kinks, costs, w, most, allowed) -> tuple[float, float, float, int]:
    """Take w to the best mean - aversion deviation. Returns as `solve_variance`."""
    n, k, steps = len(m), aversion, 0
    nothing, line = np.zeros(n), np.zeros(n)
    low, high = 0.0, 1.000001 * np.max(np.diag(S)) / (k * k)
    least = 1e-18 * high  # below it the weights move by less than their rounding
    x = min(max(variance_of(w, gradient(S, nothing, 0.0, w), S) / (k * k), 1e-6 * high), high)
    gap, nu, missed, best = np.inf, 0.0, np.inf, w.copy()
    for _ in range(ROUNDS):
        tau = np.sqrt(x)
        steps += descend(S, m, tau, caps, kinks, costs, w, most, PART * allowed * tau, line)
        settled(w, caps, kinks)
        Sw = gradient(S, nothing, 0.0, w)
        variance = variance_of(w, Sw, S)
        if variance > 0.0:
            again, price, miss = proof(k / np.sqrt(variance) * Sw - m, w, caps, kinks, costs)
            if again < gap:
                gap, nu, missed, best = again, price, miss, w.copy()
        if gap <= allowed:
            break
        shorter = variance <= k * k * x
        z = Sw / tau  # if no longer than k, then k deviation >= z'w of whatever weights: a bound with less rounding in it
        if shorter:
            again, price, miss = proof(z - m, w, caps, kinks, costs)
            again += max(0.0, k * np.sqrt(variance) - variance / tau)
            if again < gap:
                gap, nu, missed, best = again, price, miss, w.copy()
        u = w - tau * line  # where the line reaches tau = 0
        at_end = np.dot(u, gradient(S, nothing, 0.0, u))
        if at_end <= rounding_of(w, S):
            at_end = 0.0
        if shorter and at_end == 0.0:
            settled(u, caps, kinks)
            again, price, miss = proof(z - m, u, caps, kinks, costs)
            again += max(0.0, k * np.sqrt(variance_of(u, gradient(S, nothing, 0.0, u), S)) - np.dot(z, u))
            if again < gap:
                gap, nu, missed, best = again, price, miss, u.copy()
            if gap <= allowed:
                break
        if variance > k * k * x:
            low = x
        else:
            high = x
        b = max((variance - at_end) / x, 0.0)
        to = at_end / (k * k - b) if b < k * k else np.inf
        if to == 0.0:
            to = x / 64
        if not low < to < high:
            to = np.sqrt(low * high) if low > 0.0 else high / 64
        if to == x or to < least:
            break
        x = to
    w[:] = best
    return gap, nu, missed, steps
