"""The baselines are as simple as they claim."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernels import baselines


@given(st.lists(st.sampled_from([1.0, 2.0, 3.0, float("nan")]), min_size=1, max_size=40), st.integers(1, 8))
@settings(deadline=None, max_examples=50)
def test_last_sign_is_the_last_move_inside_the_window(price: list[float], window: int):
    ends = np.arange(window - 1, len(price))
    found = baselines.last_sign(np.array(price), ends, window=window)
    for end, answer in zip(ends, found, strict=True):
        inside = price[end - window + 1 : end + 1]
        moves = [np.sign(b - a) for a, b in pairwise(inside) if b - a not in (0.0,) and not np.isnan(b - a)]
        assert answer - 1 == (moves[-1] if moves else 0)


def test_no_trade_never_trades():
    assert baselines.no_trade(3).tolist() == [1, 1, 1]


def test_logistic_learns_what_is_linear_and_only_from_training_rows():
    random = np.random.default_rng(1)
    x = random.normal(size=(600, 3)) * [1, 100, 1e-4] + [0, 5000, 0]
    classes = np.where(x[:, 2] > 5e-5, 2, np.where(x[:, 2] < -5e-5, 0, 1))
    found = baselines.logistic(x[:400], classes[:400], x[400:])
    assert (found == classes[400:]).mean() > 0.9
    assert np.array_equal(found, baselines.logistic(x[:400], classes[:400], x[400:]))


@pytest.mark.parametrize("only", [0, 1, 2])
def test_one_class_is_answered_with_itself(only: int):
    x = np.ones((30, 2))
    assert set(baselines.logistic(x, np.full(30, only), x).tolist()) == {only}
