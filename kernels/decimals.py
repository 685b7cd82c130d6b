"""Exact integers for decimal text that passed through a float64, and the proof that nothing was lost on the way.

A decimal t = c / 10^d with |c| <= 10^15 is found again from its nearest float v: |v·10^d - c| as computed is below
c·2^-52 < 1/4, so rint gives c; and as both c and 10^d are floats, their correctly rounded quotient is v itself (IEEE 754).
So v stands for exactly one such decimal iff c / 10^d == v; beyond 15 digits two decimals may share a float, and no claim is made.
"""

import numpy as np
import numpy.typing as npt
from numba import njit

from core.market import MAX_DECIMALS

EXACT = 10**15  # the most units a float64 can be trusted with
TENS = 10.0 ** np.arange(23)  # those that are floats
FEW = 100  # below so many values none may be off the grid: one of them is no outlier

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]


def scale(values: npt.ArrayLike, decimals: int) -> tuple[Ints, Mask]:
    """Units of 10^-decimals of each value, and which are exact; the others (finer, too large, not finite) are 0."""
    values = np.asarray(values, np.float64)
    units, exact = np.empty(values.shape, np.int64), np.empty(values.shape, np.bool_)
    _scale(np.ascontiguousarray(values).ravel(), 10.0**decimals, units.ravel(), exact.ravel())
    return units, exact


def decimals_of(values: npt.ArrayLike) -> npt.NDArray[np.int8]:
    """The fewest decimals (0 to 12) each value is exact at, -1 where there are none."""
    values = np.asarray(values, np.float64)
    found = np.empty(values.shape, np.int8)
    _decimals(np.ascontiguousarray(values).ravel(), found.ravel())
    return found


def census(values: npt.ArrayLike) -> Ints:
    """[14]: how many values each number of decimals (0 to 12) cannot hold, then how many there are; to be added up over batches.

    Values exact at no decimals at all (not finite, or of more digits than a float can be trusted with) are left out.
    """
    fits = np.zeros(MAX_DECIMALS + 2, np.int64)
    n = _census(np.ascontiguousarray(values, np.float64).ravel(), fits)
    return np.append(n - np.cumsum(fits[:-1]), n)


@njit(cache=True, nogil=True)
def fewest(value, start):  # pragma: no cover - compiled
    """The fewest decimals from `start` on at which a value is exact, or -1."""
    for decimals in range(start, MAX_DECIMALS + 1):
        units = np.rint(value * TENS[decimals])
        if abs(units) > EXACT:
            return -1  # and more so at more decimals
        if units / TENS[decimals] == value:
            return decimals
    return -1


@njit(cache=True, nogil=True)
def _scale(values, ten, units, exact):  # pragma: no cover - compiled
    for i in range(len(values)):
        found = np.rint(values[i] * ten)
        exact[i] = abs(found) <= EXACT and found / ten == values[i]
        units[i] = np.int64(found) if exact[i] else 0


@njit(cache=True, nogil=True)
def _decimals(values, found):  # pragma: no cover - compiled
    for i in range(len(values)):
        found[i] = fewest(values[i], 0)


@njit(cache=True, nogil=True)
def _census(values, fits):  # pragma: no cover - compiled
    """Add each value to `fits` at the fewest decimals that hold it, and take it off after the most; returns how many there are."""
    n = 0
    for value in values:
        least = fewest(value, 0)
        if least < 0:
            continue
        most = MAX_DECIMALS + 1
        while abs(value) * TENS[most - 1] > EXACT and most - 1 > least:
            most -= 1
        fits[least] += 1
        fits[most] -= 1
        n += 1
    return n


def chosen(counted: Ints, off_grid_share: float, written: int = 0) -> int:
    """The fewest decimals that fit all values of a `census` but the off-grid share of them.

    Of 100 values or more, `off_grid_share` of them (one, if that is less than one; none if it is 0) may be finer, unless
    up to `written` decimals hold them: so many the venue writes. Where no choice fits, the one that fits the most values.
    """
    misfits, n = counted[:-1], int(counted[-1])
    allowed = max(1, int(n * off_grid_share)) if off_grid_share and n >= FEW else 0
    least = next((d for d, some in enumerate(misfits) if some <= allowed), int(np.argmin(misfits)))
    return least + int(np.argmin(misfits[least : max(written, least) + 1]))


def decimals_for(values: npt.ArrayLike, off_grid_share: float, written: int = 0) -> int:
    """The decimals `chosen` from the census of all the values."""
    return chosen(census(values), off_grid_share, written)


def rescale(units: npt.ArrayLike, decimals: int, to: int) -> Ints:
    """Units of 10^-decimals as units of 10^-to. Raises `OverflowError` beyond int64, `ValueError` where a digit would be lost."""
    units = np.asarray(units, np.int64)
    if to >= decimals:
        by = 10 ** (to - decimals)
        limit = np.iinfo(np.int64).max // by
        if len(units) and (units.max() > limit or units.min() < -limit):
            raise OverflowError(f"{np.abs(units).max()} in units of 10^-{decimals} does not fit int64 at {to} decimals")
        return units * by
    whole, rest = np.divmod(units, 10 ** (decimals - to))
    if rest.any():
        raise ValueError(f"{units[rest != 0][0]} in units of 10^-{decimals} is finer than {to} decimals")
    return whole
