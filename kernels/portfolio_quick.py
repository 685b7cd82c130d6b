"""The portfolio by pivots on the covariance's inverse, where only the means change and many assets are held (numba).

With K the inverse of S + shift 11', v = K1 and P = K - vv'/1'v, the best weights of sum one are v/1'v + tau Pm when none is bounded. With
the assets D held at bounds b they are z = v/1'v + tau Pm and P_D times what solves P_DD x = b - z_D; x are the prices of the bounds. So a
change of who is held costs |D|^3/6 and not the factor of the free ones. All assets out of their bounds are held at once, all that a
price sends back are freed at once (block pivoting: Kostreva 1978; Judice, Pires 1994), which mostly ends within a few rounds. It need not,
and the inverse rounds: so what comes out counts only with its certificate, and the active set answers where there is none.
"""

import numpy as np
from numba import float64, njit, types

from kernels.portfolio_active import gradient
from kernels.portfolio_certificate import proof, settled
from kernels.portfolio_solve import FIGURES, allowance

FEW = 16  # assets: tried whatever the means
SAMPLE = 16  # assets else looked at before the others: so many of them
WITHIN = 10  # must be within their bounds while none is held
MOST = 0.45  # of the assets held at bounds: with more, freeing one after another is cheaper
ROUNDS = 10
HEAD = 4  # n, the largest variance, the aversion, the tolerance


def state_of(matrix: np.ndarray, largest: float, aversion: float, caps: np.ndarray, tolerance: float) -> np.ndarray | None:
    """All that stays while the means change, in one array (each argument of a compiled call costs): head, caps, noughts, v/1'v, S, P.
    None where there is no inverse, or no risk to weigh."""
    n, shift = len(matrix), float(matrix.diagonal().mean() / len(matrix))
    if not aversion > 0.0 or not shift > 0.0:
        return None
    with np.errstate(all="ignore"):  # of a singular matrix; what is not finite is refused below
        try:
            K = np.linalg.inv(matrix + shift)  # a larger shift would round more away
        except np.linalg.LinAlgError:
            return None
        v = K.sum(1)
        best = v / v.sum()
        P = K - np.outer(v, best)
    if not quick.signatures:  # compiled for these only: whatever else is passed is a TypeError, and no third form of it
        for means in (float64[::1], types.Array(float64, 1, "C", readonly=True)):
            quick.compile((float64[::1], means))
        quick.disable_compile()
    state = np.concatenate([[n, largest, aversion, tolerance], caps, np.zeros(n), best, matrix.ravel(), 0.5 * (P + P.T).ravel()])
    return state if np.isfinite(state).all() else None


@njit(cache=True, nogil=True, error_model="numpy")
def bounded(P: np.ndarray, at: np.ndarray, k: int, short: np.ndarray, R: np.ndarray) -> bool:
    """Solve P_DD x = short in place (R'R = P_DD). False where a pivot is not positive."""
    for t in range(k):
        for s in range(t, k):
            R[t, s] = P[at[t], at[s]]
        found, diagonal = short[t], R[t, t]
        for u in range(t):
            a = R[u, t]
            for s in range(t, k):
                R[t, s] -= a * R[u, s]
            found -= a * short[u]
        if not R[t, t] > 1e-12 * diagonal:
            return False
        root = 1.0 / np.sqrt(R[t, t])
        for s in range(t, k):
            R[t, s] *= root
        short[t] = found * root
    for t in range(k - 1, -1, -1):
        found = short[t]
        for s in range(t + 1, k):
            found -= R[t, s] * short[s]
        short[t] = found / R[t, t]
    return True


@njit(cache=True, nogil=True, error_model="numpy")
def pivoted(P: np.ndarray, m: np.ndarray, tau: float, caps: np.ndarray, z: np.ndarray, w: np.ndarray) -> int:
    """Fill w with the best weights as the inverse has them; returns the rounds, nought where it does not come to an end or too many are
    held at their bounds. z, v/1'v on entry, becomes the best weights without bounds."""
    n = len(m)
    most = n - 1
    if n > FEW:
        most, within = int(MOST * n), 0
        for t in range(SAMPLE):
            i = t * n // SAMPLE
            found = z[i]
            for j in range(n):
                found += P[i, j] * (tau * m[j])
            within += 0.0 <= found <= caps[i]
        if within < WITHIN:
            return 0
    for j in range(n):
        a = tau * m[j]
        for i in range(n):
            z[i] += a * P[j, i]
    at, side = np.empty(n, np.int64), np.zeros(n, np.int8)
    room = np.empty((most + 1, most + 1))
    short = room[most]
    k = 0
    for i in range(n):
        w[i] = z[i]
    for turn in range(1, ROUNDS + 1):
        changed = False
        for t in range(k):
            if short[t] * side[at[t]] > 0.0:  # it would rather leave its bound
                side[at[t]], changed = 0, True
        for i in range(n):
            if side[i] == 0 and not 0.0 <= w[i] <= caps[i]:
                side[i], changed = (-1 if w[i] < 0.0 else 1), True
        if not changed:
            for t in range(k):
                w[at[t]] = 0.0 if side[at[t]] < 0 else caps[at[t]]
            return turn
        k = 0
        for i in range(n):
            if side[i] != 0:
                if k == most:
                    return 0
                at[k], short[k] = i, (0.0 if side[i] < 0 else caps[i]) - z[i]
                k += 1
        if not bounded(P, at, k, short, room):
            return 0
        for i in range(n):
            w[i] = z[i]
        for t in range(k):
            a = short[t]
            for i in range(n):
                w[i] += a * P[at[t], i]
    return 0


@njit(cache=True, nogil=True, error_model="numpy")
def quick(state: np.ndarray, m: np.ndarray) -> tuple[bool, np.ndarray]:
    """Whether the weights are certified, and the weights [n] with their FIGURES; of no meaning where they are not."""
    n = len(m)
    made = np.empty(n + FIGURES)
    if state[0] != n:
        return False, made
    largest, k, tolerance = state[1], state[2], state[3]
    caps, nothing = state[HEAD : HEAD + n], state[HEAD + n : HEAD + 2 * n]
    first = HEAD + 3 * n
    S = state[first : first + n * n].reshape(n, n)
    P = state[first + n * n : first + 2 * n * n].reshape(n, n)
    w = made[:n]
    rounds = pivoted(P, m, 0.5 / k, caps, state[HEAD + 2 * n : first].copy(), w)
    if rounds == 0:
        return False, made
    settled(w, caps, nothing)
    g = gradient(S, nothing, 0.0, w)
    mean = variance = budget = out = 0.0
    for i in range(n):
        mean += m[i] * w[i]
        variance += g[i] * w[i]
        budget += w[i]
        out = max(out, -w[i], w[i] - caps[i])
        g[i] = 2.0 * k * g[i] - m[i]
    gap, nu, missed = proof(g, w, caps, nothing, nothing)
    allowed = allowance(m, largest, k, nothing, tolerance)
    made[n], made[n + 1], made[n + 2], made[n + 3] = mean - k * max(variance, 0.0), gap, nu, missed
    made[n + 4], made[n + 5], made[n + 6] = max(out, abs(budget - 1.0)), rounds, allowed
    return gap <= allowed, made
