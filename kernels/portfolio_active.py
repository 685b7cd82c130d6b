"""The portfolio by a primal active set: exact, warm started, for the live path (numba).

Minimised is w'Sw/2 - tau (m'w - sum_i c_i |w_i - p_i|) over weights of sum one and 0 <= w_i <= cap_i; tau = 1/(2 lambda). An asset is free
between two of its knots 0, p_i, cap_i (where its turnover cost is linear), or held still. A step goes to the best point of the free
assets, or to the first knot in the way, where that asset is held; at the best point the asset that most wants to move is freed. A move
along which the risk does not curve (a singular S) goes to the first knot in the way, or to its own best point: so the free assets' risk
always stays strictly convex (inertia control: Gill, Murray, Saunders, Wright 1991).
"""

import numpy as np
from numba import njit

from kernels.portfolio_certificate import slopes
from kernels.portfolio_factor import START, backward, dot, grown, joined
from kernels.portfolio_free import direction, drop, enter, level_of

EAGER = 0.7  # assets that want to move at least this much as the one that most does are freed with it,
SHARE = 4  # at most one for every so many free ones: together they save gradients, too many get in each other's way


@njit(cache=True, nogil=True, error_model="numpy")
def times(S: np.ndarray, free: np.ndarray, d: np.ndarray, k: int, scale: float, out: np.ndarray) -> None:
    """out += scale S d, d given on the free assets."""
    n, t = len(out), 0
    while t + 4 <= k:
        a, b, c, e = scale * d[t], scale * d[t + 1], scale * d[t + 2], scale * d[t + 3]
        A, B, C, E = S[free[t]], S[free[t + 1]], S[free[t + 2]], S[free[t + 3]]
        for i in range(n):
            out[i] += a * A[i] + b * B[i] + c * C[i] + e * E[i]
        t += 4
    while t < k:
        a, A = scale * d[t], S[free[t]]
        for i in range(n):
            out[i] += a * A[i]
        t += 1


@njit(cache=True, nogil=True, error_model="numpy")
def gradient(S: np.ndarray, m: np.ndarray, tau: float, w: np.ndarray) -> np.ndarray:
    """Sw - tau m."""
    n, k = len(w), 0
    out, some = np.empty(n), np.empty(n)
    held = np.empty(n, np.int64)
    for i in range(n):
        out[i] = -tau * m[i]
        if w[i] != 0.0:
            held[k], some[k] = i, w[i]
            k += 1
    times(S, held, some, k, 1.0, out)
    return out


@njit(cache=True, nogil=True, error_model="numpy")
def segment(i: int, w: float, upward: bool, caps: np.ndarray, kinks: np.ndarray, costs: np.ndarray) -> tuple[float, float, float]:
    """The knots around w in the direction asked, and the slope of the turnover cost between them."""
    cost = costs[i]
    if cost == 0.0:
        return 0.0, caps[i], 0.0
    if w > kinks[i] or (w == kinks[i] and upward):
        return kinks[i], caps[i], cost
    return 0.0, kinks[i], -cost


@njit(cache=True, nogil=True, error_model="numpy")
def price(g: np.ndarray, tau: float, w: np.ndarray, caps: np.ndarray, kinks: np.ndarray, costs: np.ndarray, place: np.ndarray):
    """The held assets that would gain most by rising and by falling, and their derivatives in that direction."""
    rise, fall, up, down = -1, -1, np.inf, -np.inf
    for i in range(len(w)):
        if place[i] < 0:
            before, after = slopes(w[i], caps[i], kinks[i], costs[i])
            if g[i] + tau * after < up:
                rise, up = i, g[i] + tau * after
            if g[i] + tau * before > down:
                fall, down = i, g[i] + tau * before
    return rise, up, fall, down


