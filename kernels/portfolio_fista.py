"""The portfolio by accelerated projected gradients: jitted, differentiable, and mapped over scenarios (JAX).

FISTA (Beck, Teboulle 2009) with adaptive restart (O'Donoghue, Candes 2015), a curvature found by backtracking, and a stop on the duality
gap. Each step is exact: the projection on the simplex is Michelot's (1986), Newton's method on its one multiplier; with caps or
turnover costs the same multiplier is found by Newton inside a bracket. One product with the covariance a step.

The derivative is implicit: at the optimum the assets on a knot stay there, and the others move by the conditions of Karush, Kuhn and
Tucker (one linear solve), so nothing of the iteration is kept. It is the derivative wherever the set of free assets does not change.
"""

from functools import partial
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from kernels import jaxed  # noqa: F401  float64, before anything is traced

Risk = Literal["variance", "deviation"]
Vector = Float[Array, " n"]

STEPS = 20_000
EASE = 0.97  # the curvature assumed falls by this a step, until a step proves it too low
RIDGE = 1e-12  # of the curvature, so that a singular covariance has a derivative too


class Terms(NamedTuple):
    """What is to be held: maximise mean'w - aversion risk(w) - sum costs |w - previous|, over sum w = 1, 0 <= w <= caps."""

    mean: Vector
    covariance: Float[Array, "n n"]
    aversion: Float[Array, ""]
    caps: Vector | None = None
    previous: Vector | None = None  # with costs, or neither
    costs: Vector | None = None


class Solved(NamedTuple):
    weights: Vector
    gap: Float[Array, ""]  # what no feasible weights can gain beyond
    steps: Int[Array, ""]


def simplex(z: Vector, near: Float[Array, ""]) -> tuple[Vector, Float[Array, ""]]:
    """The nearest weights to z (not negative, sum one), and their multiplier; `near` is a guess of it."""

    def newton(state):
        theta, _, _ = state
        above = z > theta
        n = jnp.sum(above)
        return (jnp.sum(jnp.where(above, z, 0.0)) - 1.0) / n, n, theta

    def moves(state):
        theta, _, before = state
        return theta > before

    # sum max(z - theta, 0) is convex: one step of Newton lands left of the root, and from there the steps rise to it
    begun = newton((jnp.minimum(near, jnp.max(z) - 1.0 / z.size), 0, near))
    theta, _, _ = jax.lax.while_loop(moves, newton, newton(begun))
    return jnp.maximum(z - theta, 0.0), theta


def box(terms: Terms, z: Vector, step: Float[Array, ""], near: Float[Array, ""]) -> tuple[Vector, Float[Array, ""]]:
    """The proximal step with caps and turnover costs: argmin |w - z|^2/2 + step sum costs |w - previous|, and its multiplier."""
    caps = jnp.ones_like(z) if terms.caps is None else terms.caps
    costs = jnp.zeros_like(z) if terms.costs is None else step * terms.costs
    old = jnp.zeros_like(z) if terms.previous is None else terms.previous

    def at(theta):
        moved = z - theta - old
        shrunk = jnp.sign(moved) * jnp.maximum(jnp.abs(moved) - costs, 0.0)
        w = jnp.clip(old + shrunk, 0.0, caps)
        slides = (old + shrunk > 0.0) & (old + shrunk < caps) & ((shrunk != 0.0) | (costs == 0.0))
        return w, jnp.sum(w) - 1.0, jnp.sum(slides)

    def narrow(state):
        theta, low, high, i, _ = state
        _, over, n = at(theta)
        low, high = jnp.where(over >= 0, theta, low), jnp.where(over <= 0, theta, high)
        to = theta + over / jnp.maximum(n, 1)
        halve = (n == 0) | (to < low) | (to > high) | (i % 4 == 3)
        to = jnp.where(halve, 0.5 * (low + high), to)
        return jnp.where(jnp.abs(over) > 1e-15, to, theta), low, high, i + 1, over

    def open_(state):
        _, low, high, i, over = state
        return (jnp.abs(over) > 1e-15) & (high > low) & (i < 120)

    low, high = jnp.min(z - costs - caps), jnp.max(z + costs)
    begun = (jnp.clip(near, low, high), low, high, 0, jnp.inf)
    theta = jax.lax.while_loop(open_, narrow, begun)[0]
    return at(theta)[0], theta


