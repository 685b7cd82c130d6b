"""Live step, replay and the rule in plain Python are one, for any periods and thresholds, and none of them compiles anew."""

from itertools import pairwise
from math import isnan, nan, tanh

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from kernels import rule_signals
from kernels.rule_signals import TOLD, Rule

N, ROWS = 3, 130
DUE = np.ones(N, dtype=bool)
SIGNAL, SCORE = 0, 1

rules = st.builds(
    lambda fast, slow, ema_fast, more, *rest: Rule(fast, slow, ema_fast, ema_fast + more, *rest),
    st.integers(2, 9), st.integers(10, 60), st.integers(1, 12), st.integers(1, 16), st.integers(1, 9), st.integers(2, 20),
    st.floats(51, 99), st.floats(1, 49), st.floats(0.1, 3), st.integers(2, 60),
)  # fmt: skip


def market(seed: int, gaps: int = 0) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Closes in whole price units, and volumes [time, symbol]; a symbol that stands still among them."""
    rng = np.random.default_rng(seed)
    closes = np.float64(60_000) + np.cumsum(rng.integers(-20, 21, (ROWS, N)) + rng.integers(-5, 6, N), axis=0)
    closes[:, -1] = closes[0, -1]
    closes[rng.integers(0, ROWS, gaps), rng.integers(0, N, gaps)] = nan
    return closes, rng.exponential(1, (ROWS, N)) * (rng.random((ROWS, N)) > 0.2)


def ema(values: list[float], window: int, lead: int = 0) -> list[float]:
    """Begins with the mean of `window` values that come after `lead` others; nan before, and again after a nan."""
    told, value, run = [], nan, []
    for x in values:
        if isnan(x):
            value, run = nan, []
        elif not isnan(value):
            value += (x - value) * 2 / (window + 1)
        else:
            run.append(x)
            if len(run) == lead + window:
                value = sum(run[lead:]) / window
                run = []
        told.append(value)
    return told


def wilder(closes: list[float], window: int) -> list[float]:
    told, gain, loss, run = [nan], nan, nan, []
    for before, now in pairwise(closes):
        change = now - before
        if isnan(change):
            gain, run = nan, []
        elif not isnan(gain):
            gain, loss = (gain * (window - 1) + max(change, 0)) / window, (loss * (window - 1) + max(-change, 0)) / window
        else:
            run.append(change)
            if len(run) == window:
                gain, loss = sum(max(c, 0) for c in run) / window, sum(max(-c, 0) for c in run) / window
                run = []
        told.append(nan if isnan(gain) else 100 * gain / (gain + loss) if gain + loss > 1e-12 else 0.0)
    return told


def plain(closes: list[float], volumes: list[float], rule: Rule) -> NDArray[np.float64]:
    """What is told of one symbol's bars, as the module words it."""
    macd = [a - b for a, b in zip(ema(closes, rule.ema_fast, rule.ema_slow - rule.ema_fast), ema(closes, rule.ema_slow), strict=True)]
    smooth, strength, told = ema(macd, rule.ema_signal), wilder(closes, rule.rsi), []
    for t in range(len(closes)):

        def mean(of: list[float], window: int, t: int = t) -> float:
            return sum(of[t + 1 - window : t + 1]) / window if t + 1 >= window else nan

        fast, slow, usual = mean(closes, rule.sma_fast), mean(closes, rule.sma_slow), mean(volumes, rule.volume_window)
        ratio = volumes[t] / usual if usual else 0.0
        row = [fast, slow, macd[t], smooth[t], strength[t], ratio]
        if any(map(isnan, row)):
            told.append([0.0, nan, *row])
            continue
        window = closes[t + 1 - rule.sma_slow : t + 1]
        std = (sum((x - slow) ** 2 for x in window) / rule.sma_slow) ** 0.5
        trend, momentum, rsi = fast - slow, macd[t] - smooth[t], strength[t]
        buy = trend > 0 and momentum > 0 and rsi < rule.overbought and ratio >= rule.volume_ratio
        sell = trend < 0 and momentum < 0 and rsi > rule.oversold and ratio >= rule.volume_ratio
        lean = (tanh(trend / std) + tanh(momentum / std)) / 2 * min(1, ratio / rule.volume_ratio) if std > 1e-9 else 0.0
        spent = (lean > 0 and rsi >= rule.overbought) or (lean < 0 and rsi <= rule.oversold)
        told.append([float(buy) - float(sell), 0.0 if spent else lean, *row])
    return np.array(told)


