"""Train, validation, calibration and test, in time order and purged; and the windows there are to split.

A label looks ahead, so the tail of each split is dropped where its labels settle inside the next split: they would tell
the one about the other (Lopez de Prado 2018, ch. 7: purging and embargo). All instants are of one clock, the receiver's: a
row is decided on when its bar was known, and its label settles when its outcome was.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]
SMALL = 8  # rows below which a split says nothing at all


@dataclass(frozen=True, slots=True)
class Shares:
    """Of all rows, in time order; training takes the rest."""

    validation: float
    calibration: float
    test: float


@dataclass(frozen=True, slots=True)
class Splits:
    """Row indices of each split, in time order, and what had to be given up because there is so little data."""

    train: Ints
    validation: Ints
    calibration: Ints
    test: Ints
    warnings: tuple[str, ...] = ()


def window_ends(complete: Mask, segment: Ints, ts_event: Ints, *, window: int, every: int) -> Ints:
    """Rows that end `window` consecutive complete rows of one segment, `every` ns apart."""
    n = len(complete)
    broken = np.ones(n, dtype=bool)
    broken[1:] = ~(complete[1:] & complete[:-1] & (segment[1:] == segment[:-1]) & (np.diff(ts_event) == every))
    position = np.arange(n)
    run = position - np.maximum.accumulate(np.where(broken, position, 0)) + 1
    return np.flatnonzero(complete & (run >= window)).astype(np.int64)


def cuts(decided_at: Ints, fractions: list[float]) -> list[int]:
    """The instants at which these fractions of the rows have passed; rows of one instant are never parted."""
    ordered = np.sort(decided_at)
    return [int(ordered[min(round(f * len(ordered)), len(ordered) - 1)]) for f in fractions]


def in_order(decided_at: Ints, known_at: Ints, window_start: Ints, shares: list[float], *, windows_too: bool) -> list[Ints]:
    """One split more than there are `shares` (of the later splits, in order), each purged against the one after it.

    Kept rows settle (`known_at`) before the next split's first decision and, with `windows_too`, before the first row
    that any of its windows looks at. Each split's indices are in order of `decided_at`.
    """
    fractions = [1.0 - sum(shares[i:]) for i in range(len(shares))]
    at = cuts(decided_at, fractions)
    edges = [np.iinfo(np.int64).min, *at, np.iinfo(np.int64).max]
    found: list[Ints] = []
    for low, high in pairwise(edges):
        inside = (decided_at >= low) & (decided_at < high)
        later = decided_at >= high
        if later.any():
            starts = window_start if windows_too else decided_at
            inside &= known_at < starts[later].min()
        rows = np.flatnonzero(inside)
        found.append(rows[np.argsort(decided_at[rows], kind="stable")].astype(np.int64))
    return found


def split(decided_at: Ints, known_at: Ints, window_start: Ints, shares: Shares, *, min_train: int) -> Splits:
    """Four splits, by the strictest rule that leaves something in each; what is given up is said in `warnings`.

    All in ns. Raises `ValueError` with the numbers where even two splits leave fewer than `min_train` training rows.
    """
    of = [shares.validation, shares.calibration, shares.test]
    none = np.empty(0, dtype=np.int64)
    lacking = "take in more hours of data, or lower train.window or labels.horizon_s"
    if not len(decided_at):
        raise ValueError(f"too little data to train: no window of complete rows ends at a settled label; {lacking}")
    for windows_too in (True, False):
        train, validation, calibration, test = in_order(decided_at, known_at, window_start, of, windows_too=windows_too)
        if len(train) >= min_train and min(len(validation), len(calibration), len(test)) >= SMALL:
            said = () if windows_too else ("little data: splits are purged of overlapping labels, but their windows overlap",)
            return Splits(train, validation, calibration, test, said)
    shared = [shares.validation + shares.calibration, shares.test]
    train, validation, test = in_order(decided_at, known_at, window_start, shared, windows_too=False)
    if len(train) >= min_train and min(len(validation), len(test)) >= SMALL:
        return Splits(train, validation, validation, test, ("little data: calibrated on the validation split, for want of another",))
    train, test = in_order(decided_at, known_at, window_start, [shares.test], windows_too=False)
    if len(train) < min_train:
        raise ValueError(
            f"too little data to train: {len(decided_at)} windows with a settled label, of which {len(train)} are left for training after "
            f"purging, and train.min_train_windows is {min_train}; {lacking}"
        )
    return Splits(train, train, none, test, ("very little data: validated on the training windows, and not calibrated",))


def strided(rows: Ints, most: int) -> Ints:
    """At most `most` of the rows, evenly spaced."""
    step = -(-len(rows) // most) if len(rows) else 1
    return rows[::step]


def thinned(parted: Splits, *, most: int) -> Splits:
    """A bounded sample of each split: `most` to train on and to test on, a quarter as many to validate and to calibrate on."""
    few = max(1, most // 4)
    return Splits(
        strided(parted.train, most),
        strided(parted.validation, few),
        strided(parted.calibration, few),
        strided(parted.test, most),
        parted.warnings,
    )
