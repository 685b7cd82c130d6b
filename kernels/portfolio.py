"""Long-only portfolios, fully invested: maximise mean'w - aversion risk(w) - turnover cost, with a proof of how good the answer is.

`optimize_portfolio` checks what it is given, solves it by the active set (`portfolio_exact`, the live path) or by FISTA
(`portfolio_fista`, in JAX), and returns weights with their duality gap. A covariance that is used again is checked once
(`Covariance.checked`); where only the means change, `Prepared` keeps everything else checked, which leaves microseconds a solve.
"""

from typing import Literal

import msgspec
import numpy as np
from msgspec.structs import replace

from kernels.portfolio_inputs import Covariance, PortfolioError, Risk, Rules, column, rules
from kernels.portfolio_quick import FEW, MOST, quick, state_of
from kernels.portfolio_solve import FIGURES, judged, solved

__all__ = ["Covariance", "Portfolio", "PortfolioError", "Prepared", "optimize_portfolio"]

Method = Literal["active set", "fista"]
TOLERANCE = {"active set": 1e-12, "fista": 1e-9}
RIDGE = 1e-10  # of the mean variance, added where the covariance as given is not solved to the tolerance
COLD = np.empty(0)


class Portfolio(msgspec.Struct, frozen=True, eq=False, gc=False):
    """The answer and its proof. No feasible weights reach more than objective + gap. What is not asked for is not looked up."""

    made: np.ndarray  # [n + 7]: the weights and the figures of their proof
    method: str  # which method answered
    fallback: str = ""  # why it was not the one asked for; empty if it was

    @property
    def weights(self) -> np.ndarray:
        """[n]: not negative, within the caps, sum one to 1e-14."""
        return self.made[:-FIGURES]

    @property
    def objective(self) -> float:
        """mean'w - aversion risk(w) - turnover cost."""
        return float(self.made[-7])

    @property
    def gap(self) -> float:
        return float(self.made[-6])

    @property
    def certified(self) -> bool:
        """The gap is within the tolerance asked for."""
        return bool(self.made[-6] <= self.made[-1])

    @property
    def budget_price(self) -> float:
        """What the objective would gain from one more unit of budget."""
        return float(self.made[-5])

    @property
    def missed(self) -> float:
        """By how much the worst asset misses its condition of Karush, Kuhn and Tucker."""
        return float(self.made[-4])

    @property
    def infeasible(self) -> float:
        """The largest of |sum w - 1|, -w, w - cap."""
        return float(self.made[-3])

    @property
    def steps(self) -> int:
        return int(self.made[-2])

    def __repr__(self) -> str:
        names = ("weights", "objective", "gap", "certified", "budget_price", "missed", "infeasible", "steps", "method", "fallback")
        return f"Portfolio({', '.join(f'{name}={getattr(self, name)!r}' for name in names)})"


def optimize_portfolio(
    mean: np.ndarray,
    covariance: np.ndarray | Covariance,
    aversion: float,
    *,
    risk: Risk = "variance",
    caps: np.ndarray | float | None = None,
    previous: np.ndarray | None = None,
    turnover_cost: np.ndarray | float = 0.0,
    method: Method = "active set",
    start: np.ndarray | None = None,
    tolerance: float | None = None,
) -> Portfolio:
    """The weights that maximise mean'w - aversion w'Sw ("variance") or mean'w - aversion sqrt(w'Sw) ("deviation"), less
    turnover_cost |w - previous| summed over assets.

    mean [n] and covariance [n, n] in the same unit of return; caps, one or [n], at most this weight an asset; turnover_cost, one or
    [n], per unit of weight changed; start [n], weights to begin from (those of the last solve make it warm). Solved to a gap of
    `tolerance` (1e-12 by the active set, 1e-9 by FISTA), less in proportion where the objective's slopes are below one, and more
    only where they are above twenty (rounding). Where the method asked for does not reach that, another is tried; `certified` says
    whether any did. Raises PortfolioError.
    """
    prepared = Prepared(
        covariance, aversion, risk=risk, caps=caps, turnover_cost=turnover_cost, method=method, tolerance=tolerance, again=False
    )
    return prepared.solve(mean, previous=previous, start=start)


