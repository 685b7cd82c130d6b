"""Recurrences and windows agree with TA-Lib or with a plain sum, start afresh after a gap, and never look over one."""

import numpy as np
import polars as pl
import pytest
import talib
from hypothesis import given, settings
from hypothesis import strategies as st

from kernels import indicators as ind

GAP = 5


def walk(seed: int, n: int, tick: float, start: float) -> np.ndarray:
    steps = np.random.default_rng(seed).integers(-20, 21, n)
    return np.maximum(start + np.cumsum(steps) * tick, tick)


def run(expression: pl.Expr, *columns: np.ndarray) -> np.ndarray:
    frame = pl.DataFrame({f"x{k}": pl.Series(column, nan_to_null=True) for k, column in enumerate(columns)})
    return frame.select(expression.cast(pl.Float64)).to_series().fill_null(float("nan")).to_numpy()


X = pl.col("x0")
BAND = 2 * ind.window_std(X, 20, ddof=0)
OURS = {
    "ema 5": ind.ema(X, 5),
    "ema 26": ind.ema(X, 26),
    "rsi 14": ind.rsi(X, 14),
    "macd": ind.macd(X, 12, 26),
    "macd signal": ind.ema(ind.macd(X, 12, 26), 9),
    "bollinger upper": ind.window_sum(X, 20) / 20 + BAND,
    "bollinger lower": ind.window_sum(X, 20) / 20 - BAND,
}
THEIRS = {
    "ema 5": lambda x: talib.EMA(x, 5),
    "ema 26": lambda x: talib.EMA(x, 26),
    "rsi 14": lambda x: talib.RSI(x, 14),
    "macd": lambda x: talib.MACD(x, 12, 26, 9)[0],
    "macd signal": lambda x: talib.MACD(x, 12, 26, 9)[1],
    "bollinger upper": lambda x: talib.BBANDS(x, 20, 2, 2)[0],
    "bollinger lower": lambda x: talib.BBANDS(x, 20, 2, 2)[2],
}


@pytest.mark.parametrize("name", OURS)
@given(seed=st.integers(0, 10**6), n=st.integers(60, 400), tick=st.sampled_from([0.01, 0.1, 1.0]), start=st.sampled_from([100.0, 2_000.0]))
@settings(deadline=None, max_examples=25)
def test_it_agrees_with_ta_lib_before_and_after_a_gap(name: str, seed: int, n: int, tick: float, start: float):
    before, after = walk(seed, n, tick, start), walk(seed + 1, n, tick, start)
    ours = run(OURS[name], np.concatenate([before, np.full(GAP, np.nan), after]))
    for x, part in ((before, ours[:n]), (after, ours[n + GAP :])):
        theirs = THEIRS[name](x)
        known = ~np.isnan(theirs)
        np.testing.assert_allclose(part[known], theirs[known], rtol=1e-9, atol=1e-9)
        assert np.isnan(part[np.isnan(theirs)]).all() or name == "macd"  # TA-Lib hides macd until its signal is there
    assert np.isnan(ours[n : n + GAP]).all()


def test_nothing_has_moved_is_no_strength():
    assert run(ind.rsi(X, 14), np.full(40, 60_000.0))[-1] == 0.0


@given(st.lists(st.one_of(st.none(), st.integers(-(10**6), 10**6)), min_size=1, max_size=60), st.integers(2, 8))
@settings(deadline=None, max_examples=50)
def test_a_window_with_a_hole_is_null_and_any_other_is_a_plain_sum(values: list[int | None], window: int):
    x = np.array([np.nan if v is None else v for v in values], dtype=np.float64)
    plain = [np.nan if i + 1 < window else x[i + 1 - window : i + 1].sum() for i in range(len(x))]
    spread = [np.nan if i + 1 < window else x[i + 1 - window : i + 1].std(ddof=1) for i in range(len(x))]
    np.testing.assert_allclose(run(ind.window_sum(X, window), x), plain)
    np.testing.assert_allclose(run(ind.window_std(X, window, ddof=1), x), spread, rtol=1e-9, atol=1e-6)
    exact = pl.DataFrame({"x0": pl.Series(values, dtype=pl.Int64)}).select(ind.exact_sum(X, window)).to_series()
    assert exact.to_list() == [None if np.isnan(p) else int(p) for p in plain]


@pytest.mark.parametrize(
    ("fast", "slow", "volatility", "expected"),
    [(102.0, 100.0, 0.01, 2.0), (98.0, 100.0, 0.01, 0.0), (100.5, 100.0, 0.01, 1.0), (102.0, 100.0, 0.015, 5.0)],
    ids=["calm, up", "calm, down", "calm, no trend", "rough, up"],
)
def test_the_regime_is_volatility_times_trend(fast: float, slow: float, volatility: float, expected: float):
    past = np.full(3, 0.01)
    expression = ind.regime(pl.col("x0"), pl.col("x1"), pl.col("x2"), pl.lit(100.0), 3)
    found = run(expression, np.append(past, volatility), np.full(4, fast), np.full(4, slow))
    assert found[-1] == expected
    assert np.isnan(found[:2]).all()