@njit(cache=True, nogil=True, error_model="numpy")
def descend(
    S: np.ndarray,
    m: np.ndarray,
    tau: float,
    caps: np.ndarray,
    kinks: np.ndarray,
    costs: np.ndarray,
    w: np.ndarray,
    most: int,
    fine: float,
    line: np.ndarray,
) -> int:
    """Take w (feasible, changed in place) to the optimum; stop where no asset gains more than `fine` a unit moved, or after `most`
    steps. Returns the steps taken. A `line` of length n becomes dw/dtau there, while the same assets are free."""
    n = len(w)
    shift = 0.0
    for i in range(n):
        shift += S[i, i] / n
    if shift <= 0.0:
        shift = 1.0
    g = gradient(S, m, tau, w)
    where, vectors = np.empty((2, n), np.int64), np.empty((7, n))  # an allocation costs as much as a small step
    place, free = where[0], where[1]
    place[:] = -1
    lows, highs, slope, d, y, q, column = vectors[0], vectors[1], vectors[2], vectors[3], vectors[4], vectors[5], vectors[6]
    R = np.empty((min(START, n), min(START, n)))
    k = 0
    for i in range(n):
        lows[i], highs[i], slope[i] = segment(i, w[i], True, caps, kinks, costs)
        if lows[i] < w[i] < highs[i]:
            R = grown(R, k, n)
            for t in range(k):
                column[t] = S[free[t], i] + shift
            if joined(R, k, column, S[i, i] + shift):
                k = enter(R, k, i, -(g[i] + tau * slope[i]), column, free, place, y, q)
    for step in range(most):
        if k == 1 and (w[free[0]] <= lows[free[0]] or w[free[0]] >= highs[free[0]]):
            place[free[0]], k = -1, 0  # a lone asset on a knot has a slope either side
        if k > 1:
            along = -dot(q, y, 0, k) / dot(q, q, 0, k)
            for t in range(k):
                d[t] = y[t] + along * q[t]
            backward(R, k, d)
            length, stop, onto = 1.0, -1, 0.0
            for t in range(k):
                i, to = free[t], w[free[t]] + d[t]
                if to < lows[i] and (lows[i] - w[i]) / d[t] < length:
                    length, stop, onto = (lows[i] - w[i]) / d[t], t, lows[i]
                elif to > highs[i] and (highs[i] - w[i]) / d[t] < length:
                    length, stop, onto = (highs[i] - w[i]) / d[t], t, highs[i]
            length = max(length, 0.0)
            for t in range(k):
                w[free[t]] += length * d[t]
            if length > 0.0:
                times(S, free, d, k, length, g)
            if stop >= 0:
                w[free[stop]] = onto
                k = drop(R, k, stop, free, place, y, q)
                for t in range(k):
                    y[t] *= 1.0 - length
                continue
        for t in range(k):
            y[t] = 0.0
        rise, up, fall, down = price(g, tau, w, caps, kinks, costs, place)
        if k == 0:
            if down - up <= fine or rise < 0 or fall < 0:
                line[:] = 0.0
                return step
            lows[fall], highs[fall], slope[fall] = segment(fall, w[fall], False, caps, kinks, costs)
            R[0, 0] = np.sqrt(S[fall, fall] + shift)
            free[0], place[fall], k, y[0], q[0] = fall, 0, 1, 0.0, 1.0 / R[0, 0]
        level = level_of(g, tau, slope, free, k)
        upward = level - up >= down - level
        j, wish = (rise, level - up) if upward else (fall, down - level)
        if not wish > fine:
            if len(line):
                direction(R, k, m, slope, free, q, y, line)
            return step
        lows[j], highs[j], slope[j] = segment(j, w[j], upward, caps, kinks, costs)
        R = grown(R, k, n)
        for t in range(k):
            column[t] = S[free[t], j] + shift
        if not joined(R, k, column, S[j, j] + shift):
            # the risk hardly curves along this move: search it exactly
            sign = 1.0 if upward else -1.0
            along = (1.0 - dot(q, column, 0, k)) / dot(q, q, 0, k)
            for t in range(k):
                d[t] = -sign * (column[t] + along * q[t])
            backward(R, k, d)
            curve = np.zeros(n)
            times(S, free, d, k, 1.0, curve)
            for i in range(n):
                curve[i] += sign * S[j, i]
            bend, gain = sign * curve[j], sign * (g[j] + tau * slope[j])
            for t in range(k):
                bend += d[t] * curve[free[t]]
                gain += d[t] * (g[free[t]] + tau * slope[free[t]])
            length = -gain / bend if bend > 0.0 else np.inf
            stop, onto = -1, 0.0
            room = (highs[j] if upward else lows[j]) - w[j]
            if abs(room) <= length:
                length, stop, onto = abs(room), k, highs[j] if upward else lows[j]
            for t in range(k):
                i = free[t]
                if d[t] < 0.0 and (lows[i] - w[i]) / d[t] < length:
                    length, stop, onto = max(0.0, (lows[i] - w[i]) / d[t]), t, lows[i]
                elif d[t] > 0.0 and (highs[i] - w[i]) / d[t] < length:
                    length, stop, onto = max(0.0, (highs[i] - w[i]) / d[t]), t, highs[i]
            for t in range(k):
                w[free[t]] += length * d[t]
            w[j] += sign * length
            for i in range(n):
                g[i] += length * curve[i]
            if stop == k:
                w[j] = onto
            if stop < 0 or stop == k:
                continue
            w[free[stop]] = onto
            k = drop(R, k, stop, free, place, y, q)
            for t in range(k):
                column[t] = S[free[t], j] + shift
            if not joined(R, k, column, S[j, j] + shift):
                continue
        k = enter(R, k, j, level_of(g, tau, slope, free, k) - (g[j] + tau * slope[j]), column, free, place, y, q)
        level = level_of(g, tau, slope, free, k - 1)
        most_free = min(n, k + k // SHARE) if step < 2 * n else k  # one at a time always makes progress
        for i in range(n):
            if place[i] < 0 and k < most_free:
                before, after = slopes(w[i], caps[i], kinks[i], costs[i])
                up, down = level - (g[i] + tau * after), g[i] + tau * before - level
                if max(up, down) > EAGER * wish:
                    lows[i], highs[i], slope[i] = segment(i, w[i], up >= down, caps, kinks, costs)
                    R = grown(R, k, n)
                    for t in range(k):
                        column[t] = S[free[t], i] + shift
                    if joined(R, k, column, S[i, i] + shift):
                        k = enter(R, k, i, level - (g[i] + tau * slope[i]), column, free, place, y, q)
    return most
