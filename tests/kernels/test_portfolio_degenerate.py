"""Covariances that say little, or the same twice, still have a proved answer."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernels.portfolio import optimize_portfolio


def rank_one(n, random):
    beta = random.normal(size=n)
    return np.outer(beta, beta)


def duplicates(n, random):
    half = random.normal(size=((n + 1) // 2, n))
    return np.kron(half @ half.T, np.ones((2, 2)))[:n, :n]


def riskless_assets(n, random):
    S = random.normal(size=(n, n))
    S = S @ S.T
    S[: n // 2 + 1], S[:, : n // 2 + 1] = 0.0, 0.0
    return S


def nothing(n, random):
    return np.zeros((n, n))


def nearly_singular(n, random):
    beta = random.normal(size=(n, max(1, n // 3)))
    return beta @ beta.T + 1e-14 * np.eye(n)


def few_days(n, random):
    days = random.normal(size=(max(1, n // 2), n)) * 0.02
    return days.T @ days / len(days)


def far_apart(n, random):
    scale = 10.0 ** random.uniform(-5, 1, n)
    S = np.corrcoef(random.normal(size=(n, 3 * n + 3))) if n > 1 else np.ones((1, 1))
    return S * np.outer(scale, scale)


def offsetting(n, random):
    sign = np.where(np.arange(n) % 2 == 0, 1.0, -1.0)
    return np.outer(sign, sign)


KINDS = [rank_one, duplicates, riskless_assets, nothing, nearly_singular, few_days, far_apart, offsetting]


@pytest.mark.parametrize("risk", ["variance", "deviation"])
@pytest.mark.parametrize("kind", KINDS, ids=lambda k: k.__name__)
@given(
    n=st.sampled_from([1, 2, 3, 7, 20]),
    seed=st.integers(0, 10**6),
    aversion=st.sampled_from([0.01, 1.0, 100.0]),
    tied=st.booleans(),
    capped=st.booleans(),
    costly=st.booleans(),
)
@settings(deadline=None, max_examples=30)
def test_the_gap_is_certified_or_said_not_to_be(kind, risk, n, seed, aversion, tied, capped, costly):
    random = np.random.default_rng(seed)
    S = kind(n, random)
    m = np.round(random.normal(size=n), 0 if tied else 12)
    more = {"caps": min(1.0, 2.5 / n)} if capped else {}
    if costly:
        more |= {"previous": np.full(n, 1 / n), "turnover_cost": 0.1}
    found = optimize_portfolio(m, S, aversion, risk=risk, **more)
    if kind is nearly_singular and risk == "deviation":  # the root of a variance that is mostly rounding
        assert found.gap <= 1e-8 * max(1.0, aversion) and found.certified == (found.gap <= 1e-12 or not found.fallback), found
    else:
        assert found.certified, found
    assert found.infeasible <= 1e-14
    for other in random.dirichlet(np.full(n, 0.3), 20):
        w = other if not capped else 0.5 / n + other / 2
        if (w > more.get("caps", 1.0)).any():
            continue
        variance = max(w @ S @ w, 0.0)
        worth = m @ w - aversion * (variance if risk == "variance" else variance**0.5)
        worth -= 0.1 * np.abs(w - 1 / n).sum() if costly else 0.0
        assert worth <= found.objective + found.gap + 1e-13 * max(1.0, aversion * np.trace(S))


@pytest.mark.parametrize("n", [100, 300])
@pytest.mark.parametrize("kind", KINDS, ids=lambda k: k.__name__)
@pytest.mark.parametrize("risk", ["variance", "deviation"])
def test_so_it_is_with_many_assets(n, kind, risk):
    random = np.random.default_rng(n)
    S, m = kind(n, random), random.normal(size=n)
    found = optimize_portfolio(m, S, 2.0, risk=risk)
    assert found.certified and found.infeasible <= 1e-14, found
