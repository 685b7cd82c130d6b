"""Where the venue hides the aggressor, the quote tells, then the tick; the future never does."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernels.sides import infer, with_sides


def plain(price: list[int], told: list[int], twice_mid: list[int]) -> list[int]:
    sides = []
    for i, p in enumerate(price):
        before = [q for q in price[:i] if q != p]
        sign = (1 if p > before[-1] else -1) if before else 0
        by_quote = int(np.sign(2 * p - twice_mid[i])) if twice_mid[i] else 0
        sides.append(told[i] or by_quote or sign)
    return sides


@given(st.lists(st.tuples(st.integers(1, 4), st.sampled_from([0, 0, 0, 1, -1]), st.sampled_from([0, 4, 5])), max_size=20))
@settings(deadline=None, max_examples=100)
def test_the_pass_over_arrays_is_lee_and_ready(trades: list[tuple[int, int, int]]):
    price, told, mid = (list(c) for c in zip(*trades, strict=True)) if trades else ([], [], [])
    got = infer(np.array(price, dtype=np.int64), np.array(told, dtype=np.int8), np.array(mid, dtype=np.int64))
    # The last price that differed is remembered only through a run of equal prices, as the rule has it.
    assert got.tolist() == plain(price, told, mid)


@pytest.mark.parametrize(("received", "side"), [(5, 0), (10, 1), (11, 1)], ids=["before the quote", "with it", "after it"])
def test_a_quote_counts_from_when_we_knew_it(received: int, side: int):
    trades = pl.DataFrame({"ts_recv": [received], "price": [102], "side": [0]}, schema_overrides={"side": pl.Int8})
    tops = pl.DataFrame({"known_at": [10], "bid": [99], "ask": [101]})
    made = with_sides(trades, tops)
    assert made["side"].to_list() == [side]
    assert made["side_inferred"].to_list() == [side != 0]


def test_sides_the_venue_gave_are_kept_and_not_flagged():
    trades = pl.DataFrame({"ts_recv": [11, 12], "price": [102, 102], "side": [-1, 1]}, schema_overrides={"side": pl.Int8})
    made = with_sides(trades, pl.DataFrame({"known_at": [10], "bid": [99], "ask": [101]}))
    assert made["side"].to_list() == [-1, 1]
    assert not made["side_inferred"].any()
