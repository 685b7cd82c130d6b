"""A recorded file is read once, exactly, as far as it is sound; what was read before is never lost to a worse file."""

import gzip
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from core.events import Incident
from core.settings import Quality
from core.store import Store
from serving.journal import Journal
from tasks.lines import LONGEST
from tasks.raw import pieces_of
from tasks.recordings import read_recording, recordings_in

NS = 1_700_000_000_000_000_000
MIDNIGHT = 1_700_006_400_000_000_000


def trade(at: int, **other: Any) -> str:
    data = {
        "e": "trade",
        "E": 1700000000000,
        "T": 1700000000000,
        "s": "BTCUSDT",
        "t": at,
        "p": f"{100 + at % 7}.5",
        "q": "0.25",
        "X": "MARKET",
    }
    return f"{NS + at} " + json.dumps({"stream": "btcusdt@trade", "data": data | {"m": False} | other}, separators=(",", ":")) + "\n"


LINES = "".join(trade(at) for at in range(1, 5001)).encode()


def read(store: Store, path: Path, **how: Any) -> dict[str, Any]:
    return read_recording.fn(store, str(path), quality=how.pop("quality", Quality()), **how)


def rows(store: Store, facts: dict[str, Any]) -> int:
    return sum(len(store.scan(part).collect()) for part in pieces_of(facts))


def everything(store: Store) -> list[Any]:
    return [(part, store.content(part)) for part in store.parts("raw_*__*")]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "btcusdt.gz"
    path.write_bytes(gzip.compress(LINES))
    return path


def test_a_file_is_read_once(store: Store, path: Path):
    first = read(store, path)
    assert (first["n_rows"], first["n_refused"], first["error"], first["skipped"]) == (5000, 0, None, False)
    assert (first["venue"], first["symbol"], first["days"]) == ("binance-usdm", "BTCUSDT", ["2023-11-14"])
    assert rows(store, first) == 5000
    before = everything(store)
    assert read(store, path)["skipped"]
    assert everything(store) == before


def test_other_quality_settings_or_a_deleted_piece_mean_reading_it_again(store: Store, path: Path):
    first = read(store, path)
    before = everything(store)
    store.remove(pieces_of(first)[0])
    assert not read(store, path)["skipped"]
    assert everything(store) == before
    assert not read(store, path, quality=Quality(off_grid_share=0))["skipped"]
    assert len(everything(store)) == len(before)


def test_lines_over_midnight_go_to_both_days(store: Store, tmp_path: Path):
    path = tmp_path / "over.txt"
    path.write_text(trade(1).replace(str(NS + 1), str(MIDNIGHT - 1)) + trade(2).replace(str(NS + 2), str(MIDNIGHT)))
    facts = read(store, path)
    assert [part.day.isoformat() for part in pieces_of(facts)] == ["2023-11-14", "2023-11-15"]
    lineage = store.lineage(pieces_of(facts)[1])
    assert lineage is not None
    assert lineage.facts["ts_recv_min"] == lineage.facts["ts_recv_max"] == MIDNIGHT
    assert lineage.facts["price_decimals"] == 1
    assert lineage.inputs == {str(path.resolve()): facts["sha256"]}


@pytest.mark.parametrize("cut", [1, 9, 30, 500, 3000, -8000, -9, -8, -1])
def test_a_truncated_file_keeps_its_whole_lines_and_heals_when_it_is_mended(store: Store, path: Path, cut: int):
    whole = path.read_bytes()
    path.write_bytes(whole[:cut])
    facts = read(store, path)
    assert f"{path}: cut off at compressed byte {len(whole[:cut]):,}" in facts["error"]
    assert f"in line {facts['n_rows'] + 1:,}" in facts["error"]
    assert not facts["complete"]
    assert facts["n_refused"] == 0
    if facts["n_rows"]:
        assert rows(store, facts) == facts["n_rows"]
        again = read(store, path)
        assert again["skipped"]
        assert again["error"] == facts["error"]
    path.write_bytes(whole)
    assert read(store, path)["n_rows"] == 5000
    sound = everything(store)
    assert len(sound) == 2
    path.write_bytes(whole[:cut])
    worse = read(store, path)
    assert "cut off" in worse["error"]
    assert "5,000 rows read from it before are kept" in worse["error"]
    assert everything(store) == sound


@pytest.mark.parametrize("at", [200, 5000, -20], ids=["early", "later", "late"])
def test_a_damaged_block_ends_the_file_with_an_error(store: Store, path: Path, at: int):
    broken = bytearray(path.read_bytes())
    broken[at : at + 8] = b"\xff" * 8
    path.write_bytes(bytes(broken))
    facts = read(store, path)
    assert "damaged" in facts["error"]
    assert "compressed byte" in facts["error"]
    assert facts["n_rows"] - facts["n_refused"] <= 5000


def test_a_wrong_checksum_keeps_every_line_but_is_no_complete_reading(store: Store, path: Path):
    broken = bytearray(path.read_bytes())
    broken[-6] ^= 1
    path.write_bytes(bytes(broken))
    facts = read(store, path)
    assert (facts["n_rows"], facts["complete"]) == (5000, False)


