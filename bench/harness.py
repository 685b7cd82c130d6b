"""What a benchmark is: inputs made once, variants (ours, the peers, the machine's limits) in processes of their own, and rows.

A variant's `prepare(folder)` reads the inputs and returns one pass: a function without arguments, timed again and again. What a pass
returns (a dict of arrays) is compared by the benchmark's `check` on small inputs before anything is timed on the large ones. Each
variant runs in a fresh process (so its peak memory is its own), peers in `bench/.venv`, and the variants take turns over several
rounds, so that a slow minute of the machine falls on all of them.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

Arrays = Mapping[str, np.ndarray]
Pass = Callable[[], Arrays | None]


class BenchError(Exception):
    """A benchmark that cannot be taken, or results that differ; the message says which and what to do."""


@dataclass(frozen=True, slots=True)
class Variant:
    """One way to do the work. Heavy libraries are imported inside `prepare`: the module is loaded in both environments."""

    name: str
    prepare: Callable[[Path], Pass]
    peer: bool = False  # runs in the peers' environment
    threads: int = 1  # what POLARS_MAX_THREADS, OMP_NUM_THREADS, NUMBA_NUM_THREADS ... are set to
    env: Mapping[str, str] = field(default_factory=dict)
    checked: bool = True  # its result takes part in the check
    repeats: int = 5  # at least; an own limit for what takes long
    seconds: float = 1.0  # at least, a round


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table: ours beside the best of the peers, by the median time of a pass.

    `unit` "…/s" makes a rate of `work` items a pass; "s", "ms", "us", "ns" a time per item; "MB" compares peak memory.
    `target` is the least ratio (ours over the peer's rate, or the peer's time over ours) asked for; `limit` names the variant that
    does the least the machine must do, `share` the least share of it asked for.
    """

    name: str
    unit: str
    ours: str
    peers: tuple[str, ...] = ()
    work: str | float = 1  # a number, or the name of a fact of the inputs
    target: float | None = None
    limit: str | None = None
    share: float | None = None
    at_most: float | None = None  # an absolute bound on a time or a memory, where the target is one
    at_least: float | None = None  # an absolute bound on a rate


@dataclass(frozen=True, slots=True)
class Bench:
    """`make(folder, size)` writes the inputs and returns facts about them; `check` raises BenchError where results differ."""

    name: str
    about: str
    make: Callable[[Path, int], Mapping[str, Any]]
    small: int
    large: int
    variants: tuple[Variant, ...]
    rows: tuple[Row, ...]
    check: Callable[[Mapping[str, Arrays]], str]  # variant -> its result on the small inputs; returns what was held equal
    rounds: int = 2

    def variant(self, name: str) -> Variant:
        found = next((v for v in self.variants if v.name == name), None)
        if found is None:
            raise BenchError(f"{self.name} has no variant {name!r}; there are {', '.join(v.name for v in self.variants)}")
        return found


class Taken(NamedTuple):
    """What a variant's process measured. Times in seconds a pass, memory in bytes."""

    times: list[float]
    cpu: list[float]
    first: float  # the first pass: compilation or loading of what was compiled
    peak: int  # of the whole process, inputs and libraries included
    grown: int  # of the peak, what came after the inputs had been read


def same(what: str, ours: np.ndarray, peer: np.ndarray, *, within: float = 0.0, skip: int = 0) -> None:
    """Raise BenchError unless two results agree (NaN equals NaN): exactly, or within a relative and absolute tolerance."""
    a, b = np.asarray(ours)[skip:], np.asarray(peer)[skip:]
    if a.shape != b.shape:
        raise BenchError(f"{what}: {a.shape} against {b.shape}")
    with np.errstate(invalid="ignore"):
        if within:
            fine = np.isclose(a, b, rtol=within, atol=within, equal_nan=a.dtype.kind == "f")
        else:  # as they are: times in ns do not survive a float
            fine = (a == b) | (np.isnan(a) & np.isnan(b)) if a.dtype.kind == b.dtype.kind == "f" else a == b
    if not fine.all():
        at = int(np.flatnonzero(~fine.ravel())[0])
        raise BenchError(f"{what}: {int((~fine).sum())} of {fine.size} differ, first at {at}: {a.ravel()[at]!r} against {b.ravel()[at]!r}")
