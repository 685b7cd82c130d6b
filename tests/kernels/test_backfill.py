"""A plan holds what is not fresh and what that may touch, nothing else, in an order in which each finds what it is made of."""

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.backfills import Found, Kind, Only, Partition, Past
from core.states import State
from kernels.backfill import Plan, cost_of, costs, held_by, plan

FIRST = date(2026, 1, 5)
STATES = st.sampled_from([*State] + [State.FRESH] * 3)


def at(kind: Kind, symbol: str, n: int) -> Partition:
    return Partition(kind, "generated", symbol, FIRST + n * timedelta(days=1))


@st.composite
def lakes(draw: st.DrawFn) -> list[Found]:
    """Days of some symbols at all stages, in any order, as `tasks.backfill_survey` finds them; some partitions were not looked at."""
    symbols, n_days = draw(st.integers(1, 2)), draw(st.integers(1, 6))
    of = {}
    for symbol in "AB"[:symbols]:
        for n in range(n_days):
            around = (n - 1, n, n + 1)
            of[at(Kind.RAW, symbol, n)] = [at(Kind.RAW, symbol, n - 1)]
            of[at(Kind.CLEAN, symbol, n)] = [at(Kind.CLEAN, symbol, n - 1), *(at(Kind.RAW, symbol, m) for m in around)]
            of[at(Kind.FEATURES, symbol, n)] = [at(Kind.CLEAN, symbol, m) for m in around]
    of[at(Kind.MODEL, "A+B", n_days)] = [p for p in of if p.kind is Kind.FEATURES]
    found = [Found(p, draw(STATES), "because", tuple(made_of)) for p, made_of in of.items()]
    unseen = draw(st.sets(st.sampled_from(Kind), max_size=2))
    return draw(st.permutations([one for one in found if one.partition.kind not in unseen]))


def reference(found: list[Found], only: Only) -> set[Partition]:
    """Once more, plainly: asked of each partition by itself."""
    by = {one.partition: one for one in found}

    def wanted(partition: Partition) -> bool:
        if partition not in by:
            return False
        state = by[partition].state
        if state is not State.FRESH:
            return only is Only.ALL or state == only
        return only is not Only.MISSING and any(wanted(of) for of in by[partition].of)

    return {partition for partition in by if wanted(partition)}


def before(made: Plan, n: int) -> set[int]:
    """The chunks that have ended when a chunk begins."""
    return set(made.chunks[n].waits).union(*(before(made, m) for m in made.chunks[n].waits))


@given(found=lakes(), only=st.sampled_from(Only), chunk_days=st.integers(1, 4))
def test_all_that_is_stale_is_planned_nothing_else_and_what_it_is_made_of_comes_first(found: list[Found], only: Only, chunk_days: int):
    made = plan(found, only=only, chunk_days=chunk_days)
    planned = [step.partition for step in made.steps]
    assert len(planned) == len(set(planned))
    assert set(planned) == reference(found, only)
    states = {one.partition: one.state for one in found}
    assert all(step.certain == (states[step.partition] is not State.FRESH) for step in made.steps)
    assert made.n_fresh == sum(state is State.FRESH for partition, state in states.items() if partition not in planned)

    place = {step.partition: (n, k) for n, chunk in enumerate(made.chunks) for k, step in enumerate(chunk.steps)}
    assert sorted(place) == sorted(planned)
    for n, chunk in enumerate(made.chunks):
        assert 1 <= len(chunk.steps) <= chunk_days
        assert len({step.partition.line for step in chunk.steps}) == 1
        ended = before(made, n)
        for k, step in enumerate(chunk.steps):
            for m, j in (place[of] for of in step.of if of in place):
                assert m in ended or (m == n and j < k)


def test_a_corrected_day_is_planned_with_what_is_made_of_it():
    clean = [at(Kind.CLEAN, "A", n) for n in range(5)]
    found = [Found(day, State.STALE if n == 3 else State.FRESH, "raw_binance__trades changed") for n, day in enumerate(clean)]
    found += [Found(at(Kind.FEATURES, "A", n), State.FRESH, "", tuple(clean[max(n - 1, 0) : n + 2])) for n in range(5)]
    told = {(str(s.partition.kind), s.partition.day.day, s.certain) for s in plan(found).steps}
    assert told == {("clean", 8, True), ("features", 7, False), ("features", 8, False), ("features", 9, False)}


@pytest.mark.parametrize(
    ("kind", "lost", "held"),
    [
        (Kind.FEATURES, at(Kind.CLEAN, "A", 1), True),
        (Kind.FEATURES, at(Kind.CLEAN, "A", 0), False),
        (Kind.CLEAN, at(Kind.CLEAN, "A", 0), False),
        (Kind.RAW, at(Kind.RAW, "A", 0), True),
    ],
    ids=["its own day", "the day before", "a clean day goes on without a book", "a generated day cannot"],
)
def test_a_step_is_held_by_what_it_cannot_do_without(kind: Kind, lost: Partition, held: bool):
    (step,) = plan([Found(at(kind, "A", 1), State.MISSING, "not there", (lost,))]).steps
    assert (held_by(step, {lost}) == lost) is held
    assert held_by(step, set()) is None


def test_a_partition_costs_what_its_own_line_did_else_its_kind_else_nobody_knows():
    past = [Past(at(Kind.CLEAN, "A", n), float(n), 100 * n) for n in (1, 2, 9)] + [Past(at(Kind.CLEAN, "B", 0), 5.0, 500)]
    known = costs(past)
    assert cost_of(known, at(Kind.CLEAN, "A", 4)) == (2.0, 200)
    assert cost_of(known, at(Kind.CLEAN, "C", 4)) == (3.5, 350)
    assert cost_of(known, at(Kind.FEATURES, "A", 4)) is None
