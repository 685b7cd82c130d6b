"""What more data would take: disk by table and time by stage, from what was measured here. Plain arithmetic on plain numbers."""

from collections.abc import Sequence
from statistics import mean, median
from typing import NamedTuple

BY_DAY = ("ingest", "features")  # stages whose work grows with symbols times days; the others take their time once a run


class Stored(NamedTuple):
    """One table's bytes of one symbol and day."""

    table: str
    size: int


class Took(NamedTuple):
    """One stage of one run that had work to do. `n`: days of symbols that went through it."""

    stage: str
    seconds: float
    n: int


class Line(NamedTuple):
    """One line of an estimate: of one symbol and day, of all, and what it stands on."""

    name: str
    each: float
    all: float
    most: float  # if every day were as the largest
    basis: str


class Estimate(NamedTuple):
    disk: list[Line]  # bytes
    time: list[Line]  # seconds
    missing: list[str]  # what there is no history of

    @property
    def size(self) -> float:
        return sum(line.all for line in self.disk)

    @property
    def seconds(self) -> float:
        return sum(line.all for line in self.time)


def estimate(stored: Sequence[Stored], took: Sequence[Took], symbols: int, days: int, stages: Sequence[str]) -> Estimate:
    """Of so many symbols and days of each."""
    n = symbols * days
    disk = []
    for table in sorted({one.table for one in stored}):
        sizes = [one.size for one in stored if one.table == table]
        basis = f"{len(sizes)} stored day{'s' * (len(sizes) != 1)}"
        disk.append(Line(table, mean(sizes), mean(sizes) * n, max(sizes) * n, basis))
    time, missing = [], []
    for stage in stages:
        runs = [one for one in took if one.stage == stage and one.seconds > 0]
        by_day = stage in BY_DAY
        rates = [one.seconds / one.n if by_day else one.seconds for one in runs if one.n or not by_day]
        if not rates:
            missing.append(stage)
            continue
        times = n if by_day else 1
        basis = f"{len(rates)} run{'s' * (len(rates) != 1)}" + ("" if by_day else ", once a run")
        time.append(Line(stage, median(rates), median(rates) * times, max(rates) * times, basis))
    return Estimate(disk, time, missing)
