"""What a backfill is asked for, and the words of its plan: partitions, their states, steps, chunks and outcomes.

Asked -> Found (a partition and its state) -> Step (what is to be made, and why) -> Chunk (steps for one task) -> Outcome
"""

from datetime import date
from enum import StrEnum
from typing import NamedTuple

from msgspec import Struct

from core.states import State

FILE = "backfill.jsonl"  # in the run's folder: an outcome a line, as it happens


class Stage(StrEnum):
    """Up to where partitions are made."""

    INGEST = "ingest"
    FEATURES = "features"
    TRAIN = "train"


class Only(StrEnum):
    """Which partitions that are not fresh are made: those that are not there, those that are there but stale, or both."""

    MISSING = "missing"
    STALE = "stale"
    ALL = "all"


class Kind(StrEnum):
    """What a partition holds, in the order in which they are made."""

    RAW = "raw"  # of the generated market only: nobody else's raw rows can be made
    CLEAN = "clean"
    FEATURES = "features"
    TRADES = "trade features"
    MODEL = "model"


class Partition(Struct, frozen=True, order=True):
    """A day of one instrument, or a model: of its symbols (with + between them), on its last day."""

    kind: Kind
    venue: str
    symbol: str
    day: date

    def __str__(self) -> str:
        return f"{self.kind} {self.venue}/{self.symbol} {self.day}"

    @property
    def line(self) -> tuple[str, str, str]:
        """What its days stand in one line with."""
        return self.kind, self.venue, self.symbol


class Found(Struct, frozen=True):
    """A partition as it stands. `of` are the partitions that it is made of; those that were not looked at do not count."""

    partition: Partition
    state: State
    why: str = ""
    of: tuple[Partition, ...] = ()


class Step(Struct, frozen=True):
    """A partition to be made. One that is not `certain` is fresh now, and may not be when what it is made of has been made again."""

    partition: Partition
    state: State
    why: str
    of: tuple[Partition, ...] = ()
    certain: bool = True


class Chunk(Struct, frozen=True):
    """Steps of one line in order of time, made by one task after the chunks `waits` (their places in the plan) have ended."""

    steps: tuple[Step, ...]
    waits: tuple[int, ...] = ()

    @property
    def kind(self) -> Kind:
        return self.steps[0].partition.kind

    def __str__(self) -> str:
        first, last = self.steps[0].partition, self.steps[-1].partition
        return str(first) if first == last else f"{first} to {last.day}"


class Cost(NamedTuple):
    """What a partition took, or may take."""

    seconds: float
    rows: float


class Past(Struct, frozen=True):
    """A partition that was made before, and what it took."""

    partition: Partition
    seconds: float
    rows: int


class Outcome(Struct, frozen=True, kw_only=True):
    """What became of a step. `error` is the cause in one line; `held` says why it was not tried."""

    partition: Partition
    changed: bool = False  # false: it was fresh after all, or nothing could be made
    seconds: float = 0.0
    rows: int = 0
    error: str = ""
    held: str = ""
    warnings: tuple[str, ...] = ()
    model: str = ""  # its version, of a model
    full: bool = False  # the disk is: nothing more can succeed
