"""Make probabilities mean what they say, and measure how far they are from it."""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]
BINS = 10
FEW = 20  # rows below which a calibration is left as it is
STEPS = 100


def softmax(logits: Floats) -> Floats:
    shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
    return shifted / shifted.sum(axis=1, keepdims=True)


def log_loss(logits: Floats, classes: NDArray[np.integer], temperature: float) -> float:
    """Mean negative log-likelihood of [n, k] logits divided by the temperature."""
    scaled = logits / temperature
    top = scaled.max(axis=1)
    total = top + np.log(np.exp(scaled - top[:, None]).sum(axis=1))
    return float(np.mean(total - scaled[np.arange(len(classes)), classes]))


def temperature(logits: Floats, classes: NDArray[np.integer], *, low: float = 0.2, high: float = 5.0) -> float:
    """The one divisor of the logits that makes them likeliest (Guo, Pleiss, Sun & Weinberger 2017); 1 for few rows.

    Golden-section search in log temperature: the loss is unimodal in it.
    """
    if len(classes) < FEW:
        return 1.0
    golden = (np.sqrt(5.0) - 1.0) / 2.0
    left, right = np.log(low), np.log(high)
    for _ in range(60):
        inner_left, inner_right = right - golden * (right - left), left + golden * (right - left)
        if log_loss(logits, classes, np.exp(inner_left)) < log_loss(logits, classes, np.exp(inner_right)):
            right = inner_right
        else:
            left = inner_left
    return float(np.exp((left + right) / 2.0))


def platt(logit: Floats, right: NDArray[np.bool_]) -> tuple[float, float]:
    """(scale, shift) so that sigmoid(scale x logit + shift) is the share that is right (Platt 1999, with his smoothed targets).

    (1, 0) for few rows. A logit that ranks no better than chance gets scale 0: the share of right answers for all.
    """
    if len(right) < FEW:
        return 1.0, 0.0
    n_right, n_wrong = int(right.sum()), int((~right).sum())
    target = np.where(right, (n_right + 1.0) / (n_right + 2.0), 1.0 / (n_wrong + 2.0))
    centre, spread = float(logit.mean()), float(logit.std())
    constant = (0.0, float(np.log(target.mean() / (1.0 - target.mean()))))
    if spread < 1e-9:
        return constant
    x = np.stack([(logit - centre) / spread, np.ones(len(logit))], axis=1).astype(np.float64)
    weights = np.array([0.0, constant[1]])
    ridge = np.diag([1e-3, 1e-9])  # keeps a perfectly separating logit finite
    for _ in range(STEPS):
        p = 1.0 / (1.0 + np.exp(-np.clip(x @ weights, -30, 30)))
        gradient = x.T @ (p - target) + ridge @ weights
        curvature = (x * (p * (1.0 - p))[:, None]).T @ x + ridge + 1e-9 * np.eye(2)
        step = np.linalg.solve(curvature, gradient)
        step *= min(1.0, 2.0 / max(float(np.abs(step).max()), 1e-12))
        weights = weights - step
        if np.abs(step).max() < 1e-10:
            break
    if weights[0] <= 0.0:
        return constant
    scale = float(weights[0] / spread)
    return scale, float(weights[1]) - scale * centre


def reliability(confidence: Floats, right: NDArray[np.bool_], bins: int = BINS) -> list[tuple[float, float, int]]:
    """(mean confidence, share right, rows) of up to `bins` slices of about as many rows each, the least confident first.

    Slices of [0, 1] would put confidences that differ little into one, and its error says next to nothing (Nixon et al. 2019). Equal
    confidences stay together.
    """
    if not len(confidence):
        return []
    edges = np.unique(np.quantile(confidence, np.arange(1, bins) / bins))
    at = np.searchsorted(edges, confidence, side="right")
    return [(float(confidence[at == b].mean()), float(right[at == b].mean()), int((at == b).sum())) for b in np.unique(at)]


def calibration_error(table: list[tuple[float, float, int]]) -> float:
    """Expected calibration error of a reliability table: mean |confidence - accuracy|, weighted by rows; 0 for an empty one."""
    n = sum(rows for _, _, rows in table)
    return sum(abs(c - a) * rows for c, a, rows in table) / n if n else 0.0
