"""Is a measurement worse than the last ones? Against their median, by a margin that their own scatter allows."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

NORMAL = 1.4826  # MAD of a normal distribution -> its standard deviation (Rousseeuw & Croux 1993)
DEVIATIONS = 3.0
LEAST_HISTORY = 3  # fewer runs say nothing of their scatter


class Judged(NamedTuple):
    median_before: float | None  # None: no history
    regressed: bool


def spread(values: Sequence[float]) -> float:
    """Robust standard deviation: the median absolute deviation, scaled. 0 of fewer than two values."""
    if len(values) < 2:
        return 0.0
    array = np.asarray(values, dtype=np.float64)
    return float(NORMAL * np.median(np.abs(array - np.median(array))))


def judge(value: float, before: Sequence[float], *, higher_is_better: bool, margin_pct: float) -> Judged:
    """Regressed: worse than the median of `before` by more than `margin_pct` percent of it and by more than three of their spreads."""
    if not before:
        return Judged(None, False)
    median = float(np.median(np.asarray(before, dtype=np.float64)))
    worse_by = (median - value) if higher_is_better else (value - median)
    allowed = max(abs(median) * margin_pct / 100, DEVIATIONS * spread(before))
    return Judged(median, len(before) >= LEAST_HISTORY and worse_by > allowed)


def statistic(values: Sequence[float], percentile: float, blocks: int = 5) -> tuple[float, float]:
    """A percentile of all values, and its spread over `blocks` stretches of them."""
    array = np.asarray(values, dtype=np.float64)
    parts = [float(np.percentile(part, percentile)) for part in np.array_split(array, blocks) if len(part)]
    return float(np.percentile(array, percentile)), spread(parts)
