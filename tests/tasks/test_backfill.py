"""What cannot succeed is tried once; what storage kept from us for a moment is asked for again; a full disk ends the rest."""

import errno
from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest

from core import settings
from core.backfills import Chunk, Kind, Only, Partition, Stage, Step
from core.states import State
from core.store import Part, Store, StoreError
from tasks import backfill
from tasks.backfill import Made, crashed, insisting, keep, kept, make_chunk, rules_of
from tasks.backfill_plan import headline, planned
from tasks.backfill_survey import Wanted, spans
from tests.tasks.test_clean import DAY, LATER, NEXT, SYMBOL, VENUE, File, build


def failing(*errors: BaseException) -> tuple[Callable[[], Made], list[int]]:
    """Raises these, one a call, then makes it; and the calls so far."""
    calls: list[int] = []

    def make() -> Made:
        calls.append(1)
        if len(calls) <= len(errors):
            raise errors[len(calls) - 1]
        return Made(changed=True)

    return make, calls


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backfill, "AGAIN_S", (0.0, 0.0))


def test_storage_that_is_away_for_a_moment_is_asked_again():
    make, calls = failing(OSError(errno.EIO, "away"), TimeoutError("away"))
    assert insisting(make).changed
    assert len(calls) == 3


@pytest.mark.parametrize(
    "error",
    [
        StoreError("part: unreadable"),
        OSError(errno.ENOSPC, "full"),
        OSError("Couldn't deserialize thrift"),
        PermissionError(errno.EACCES, "not yours"),
        ValueError("bad parameter"),
    ],
    ids=["torn part", "full disk", "damaged file", "no right", "parameter"],
)
def test_what_cannot_succeed_is_tried_once(error: Exception):
    make, calls = failing(error, error)
    with pytest.raises(type(error)):
        insisting(make)
    assert len(calls) == 1


def chunk(*days: date) -> Chunk:
    return Chunk(tuple(Step(Partition(Kind.CLEAN, VENUE, SYMBOL, day), State.MISSING, "not there") for day in days))


def test_a_full_disk_ends_the_chunk_and_says_so_of_the_rest(store: Store, monkeypatch: pytest.MonkeyPatch):
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "/lake/part")

    File("a", DAY).trade(10, 1).write(store)
    monkeypatch.setattr("tasks.backfill.make_day", full)
    first, second = make_chunk.fn(store, chunk(DAY, NEXT), rules=rules_of(settings.Settings()))
    assert first.full
    assert "disk is full" in first.error
    assert second.held == "the disk is full"


def test_a_task_that_died_is_told_of_by_the_first_partition_it_had_not_made(store: Store, tmp_path: Path):
    File("a", DAY).trade(10, 1).write(store)
    store.run_folder = tmp_path
    (made,) = make_chunk.fn(store, chunk(DAY), rules=rules_of(settings.Settings()))
    assert made.changed
    told = crashed(tmp_path, chunk(DAY, NEXT, LATER), RuntimeError("KilledWorker"))
    assert [(bool(one.error), bool(one.held)) for one in told] == [(False, False), (True, False), (False, True)]
    assert "KilledWorker" in told[1].error
    keep(tmp_path, told[1])
    (tmp_path / backfill.FILE).open("ab").write(b'{"half')
    assert kept(tmp_path) == [made, told[1]]


def test_days_of_a_venue_are_those_with_raw_rows_and_the_others_are_said_to_be_absent(store: Store, tmp_path: Path):
    for name, day in (("a", DAY), ("b", NEXT)):
        File(name, day).snapshot(1, 10).trade(10, 1).write(store)
    build(store, DAY)
    config = settings.Settings(data_dir=tmp_path)
    asked = Wanted(Stage.INGEST, VENUE, (), DAY, date(2024, 8, 12))
    of = planned(store, config, asked)
    assert [(str(step.partition), step.why) for step in of.steps] == [(f"clean {VENUE}/{SYMBOL} {NEXT}", "not there")]
    assert of.absent == [f"{VENUE}/{SYMBOL}: no raw rows of 2024-08-10 to 2024-08-12"]
    assert headline(of).startswith("1 partition to make (1 missing), 1 fresh; about ")
    others = config.model_copy(update={"ingest": settings.Ingest(keep_levels=5)})
    assert [step.why for step in planned(store, others, asked._replace(only=Only.STALE)).steps] == ["keep_levels 20 -> 5"]
    Path(store.path(Part("clean_market__trades", VENUE, SYMBOL, DAY))).write_bytes(b"PAR1 torn PAR1")
    (torn, _) = planned(store, config, asked).steps
    assert "unreadable" in torn.why


def test_days_are_told_as_stretches():
    assert spans([date(2026, 1, 5), date(2026, 1, 7), date(2026, 1, 8), date(2026, 1, 9)]) == "2026-01-05, 2026-01-07 to 2026-01-09"
