"""The weights are feasible, the best there are, and proved to be; by either method."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from kernels import portfolio_solve
from kernels.portfolio import Covariance, Portfolio, PortfolioError, Prepared, optimize_portfolio

RISKS = ["variance", "deviation"]


def market(n: int, seed: int, factors: int | None = None, noise: float = 0.02) -> tuple[np.ndarray, np.ndarray]:
    """Means and a covariance of `factors` factors with own noise of variance `noise`."""
    random = np.random.default_rng(seed)
    loadings = random.normal(size=(n, n if factors is None else factors)) * 0.2
    return random.normal(0.05, 0.1, n), loadings @ loadings.T + noise * np.diag(random.uniform(0.5, 1.5, n))


def options(n: int, kind: str, seed: int) -> dict:
    random = np.random.default_rng(seed + 1)
    found = {}
    if kind in ("caps", "both"):
        found["caps"] = np.minimum(random.uniform(1.2 / n, 4 / n, n), 1.0)
    if kind in ("turnover", "both"):
        found |= {"previous": random.dirichlet(np.ones(n)), "turnover_cost": random.uniform(0, 0.05, n) * (random.random(n) > 0.2)}
    return found


def objective(w, m, S, aversion, risk, caps=1.0, previous=0.0, turnover_cost=0.0) -> float:
    variance = max(float(w @ S @ w), 0.0)
    return float(m @ w - aversion * (variance if risk == "variance" else variance**0.5) - np.sum(turnover_cost * np.abs(w - previous)))


def reference(m, S, aversion, risk, caps=1.0, previous=0.0, turnover_cost=0.0) -> float:
    """The best objective SLSQP finds, over the weights and the turnover of each asset (so that it is smooth)."""
    n = len(m)
    caps, cost, old = np.broadcast_to(caps, n), np.broadcast_to(turnover_cost, n), np.broadcast_to(previous, n)
    eye = np.eye(n)

    def loss(z):
        return -objective(z[:n], m, S, aversion, risk) + cost @ z[n:]

    def slope(z):
        product = S @ z[:n]
        return np.append(aversion * product * (2 if risk == "variance" else 1 / np.sqrt(z[:n] @ product)) - m, cost)

    w0 = np.clip(np.full(n, 1 / n), 0, caps)
    rules = [
        {"type": "eq", "fun": lambda z: z[:n].sum() - 1, "jac": lambda z: np.append(np.ones(n), np.zeros(n))},
        {"type": "ineq", "fun": lambda z: z[n:] - (z[:n] - old), "jac": lambda z: np.hstack([-eye, eye])},
        {"type": "ineq", "fun": lambda z: z[n:] + (z[:n] - old), "jac": lambda z: np.hstack([eye, eye])},
    ]
    found = minimize(
        loss,
        np.append(w0, np.abs(w0 - old)),
        jac=slope,
        method="SLSQP",
        bounds=[(0, c) for c in caps] + [(0, 3)] * n,
        constraints=rules,
        options={"ftol": 1e-14, "maxiter": 300},
    )
    return -found.fun


def feasible(found: Portfolio, caps=1.0) -> None:
    assert abs(found.weights.sum() - 1) <= 1e-14
    assert (found.weights >= 0).all()
    assert (found.weights <= np.asarray(caps) + 1e-15).all()
    assert found.infeasible <= 1e-14


def optimal(found: Portfolio, m, S, aversion, risk, caps=None, previous=None, turnover_cost=0.0, within=1e-8) -> None:
    """The conditions of Karush, Kuhn and Tucker, written out: one price of the budget suits every asset."""
    w = found.weights
    g = S @ w * (2 * aversion if risk == "variance" else aversion / np.sqrt(w @ S @ w)) - m
    cap = np.ones_like(w) if caps is None else np.minimum(caps, 1)
    cost, old = np.broadcast_to(turnover_cost, w.shape), np.zeros_like(w) if previous is None else previous
    near = 1e-15  # of a knot: on it
    rising = g + np.where(w >= old - near, cost, -cost)
    falling = g + np.where(w > old + near, cost, -cost)
    can_rise, can_fall = w < cap - near, w > near
    assert (rising[can_rise] >= -found.budget_price - within).all()
    assert (falling[can_fall] <= -found.budget_price + within).all()


@pytest.mark.parametrize("risk", RISKS)
@given(
    n=st.integers(1, 8),
    seed=st.integers(0, 10**6),
    aversion=st.sampled_from([0.1, 1.0, 8.0]),
    kind=st.sampled_from(["plain", "caps", "turnover", "both"]),
)
@settings(deadline=None, max_examples=50)
def test_the_active_set_is_feasible_optimal_and_as_good_as_a_plain_solver(risk, n, seed, aversion, kind):
    m, S = market(n, seed)
    more = options(n, kind, seed)
    found = optimize_portfolio(m, S, aversion, risk=risk, **more)
    assert found.certified and found.gap <= 1e-12 * max(1, aversion), found
    assert found.fallback == "" and found.method == "active set"
    feasible(found, more.get("caps", 1.0))
    optimal(found, m, S, aversion, risk, **more)
    assert found.objective == pytest.approx(objective(found.weights, m, S, aversion, risk, **more), abs=1e-14)
    best = reference(m, S, aversion, risk, **more)
    assert found.objective >= best - 1e-9
    assert found.objective <= best + 1e-5


@pytest.mark.parametrize("kind", ["plain", "caps", "turnover", "both"])
@pytest.mark.parametrize("risk", RISKS)
@pytest.mark.parametrize("n", [10, 100])
def test_both_methods_agree(n, risk, kind):
    m, S = market(n, n, factors=5)
    more = options(n, kind, n)
    exact = optimize_portfolio(m, S, 3.0, risk=risk, **more)
    near = optimize_portfolio(m, S, 3.0, risk=risk, method="fista", **more)
    assert near.method == "fista" and near.certified and near.gap <= 1e-9 and exact.gap <= 1e-12
    feasible(near, more.get("caps", 1.0))
    assert near.objective == pytest.approx(exact.objective, abs=1.1e-9)
    np.testing.assert_allclose(near.weights, exact.weights, atol=1e-3)


@pytest.mark.parametrize("risk", RISKS)
@pytest.mark.parametrize("kind", ["plain", "both"])
def test_five_hundred_assets_keep_the_promised_gap(risk, kind):
    m, S = market(500, 7, factors=20)
    more = options(500, kind, 7)
    for aversion in (0.5, 5.0):
        found = optimize_portfolio(m, S, aversion, risk=risk, **more)
        assert found.certified and found.gap <= 1e-12 and found.method == "active set"
        feasible(found, more.get("caps", 1.0))


@given(
    n=st.integers(2, 30),
    seed=st.integers(0, 10**6),
    kind=st.sampled_from(["plain", "caps", "turnover", "both"]),
    risk=st.sampled_from(RISKS),
)
@settings(deadline=None, max_examples=50)
def test_the_order_of_the_assets_does_not_matter(n, seed, kind, risk):
    m, S = market(n, seed)
    more = options(n, kind, seed)
    order = np.random.default_rng(seed).permutation(n)
    found = optimize_portfolio(m, S, 2.0, risk=risk, **more)
    mixed = optimize_portfolio(m[order], S[np.ix_(order, order)], 2.0, risk=risk, **{k: v[order] for k, v in more.items()})
    np.testing.assert_allclose(mixed.weights, found.weights[order], atol=1e-9)


@given(
    n=st.integers(1, 30),
    seed=st.integers(0, 10**6),
    kind=st.sampled_from(["plain", "caps", "turnover", "both"]),
    risk=st.sampled_from(RISKS),
    change=st.sampled_from([0.0, 0.01, 1.0]),
)
@settings(deadline=None, max_examples=50)
def test_a_warm_start_ends_where_a_cold_one_does(n, seed, kind, risk, change):
    m, S = market(n, seed)
    more, S = options(n, kind, seed), Covariance.checked(S)
    before = optimize_portfolio(m, S, 2.0, risk=risk, **more)
    after = m * (1 + change * np.random.default_rng(seed).normal(size=n))
    cold = optimize_portfolio(after, S, 2.0, risk=risk, **more)
    warm = optimize_portfolio(after, S, 2.0, risk=risk, start=before.weights, **more)
    assert warm.certified and cold.certified
    np.testing.assert_allclose(warm.weights, cold.weights, atol=1e-9)


@pytest.mark.parametrize("kind", ["plain", "both"])
def test_a_prepared_problem_answers_as_the_whole_call(kind):
    m, S = market(12, 5)
    more = options(12, kind, 5)
    old = more.pop("previous", None)
    prepared = Prepared(S, 2.0, **more)
    for change in (1.0, 1.1):
        whole = optimize_portfolio(m * change, S, 2.0, previous=old, **more)
        np.testing.assert_array_equal(prepared.solve(m * change, previous=old).weights, whole.weights)


def test_without_aversion_the_best_assets_are_filled():
    found = optimize_portfolio(np.array([0.1, 0.3, 0.2]), np.eye(3), 0.0, caps=0.6)
    np.testing.assert_allclose(found.weights, [0, 0.6, 0.4], atol=1e-15)
    assert found.gap <= 1e-15


def test_a_high_turnover_cost_leaves_the_weights_as_they_are():
    m, S = market(8, 1)
    old = np.random.default_rng(0).dirichlet(np.ones(8))
    found = optimize_portfolio(m, S, 1.0, previous=old, turnover_cost=10.0)
    np.testing.assert_allclose(found.weights, old, atol=1e-15)
    assert found.certified


EYE = np.eye(3)


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"caps": 0.3}, "sum to 0.9"),
        ({"caps": [1, 1, -0.1]}, "cap 2 is negative"),
        ({"caps": [1, 1]}, "the caps must be 3 numbers"),
        ({"caps": [1, np.nan, 1]}, "the caps hold nan at 1"),
        ({"mean": [1, 2, np.inf]}, "the means hold inf at 2"),
        ({"mean": [1, 2]}, "the means must be 3 numbers"),
        ({"covariance": np.diag([1, 1, -1e-3])}, "negative eigenvalue -0.001"),
        ({"covariance": EYE + np.eye(3, k=1)}, "not symmetric"),
        ({"covariance": EYE * np.nan}, "not finite"),
        ({"covariance": np.ones((2, 3))}, "n by n"),
        ({"covariance": np.ones((0, 0))}, "n by n"),
        ({"aversion": -1.0}, "aversion"),
        ({"aversion": np.nan}, "aversion"),
        ({"turnover_cost": 0.1}, "needs the previous weights"),
        ({"turnover_cost": -0.1, "previous": [1, 0, 0]}, "cost 0 is negative"),
        ({"risk": "range"}, "'variance' or 'deviation'"),
        ({"start": [1, 0]}, "begin from must be 3 numbers"),
        ({"start": np.array([1, np.nan, 0])}, "begin from hold nan at 1"),
        ({"mean": np.array([1, np.nan, 0])}, "the means hold nan at 1"),
    ],
    ids=lambda v: v if isinstance(v, str) else "",
)
def test_what_has_no_answer_is_refused_with_the_reason(more, says):
    given_ = {"mean": [0.1, 0.2, 0.3], "covariance": EYE, "aversion": 1.0} | more
    with pytest.raises(PortfolioError, match=says):
        optimize_portfolio(**given_)


def test_a_rounding_of_symmetry_or_sign_is_no_reason_to_refuse():
    S = np.ones((3, 3)) + 1e-13 * np.array([[0, 1, 0], [0, 0, 0], [0, 0, -1]])
    assert optimize_portfolio(np.array([1.0, 2.0, 3.0]), S, 1.0).certified


@given(st.integers(0, 10_000), st.sampled_from([-3e-16, -1e-16, 0.0, 1e-16, 3e-16]), st.booleans())
@settings(deadline=None, max_examples=100)
def test_a_start_that_misses_a_sum_of_one_by_rounding_holds_the_same_assets(seed: int, short: float, capped: bool):
    random = np.random.default_rng(seed)
    start = np.where(random.random(60) < 0.2, random.random(60), 0.0)
    start[0] += 0.01
    start /= start.sum()
    caps = np.minimum(1.0, start * 1.5) if capped else np.ones(60)
    begun = portfolio_solve.feasible(start * (1 + short), caps, np.zeros(60))
    assert set(np.flatnonzero(begun)) == set(np.flatnonzero(start))
    assert begun.sum() == pytest.approx(1.0, abs=1e-15) and (begun <= caps).all()