def slope(terms: Terms, w: Vector, product: Vector, risk: Risk) -> Vector:
    """The gradient of aversion risk(w) - mean'w; product = covariance w."""
    if risk == "variance":
        return 2.0 * terms.aversion * product - terms.mean
    return terms.aversion * product / jnp.sqrt(jnp.maximum(w @ product, 1e-300)) - terms.mean


def duality_gap(terms: Terms, w: Vector, g: Vector, nu: Float[Array, ""]) -> Float[Array, ""]:
    """As `portfolio_certificate.excess`; without caps and costs at the best price, which is Frank and Wolfe's gap."""
    if terms.caps is None and terms.costs is None:
        return g @ w - jnp.min(g)
    caps = jnp.ones_like(w) if terms.caps is None else terms.caps
    costs = jnp.zeros_like(w) if terms.costs is None else terms.costs
    kinks = jnp.zeros_like(w) if terms.previous is None else jnp.clip(terms.previous, 0.0, caps)
    price = g + nu
    least = jnp.minimum(jnp.minimum(price * kinks, costs * kinks), price * caps + costs * (caps - kinks))
    return jnp.sum(price * w + costs * jnp.abs(w - kinks) - least) + jnp.abs(nu * (jnp.sum(w) - 1.0))


def allowance(terms: Terms, tolerance: float) -> Float[Array, ""]:
    """The gap to stop at: `tolerance`, less in proportion where the objective is small, more only where rounding needs it."""
    magnitude = size(terms)
    return tolerance * jnp.maximum(jnp.minimum(1.0, magnitude), magnitude / 20.0)


def size(terms: Terms) -> Float[Array, ""]:
    """The magnitude of the objective's slopes, to which tolerances are relative."""
    variance = jnp.max(jnp.diagonal(terms.covariance))
    costs = 0.0 if terms.costs is None else jnp.max(terms.costs)
    return jnp.max(jnp.abs(terms.mean)) + terms.aversion * jnp.maximum(variance, jnp.sqrt(variance)) + costs


class Going(NamedTuple):
    x: Vector
    x_product: Vector
    y: Vector
    y_product: Vector
    pace: Float[Array, ""]  # FISTA's t
    bend: Float[Array, ""]  # the curvature assumed
    theta: Float[Array, ""]
    gap: Float[Array, ""]
    steps: Int[Array, ""]


def search(terms: Terms, start: Vector | None, allowed: Float[Array, ""], risk: Risk, most: int) -> Solved:
    plain = terms.caps is None and terms.costs is None
    S = terms.covariance
    norm = jnp.max(jnp.sum(jnp.abs(S), axis=1))

    def nearest(z, step, near):
        return simplex(z, near) if plain else box(terms, z, step, near)

    def ceiling(w, product):  # no curvature is above it
        if risk == "variance":
            return 2.0 * terms.aversion * norm
        return terms.aversion * norm / jnp.sqrt(jnp.maximum(w @ product, 1e-300))

    def body(now: Going) -> Going:
        g = slope(terms, now.y, now.y_product, risk)
        x, theta = nearest(now.y - g / now.bend, 1.0 / now.bend, now.theta)
        product = S @ x
        g_x = slope(terms, x, product, risk)
        moved = x - now.y
        curve, length = moved @ (g_x - g), moved @ moved
        good = (curve <= now.bend * length * (1.0 + 1e-9)) | (now.bend >= ceiling(now.y, now.y_product))
        gap = duality_gap(terms, x, g_x, now.bend * theta)
        again = (now.y - x) @ (x - now.x) > 0.0
        pace = jnp.where(again, 1.0, 0.5 * (1.0 + jnp.sqrt(1.0 + 4.0 * now.pace**2)))
        push = jnp.where(again, 0.0, (now.pace - 1.0) / pace)
        on = Going(
            x,
            product,
            x + push * (x - now.x),
            product + push * (product - now.x_product),
            pace,
            EASE * now.bend,
            theta,
            gap,
            now.steps + 1,
        )
        bend = jnp.minimum(jnp.maximum(1.05 * curve / length, 1.2 * now.bend), ceiling(now.y, now.y_product))
        back = now._replace(bend=bend, theta=theta, steps=now.steps + 1)
        done = gap <= allowed
        return jax.tree.map(lambda a, b: jnp.where(good | done, a, b), on, back)

    def unsolved(now: Going):
        return (now.gap > allowed) & (now.steps < most)

    n = terms.mean.size
    z = jnp.full(n, 1.0 / n) if start is None else start
    x, theta = nearest(z, jnp.zeros(()), jnp.zeros(()))
    product = S @ x
    wide = S @ product
    bend = jnp.sqrt((wide @ wide) / jnp.maximum(product @ product, 1e-300))
    bend = terms.aversion * bend * (2.0 if risk == "variance" else 1.0 / jnp.sqrt(jnp.maximum(x @ product, 1e-300)))
    bend = jnp.maximum(bend, 1e-12 * size(terms) + 1e-300)
    begun = Going(x, product, x, product, jnp.ones(()), bend, theta, jnp.full((), jnp.inf), jnp.zeros((), jnp.int64))
    ended = jax.lax.while_loop(unsolved, body, begun)
    return Solved(ended.x, ended.gap, ended.steps)


