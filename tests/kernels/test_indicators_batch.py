"""Many symbols at once give what TA-Lib gives one by one; a day, its pieces, and bar by bar are the same bits; a gap harms no neighbour."""

import math

import numpy as np
import pytest
import talib
from hypothesis import given, settings
from hypothesis import strategies as st

from kernels import indicators_batch as batch
from kernels import indicators_compiled as compiled

GAP = 3


def walks(seed: int, rows: int, n: int, scale: float, gaps: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    closes = (60_000 + np.cumsum(rng.integers(-20, 21, (rows, n)), axis=0)) * scale
    for at, s in zip(rng.integers(0, rows, gaps), rng.integers(0, n, gaps), strict=True):
        closes[at : at + GAP, s] = np.nan
    return closes


def talibs(x: np.ndarray) -> np.ndarray:
    upper, _, lower = talib.BBANDS(x, 20, 2, 2)
    macd, signal, _ = talib.MACD(x, 12, 26, 9)
    return np.stack([talib.SMA(x, 20), talib.STDDEV(x, 20), upper, lower, macd, signal, talib.RSI(x, 14)])


@given(st.integers(0, 10**6), st.integers(34, 200), st.integers(1, 20), st.sampled_from([1e-5, 0.01, 1.0]))
@settings(deadline=None, max_examples=50)
def test_every_symbol_agrees_with_ta_lib(seed: int, rows: int, n: int, scale: float):
    closes = walks(seed, rows, n, scale)
    made = batch.batch(closes)
    for s in range(n):
        theirs = talibs(np.ascontiguousarray(closes[:, s]))
        known = ~np.isnan(theirs)
        # Its variance is a difference of large sums, ours is not: the atol is its error, in prices.
        np.testing.assert_allclose(made[:, :, s][known], theirs[known], rtol=1e-9, atol=max(1e-9, 1e-6 * scale))
    for k, warm_up in enumerate(batch.WARM_UP):
        assert np.isnan(made[k, :warm_up]).all()
        assert not np.isnan(made[k, warm_up:]).any()


@given(st.integers(0, 10**6), st.integers(1, 150), st.integers(1, 20), st.lists(st.integers(1, 40), min_size=1, max_size=20))
@settings(deadline=None, max_examples=50)
def test_a_day_its_pieces_and_bar_by_bar_are_the_same_bits(seed: int, rows: int, n: int, sizes: list[int]):
    closes = walks(seed, rows, n, 0.01, gaps=5)
    whole = batch.batch(closes, threads=2)
    pieces, state, at = np.empty_like(whole), batch.init(n), 0
    while at < rows:
        part = closes[at : at + sizes[at % len(sizes)]]
        out = np.empty((7, *part.shape))
        batch.advance(part, state, out)
        pieces[:, at : at + len(part)] = out
        at += len(part)
    one, state = np.empty((7, n)), batch.init(n)
    for t in range(rows):
        batch.step(closes[t], state, one)
        np.testing.assert_array_equal(one, whole[:, t])
    np.testing.assert_array_equal(pieces, whole)


@pytest.mark.parametrize(
    ("rows", "n", "threads"), [(60, 103, 1), (60, 105, 2), (90, 250, 1), (7_000, 100, 1), (7_001, 101, 2), (3_500, 209, 1)]
)
def test_many_symbols_and_results_past_the_caches_are_the_same_bits(rows: int, n: int, threads: int):
    closes = walks(rows, rows, n, 0.01, gaps=9)
    whole = batch.batch(closes, threads=threads)
    for s in {0, 1, n // 2, n - 1}:
        np.testing.assert_array_equal(whole[:, :, s], batch.batch(np.ascontiguousarray(closes[:, s : s + 1]))[:, :, 0])


@given(st.integers(0, 10**6), st.integers(30, 150), st.integers(1, 20))
@settings(deadline=None, max_examples=50)
def test_after_a_gap_a_symbol_starts_afresh_and_the_others_do_not_notice(seed: int, rows: int, n: int):
    closes = walks(seed, rows + GAP + rows, n, 0.01)
    whole = batch.batch(closes)
    closes[rows : rows + GAP, 0] = np.nan
    made = batch.batch(closes)
    np.testing.assert_array_equal(made[:, :, 1:], whole[:, :, 1:])
    assert np.isnan(made[:, rows : rows + GAP, 0]).all()
    afresh = batch.batch(np.ascontiguousarray(closes[rows + GAP :, :1]))[:, :, 0]
    # Windows are anchored where a phase begins, so that fractions may differ in the last place.
    np.testing.assert_allclose(made[:, rows + GAP :, 0], afresh, rtol=1e-13, atol=1e-10)
    np.testing.assert_array_equal(made[compiled.MACD :, rows + GAP :, 0], afresh[compiled.MACD :])


@given(st.lists(st.one_of(st.none(), st.integers(1, 10**7)), min_size=20, max_size=90))
@settings(deadline=None, max_examples=50)
def test_whole_numbers_give_exact_windows(values: list[int | None]):
    made = batch.batch(np.array([[math.nan if v is None else v] for v in values], dtype=np.float64))[:, :, 0]
    for t in range(len(values)):
        window = values[t - 19 : t + 1] if t >= 19 else [None]
        if None in window:
            assert np.isnan(made[: compiled.MACD, t]).all()
            continue
        whole = [v for v in window if v is not None]
        total = sum(whole)
        exact = 20 * sum(v * v for v in whole) - total * total
        assert made[compiled.SMA, t] == total / 20
        assert math.isclose(made[compiled.STD, t], math.sqrt(exact) / 20, rel_tol=1e-15)


def test_a_calm_after_a_storm_is_calm():
    closes = np.concatenate([np.full(40, 60_000.01), [1e9 / 3], np.full(40, 60_000.01)])[:, None]
    made = batch.batch(closes)
    assert made[compiled.STD, -1, 0] == 0.0
    assert math.isclose(made[compiled.SMA, -1, 0], 60_000.01, rel_tol=1e-15)


@pytest.mark.parametrize("divisor", [14, 20])
@given(st.lists(st.floats(1e-250, 1e250), min_size=1, max_size=200))
@settings(deadline=None, max_examples=200)
def test_the_fast_division_is_the_division(divisor: int, values: list[float]):
    for a in values:
        assert compiled.over(a, divisor, 1.0 / divisor) == a / divisor


@pytest.mark.parametrize(
    "wrong",
    [
        (np.zeros((5, 3)), np.zeros((61, 3)), np.zeros((7, 5, 3))),
        (np.zeros((5, 3)), batch.init(3), np.zeros((7, 4, 3))),
        (np.zeros((5, 300)), batch.init(100), np.zeros((7, 5, 300))),
        (np.zeros((3, 5)).T, batch.init(3), np.zeros((7, 5, 3))),
        (np.zeros((5, 3), dtype=np.float32), batch.init(3), np.zeros((7, 5, 3))),
    ],
    ids=["state", "out", "too few tiles", "turned over", "float32"],
)
def test_what_does_not_fit_is_refused(wrong: tuple[np.ndarray, np.ndarray, np.ndarray]):
    with pytest.raises(ValueError, match=r"closes"):
        batch.advance(*wrong)
