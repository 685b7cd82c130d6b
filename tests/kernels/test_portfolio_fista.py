"""The JAX form: exact steps, a derivative that differences confirm, and scenarios at once."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernels.portfolio import optimize_portfolio
from kernels.portfolio_fista import Terms, box, scenarios, simplex, solve, weights

N = 8
SIMPLEX, BOX = jax.jit(simplex), jax.jit(box)


def terms(kind: str, risk: str, seed: int = 0) -> Terms:
    random = np.random.default_rng(seed)
    A = random.normal(size=(N, 3)) * 0.3
    caps = jnp.asarray(random.uniform(0.2, 0.4, N)) if kind == "both" else None
    old = jnp.asarray(random.dirichlet(np.ones(N))) if kind == "both" else None
    costs = jnp.asarray(random.uniform(0, 0.05, N)) if kind == "both" else None
    aversion = jnp.asarray(2.0 if risk == "variance" else 0.7)
    return Terms(jnp.asarray(random.normal(0, 0.1, N)), jnp.asarray(A @ A.T + 0.05 * np.eye(N)), aversion, caps, old, costs)


def by_sorting(z: np.ndarray) -> np.ndarray:
    """Projection on the simplex the plain way (Held, Wolfe, Crowder 1974)."""
    ordered = np.sort(z)[::-1]
    total = np.cumsum(ordered) - 1
    last = np.flatnonzero(ordered - total / np.arange(1, len(z) + 1) > 0)[-1]
    return np.maximum(z - total[last] / (last + 1), 0)


@given(st.sampled_from([1, 2, 17]).flatmap(lambda n: st.lists(st.floats(-100, 100), min_size=n, max_size=n)), st.floats(-200, 200))
@settings(deadline=None, max_examples=60)
def test_the_projection_is_exact_from_any_guess(z, near):
    z = np.array(z)
    w, _ = SIMPLEX(jnp.asarray(z), jnp.asarray(near))
    np.testing.assert_allclose(w, by_sorting(z), atol=1e-12)
    step = Terms(jnp.zeros(len(z)), jnp.zeros((len(z), len(z))), jnp.zeros(()), jnp.ones(len(z)))
    np.testing.assert_allclose(BOX(step, jnp.asarray(z), jnp.ones(()), jnp.asarray(near))[0], w, atol=1e-12)


@given(st.sampled_from([2, 5, 20]), st.integers(0, 10**6))
@settings(deadline=None, max_examples=50)
def test_the_step_with_caps_and_costs_is_the_best_there_is(n, seed):
    random = np.random.default_rng(seed)
    z, caps, costs = random.normal(size=n), random.uniform(1.1 / n, 1, n), random.uniform(0, 0.3, n)
    old = random.dirichlet(np.ones(n))
    step = Terms(jnp.zeros(n), jnp.zeros((n, n)), jnp.zeros(()), *(jnp.asarray(a) for a in (caps, old, costs)))
    w = BOX(step, jnp.asarray(z), jnp.ones(()), jnp.zeros(()))[0]
    # the same step is a portfolio: |w - z|^2 / 2 = w'(I/2)w - z'w, up to a constant
    exact = optimize_portfolio(z, np.eye(n), 0.5, caps=caps, previous=old, turnover_cost=costs)
    np.testing.assert_allclose(w, exact.weights, atol=1e-12)


@pytest.mark.parametrize("risk", ["variance", "deviation"])
@pytest.mark.parametrize("kind", ["plain", "both"])
def test_the_derivative_is_that_of_differences(kind, risk):
    given_ = terms(kind, risk)
    look = jnp.asarray(np.random.default_rng(1).normal(size=N))

    def seen(t: Terms):
        return look @ weights(t, risk)

    slopes = jax.grad(seen)(given_)
    random = np.random.default_rng(2)
    for name in given_._fields:
        value = getattr(given_, name)
        if value is None:
            continue
        way = random.normal(size=value.shape)
        way = way + way.T if value.ndim == 2 else way
        h = 1e-6
        up, down = (float(seen(given_._replace(**{name: value + s * h * way}))) for s in (1, -1))
        assert float(jnp.sum(getattr(slopes, name) * way)) == pytest.approx((up - down) / (2 * h), rel=2e-4, abs=2e-6), name
        change = jax.tree.map(jnp.zeros_like, given_)._replace(**{name: jnp.asarray(way)})
        forward = jax.jvp(seen, (given_,), (change,))[1]
        assert float(forward) == pytest.approx(float(jnp.sum(getattr(slopes, name) * way)), rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("kind", ["plain", "both"])
def test_scenarios_are_solved_as_if_alone(kind):
    given_ = terms(kind, "variance")
    means = given_.mean * (1 + 0.2 * np.random.default_rng(3).normal(size=(5, N)))
    together = scenarios(given_, means)
    assert (np.asarray(together.gap) <= 1e-9).all()
    for mean, w in zip(means, together.weights, strict=True):
        alone = solve(given_._replace(mean=mean))
        np.testing.assert_allclose(w, alone.weights, atol=1e-12)


def test_a_derivative_exists_where_the_risk_is_flat():
    flat = terms("plain", "variance")._replace(covariance=jnp.ones((N, N)))
    assert np.isfinite(jax.grad(lambda t: weights(t)[0])(flat).mean).all()


def test_what_fista_cannot_finish_the_active_set_does():
    m, S = np.array([0.1, 0.1, 0.05]), np.outer([1, -1, 1], [1, -1, 1.0])
    found = optimize_portfolio(m, S, 2.0, risk="deviation", method="fista")  # the optimum has no risk: no slope there
    assert found.certified and found.method == "active set" and "fista left a gap" in found.fallback
    np.testing.assert_allclose(found.weights, [0.5, 0.5, 0.0], atol=1e-12)
