"""What an engine is told before it starts, and never changes: a session's plan. Equal plans and equal inputs make equal decisions."""

import hashlib
from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Struct

from core.orders import Listing
from kernels.execution import Handling
from kernels.fusion import Weights
from kernels.opening import Opening
from kernels.risk import Limits
from kernels.rule_signals import Rule

SECOND = 1_000_000_000


class ModelFacts(Struct, frozen=True, kw_only=True):
    """A served model: which one, under which alias, and what it wants to be asked with."""

    version: str
    alias: str  # champion trades, shadow is only scored
    features: tuple[str, ...]  # names, in the order of the window's columns
    window: int  # rows
    feature_set_hash: str = ""


class Plan(Struct, frozen=True, kw_only=True):
    """`caps`: the most each symbol may use, quote currency (portfolio weights x capital). `rule`: indicator periods and thresholds.

    `latched`: why the kill switch is on at the start (empty: it is not). `epoch` numbers the worker: order ids begin with it.
    """

    venue: str
    listings: dict[str, Listing]
    caps: dict[str, float]
    limits: Limits = Limits()
    rule: Rule = Rule()
    weights: Weights = Weights()
    models: tuple[ModelFacts, ...] = ()  # at most one champion
    deadline_ns: int = 50_000_000  # of a prediction
    max_age_ns: int = 1_500_000_000  # an older one opens nothing
    strategy: str = "scalping"
    params: dict[str, Any] = {}
    strategy_hash: str = ""  # of its source: `kernels.strategies.code_hash`
    handling: Handling = Handling()
    capital: float = 10_000.0  # equity at the start, less what held positions are worth
    opening: Opening | None = None  # what a worker before this one left; None: nothing
    epoch: int = 1
    first_order: int = 0  # number of the last order id used in this epoch
    latched: str = ""
    lateness_ns: int = 250_000_000  # as the batch build of bars
    gap_ns: int = 10 * SECOND
    score_s: int = 10  # signals are scored by the middle so many bars later

    @property
    def champion(self) -> ModelFacts | None:
        return next((model for model in self.models if model.alias == "champion"), None)

    @property
    def symbols(self) -> tuple[str, ...]:
        return tuple(self.listings)

    @property
    def hash(self) -> str:
        """16 hex digits of all of it."""
        return hashlib.sha256(msgspec.json.encode(self, order="deterministic")).hexdigest()[:16]


def check(plan: Plan) -> None:
    """Raises `ValueError` for a plan that cannot be traded by."""
    if not plan.listings:
        raise ValueError("the plan lists no symbol")
    if unknown := sorted(set(plan.caps) - set(plan.listings)):
        raise ValueError(f"caps of symbols that are not listed: {unknown}")
    if wrong := {symbol: cap for symbol, cap in plan.caps.items() if not 0 <= cap < float("inf")}:
        raise ValueError(f"not caps: {wrong}")
    if sum(model.alias == "champion" for model in plan.models) > 1:
        raise ValueError("there is at most one champion")
    if wrong := [model.version for model in plan.models if model.window < 1 or not model.features]:
        raise ValueError(f"models that ask for nothing: {wrong}")


def caps(symbols: tuple[str, ...], weights: Mapping[str, float], capital: float) -> dict[str, float]:
    """Capital by symbol, in the order of `symbols`: portfolio weights x capital, or equal shares where there are no weights."""
    equal = 1.0 / max(len(symbols), 1)
    return {symbol: capital * (weights.get(symbol, 0.0) if weights else equal) for symbol in symbols}
