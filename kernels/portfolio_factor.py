"""The factor R'R = S + shift 11' over the free assets, kept while one asset at a time joins or leaves (numba).

S is a covariance. On weights that sum to nought the shift adds nothing, so the factor exists wherever the risk is strictly convex over
the moves that keep the budget, also where S itself is singular. R is upper triangular in the first k rows and columns of an array that
grows; an asset joins by one triangular solve, and leaves by Givens rotations (Gill, Golub, Murray, Saunders 1974): k^2 either way.
"""

import numpy as np
from numba import njit

START = 48  # rows to begin with: small enough to stay in the first cache
NEARLY = 1e-12  # a pivot this small beside its diagonal counts as none


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"reassoc", "contract"})
def dot(a: np.ndarray, b: np.ndarray, first: int, end: int) -> float:
    """Sum of products. Summed in any order (so that it vectorises): its rounding has the same bound, and a certificate follows."""
    total = 0.0
    for i in range(first, end):
        total += a[i] * b[i]
    return total


@njit(cache=True, nogil=True, error_model="numpy")
def forward(R: np.ndarray, k: int, b: np.ndarray) -> None:
    """Solve R'y = b, in place."""
    for t in range(k):
        row = R[t]
        y = b[t] / row[t]
        b[t] = y
        for s in range(t + 1, k):
            b[s] -= y * row[s]


@njit(cache=True, nogil=True, error_model="numpy")
def backward(R: np.ndarray, k: int, y: np.ndarray) -> None:
    """Solve Rx = y, in place."""
    for t in range(k - 1, -1, -1):
        y[t] = (y[t] - dot(R[t], y, t + 1, k)) / R[t, t]


@njit(cache=True, nogil=True, error_model="numpy")
def grown(R: np.ndarray, k: int, n: int) -> np.ndarray:
    """R with room for one more row."""
    if k < R.shape[0]:
        return R
    larger = np.empty((min(2 * R.shape[0], n), min(2 * R.shape[0], n)))
    for t in range(k):
        for s in range(t, k):
            larger[t, s] = R[t, s]
    return larger


@njit(cache=True, nogil=True, error_model="numpy")
def joined(R: np.ndarray, k: int, column: np.ndarray, diagonal: float) -> bool:
    """Make the column (S + shift 11' of the asset with the free ones, overwritten by its solve) the last of R. False where the pivot is
    nearly nought: R is left as it was, and the column holds the solve."""
    forward(R, k, column)
    pivot = diagonal - dot(column, column, 0, k)
    if not pivot > NEARLY * diagonal:
        return False
    for t in range(k):
        R[t, k] = column[t]
    R[k, k] = np.sqrt(pivot)
    return True


@njit(cache=True, nogil=True, error_model="numpy")
def left(R: np.ndarray, k: int, at: int, y: np.ndarray, q: np.ndarray) -> None:
    """Take column `at` out of R; y and q, solves of R'y = b, become those of b without that entry."""
    for t in range(at + 1):
        row = R[t]
        for s in range(at, k - 1):
            row[s] = row[s + 1]
    for t in range(at, k - 1):
        row, below = R[t], R[t + 1]
        a, b = row[t], below[t + 1]
        length = np.hypot(a, b)
        cosine, sine = a / length, b / length
        row[t] = length
        for s in range(t + 1, k - 1):
            upper, lower = row[s], below[s + 1]
            row[s] = cosine * upper + sine * lower
            below[s] = cosine * lower - sine * upper
        upper, lower = y[t], y[t + 1]
        y[t], y[t + 1] = cosine * upper + sine * lower, cosine * lower - sine * upper
        upper, lower = q[t], q[t + 1]
        q[t], q[t + 1] = cosine * upper + sine * lower, cosine * lower - sine * upper
