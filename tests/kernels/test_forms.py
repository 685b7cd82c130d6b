"""A form or a batching is chosen by rules that a reader can check by hand."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernels import forms
from kernels.forms import Pace, Worth
from kernels.scores import Outcomes


def outcomes(n: int, seed: int = 0) -> Outcomes:
    """One decision a second, each position out before the next."""
    random = np.random.default_rng(seed)
    at = np.arange(n, dtype=np.int64) * 1_000_000_000
    worth = random.normal(0, 1e-4, (4, n))
    return Outcomes(at, at + 1, np.zeros(n, np.int64), random.integers(0, 3, n), *worth)


@pytest.mark.parametrize(
    ("times", "chosen"),
    [
        ({"a": 100.0}, "a"),
        ({"a": 100.0, "b": 95.0}, "a"),
        ({"a": 100.0, "b": 90.0}, "a"),
        ({"a": 100.0, "b": 89.0}, "b"),
        ({"a": 100.0, "b": 85.0, "c": 80.0}, "c"),
        ({"a": 100.0, "b": 80.0, "c": 80.0}, "b"),
    ],
    ids=["alone", "a little faster", "by a tenth", "by more than a tenth", "the least of two", "the simpler of equals"],
)
def test_the_simplest_serves_unless_another_is_clearly_faster(times: dict[str, float], chosen: str):
    assert forms.fastest(times) == chosen


@given(st.lists(st.integers(0, 2), min_size=1, max_size=60), st.randoms())
@settings(deadline=None, max_examples=50)
def test_worth_is_counted_as_by_hand(decided: list[int], random):
    of = outcomes(len(decided))
    theirs = [random.randrange(3) for _ in decided]
    found = forms.worth(np.array(decided), np.array(theirs), of)

    def net(directions: list[int]) -> float:
        return sum({0: of.net_short[i], 1: 0.0, 2: of.net_long[i]}[d] * 1e4 for i, d in enumerate(directions))

    n = sum(d != 1 for d in theirs)
    assert found.n_trades == n
    assert found.flips == pytest.approx(np.mean(np.array(decided) != np.array(theirs)))
    assert found.net_bps == pytest.approx(net(decided), abs=1e-9)
    assert found.loss_bps == pytest.approx((net(theirs) - net(decided)) / max(n, 1), abs=1e-9)


GOOD = Worth(n_windows=2000, n_trades=300, flips=0.004, net_bps=10.0, loss_bps=0.01)


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (GOOD, ""),
        (None, "no windows with known outcomes"),
        (GOOD._replace(n_windows=100), "100 windows are too few"),
        (GOOD._replace(n_trades=12), "makes 12 trades"),
        (GOOD._replace(flips=0.02), "decides 2.00% of the windows otherwise"),
        (GOOD._replace(loss_bps=0.06), "loses 0.06 bps a trade"),
        (GOOD._replace(loss_bps=-3.0), ""),
    ],
    ids=["as good", "nothing to judge on", "few windows", "few trades", "flips", "loses", "gains"],
)
def test_less_than_float32_passes_only_by_what_it_is_worth(found: Worth | None, words: str):
    refused = forms.refused_by_worth(found, max_flips=0.01, max_loss_bps=0.05)
    assert words in refused and bool(refused) == bool(words)


def test_an_error_that_is_no_number_does_not_pass():
    assert forms.refused_by_error(float("nan"), max_error=1e-5) and not forms.refused_by_error(1e-6, max_error=1e-5)


@pytest.mark.parametrize(
    ("paces", "chosen"),
    [
        ([Pace(2.0, 1000), Pace(1.9, 1000)], 0),
        ([Pace(2.0, 1000), Pace(1.5, 1000)], 1),
        ([Pace(2.0, 1000), Pace(1.5, 700)], 0),
        ([Pace(2.0, 700), Pace(2.1, 1000)], 1),
        ([Pace(2.0, 1000), Pace(1.5, 2000, "stalls"), Pace(1.6, 1000)], 2),
    ],
    ids=["about equal", "less latency", "at the price of throughput", "the first is too slow", "never an unsound one"],
)
def test_batching_is_chosen_by_p99_among_those_with_throughput(paces: list[Pace], chosen: int):
    assert forms.best_batching(paces)[0] == chosen
