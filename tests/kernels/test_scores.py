"""Scores count every trade once, at what it cost, and say how much of it may be luck."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernels import scores
from kernels.scores import DOWN, FLAT, UP, Outcomes


def outcomes(n: int, seed: int = 0, hold: int = 5, instruments: int = 1) -> Outcomes:
    random = np.random.default_rng(seed)
    decided = np.sort(random.integers(0, 3 * n, n))
    gross = random.normal(0, 1e-4, n)
    return Outcomes(
        decided_at=decided,
        known_at=decided + random.integers(1, hold + 1, n),
        instrument=random.integers(0, instruments, n),
        direction=random.integers(0, 3, n),
        gross_long=gross,
        gross_short=-gross,
        net_long=gross - 1e-5,
        net_short=-gross - 1e-5,
    )


@given(st.integers(0, 80), st.integers(0, 1000), st.integers(1, 3))
@settings(deadline=None, max_examples=50)
def test_one_position_at_a_time_in_each_instrument(n: int, seed: int, instruments: int):
    of = outcomes(n, seed, instruments=instruments)
    predicted = np.random.default_rng(seed + 1).integers(0, 3, n)
    made = scores.trades(predicted, of)
    held: dict[int, int] = {}
    rows = []
    for i in range(n):
        if predicted[i] != FLAT and of.decided_at[i] >= held.get(int(of.instrument[i]), -1):
            rows.append(i)
            held[int(of.instrument[i])] = int(of.known_at[i])
    assert made.rows.tolist() == rows
    net = [(of.net_long[i] if predicted[i] == UP else of.net_short[i]) * 1e4 for i in rows]
    assert made.net_bps.tolist() == pytest.approx(net)


def test_equity_ends_at_the_sum_and_holds_only_what_was_settled():
    of = outcomes(200, 1)
    predicted = of.direction
    total = scores.score(predicted, of, draws=10, seed=0)["net_bps"]
    at = np.array([-1, of.known_at.max()])
    assert scores.equity(predicted, of, at) == pytest.approx([0.0, total])


def test_doing_nothing_earns_nothing():
    found = scores.score(np.full(50, FLAT), outcomes(50), draws=10, seed=0)
    assert found["n_trades"] == 0
    assert {found[k] for k in ("gross_bps", "net_bps", "mean_net_bps", "ci_low_bps", "ci_high_bps")} == {0.0}


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(1, 20)), min_size=1, max_size=30))
@settings(deadline=None, max_examples=50)
def test_effective_samples_is_the_sum_of_average_uniqueness(spans: list[tuple[int, int]]):
    start, end = np.array([s for s, _ in spans]), np.array([s + d for s, d in spans])
    running = [int(((start <= t) & (t < end)).sum()) for t in range(80)]
    expected = sum(np.mean([1 / running[t] for t in range(s, e)]) for s, e in zip(start, end, strict=True))
    assert scores.effective_samples(start, end) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("start", "end", "worth"),
    [([], [], 0.0), ([0, 10, 20], [10, 20, 30], 3.0), ([5, 5, 5], [9, 9, 9], 1.0)],
    ids=["none", "apart", "all one"],
)
def test_effective_samples_of_plain_cases(start: list[int], end: list[int], worth: float):
    assert scores.effective_samples(np.array(start, dtype=np.int64), np.array(end, dtype=np.int64)) == pytest.approx(worth)


def test_the_bootstrap_interval_is_as_wide_as_theory_has_it():
    values = np.random.default_rng(5).normal(1.0, 2.0, 400)
    low, high = scores.bootstrap(values, draws=2000, seed=1, block=1.0)
    half = 1.96 * values.std() / 20
    assert (low, high) == pytest.approx((values.mean() - half, values.mean() + half), abs=0.25 * half)


def test_blocks_widen_the_interval_of_dependent_values():
    values = np.repeat(np.random.default_rng(6).normal(size=60), 10)
    alone, blocks = (scores.bootstrap(values, draws=1000, seed=1, block=b) for b in (1.0, 20.0))
    assert blocks[1] - blocks[0] > 2 * (alone[1] - alone[0])


def test_the_bootstrap_is_repeatable_and_covers_edge_cases():
    values = np.arange(10.0)
    assert scores.bootstrap(values, draws=50, seed=3) == scores.bootstrap(values, draws=50, seed=3)
    assert scores.bootstrap(np.array([]), draws=50, seed=3) == (0.0, 0.0)
    assert scores.bootstrap(np.array([2.0]), draws=50, seed=3) == (2.0, 2.0)


def test_the_lead_is_the_difference_of_the_sums_and_its_interval_narrows_with_agreement():
    random = np.random.default_rng(8)
    rows = np.arange(0, 3000, 10)
    nothing = scores.Trades(np.array([], dtype=np.int64), np.array([]), np.array([]))
    net = random.normal(0.2, 3.0, len(rows))
    mine, other = scores.Trades(rows, net, net), scores.Trades(rows, net - 1, net - 1)
    of = {"stretches": 300, "draws": 500, "seed": 1}
    alone, beside = scores.lead(mine, nothing, 3000, **of), scores.lead(mine, other, 3000, **of)
    assert alone["lead_bps"] == pytest.approx(net.sum()) and alone["lead_low_bps"] < net.sum() < alone["lead_high_bps"]
    assert [beside[key] for key in ("lead_bps", "lead_low_bps", "lead_high_bps")] == pytest.approx([300.0] * 3)
    assert set(scores.lead(nothing, nothing, 0, **of).values()) == {0.0}


def test_balanced_accuracy_weighs_each_class_alike():
    right = np.array([UP] * 8 + [DOWN] * 2)
    assert scores.accuracy(np.full(10, UP), right) == 0.8
    assert scores.balanced_accuracy(np.full(10, UP), right) == 0.5


def told(mean: float, low: float, total: float, lead: float = 1.0, n: int = 100) -> dict[str, float]:
    return {"mean_net_bps": mean, "ci_low_bps": low, "net_bps": total, "lead_low_bps": lead, "n_trades": n}


@pytest.mark.parametrize(
    ("model", "other", "effective", "verdict"),
    [
        (told(2, 1, 200), told(0, 0, 0), 99, scores.TOO_LITTLE),
        (told(-0.1, -1, -10), told(0, 0, 0), 100, scores.LOSES),
        (told(2, 1, 200), told(1, 0, 100), 100, scores.BEATS),
        (told(2, -0.1, 200), told(1, 0, 100), 100, scores.NOT_BETTER),
        (told(2, 1, 200), told(3, 0, 100), 100, scores.NOT_BETTER),
        (told(2, 1, 200), told(1, 0, 300), 100, scores.NOT_BETTER),
        (told(2, 1, 200), told(1, 0, 100, lead=-5), 100, scores.NOT_BETTER),
        (told(2, 1, 2, n=1), told(0, 0, 0), 100, scores.TOO_LITTLE),
        (told(-2, -3, -2, n=1), told(0, 0, 0), 100, scores.LOSES),
        (told(0, 0, 0, n=0), told(0, 0, 0), 100, scores.NOT_BETTER),
    ],
    ids=[
        "little data",
        "losing",
        "winning",
        "perhaps luck",
        "worse a trade",
        "worse in sum",
        "ahead by luck",
        "one trade that gained",
        "one trade that lost",
        "never traded",
    ],
)
def test_there_is_evidence_only_where_a_model_beats_everything_after_cost(
    model: dict[str, float], other: dict[str, float], effective: float, verdict: str
):
    found = scores.judge(model, {"no trade": told(0, 0, 0), "other": other}, effective=effective, min_effective=100)
    assert found == (verdict, verdict == scores.BEATS)