def test_members_one_after_the_other_are_one_file(store: Store, path: Path):
    half = LINES.index(b"\n", 1000) + 7
    path.write_bytes(gzip.compress(LINES[:half]) + gzip.compress(LINES[half:-30]) + gzip.compress(LINES[-30:]) + b"\0" * 100)
    assert read(store, path)["n_rows"] == 5000
    path.write_bytes(path.read_bytes() + b"what?")
    facts = read(store, path)
    assert "something that is not gzip follows" in facts["error"]
    assert facts["n_rows"] == 5000


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("a.gz", b"", "the file is empty"),
        ("a.gz", LINES, "not gzip"),
        ("a.gz", bytes(range(256)) * 50, "not gzip"),
        ("a.gz", gzip.compress(b""), "holds no line"),
        ("a.gz", gzip.compress(bytes(range(256)) * 50), "is a frame of Binance; line 1 was refused: no receive time"),
        ("a.txt", b"1700000000000000000 {}\n" * 3, "none of its 3 lines is a frame of Binance"),
    ],
    ids=["empty", "text named gz", "binary", "empty gzip", "binary gzip", "no frames"],
)
def test_what_is_no_recording_gives_an_error_and_no_rows(store: Store, tmp_path: Path, name: str, content: bytes, says: str):
    path = tmp_path / name
    path.write_bytes(content)
    facts = read(store, path)
    assert says in facts["error"]
    assert str(path) in facts["error"]
    assert (facts["n_rows"], facts["pieces"], facts["main"]) == (0, [], None)
    assert everything(store) == []


def test_a_huge_line_is_passed_over(store: Store, tmp_path: Path):
    path = tmp_path / "a.gz"
    path.write_bytes(gzip.compress(trade(1).encode() + b"x" * (LONGEST * 2) + b"\n" + trade(2).encode(), 1))
    facts = read(store, path)
    assert facts["error"] is None
    assert facts["by_reason"] == {"line too long": 1}
    assert facts["n_rows"] == 3
    trades = store.scan([part for part in pieces_of(facts) if part.table.endswith("trades")]).collect()
    assert trades["row"].to_list() == [1, 3]


def test_refused_lines_are_kept_with_their_text(store: Store, tmp_path: Path):
    path = tmp_path / "a.jsonl"
    bad = [trade(200, zz=1), trade(201, p="101.512345"), "\x00\x01 garbage\n"]
    path.write_text("".join(trade(at) for at in range(1, 200)) + "".join(bad))
    facts = read(store, path)
    assert facts["by_reason"] == {"unknown field zz": 1, "price off the grid": 1, "no receive time": 1}
    assert (facts["n_rows"], facts["n_refused"]) == (202, 3)
    refused = store.scan([part for part in pieces_of(facts) if part.table.endswith("refused")]).collect()
    assert refused["text"].to_list() == [text.rstrip("\n") for text in bad]
    assert refused["row"].to_list() == [200, 201, 202]


def test_other_trades_and_the_generated_market_are_marked(store: Store, tmp_path: Path):
    path = tmp_path / "a.txt"
    path.write_text(trade(1) + trade(2, X="INSURANCE_FUND"))
    facts = read(store, path, venue="generated", generated=True)
    assert facts["generated"]
    (part,) = pieces_of(facts)
    assert part.table == "raw_generated__trades"
    assert store.scan(part).collect()["order_kind"].to_list() == ["MARKET", "INSURANCE_FUND"]


def test_a_folder_without_recordings_says_what_was_expected(tmp_path: Path):
    with pytest.raises(FileNotFoundError, match=r"no folder .*nowhere: expected"):
        recordings_in(tmp_path / "nowhere")
    (tmp_path / "a.parquet").touch()
    with pytest.raises(FileNotFoundError, match=r"nothing to read in .*: expected \*.gz files of lines '<time> <JSON>'"):
        recordings_in(tmp_path)


@pytest.mark.recordings
@pytest.mark.parametrize("market", ["usdm", "spot", "cm"])
def test_recorded_days_agree_with_the_independent_answers(store: Store, shared: Path, market: str):
    answers = json.loads((shared / "checks" / f"{market}.json").read_text())
    read_files = {path.name: read(store, path) for path in recordings_in(shared / "data" / "hftbacktest" / market)}
    for answer in answers.values():
        files = [read_files[name] for name in answer["files"]]
        assert all(facts["error"] is None and facts["n_refused"] == 0 for facts in files)
        assert {(facts["venue"], facts["symbol"]) for facts in files} == {(f"binance-{market}", answer["symbol"])}
        kinds = {kind for facts in files for kind in facts["frames"]}
        assert {kind: sum(facts["frames"].get(kind, 0) for facts in files) for kind in kinds} == answer["frames"]
        assert sum(facts["n_rows"] for facts in files) == sum(answer["frames"].values())
        size, notional = Decimal(0), Decimal(0)
        for part in (part for facts in files for part in pieces_of(facts) if part.table.endswith("trades")):
            trades = store.scan(part).select("price", "size", "price_decimals", "size_decimals").collect()
            price_places, size_places = trades["price_decimals"][0], trades["size_decimals"][0]
            size += Decimal(trades["size"].sum()).scaleb(-size_places)
            exact = trades.select(pl.col("price").cast(pl.Int128) * pl.col("size")).to_series().sum()
            notional += Decimal(int(exact)).scaleb(-price_places - size_places)
        assert (size, notional) == (Decimal(answer["trades"]["size"]), Decimal(answer["trades"]["notional"]))


def test_a_session_of_the_worker_is_a_recording_of_its_venue(store: Store, tmp_path: Path):
    made = Journal(tmp_path / "sessions" / "local-e1", {"plan": {"venue": "local"}})
    for at in range(1, 9):
        made.frames([trade(at).partition(" ")[2].strip().encode()], NS + at)
    made.decisions(1, [Incident(ts=1, kind="x", detail="y")])
    made.close()
    [path] = recordings_in(tmp_path / "sessions")
    facts = read(store, path)
    assert facts["error"] is None
    assert (facts["venue"], facts["symbol"], facts["n_rows"]) == ("local", "BTCUSDT", 8)
