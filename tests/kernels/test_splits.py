"""No split learns from a label that settles inside a later one; windows never span a hole."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.market import NS
from kernels import splits
from kernels.splits import Shares

SHARES = Shares(validation=0.15, calibration=0.1, test=0.2)
WINDOW = 20


def market(n: int, seed: int, horizon: int = 15) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(decided_at, known_at, window_start) of n seconds of two instruments with some holes, in no order; ns."""
    random = np.random.default_rng(seed)
    decided = (np.cumsum(random.integers(1, 3, n)) * NS).repeat(2)
    known = decided + random.integers(1, horizon + 1, len(decided)) * NS
    order = random.permutation(len(decided))
    return decided[order], known[order], (decided - WINDOW * NS)[order]


@given(st.integers(60, 400), st.integers(0, 1000))
@settings(deadline=None, max_examples=50)
def test_a_split_is_settled_before_the_next_one_begins(n: int, seed: int):
    decided, known, start = market(n, seed)
    parted = splits.split(decided, known, start, SHARES, min_train=16)
    kinds = [parted.train, parted.validation, parted.calibration, parted.test]
    distinct = [rows for i, rows in enumerate(kinds) if len(rows) and not any(np.array_equal(rows, k) for k in kinds[:i])]
    strict = not parted.warnings
    for earlier, later in pairwise(distinct):
        assert known[earlier].max() < (start if strict else decided)[later].min()
        assert not set(earlier) & set(later)
    for rows in distinct:
        assert (np.diff(decided[rows]) >= 0).all()
    assert decided[parted.test].max() == decided.max()
    assert len(parted.train) >= 16


@given(st.integers(0, 1000))
@settings(deadline=None, max_examples=20)
def test_only_what_overlaps_is_given_up(seed: int):
    decided, known, start = market(400, seed)
    train, *_, test = splits.in_order(decided, known, start, [0.2], windows_too=True)
    reach = start[test].min()
    before = np.flatnonzero(decided < decided[test].min())
    assert set(train) == {i for i in before if known[i] < reach}


@pytest.mark.parametrize(
    ("n", "warned"),
    [(2000, ""), (260, "windows overlap"), (110, "calibrated on the validation"), (70, "not calibrated")],
    ids=["a day", "ten minutes", "four minutes", "two minutes"],
)
def test_little_data_gives_up_one_thing_after_another(n: int, warned: str):
    decided = np.arange(n) * NS
    parted = splits.split(decided, decided + 15 * NS, decided - 59 * NS, SHARES, min_train=32)
    assert (warned in parted.warnings[0]) if warned else not parted.warnings
    assert len(parted.train) >= 32 and len(parted.test)


@pytest.mark.parametrize("n", [0, 1, 40])
def test_too_little_data_is_an_error_with_the_numbers(n: int):
    decided = np.arange(n) * NS
    with pytest.raises(ValueError, match="too little data to train"):
        splits.split(decided, decided + 15 * NS, decided, SHARES, min_train=32)


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 1), st.integers(1, 2)), min_size=1, max_size=60), st.integers(1, 6))
@settings(deadline=None, max_examples=50)
def test_a_window_is_unbroken(rows: list[tuple[bool, int, int]], window: int):
    complete = np.array([r[0] for r in rows])
    segment = np.cumsum([r[1] for r in rows])
    at = np.cumsum([r[2] for r in rows]) * NS
    found = splits.window_ends(complete, segment, at, window=window, every=NS)
    expected = [
        end
        for end in range(window - 1, len(rows))
        if complete[end - window + 1 : end + 1].all()
        and len(set(segment[end - window + 1 : end + 1])) == 1
        and at[end] - at[end - window + 1] == (window - 1) * NS
    ]
    assert found.tolist() == expected


@given(st.integers(0, 500), st.integers(1, 100))
@settings(deadline=None, max_examples=50)
def test_a_strided_sample_is_bounded_and_even(n: int, most: int):
    found = splits.strided(np.arange(n), most)
    assert len(found) <= most and len(found) >= min(n, most / 2)
    assert len(set(np.diff(found).tolist())) <= 1