@given(st.integers(0, 10**6), st.integers(0, 3), rules)
@settings(deadline=None, max_examples=50)
def test_step_and_replay_and_plain_python_agree(seed: int, gaps: int, rule: Rule):
    closes, volumes = market(seed, gaps)
    packed = rule_signals.pack(rule)
    state, live = rule_signals.init(N), []
    for row in zip(closes, volumes, strict=True):
        state, told = rule_signals.step(state, *row, packed, DUE)
        live.append(np.asarray(told))
    slow = np.stack([plain(list(closes[:, i]), list(volumes[:, i]), rule) for i in range(N)], axis=1)
    np.testing.assert_allclose(np.asarray(rule_signals.replay(closes, volumes, packed)), np.stack(live), rtol=1e-9, atol=1e-9)
    sure = (abs(slow[..., 2] - slow[..., 3]) > 1e-6) & (abs(slow[..., 4] - slow[..., 5]) > 1e-6)  # no coin standing on its edge
    fast = np.stack(live)
    np.testing.assert_allclose(fast[..., 2:], slow[..., 2:], rtol=1e-8, atol=1e-8)
    np.testing.assert_allclose(fast[..., SIGNAL][sure], slow[..., SIGNAL][sure])
    np.testing.assert_allclose(fast[..., SCORE][sure], slow[..., SCORE][sure], rtol=1e-8, atol=1e-8)


def test_other_numbers_compile_nothing():
    closes, volumes = market(1)
    state = rule_signals.init(N)
    before = None
    for rule in (Rule(), Rule(sma_fast=5, sma_slow=9, rsi=3, overbought=90), Rule(volume_window=60, volume_ratio=2.0)):
        rule_signals.step(state, closes[0], volumes[0], rule_signals.pack(rule), DUE)
        compiled = rule_signals.step._cache_size()  # pyright: ignore
        assert before in (None, compiled)
        before = compiled


def test_a_symbol_that_is_not_due_stays_as_it_was():
    closes, volumes = market(2)
    packed = rule_signals.pack(Rule(2, 3, 1, 2, 1, 2, volume_window=2))
    state = rule_signals.init(N)
    for row in range(20):
        due = np.array([True, row % 2 == 0, False])
        state, told = rule_signals.step(state, closes[row], volumes[row], packed, due)
        seen = np.asarray(told)
        assert (seen[~due, SIGNAL] == 0).all()
        assert np.isnan(seen[~due, SCORE]).all()
    np.testing.assert_array_equal(np.asarray(state)[2], np.asarray(rule_signals.init(N))[2])
    state, told = rule_signals.step(state, closes[20], volumes[20], packed, DUE)
    after = np.asarray(rule_signals.replay(closes[0:21:2], volumes[0:21:2], packed))
    np.testing.assert_allclose(np.asarray(told)[1], after[-1, 1], rtol=1e-9)


@pytest.mark.parametrize(("drift", "signal"), [(1, 1), (-1, -1), (0, 0)], ids=["rises", "falls", "stands"])
def test_a_trend_on_volume_is_followed(drift: int, signal: int):
    up_and_down = np.array([2, -2, 3, -3] * 20) * (drift != 0)
    closes = 1_000.0 + drift * np.arange(80) ** 1.2 + 2 * up_and_down
    volumes = np.r_[np.ones(79), 3.0]
    told = np.asarray(rule_signals.replay(closes[:, None], volumes[:, None], rule_signals.pack(Rule(overbought=99.9, oversold=0.1))))[-1, 0]
    assert told[SIGNAL] == np.sign(told[SCORE]) == signal
    assert told[TOLD.index("volume_ratio")] == pytest.approx(3 / 1.1)


@pytest.mark.parametrize(
    "rule",
    [
        Rule(sma_slow=61),
        Rule(sma_fast=50),
        Rule(ema_fast=26),
        Rule(rsi=0),
        Rule(oversold=80),
        Rule(volume_ratio=nan),
        Rule(volume_window=99),
    ],
    ids=["window too long", "fast is slow", "fast average is slow", "no period", "thresholds crossed", "nan", "volumes too long"],
)  # fmt: skip
def test_a_rule_that_cannot_decide_is_refused(rule: Rule):
    with pytest.raises(ValueError, match="periods"):
        rule_signals.pack(rule)
