"""The free assets of the active set: who is in, what they owe, and how they move together (numba).

`free` lists them in the order of the factor R, `place` tells where each stands (-1: held); y solves R'y = b, where b is by how much
each misses the common derivative, and q solves R'q = 1.
"""

import numpy as np
from numba import njit

from kernels.portfolio_factor import backward, dot, forward, left


@njit(cache=True, nogil=True, error_model="numpy")
def level_of(g: np.ndarray, tau: float, slope: np.ndarray, free: np.ndarray, k: int) -> float:
    """The derivative that the free assets share at their best point."""
    total = 0.0
    for t in range(k):
        total += g[free[t]] + tau * slope[free[t]]
    return float(total / max(k, 1))


@njit(cache=True, nogil=True, error_model="numpy")
def enter(
    R: np.ndarray, k: int, j: int, wish: float, column: np.ndarray, free: np.ndarray, place: np.ndarray, y: np.ndarray, q: np.ndarray
) -> int:
    """Free asset j, whose column joined R; returns how many are free."""
    free[k], place[j] = j, k
    y[k] = (wish - dot(column, y, 0, k)) / R[k, k]
    q[k] = (1.0 - dot(column, q, 0, k)) / R[k, k]
    return k + 1


@njit(cache=True, nogil=True, error_model="numpy")
def direction(
    R: np.ndarray, k: int, m: np.ndarray, slope: np.ndarray, free: np.ndarray, q: np.ndarray, y: np.ndarray, line: np.ndarray
) -> None:
    """How the optimal weights move with tau; y is overwritten."""
    for t in range(k):
        y[t] = m[free[t]] - slope[free[t]]
    forward(R, k, y)
    along = dot(q, y, 0, k) / dot(q, q, 0, k)
    for t in range(k):
        y[t] -= along * q[t]
    backward(R, k, y)
    line[:] = 0.0
    for t in range(k):
        line[free[t]] = y[t]


@njit(cache=True, nogil=True, error_model="numpy")
def drop(R: np.ndarray, k: int, at: int, free: np.ndarray, place: np.ndarray, y: np.ndarray, q: np.ndarray) -> int:
    """Hold the free asset at position `at` still; returns how many are left free."""
    left(R, k, at, y, q)
    place[free[at]] = -1
    for t in range(at, k - 1):
        free[t] = free[t + 1]
        place[free[t]] = t
    return k - 1
