"""A prepared problem answers by pivots on the inverse as the active set would, or leaves the answer to it."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernels.portfolio import COLD, Covariance, PortfolioError, Prepared, by_active_set
from kernels.portfolio_certificate import proof
from kernels.portfolio_quick import FIGURES, quick


def market(n: int, seed: int, spread: float, singular: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Three factors and an own variance each (none if singular); the less spread the means, the more assets are held."""
    random = np.random.default_rng(seed)
    loadings = random.normal(size=(n, 3)) * 0.1
    own = np.zeros(n) if singular else random.uniform(0.01, 0.05, n)
    return random.normal(0.05, spread, n), loadings @ loadings.T + np.diag(own)


@given(
    n=st.integers(1, 60),
    seed=st.integers(0, 10**6),
    spread=st.sampled_from([0.0, 0.001, 0.02, 0.2]),
    aversion=st.sampled_from([0.5, 20.0, 200.0]),
    cap=st.sampled_from([None, 1.2, 2.0, 5.0]),
    singular=st.booleans(),
)
@settings(deadline=None, max_examples=200)
def test_the_answer_is_the_active_sets_with_a_certificate_of_its_own(n, seed, spread, aversion, cap, singular):
    m, S = market(n, seed, spread, singular)
    checked = Covariance.checked(S)
    prepared = Prepared(checked, aversion, caps=None if cap is None else cap / n)
    found = prepared.solve(m)
    exact = by_active_set(prepared.rules, m, np.zeros(n), COLD, 1e-12)
    assert found.certified and found.gap <= 1e-12 * max(1.0, aversion), found
    w = found.weights
    assert (w >= 0).all() and (w <= prepared.rules.caps).all() and abs(w.sum() - 1) <= 1e-14 and found.infeasible <= 1e-14
    assert found.objective == pytest.approx(m @ w - aversion * (w @ S @ w), abs=1e-12)
    assert found.objective == pytest.approx(exact.objective, abs=found.gap + exact.gap + 1e-12)
    if not singular:
        np.testing.assert_allclose(w, exact.weights, atol=1e-6)
    gap, _, _ = proof(2 * aversion * (checked.matrix @ w) - m, w, prepared.rules.caps, np.zeros(n), np.zeros(n))
    assert found.gap == pytest.approx(gap, abs=1e-12)


@pytest.mark.parametrize("n", [10, 100, 300])
def test_a_market_of_which_nearly_all_is_held_needs_no_active_set(n):
    m, S = market(n, n, 2.0 / n)
    prepared = Prepared(S, 200.0)
    assert prepared.state is not None
    certified, made = quick(prepared.state, m)
    held = (made[:-FIGURES] > 0).sum()
    assert certified and held >= 0.8 * n and made[-6] <= 1e-13
    np.testing.assert_allclose(made[:-FIGURES], by_active_set(prepared.rules, m, np.zeros(n), COLD, 1e-12).weights, atol=1e-12)


@pytest.mark.parametrize("n", [10, 100])
def test_a_start_changes_nothing_where_pivots_answer(n):
    m, S = market(n, 1, 2.0 / n)
    prepared = Prepared(S, 200.0)
    cold = prepared.solve(m)
    np.testing.assert_array_equal(prepared.solve(1.0 * m, start=np.full(n, 1.0 / n)).weights, cold.weights)
    with pytest.raises(PortfolioError, match="begin from hold nan at 0"):
        prepared.solve(m, start=np.where(np.arange(n) == 0, np.nan, 0.1))


@pytest.mark.parametrize("form", ["list", "read-only", "strided", "integers", "single"])
def test_means_are_taken_in_any_form(form):
    m, S = np.array([3.0, 1.0, 2.0, 2.0]), market(4, 1, 0.0)[1]
    frozen = m.copy()
    frozen.flags.writeable = False
    forms = {"list": m.tolist(), "read-only": frozen, "strided": np.repeat(m, 2)[::2], "integers": m.astype(int), "single": m.astype("f4")}
    prepared = Prepared(S, 20.0)
    np.testing.assert_array_equal(prepared.solve(forms[form]).weights, prepared.solve(m).weights)


@pytest.mark.parametrize("bad", [[1.0, 2.0], [1.0, np.nan, 0.0], [1.0, np.inf, 0.0], np.ones((3, 1))], ids=["few", "nan", "inf", "two-way"])
def test_means_without_an_answer_are_refused(bad):
    with pytest.raises(PortfolioError, match="the means"):
        Prepared(np.eye(3), 1.0).solve(np.asarray(bad))


def test_threads_may_share_a_prepared_problem():
    m, S = market(50, 2, 0.02)
    prepared = Prepared(S, 100.0)
    changes = [m * (1 + 0.01 * i) for i in range(64)]
    alone = [prepared.solve(one).weights for one in changes]
    with ThreadPoolExecutor(4) as pool:
        for one, same in zip(alone, pool.map(lambda c: prepared.solve(c).weights, changes), strict=True):
            np.testing.assert_array_equal(one, same)
