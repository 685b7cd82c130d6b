"""A decimal that went through a float comes back as the integer it was, or is refused; never as another one."""

from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernels.decimals import EXACT, decimals_for, decimals_of, rescale, scale

units = st.integers(-EXACT, EXACT)
places = st.integers(0, 12)


@given(st.lists(st.tuples(units, places), min_size=1, max_size=30))
@settings(deadline=None, max_examples=200)
def test_any_decimal_of_up_to_15_digits_comes_back_exactly(drawn: list[tuple[int, int]]):
    for c, d in drawn:
        found, exact = scale([float(str(Decimal(c).scaleb(-d)))], d)
        assert exact[0]
        assert found[0] == c


@given(st.lists(st.tuples(units, places), min_size=1, max_size=30))
@settings(deadline=None, max_examples=50)
def test_decimals_of_is_the_fewest_that_hold_the_text(drawn: list[tuple[int, int]]):
    texts = [Decimal(c).scaleb(-d) for c, d in drawn]
    fewest = [max(0, -int(text.normalize().as_tuple().exponent)) if text else 0 for text in texts]
    assert decimals_of([float(str(text)) for text in texts]).tolist() == fewest


@given(st.integers(0, 10**9), st.integers(0, 6), st.integers(1, 6))
@settings(deadline=None, max_examples=50)
def test_a_finer_value_is_refused_and_not_rounded(c: int, d: int, finer: int):
    text = Decimal(c).scaleb(-d) + Decimal(1).scaleb(-d - finer)
    found, exact = scale([float(str(text))], d)
    assert not exact[0]
    assert found[0] == 0


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e300, 1e-300, 2.0**60 + 1e5], ids=str)
def test_what_no_decimals_hold_is_refused_without_a_warning(value: float):
    assert decimals_of([value]).tolist() == [-1]
    assert not scale([value], 2)[1][0]


@pytest.mark.parametrize(
    ("values", "share", "written", "expected"),
    [
        ([1.0, 2.5, 3.25], 0.001, 0, 2),
        ([1.0] * 98 + [0.001], 0.001, 0, 3),
        ([1.5] * 99 + [0.001], 0.001, 0, 1),
        ([1.5] * 99 + [0.001], 0.0, 0, 3),
        ([1.5] * 98 + [0.001] * 2, 0.001, 0, 3),
        ([1.5] * 99 + [0.001], 0.001, 8, 3),
        ([1.5] * 99 + [0.0000000001], 0.001, 8, 1),
        ([0.25, np.nan, np.inf, 1e300], 0.001, 0, 2),
        ([0.25, 0.5, 0.75, 1e14], 0.001, 0, 2),
        ([], 0.001, 0, 0),
    ],
    ids=[
        "all fit", "few: none is off the grid", "one of a hundred is", "unless the share is 0", "two are too many",
        "up to the written decimals none is", "beyond them one is", "what is no number does not count", "a huge one is outvoted", "none",
    ],
)  # fmt: skip
def test_decimals_fit_all_but_the_off_grid_share(values: list[float], share: float, written: int, expected: int):
    assert decimals_for(values, share, written) == expected


@given(st.lists(st.integers(-(10**9), 10**9), max_size=20), places, places)
@settings(deadline=None, max_examples=50)
def test_rescaling_up_is_exact_and_down_gives_it_back(some: list[int], d: int, more: int):
    to = min(d + more, d + 9)
    up = rescale(some, d, to)
    assert up.tolist() == [c * 10 ** (to - d) for c in some]
    assert rescale(up, to, d).tolist() == some


def test_rescaling_never_overflows_or_loses_a_digit_silently():
    with pytest.raises(OverflowError, match="does not fit"):
        rescale([10**12], 0, 8)
    with pytest.raises(ValueError, match="finer"):
        rescale([15], 1, 0)
