"""What a portfolio is made of, checked: each refusal says what is wrong and what to do."""

from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

Risk = Literal["variance", "deviation"]
NEGATIVE = 1e-10  # of the largest entry: an eigenvalue below minus this is no rounding


class PortfolioError(ValueError):
    """Input that has no portfolio; the message says what is wrong and what to do."""


@dataclass(frozen=True, slots=True, eq=False)
class Covariance:
    """A covariance [n, n] found symmetric, finite and not negative; build it with `checked`."""

    matrix: np.ndarray
    largest: float  # variance

    @classmethod
    def checked(cls, matrix: np.ndarray) -> "Covariance":
        """Raises PortfolioError for a shape that is not square, values not finite, asymmetry, or a negative eigenvalue."""
        S = np.array(matrix, np.float64, order="C")
        if S.ndim != 2 or S.shape[0] != S.shape[1] or not len(S):
            raise PortfolioError(f"the covariance must be n by n with n >= 1, not of shape {S.shape}")
        if not np.isfinite(S).all():
            raise PortfolioError(f"the covariance has {int((~np.isfinite(S)).sum())} entries that are not finite; drop those assets")
        scale = float(np.abs(S).max())
        apart = float(np.abs(S - S.T).max())
        if apart > NEGATIVE * scale:
            raise PortfolioError(f"the covariance is not symmetric (off by {apart:.3g}); pass (S + S.T) / 2 if that is meant")
        S = 0.5 * (S + S.T)
        if scale > 0.0:
            try:
                np.linalg.cholesky(S + NEGATIVE * scale * np.eye(len(S)))
            except np.linalg.LinAlgError:
                least = float(np.linalg.eigvalsh(S)[0])
                if least < -NEGATIVE * scale:
                    raise PortfolioError(
                        f"the covariance has the negative eigenvalue {least:.3g}; shrink it, or clip its eigenvalues at nought"
                    ) from None
        return cls(S, float(S.diagonal().max()))


class Rules(NamedTuple):
    """All of a portfolio but its means, checked, in the form that the kernels take."""

    covariance: Covariance
    aversion: float
    deviating: bool
    caps: np.ndarray
    costs: np.ndarray
    capped: bool
    costly: bool


def rules(covariance, aversion: float, risk: str, caps, turnover_cost) -> Rules:
    """Raises PortfolioError for whatever has no answer."""
    S = covariance if isinstance(covariance, Covariance) else Covariance.checked(covariance)
    n = len(S.matrix)
    if not (np.isfinite(aversion) and aversion >= 0.0):
        raise PortfolioError(f"the aversion to risk must be a number >= 0, not {aversion}")
    if risk not in ("variance", "deviation"):
        raise PortfolioError(f"risk is 'variance' or 'deviation', not {risk!r}")
    limits, costs = np.ones(n), np.zeros(n)
    if caps is not None:
        limits = np.minimum(column("the caps", caps, n), 1.0)
        if limits.min() < 0.0:
            raise PortfolioError(f"cap {int(limits.argmin())} is negative ({limits.min():.3g}); use 0 to leave an asset out")
        if limits.sum() < 1.0:
            if limits.sum() < 1.0 - 1e-12:
                raise PortfolioError(f"the caps sum to {limits.sum():.6g}, so weights of sum one do not exist; raise them")
            limits = limits / limits.sum()
    costly = np.ndim(turnover_cost) > 0 or turnover_cost != 0.0
    if costly:
        costs = column("the turnover costs", turnover_cost, n)
        if costs.min() < 0.0:
            raise PortfolioError(f"turnover cost {int(costs.argmin())} is negative ({costs.min():.3g})")
    return Rules(S, float(aversion), risk == "deviation", limits, costs, caps is not None, costly)


def column(what: str, values, n: int) -> np.ndarray:
    """One float64 an asset, finite; in one form only, since another would be compiled anew."""
    found = np.asarray(values, np.float64)
    if found.ndim == 0:
        found = np.full(n, found)
    if found.shape != (n,):
        raise PortfolioError(f"{what} must be {n} numbers, one an asset, not of shape {found.shape}")
    if not np.isfinite(found).all():
        raise PortfolioError(f"{what} hold {found[~np.isfinite(found)][0]} at {int((~np.isfinite(found)).argmax())}; drop that asset")
    return np.require(found, requirements=["C", "W"])
