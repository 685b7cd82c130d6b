"""Calibrated probabilities mean what they say."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernels import calibration


def drawn(n: int, seed: int, sharpness: float) -> tuple[np.ndarray, np.ndarray]:
    """Logits that are `sharpness` times too sure, and the classes they speak of."""
    random = np.random.default_rng(seed)
    logits = random.normal(size=(n, 3))
    classes = np.array([random.choice(3, p=p) for p in calibration.softmax(logits)])
    return logits * sharpness, classes


@pytest.mark.parametrize("sharpness", [0.5, 1.0, 3.0])
def test_temperature_undoes_too_much_and_too_little_sureness(sharpness: float):
    logits, classes = drawn(5000, 1, sharpness)
    assert calibration.temperature(logits, classes) == pytest.approx(sharpness, rel=0.1)


@given(st.integers(0, 100), st.floats(0.3, 4.0))
@settings(deadline=None, max_examples=20)
def test_temperature_is_the_best_there_is(seed: int, sharpness: float):
    logits, classes = drawn(200, seed, sharpness)
    found = calibration.temperature(logits, classes)
    best = min(calibration.log_loss(logits, classes, t) for t in np.geomspace(0.2, 5.0, 200))
    assert calibration.log_loss(logits, classes, found) <= best + 1e-6


@pytest.mark.parametrize(("scale", "shift"), [(1.0, 0.0), (0.4, -0.5), (2.0, 1.0)])
def test_platt_finds_the_line_the_outcomes_came_from(scale: float, shift: float):
    random = np.random.default_rng(3)
    logit = random.normal(2.0, 1.5, 20_000)
    right = random.random(20_000) < 1 / (1 + np.exp(-(scale * logit + shift)))
    assert calibration.platt(logit, right) == pytest.approx((scale, shift), abs=0.12)


def test_platt_agrees_with_scikit_learn():
    from sklearn.linear_model import LogisticRegression

    random = np.random.default_rng(4)
    logit = random.normal(size=4000)
    right = random.random(4000) < 1 / (1 + np.exp(-(0.8 * logit - 0.3)))
    theirs = LogisticRegression(C=1e9).fit(logit[:, None], right)
    assert calibration.platt(logit, right) == pytest.approx((theirs.coef_[0, 0], theirs.intercept_[0]), abs=0.005)


@pytest.mark.parametrize(
    ("logit", "right"),
    [
        (np.linspace(-3, 3, 100), np.ones(100, bool)),
        (np.linspace(-3, 3, 100), np.zeros(100, bool)),
        (np.zeros(100), np.arange(100) % 4 == 0),
        (np.linspace(-3, 3, 100), np.linspace(-3, 3, 100) < 0),
        (np.linspace(-3, 3, 100), np.linspace(-3, 3, 100) > 0),
    ],
    ids=["always right", "never right", "one logit", "upside down", "separable"],
)
def test_platt_is_finite_and_never_turns_the_order_round(logit: np.ndarray, right: np.ndarray):
    scale, shift = calibration.platt(logit, right)
    assert np.isfinite([scale, shift]).all() and scale >= 0
    said = 1 / (1 + np.exp(-(scale * logit + shift)))
    assert said.mean() == pytest.approx(right.mean(), abs=0.03)


def test_few_rows_leave_everything_as_it_was():
    logits, classes = drawn(calibration.FEW - 1, 1, 3.0)
    assert calibration.temperature(logits, classes) == 1.0
    assert calibration.platt(logits[:, 0], classes == 0) == (1.0, 0.0)


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), max_size=80))
@settings(deadline=None, max_examples=50)
def test_the_calibration_error_is_the_weighted_gap(rows: list[tuple[float, bool]]):
    confidence, right = np.array([r[0] for r in rows]), np.array([r[1] for r in rows], dtype=bool)
    table = calibration.reliability(confidence, right)
    assert sum(n for *_, n in table) == len(rows) and len(table) <= calibration.BINS
    assert [c for c, *_ in table] == sorted(c for c, *_ in table)
    ordered, begin, gap = sorted(rows, key=lambda r: r[0]), 0, 0.0
    for _, _, n in table:
        inside = ordered[begin : begin + n]
        begin += n
        assert begin == len(rows) or ordered[begin][0] > inside[-1][0], "equal confidences were parted"
        gap += abs(sum(c for c, _ in inside) - sum(w for _, w in inside)) / len(rows)
    assert calibration.calibration_error(table) == pytest.approx(gap, abs=1e-9)


def test_confidences_that_differ_little_are_still_told_apart():
    confidence = np.linspace(0.55, 0.59, 1000)
    right = np.arange(1000) >= 570  # overall as often right as it says, and nowhere as it says
    table = calibration.reliability(confidence, right)
    assert [n for *_, n in table] == [100] * 10 and calibration.calibration_error(table) > 0.4
