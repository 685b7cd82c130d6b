"""A run is put down as it happens: one folder, what it did, how it ended, and alerts where something is wrong."""

import asyncio
import json
from datetime import date
from pathlib import Path
from types import SimpleNamespace
from uuid import uuid4

import msgspec
import polars as pl
import pytest
from prefect.states import Crashed

from core import run_records, runs, settings
from core.asking import Source
from core.holding import holding
from core.run_records import RunRecord
from core.runs import Stage
from core.store import Part, Store
from core.tables import table
from tasks.hooks import put_down
from tasks.run_record import run_of

DAY = date(2026, 1, 5)


def the_one(data_dir: Path) -> RunRecord:
    (record,) = run_records.every(data_dir)
    return record


def bars(store: Store, symbol: str, inputs: dict[str, str]) -> Part:
    part = Part("clean_market__1s_bars", "v", symbol, DAY)
    return store.write(part, pl.DataFrame(schema=dict(table(part.table).columns)), inputs=inputs, params={})


def test_a_flow_within_another_writes_into_its_run_and_what_was_written_and_read_is_put_down(data_dir: Path):
    folders = []

    async def within() -> None:
        async with run_of("features", {"day": DAY}) as folder:
            folders.append(folder)
            store = Store(settings.load().lake)
            first = bars(store, "A", {"/recorded/a.gz": "11"})
            await asyncio.to_thread(bars, store, "B", {str(first): store.content(first) or "", "/recorded/b.gz": "22"})

    async def whole() -> None:
        async with run_of("nightly", {"source": Source.TABLES, "folder": Path("x"), "day": DAY}) as folder:
            folders.append(folder)
            assert the_one(data_dir).state == "running"
            await within()

    asyncio.run(whole())
    record = the_one(data_dir)
    assert folders == [data_dir / "runs" / record.run_id] * 2
    assert (record.flow, record.state, record.changed) == ("nightly", "completed", True)
    assert record.parameters == {"source": "tables", "folder": "x", "day": "2026-01-05"}
    assert [one.part.split()[1] for one in record.wrote] == ["v/A", "v/B"]
    assert [(one.part, one.content) for one in record.read] == [("/recorded/a.gz", "11"), ("/recorded/b.gz", "22")]
    assert record.code and record.ended
    assert runs.RUN_FOLDER.get() is None


@pytest.mark.parametrize(
    ("error", "state"), [(FileNotFoundError("no folder /x: recordings"), "failed"), (KeyboardInterrupt(), "cancelled")]
)
def test_however_it_ends_it_is_put_down_and_goes_on(data_dir: Path, error: BaseException, state: str):
    async def flow() -> None:
        async with run_of("ingest", {}):
            raise error

    with pytest.raises(type(error)):
        asyncio.run(flow())
    record = the_one(data_dir)
    assert record.state == state
    assert (data_dir / "alerts.jsonl").exists() == (state == "failed")
    if state == "failed":
        assert record.fault == "/x"
        assert "no folder /x" in (data_dir / "runs" / record.run_id / "failure.txt").read_text()
    else:
        assert "was stopped" in record.cause


def test_what_no_rule_knows_is_read_in_its_traceback(data_dir: Path):
    async def flow() -> None:
        async with run_of("ingest", {}):
            raise KeyError("price")

    with pytest.raises(KeyError):
        asyncio.run(flow())
    command, path = the_one(data_dir).next.split()
    assert command == "less"
    assert "KeyError: 'price'" in Path(path).read_text()


@pytest.mark.parametrize("killed", [False, True], ids=["ends in order", "is killed"])
def test_a_run_that_was_stopped_stays_so_though_prefect_says_that_it_crashed(data_dir: Path, killed: bool):
    async def flow() -> None:
        async with run_of("ingest", {}):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        asyncio.run(flow())
    record = the_one(data_dir)
    record.flow_run_id = str(uuid4())
    if killed:
        record.state, record.cause = "running", ""
    run_records.save(data_dir / "runs" / record.run_id, record)
    of = SimpleNamespace(id=record.flow_run_id, name="n", parent_task_run_id=None)
    said = "scalp up was stopped while it ran" if killed else "Execution was cancelled by the runtime environment."
    asyncio.run(put_down("ingest", of, Crashed(message=said)))
    assert the_one(data_dir).state == "cancelled"
    assert "was stopped" in the_one(data_dir).cause
    assert not (data_dir / "alerts.jsonl").exists()


def test_a_second_run_waits_for_the_first_to_leave(data_dir: Path, monkeypatch: pytest.MonkeyPatch):
    order = []

    async def flow() -> None:
        async with run_of("train", {}):
            order.append("second")

    async def both() -> None:
        with holding(data_dir, "scalp run"):
            second = asyncio.create_task(flow())
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            order.append("first")
        await second

    asyncio.run(both())
    assert order == ["first", "second"]


def test_bad_data_and_slower_benchmarks_alert_and_what_was_not_taken_is_told(data_dir: Path, stages: dict[str, Stage]):
    async def flow() -> None:
        async with run_of("nightly", {}) as folder:
            for stage in stages.values():
                runs.save(folder, msgspec.structs.replace(stage, facts=json.loads(json.dumps(stage.facts))))

    asyncio.run(flow())
    lines = [json.loads(line) for line in (data_dir / "alerts.jsonl").read_text().splitlines()]
    assert [(line["kind"], line["key"]) for line in lines] == [
        ("quality", "quality:breaks:generated/SIMUSDT 2026-01-05"),
        ("regression", "regression:inference gRPC batch 1 p50"),
    ]
    record = the_one(data_dir)
    assert ("12 rows of SIMUSDT_20260105.gz", "quarantined: price off the grid") in [(one.what, one.why) for one in record.skipped]
    assert record.metrics["train.calibration_error"] == 0.031
    assert record.metrics["ingest.rows"] == 1_000_130
    page = (data_dir / "runs" / record.run_id / "page.md").read_text()
    assert "at byte 1,024" in page
