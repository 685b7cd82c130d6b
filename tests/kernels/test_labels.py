"""Labels are what a plain walk over the tops says, and nothing is said where the path is broken."""

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernels import labels
from kernels.labels import Barriers

S, MS = 1_000_000_000, 1_000_000
RULES = Barriers(horizon=10 * S, latency=50 * MS, take_profit=0.001, stop_loss=0.002, fee=0.0005, max_age=4 * S)

Tops = list[tuple[int, int, int]]  # known_at (ms), bid, ask


def ours(tops: Tops, decided: list[int], rules: Barriers = RULES) -> labels.Labels:
    known, bid, ask = (np.array(column, dtype=np.int64) for column in zip(*tops, strict=True))
    return labels.labels(known * MS, bid, ask, np.array(decided, dtype=np.int64) * MS, rules)


def plain(tops: Tops, decided: int, rules: Barriers) -> tuple[int, float, float, float] | None:
    """The definition: walk the tops from the entry to the horizon, pay what it costs, stop where it says."""
    entry, end = decided + rules.latency // MS, decided + (rules.latency + rules.horizon) // MS
    age = rules.max_age // MS
    before = [top for top in tops if top[0] <= entry]
    path = [top for top in tops if entry < top[0] <= end]
    beyond = [top for top in tops if top[0] > end][:1]
    whole = [*before[-1:], *path, *beyond]
    if not before or not beyond or entry - before[-1][0] > age or any(bid <= 0 or ask <= 0 for _, bid, ask in whole):
        return None
    if any(b[0] - a[0] > age for a, b in pairwise(whole)):
        return None
    _, bid, ask = before[-1]
    walk = path or before[-1:]

    def long(exit_bid: int) -> float:
        return exit_bid / ask - 1 - rules.fee * (1 + exit_bid / ask)

    def short(exit_ask: int) -> float:
        return 1 - exit_ask / bid - rules.fee * (1 + exit_ask / bid)

    def settle(nets: list[float], at_once: float) -> tuple[int, float, bool]:
        for k, net in enumerate(nets):
            if net >= rules.take_profit:
                return k, net, True
            if net <= at_once - rules.stop_loss:
                return k, net, False
        return len(nets), nets[-1], False

    k_long, net_long, won_long = settle([long(b) for _, b, _ in walk], long(bid))
    k_short, net_short, won_short = settle([short(a) for _, _, a in walk], short(ask))
    direction = 1 if won_long and (not won_short or k_long < k_short) else -1 if won_short else 0
    mids = [sum([t for t in tops if t[0] <= entry + 1000 * k][-1][1:]) for k in range(rules.horizon // S + 1)]
    volatility = math.sqrt(sum(math.log(b / a) ** 2 for a, b in pairwise(mids)))
    return direction, net_long, net_short, volatility


@st.composite
def paths(draw: st.DrawFn) -> Tops:
    steps = draw(st.lists(st.tuples(st.integers(0, 5_000), st.integers(-40, 40), st.integers(0, 3)), min_size=2, max_size=60))
    at, price, tops = 0, 30_011, []
    for wait, step, spread in steps:
        at, price = at + wait, price + step
        tops.append((at, price, price + spread) if spread < 3 or step else (at, 0, 0))
    return tops


@given(paths(), st.lists(st.integers(0, 60_000), min_size=1, max_size=10))
@settings(deadline=None, max_examples=300)
def test_labels_are_those_of_a_plain_walk(tops: Tops, decided: list[int]):
    made = ours(tops, sorted(decided))
    for row, at in enumerate(sorted(decided)):
        expected = plain(tops, at, RULES)
        assert made.settled[row] == (expected is not None)
        if expected:
            found = (made.direction[row], made.net_long[row], made.net_short[row], made.volatility[row])
            assert found == pytest.approx(expected, abs=1e-12)


def steady(*later: tuple[int, int, int]) -> Tops:
    """A top a second for twelve seconds, but for what happens `later`."""
    changes = {top[0]: top for top in later}
    return [changes.get(at, (at, 100_000, 100_001)) for at in range(0, 13_000, 1000)]


@pytest.mark.parametrize(
    ("tops", "direction"),
    [
        (steady(), 0),
        (steady((5000, 100_300, 100_301)), 1),
        (steady((5000, 99_700, 99_701)), -1),
        (steady((5000, 100_199, 100_300)), 0),
        (steady((3000, 99_700, 99_999), (5000, 100_300, 100_301)), 0),
        (steady((3000, 99_790, 99_791), (5000, 100_300, 100_301)), -1),
        (steady((3000, 100_300, 100_301), (5000, 99_000, 99_001)), 1),
    ],
    ids=["still", "up", "down", "up, but not by the fees", "stopped out before it rose", "down first", "up first"],
)
def test_the_direction_is_of_the_side_that_takes_its_profit(tops: Tops, direction: int):
    made = ours(tops, [100])
    assert made.settled[0]
    assert made.direction[0] == direction


@pytest.mark.parametrize(
    "tops",
    [
        steady((3000, 0, 0)),
        [t for t in steady() if not 2000 <= t[0] <= 6000],
        steady()[:10],
        [t for t in steady() if t[0] > 1000],
    ],
    ids=["unknown on the way", "a gap on the way", "the data ends before the horizon", "no top at the entry"],
)
def test_a_broken_path_has_no_label(tops: Tops):
    assert not ours(tops, [100]).settled[0]


def test_the_stop_counts_from_what_a_round_trip_costs():
    dear = RULES._replace(fee=0.01, stop_loss=0.001)  # the fees alone are twenty times the stop
    made = ours(steady((6000, 100_010, 100_011)), [100], dear)
    assert made.net_long[0] == pytest.approx(100_000 / 100_001 - 1 - 0.01 * (1 + 100_000 / 100_001))  # held to the horizon's end


def test_a_horizon_of_nothing_is_refused():
    with pytest.raises(ValueError, match="horizon"):
        ours(steady(), [100], RULES._replace(horizon=0))