@partial(jax.jit, static_argnames=("risk", "most"))
def solve(terms: Terms, start: Vector | None = None, *, risk: Risk = "variance", tolerance: float = 1e-9, most: int = STEPS) -> Solved:
    """The best weights from `start` (equal ones where there is none), to a gap of `allowance(tolerance)`."""
    return search(terms, start, allowance(terms, tolerance), risk, most)


@partial(jax.custom_jvp, nondiff_argnums=(1, 2))
def weights(terms: Terms, risk: Risk = "variance", tolerance: float = 1e-12) -> Vector:
    """The best weights as a differentiable function of every term."""
    return solve(terms, risk=risk, tolerance=tolerance).weights


@weights.defjvp
def moved(risk: Risk, tolerance: float, primals: tuple[Terms], tangents: tuple[Terms]) -> tuple[Vector, Vector]:
    (terms,), (changes,) = primals, tangents
    w = weights(terms, risk, tolerance)
    S, k = terms.covariance, terms.aversion
    caps = jnp.ones_like(w) if terms.caps is None else terms.caps
    free = (w > 0.0) & (w < caps)
    if terms.costs is not None and terms.previous is not None:
        free &= (w != terms.previous) | (terms.costs == 0.0)

    def missed(terms: Terms) -> Vector:  # what must stay nought: the slope of the free, the distance of the others to their knot
        g = slope(terms, w, terms.covariance @ w, risk)
        knot = jnp.zeros_like(w)
        if terms.caps is not None:
            knot = jnp.where(w >= caps, terms.caps, knot)
        if terms.costs is not None and terms.previous is not None:
            g = g + terms.costs * jnp.sign(w - terms.previous)
            knot = jnp.where((w > 0.0) & (w < caps), terms.previous, knot)
        return jnp.where(free, g, w - knot)

    change = jax.jvp(missed, (terms,), (changes,))[1]
    H = 2.0 * k * S
    if risk == "deviation":
        product = S @ w
        s = jnp.sqrt(jnp.maximum(w @ product, 1e-300))
        H = k * (S / s - jnp.outer(product, product) / s**3)
    eye = jnp.eye(w.size)
    H = jnp.where(free[:, None], H + RIDGE * jnp.trace(H) * eye, eye)
    budget = free.astype(w.dtype)
    full = jnp.block([[H, budget[:, None]], [jnp.ones((1, w.size)), jnp.zeros((1, 1))]])
    solved = jnp.linalg.solve(full, -jnp.append(change, 0.0))
    return w, solved[:-1]


def scenarios(terms: Terms, means: Float[Array, "s n"], *, risk: Risk = "variance", tolerance: float = 1e-9) -> Solved:
    """`solve` for each row of means, at once."""
    return jax.vmap(lambda mean: solve(terms._replace(mean=mean), risk=risk, tolerance=tolerance))(means)
