"""Strategies: one file each, with `Params`, `init` and `step`, run unchanged in replay, paper and live. See docs/strategies.md.

    view (signals, quotes, positions of all symbols) -> step -> targets: what to hold of a symbol, how soon, and when to give it up

A target stands until another of its symbol replaces it. `kernels.execution` makes orders of it and `kernels.risk` has the last word.
"""

import hashlib
import inspect
import math
import sys
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from importlib import import_module
from importlib.metadata import entry_points
from importlib.util import module_from_spec, spec_from_file_location
from typing import Any, Protocol

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

GROUP = "scalp.strategies"  # entry points of installed packages
NAN = math.nan


class Urgency(StrEnum):
    PATIENT = "patient"  # quotes at the best price, post only
    NOW = "now"  # takes what is there


class Target(Struct, frozen=True, kw_only=True):
    """What to hold of a symbol: `size` signed, in base units (contracts on futures). Beyond the symbol's cap it is cut to it.

    `take_profit` and `stop` are prices in quote currency, `expires` a time (ns) after which the position is closed; 0 is none.
    """

    symbol: str
    size: float
    urgency: Urgency = Urgency.PATIENT
    take_profit: float = 0.0
    stop: float = 0.0
    expires: int = 0


class Seen(Struct, frozen=True, kw_only=True):
    """One symbol as it is known now. Prices in quote currency, sizes in base units, NaN where unknown."""

    symbol: str
    ts_bar: int = 0  # close of the bar that the signal is about
    close: float = NAN
    bid: float = NAN
    ask: float = NAN
    rule: int = 0  # -1, 0, 1: what the indicator rule says alone
    rule_score: float = 0.0
    model: int = 0  # what the champion says alone
    model_score: float = 0.0
    fused: int = 0  # both together: what to trade on
    strength: float = 0.0  # of `fused`, 0 to 1
    fresh: bool = False  # whether it may open anything; false where the model's answer is missing or old
    volatility: float = NAN  # the model's, a fraction of price
    features: NDArray[np.float64] | None = None  # [48], in the order of `kernels.features.names()`
    position: float = 0.0  # signed
    average: float = NAN  # price the position was opened at
    target: float = 0.0  # what is aimed at now
    guarded: bool = False  # whether the target that stands has a stop or a time to end
    cap: float = 0.0  # quote currency: the most this symbol may use
    spot: bool = True  # nothing below 0 can be held
    exited: str = ""  # why the last position was closed ("stop", "take_profit", ...)
    exited_at: int = 0

    @property
    def mid(self) -> float:
        return (self.bid + self.ask) / 2


class View(Struct, frozen=True):
    """What a strategy sees: `changed` is the symbol whose signal is new; `of` tells of any."""

    ts: int
    symbols: tuple[str, ...]
    changed: str
    of: Callable[[str], Seen]


class Strategy(Protocol):
    """A module with these three. `step` keeps nothing but in the state it returns, and asks no clock and no chance."""

    Params: type[Struct]

    def init(self, params: Any, symbols: tuple[str, ...]) -> Any: ...

    def step(self, state: Any, view: View) -> tuple[Any, Sequence[Target]]: ...


def strategy(name: str) -> Any:
    """The strategy of that name: a file here, an entry point of the group `scalp.strategies`, or a path to a file (`./mine.py`).

    Raises `LookupError` where there is none, or where it lacks one of `Params`, `init`, `step`.
    """
    module = _module(name)
    if missing := [part for part in ("Params", "init", "step") if not hasattr(module, part)]:
        raise LookupError(f"strategy {name} has no {', '.join(missing)}; `scalp strategy new` writes one that has")
    return module


def _module(name: str) -> Any:
    if name.endswith(".py"):
        found = spec_from_file_location(f"scalp_strategy_{hashlib.sha256(name.encode()).hexdigest()[:12]}", name)
        if found is None or found.loader is None:
            raise LookupError(f"{name} is not a Python file")
        module = module_from_spec(found)
        sys.modules[found.name] = module  # its structs look their types up there
        try:
            found.loader.exec_module(module)
        except FileNotFoundError as error:
            raise LookupError(f"there is no strategy file {name}") from error
        return module
    for point in entry_points(group=GROUP):
        if point.name == name:
            return point.load()
    own = f"{__name__}.{name}"
    try:
        if name.isidentifier():
            return import_module(own)
    except ModuleNotFoundError as error:
        if error.name != own:
            raise
    raise LookupError(
        f"no strategy {name!r}: give the name of a file in kernels/strategies, of an entry point {GROUP}, or a path ending .py"
    )


def convert(params: Mapping[str, Any], kind: type[Any]) -> Any:
    """Parameters as the strategy's own struct. Raises `ValueError` that names the one that is wrong."""
    try:
        return msgspec.convert(dict(params), kind)
    except msgspec.ValidationError as error:
        raise ValueError(f"parameters of the strategy: {error}") from error


def code_hash(name: str) -> str:
    """Hash of a strategy's source, 16 hex digits: part of a plan, so that a replay knows whether it runs the same."""
    return hashlib.sha256(inspect.getsource(_module(name)).encode()).hexdigest()[:16]
