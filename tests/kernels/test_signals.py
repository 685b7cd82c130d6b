"""The live step, the replayed day and the compiled batch are one; the decision follows its formula and never recompiles."""

import math

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernels import decisions, signals
from kernels import indicators_batch as batch
from kernels import indicators_compiled as compiled
from kernels.decisions import Rule

N = 4
RULE = decisions.pack(Rule())


def bars(seed: int, rows: int, n: int = N, gaps: int = 0) -> np.ndarray:
    """[time, symbol, bar]: closes in whole price units."""
    rng = np.random.default_rng(seed)
    made = rng.random((rows, n, len(signals.BAR)))
    made[..., signals.CLOSE] = 60_000 + np.cumsum(rng.integers(-20, 21, (rows, n)), axis=0)
    made[..., signals.DOWN : signals.UP + 1] = rng.dirichlet([1, 1, 1], (rows, n))
    made[..., signals.VOLATILITY] *= 0.01
    made[..., signals.POSITION] = made[..., signals.POSITION] * 2 - 1
    for at, s in zip(rng.integers(0, rows, gaps), rng.integers(0, n, gaps), strict=True):
        made[at : at + 2, s, signals.CLOSE] = np.nan
    return made


STEP = jax.jit(signals.step)


@given(st.integers(0, 10**6), st.integers(0, 4))
@settings(deadline=None, max_examples=30)
def test_replay_and_step_and_batch_agree_over_gaps(seed: int, gaps: int):
    day = bars(seed, 90, gaps=gaps)
    fast = batch.batch(np.ascontiguousarray(day[..., signals.CLOSE]))
    replayed = np.asarray(signals.replay(day))
    state, live = signals.init(N), []
    for row in day:
        state, seen = STEP(state, row)
        live.append(np.asarray(seen))
    for made in (np.stack(live), replayed):
        np.testing.assert_allclose(made.transpose(2, 0, 1), fast, rtol=1e-9, atol=1e-9)
        # Sums of whole numbers are exact in any order; only the last division may round another way.
        np.testing.assert_array_equal(np.rint(20 * made[..., compiled.SMA]), np.rint(20 * fast[compiled.SMA]))
        np.testing.assert_array_equal(np.rint((20 * made[..., compiled.STD]) ** 2), np.rint((20 * fast[compiled.STD]) ** 2))


def plain(seen: np.ndarray, bar: np.ndarray, rule: Rule) -> tuple[float, float, float]:
    """The decision for one symbol, as the module words it."""
    close, volume, spread, down, _, up, confidence, volatility, position = bar
    if not (np.isfinite(seen).all() and np.isfinite(bar).all() and close > 0):
        return math.nan, 0.0, position if math.isfinite(position) else 0.0
    sma, std, _, _, macd, signal, rsi = seen
    momentum = math.tanh((macd - signal) / std) if std > 0 else 0.0
    beyond = min(max((close - sma) / (2 * std), -1), 1) if std > 0 else 0.0
    parts = momentum, (50 - rsi) / 100 - beyond / 2, (up - down) * confidence
    weights = rule.momentum, rule.reversion, rule.prediction
    score = sum(w * p for w, p in zip(weights, parts, strict=True)) / sum(abs(w) for w in weights)
    needed = rule.threshold * (spread / close + rule.fees) * (rule.hold if position * score > 0 else 1)
    edge = abs(score) * volatility - needed
    direction = math.copysign(1.0, score) if edge > 0 else 0.0
    wanted = direction * min(1.0, edge / (rule.aversion * volatility**2)) if direction else 0.0
    reach = rule.participation * volume * close / rule.notional
    return score, direction, position + min(max(wanted - position, -reach), reach)


HOLES = st.lists(st.tuples(st.integers(0, N - 1), st.integers(0, 8), st.sampled_from([math.nan, math.inf])), max_size=2)