class Prepared:
    """A portfolio problem that waits for its means: the live path's form. Arguments as of `optimize_portfolio`; `again` says that there
    will be more than one solve, which is worth an inverse of the covariance (variance without turnover cost: `portfolio_quick`; the last
    digits may differ from those of a single call). Nothing is kept between solves, so threads may share one."""

    __slots__ = ("method", "n", "nothing", "rules", "state", "tolerance")

    def __init__(
        self,
        covariance: np.ndarray | Covariance,
        aversion: float,
        *,
        risk: Risk = "variance",
        caps: np.ndarray | float | None = None,
        turnover_cost: np.ndarray | float = 0.0,
        method: Method = "active set",
        tolerance: float | None = None,
        again: bool = True,
    ) -> None:
        self.rules = rules(covariance, aversion, risk, caps, turnover_cost)
        self.n = len(self.rules.caps)
        self.nothing = np.zeros(self.n)
        self.method = method
        self.tolerance = TOLERANCE[method] if tolerance is None else tolerance
        self.state = None
        plain = method == "active set" and not self.rules.deviating and not self.rules.costly
        if plain and (again or self.n <= FEW):
            S = self.rules.covariance
            self.state = state_of(S.matrix, S.largest, self.rules.aversion, self.rules.caps, self.tolerance)

    def solve(self, mean: np.ndarray, *, previous: np.ndarray | None = None, start: np.ndarray | None = None) -> Portfolio:
        """The best weights for these means. Raises PortfolioError."""
        if self.state is not None and previous is None and (start is None or self.spread(start)):
            try:
                certified, made = quick(self.state, mean if type(mean) is np.ndarray else self.taken("the means", mean))
            except TypeError:  # not an array as the kernel takes it
                certified, made = quick(self.state, self.taken("the means", mean))
            if certified:
                return Portfolio(made, "active set")
        m = self.taken("the means", mean)
        begin = COLD if start is None else self.taken("the weights to begin from", start)
        if previous is not None:
            old = column("the previous weights", previous, self.n)
        elif self.rules.costly:
            raise PortfolioError("a turnover cost needs the previous weights (noughts where nothing is held)")
        else:
            old = self.nothing
        by = by_active_set if self.method == "active set" else by_fista
        found = by(self.rules, m, old, begin, self.tolerance)
        if found.certified:
            return found
        column("the means", m, self.n)
        column("the weights to begin from", begin, len(begin))
        return fallen_back(self.rules, m, old, found, self.tolerance)

    def spread(self, start: np.ndarray) -> bool:
        """Whether so many assets are held to begin with (or so few are there) that pivots on the inverse need no start."""
        begin = self.taken("the weights to begin from", start)
        if self.n > FEW and np.count_nonzero(begin) < (1.0 - MOST) * self.n:
            return False
        return bool(begin @ begin < np.inf)  # what is not finite is refused below

    def taken(self, what: str, values: np.ndarray) -> np.ndarray:
        """As `column`, but that an array as the kernels take it passes; the kernels see what is not finite."""
        if type(values) is np.ndarray and values.dtype == np.float64 and values.shape == (self.n,):
            flags = values.flags
            if flags.c_contiguous and flags.writeable:
                return values
        return column(what, values, self.n)


def by_active_set(r: Rules, m: np.ndarray, old: np.ndarray, start: np.ndarray, tolerance: float) -> Portfolio:
    S = r.covariance
    return Portfolio(solved(S.matrix, S.largest, m, r.aversion, r.deviating, r.caps, r.costs, old, start, tolerance), "active set")


def by_fista(r: Rules, m: np.ndarray, old: np.ndarray, start: np.ndarray, tolerance: float, most: int = 20_000) -> Portfolio:
    import jax.numpy as jnp

    from kernels import portfolio_fista

    risk = "deviation" if r.deviating else "variance"
    S = r.covariance
    terms = portfolio_fista.Terms(jnp.asarray(m), jnp.asarray(S.matrix), jnp.asarray(r.aversion))
    if r.capped:
        terms = terms._replace(caps=jnp.asarray(r.caps))
    if r.costly:
        terms = terms._replace(previous=jnp.asarray(old), costs=jnp.asarray(r.costs))
    begin = jnp.asarray(start) if len(start) else None
    near = portfolio_fista.solve(terms, begin, risk=risk, tolerance=0.9 * tolerance, most=most)
    w = np.array(near.weights)
    if not np.isfinite(w).all():
        w = r.caps / r.caps.sum()
    made = judged(S.matrix, S.largest, m, r.aversion, r.deviating, r.caps, r.costs, old, w, tolerance)
    made[-2] = int(near.steps)
    return Portfolio(made, "fista")


def fallen_back(r: Rules, m: np.ndarray, old: np.ndarray, found: Portfolio, tolerance: float) -> Portfolio:
    """A second and a third way where the first did not reach the tolerance; the best of all is returned, certified or not."""
    tries = [found]
    if found.method == "fista":
        tries.append(by_active_set(r, m, old, found.weights, tolerance))
    else:
        S = r.covariance
        more = RIDGE * (np.trace(S.matrix) / len(S.matrix))
        ridged = r._replace(covariance=Covariance(S.matrix + more * np.eye(len(S.matrix)), S.largest + more))
        near = by_active_set(ridged, m, old, COLD, tolerance).weights
        tries.append(replace(by_active_set(r, m, old, near, tolerance), method="active set from a ridge"))
        if not tries[-1].certified:
            near = by_fista(r, m, old, near, tolerance, most=2_000)
            tries += [near, replace(by_active_set(r, m, old, near.weights, tolerance), method="active set from fista")]
    best = min(tries, key=lambda t: t.gap)
    return replace(best, fallback=f"{found.method} left a gap of {found.gap:.3g}, more than was asked for")
