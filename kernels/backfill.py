"""From the states of partitions to a plan: which are to be made, why, in what order and chunks, and what that may take.

    plan(found, only, chunk_days) -> Plan(steps, chunks, n_fresh);  costs(past) -> cost_of(partition)

A partition is in the plan where it is missing or stale, and where something that it is made of is in the plan: it may be stale then, and
costs a look at its footers if it is not. In time order within a line: a clean day starts from the book in which the one before ended.
"""

from collections.abc import Container, Iterable, Mapping, Sequence
from statistics import median
from typing import NamedTuple

from core.backfills import Chunk, Cost, Found, Kind, Only, Partition, Past, Step
from core.states import State

RANK = {kind: rank for rank, kind in enumerate(Kind)}
MEANT = {Only.MISSING: {State.MISSING}, Only.STALE: {State.STALE}, Only.ALL: {State.MISSING, State.STALE}}


class Plan(NamedTuple):
    steps: tuple[Step, ...]
    chunks: tuple[Chunk, ...]
    n_fresh: int


def in_order(partition: Partition) -> tuple[int, str, str, int]:
    """What is made of nothing that comes later in this order."""
    return RANK[partition.kind], partition.venue, partition.symbol, partition.day.toordinal()


def plan(found: Iterable[Found], *, only: Only = Only.ALL, chunk_days: int = 10) -> Plan:
    """What has to be made of what was found, each partition once, in order."""
    every = sorted(found, key=lambda one: in_order(one.partition))
    steps: dict[Partition, Step] = {}
    for one in every:
        first = [of for of in one.of if of in steps]
        if one.state in MEANT[only]:
            steps[one.partition] = Step(one.partition, one.state, one.why, one.of)
        elif one.state is State.FRESH and first and only is not Only.MISSING:
            steps[one.partition] = Step(
                one.partition, State.FRESH, f"looked at again when {nearest(one, first)} is made", one.of, certain=False
            )
    chunks = cut(list(steps.values()), chunk_days)
    place = {step.partition: n for n, chunk in enumerate(chunks) for step in chunk}
    waits = [{place[p] for step in chunk for p in step.of if p in place} - {n} for n, chunk in enumerate(chunks)]
    n_fresh = sum(one.state is State.FRESH and one.partition not in steps for one in every)
    made = tuple(Chunk(tuple(chunk), tuple(sorted(before))) for chunk, before in zip(chunks, waits, strict=True))
    return Plan(tuple(steps.values()), made, n_fresh)


def nearest(found: Found, first: Sequence[Partition]) -> Partition:
    """Of what comes first, the one of the same day; else the last."""
    return next((of for of in first if of.day == found.partition.day), first[-1])


def held_by(step: Step, failed: Container[Partition]) -> Partition | None:
    """What failed that a step cannot do without: its own day of what it is made of; of a chain of raw days, or of a model, any."""
    every = step.partition.kind in (Kind.RAW, Kind.MODEL)
    return next((of for of in step.of if of in failed and (every or of.day == step.partition.day)), None)


def cut(steps: Sequence[Step], chunk_days: int) -> list[tuple[Step, ...]]:
    """Steps in order as chunks: of one line each, at most so many."""
    lines: dict[tuple[str, str, str], list[Step]] = {}
    for step in steps:
        lines.setdefault(step.partition.line, []).append(step)
    return [tuple(line[n : n + chunk_days]) for line in lines.values() for n in range(0, len(line), chunk_days)]


def costs(past: Iterable[Past]) -> dict[tuple[str, ...], Cost]:
    """The medians of what partitions took: of each line, and of each kind."""
    by: dict[tuple[str, ...], list[Past]] = {}
    for one in past:
        by.setdefault(one.partition.line, []).append(one)
        by.setdefault((one.partition.kind,), []).append(one)
    return {key: Cost(median(one.seconds for one in of), median(one.rows for one in of)) for key, of in by.items()}


def cost_of(known: Mapping[tuple[str, ...], Cost], partition: Partition) -> Cost | None:
    """What a partition may take: as its own line did, else as its kind did; None where none was made before."""
    return known.get(partition.line) or known.get((partition.kind,))