@given(st.integers(0, 10**6), st.floats(-1, 1), st.floats(-1, 1), st.floats(0.1, 1), st.floats(0, 1e-3), HOLES)
@settings(deadline=None, max_examples=50)
def test_the_decision_is_its_formula_and_a_hole_is_no_signal_for_its_symbol_alone(seed, momentum, reversion, prediction, fees, holes):
    rule = Rule(momentum=momentum, reversion=reversion, prediction=prediction, fees=fees)
    day = bars(seed, 40)
    for symbol, column, value in holes:
        day[-1, symbol, column] = value
    state = signals.init(N)
    told = np.zeros(0)
    for row in day:
        state, packed = decisions.on_bar(state, row, decisions.pack(rule))
        told = np.asarray(packed)
    seen = told[:, len(decisions.TOLD) :]
    for s in range(N):
        np.testing.assert_allclose(told[s, :3], plain(seen[s], day[-1, s], rule), rtol=1e-9, atol=1e-12)
    assert {s for s, _, _ in holes} <= set(np.flatnonzero(np.isnan(told[:, 0])))


def one(position: float = 0.0, *, up: float = 0.9, close: float = 100.0, volume: float = 1e6, spread: float = 0.01) -> tuple[float, float]:
    """Direction and weight where the model is sure of `up` and the market says nothing."""
    seen = np.array([[close, 0.0, close, close, 0.0, 0.0, 50.0]])
    bar = np.array([[close, volume, spread, 0.9 - up, 0.1, up, 0.8, 0.004, position]])
    told = np.asarray(decisions.decide(seen, bar, RULE))[0]
    return float(told[1]), float(told[2])


@pytest.mark.parametrize(
    ("case", "direction", "weight"),
    [
        ({}, 1, 0.1 < 1),
        ({"up": 0.0}, -1, True),
        ({"up": 0.45}, 0, False),
        ({"spread": 5.0}, 0, False),
        ({"volume": 0.0}, 1, False),
    ],
    ids=["buys", "sells", "no view", "spread too dear", "nothing traded, nothing changes"],
)
def test_a_signal_must_pay_its_cost(case: dict[str, float], direction: int, weight: bool):
    found, held = one(**case)
    assert found == direction
    assert (held != 0.0) == weight
    assert abs(held) <= 1.0


def test_what_is_held_needs_less_than_what_is_opened():
    assert one(up=0.6)[0] == 0.0
    assert one(up=0.6, position=0.5)[0] == 1.0
    assert one(up=0.6, position=-0.5)[0] == 0.0


def test_nothing_is_known_at_the_start_so_nothing_is_traded():
    _, told = decisions.on_bar(signals.init(N), bars(0, 1)[0], RULE)
    assert np.isnan(np.asarray(told)[:, 0]).all()
    assert not np.asarray(told)[:, 1].any()


def test_values_never_compile_anew():
    decisions.on_bar._clear_cache()
    state, day = signals.init(N), bars(1, 200, gaps=3)
    for k, row in enumerate(day):
        state, _ = decisions.on_bar(state, row, decisions.pack(Rule(momentum=k / 100, fees=k * 1e-5)))
    assert decisions.on_bar._cache_size() == 1


@given(st.integers(0, 10**6))
@settings(deadline=None, max_examples=10)
def test_the_gradient_of_the_score_is_its_slope(seed: int):
    """Over a whole replay with its warm-up and a gap in it: the unknown rows add nothing, and no NaN."""
    day = bars(seed, 60, gaps=1)

    def total(rule: np.ndarray):
        return jax.vmap(decisions.score, in_axes=(0, 0, None))(signals.replay(day), day, rule).sum()

    by_rule = np.asarray(jax.grad(total)(RULE))
    for k in range(3):
        h = np.zeros_like(RULE)
        h[k] = 1e-5
        slope = (total(RULE + h) - total(RULE - h)) / 2e-5
        np.testing.assert_allclose(by_rule[k], slope, rtol=1e-6, atol=1e-6)
    assert not by_rule[3:].any()


@pytest.mark.parametrize(
    "wrong",
    [Rule(0, 0, 0), Rule(momentum=math.nan), Rule(aversion=0), Rule(notional=0), Rule(fees=-1e-3)],
    ids=["no weight", "nan", "no aversion", "no notional", "paid to trade"],
)
def test_a_rule_that_cannot_decide_is_refused(wrong: Rule):
    with pytest.raises(ValueError, match="a rule has"):
        decisions.pack(wrong)
