"""The ingest flow keeps what is sound, says what is not, and does nothing twice."""

import asyncio
import gzip
from collections.abc import Iterator
from pathlib import Path

import pytest

from core import runs
from flows.ingest import ingest
from tasks.ingest import IngestError

pytestmark = pytest.mark.server
SNAPSHOT = '{"lastUpdateId":10,"bids":[["100.1","1.000"]],"asks":[["100.3","2.000"]]}'
DIFF = (
    '{"stream":"btcusdt@depth@0ms","data":{"e":"depthUpdate","E":%d,"T":%d,"s":"BTCUSDT",'
    '"U":%d,"u":%d,"pu":%d,"b":[["100.1","%d.000"]],"a":[]}}'
)
TRADE = '{"stream":"btcusdt@trade","data":{"e":"trade","E":%d,"T":%d,"s":"BTCUSDT","t":%d,"p":"100.2","q":"0.5","X":"MARKET","m":true}}'
MIDNIGHT_MS = 1_723_161_600_000


@pytest.fixture(scope="module", autouse=True)
def prefect() -> Iterator[None]:
    from prefect.testing.utilities import prefect_test_harness

    with prefect_test_harness(server_startup_timeout=120):
        yield


def record(path: Path, first_ms: int, n: int, *, snapshot: bool = True, after: int = 10) -> bytes:
    """A recording of `n` diffs and `n` trades, one each a second; returns its bytes."""
    lines = [f"{first_ms * 10**6} {SNAPSHOT}"] if snapshot else []
    for i in range(n):
        ms, last = first_ms + 1000 * i, after + i
        lines.append(f"{ms * 10**6 + 1000} {DIFF % (ms, ms, last + 1, last + 1, last, i % 5 + 1)}")
        lines.append(f"{ms * 10**6 + 2000} {TRADE % (ms, ms, last)}")
    path.write_bytes(gzip.compress("\n".join(lines).encode() + b"\n"))
    return path.read_bytes()


def run(folder: Path, run_folder: Path) -> runs.Stage:
    return asyncio.run(ingest("recordings", folder, "", run_folder))


def test_a_second_run_does_nothing_and_a_later_day_goes_on_from_the_first(data_dir: Path, tmp_path: Path):
    folder, told = tmp_path / "recordings", tmp_path / "run"
    folder.mkdir()
    record(folder / "btcusdt_20240808.gz", MIDNIGHT_MS - 20_000, 20)
    first = run(folder, told)
    assert (first.changed, [p.day.isoformat() for p in first.parts]) == (True, ["2024-08-08"])
    second = run(folder, told)
    assert not second.changed
    assert [day["changed"] for day in second.facts["days"]] == [False]
    assert runs.load(told)["ingest"].facts == second.facts

    record(folder / "btcusdt_20240809.gz", MIDNIGHT_MS, 10, snapshot=False, after=30)
    third = run(folder, told)
    assert [day["day"] for day in third.facts["days"]] == ["2024-08-08", "2024-08-09"]
    assert [(day["sequence_breaks"], day["book_known_share"]) for day in third.facts["days"]] == [(0, 1.0), (0, 1.0)]


def test_a_cut_file_fails_by_name_keeps_what_was_sound_and_heals(data_dir: Path, tmp_path: Path):
    folder, told = tmp_path / "recordings", tmp_path / "run"
    folder.mkdir()
    whole = record(folder / "btcusdt_20240808.gz", MIDNIGHT_MS - 20_000_000, 4_000)
    (folder / "btcusdt_20240808.gz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(IngestError, match=r"btcusdt_20240808.gz.* at compressed byte"):
        run(folder, told)
    kept = runs.load(told)["ingest"]
    assert 0 < kept.facts["days"][0]["trades"] < 4_000
    assert kept.facts["files"][0]["rows"] == sum(kept.facts["files"][0][way] for way in ("clean", "duplicate", "quarantined"))

    (folder / "btcusdt_20240808.gz").write_bytes(whole)
    healed = run(folder, told)
    assert healed.facts["days"][0]["trades"] == 4_000
    assert healed.facts["files"][0]["error"] is None


@pytest.mark.parametrize("missing", ["nowhere", "empty"])
def test_a_folder_without_recordings_is_said_to_be_one(data_dir: Path, tmp_path: Path, missing: str):
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match=missing):
        run(tmp_path / missing, tmp_path / "run")
