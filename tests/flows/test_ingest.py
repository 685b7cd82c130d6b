"""The ingest flow keeps what is sound, says what is not, and does nothing twice."""

import asyncio
import gzip
from pathlib import Path

import pytest

from core import runs
from core.asking import BadParameter, Source
from flows.ingest import ingest
from tasks.ingest import IngestError

pytestmark = [pytest.mark.server, pytest.mark.usefixtures("prefect")]
SNAPSHOT = '{"lastUpdateId":10,"bids":[["100.1","1.000"]],"asks":[["100.3","2.000"]]}'
DIFF = (
    '{"stream":"btcusdt@depth@0ms","data":{"e":"depthUpdate","E":%d,"T":%d,"s":"BTCUSDT",'
    '"U":%d,"u":%d,"pu":%d,"b":[["100.1","%d.000"]],"a":[]}}'
)
TRADE = '{"stream":"btcusdt@trade","data":{"e":"trade","E":%d,"T":%d,"s":"BTCUSDT","t":%d,"p":"100.2","q":"0.5","X":"MARKET","m":true}}'
MIDNIGHT_MS = 1_723_161_600_000


def record(path: Path, first_ms: int, n: int, *, snapshot: bool = True, after: int = 10) -> bytes:
    """A recording of `n` diffs and `n` trades, one each a second; returns its bytes."""
    lines = [f"{first_ms * 10**6} {SNAPSHOT}"] if snapshot else []
    for i in range(n):
        ms, last = first_ms + 1000 * i, after + i
        lines.append(f"{ms * 10**6 + 1000} {DIFF % (ms, ms, last + 1, last + 1, last, i % 5 + 1)}")
        lines.append(f"{ms * 10**6 + 2000} {TRADE % (ms, ms, last)}")
    path.write_bytes(gzip.compress("\n".join(lines).encode() + b"\n"))
    return path.read_bytes()


def run(folder: Path) -> runs.Stage:
    return asyncio.run(ingest(Source.RECORDINGS, folder))


def kept(data_dir: Path) -> runs.Stage:
    """What the last run has in its folder."""
    return runs.load(max((data_dir / "runs").iterdir()))["ingest"]


def test_a_second_run_does_nothing_and_a_later_day_goes_on_from_the_first(data_dir: Path, tmp_path: Path):
    folder = tmp_path / "recordings"
    folder.mkdir()
    record(folder / "btcusdt_20240808.gz", MIDNIGHT_MS - 20_000, 20)
    first = run(folder)
    assert (first.changed, [p.day.isoformat() for p in first.parts]) == (True, ["2024-08-08"])
    second = run(folder)
    assert not second.changed
    assert [day["changed"] for day in second.facts["days"]] == [False]
    assert kept(data_dir).facts == second.facts

    record(folder / "btcusdt_20240809.gz", MIDNIGHT_MS, 10, snapshot=False, after=30)
    third = run(folder)
    assert [day["day"] for day in third.facts["days"]] == ["2024-08-08", "2024-08-09"]
    assert [(day["sequence_breaks"], day["book_known_share"]) for day in third.facts["days"]] == [(0, 1.0), (0, 1.0)]


def test_a_cut_file_fails_by_name_keeps_what_was_sound_and_heals(data_dir: Path, tmp_path: Path):
    folder = tmp_path / "recordings"
    folder.mkdir()
    whole = record(folder / "btcusdt_20240808.gz", MIDNIGHT_MS - 20_000_000, 4_000)
    (folder / "btcusdt_20240808.gz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(IngestError, match=r"btcusdt_20240808.gz.* at compressed byte"):
        run(folder)
    told = kept(data_dir)
    assert 0 < told.facts["days"][0]["trades"] < 4_000
    assert told.facts["files"][0]["rows"] == sum(told.facts["files"][0][way] for way in ("clean", "duplicate", "quarantined"))

    (folder / "btcusdt_20240808.gz").write_bytes(whole)
    healed = run(folder)
    assert healed.facts["days"][0]["trades"] == 4_000
    assert healed.facts["files"][0]["error"] is None


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"folder": "nowhere"}, "folder: there is no folder .*nowhere"),
        ({"folder": "empty"}, r"folder: .*empty is empty; expected \*.gz"),
        ({}, "folder: the source recordings needs one"),
        ({"folder": "empty", "venue": "binance-spot"}, "venue: it goes with the source archives"),
        ({"source": "tables", "folder": "empty", "mapping": "nobody"}, "mapping: there is no 'nobody'; there are standx"),
        ({"source": "generated", "folder": "empty"}, "folder: it goes with"),
    ],
    ids=lambda value: None if isinstance(value, str) else " ".join(value.values()) or "no folder",
)
def test_what_cannot_be_meant_is_refused_by_name_before_any_work(data_dir: Path, tmp_path: Path, asked: dict[str, str], said: str):
    (tmp_path / "empty").mkdir()
    where = {"folder": tmp_path / asked["folder"]} if "folder" in asked else {}
    with pytest.raises(BadParameter, match=said):
        asyncio.run(ingest(**{"source": "recordings"} | asked | where))  # pyright: ignore[reportArgumentType]
    assert not (data_dir / "lake").exists()
