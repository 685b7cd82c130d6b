"""An archive is read whole and exactly, once, or not at all; a line that is no trade goes to quarantine, and its neighbours do not."""

import asyncio
import hashlib
import io
import os
import zipfile
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from core.asking import Source
from core.settings import Quality
from core.store import Store
from tasks import archive_batches, archive_bytes, archives
from tasks.accounts import accounts
from tasks.archives import archives_in, read_archive
from tasks.clean import clean_day
from tasks.raw import pieces_of

HEADER = "agg_trade_id,price,quantity,first_trade_id,last_trade_id,transact_time,is_buyer_maker"
MIDNIGHT = 1_767_571_200_000  # ms, 2026-01-05
KEY = ("binance-usdm", "BTCUSDT", date(2026, 1, 5))


def trades(n: int, *, step: int = 10, spot: bool = False, us: bool = False) -> list[str]:
    """Trades from midnight on, `step` ms apart; of a spot archive, as Binance writes them: eight decimals, True and False."""
    made = []
    for at in range(n):
        time = (MIDNIGHT + step * at) * (1000 if us else 1)
        price, size, maker = f"{61_000 + at % 50 / 10:.1f}", f"{1 + at % 9}.{at % 7}5", at % 3 == 0
        if spot:
            made.append(f"{at + 1},{price}0000000,{size}000000,{2 * at},{2 * at + 1},{time},{maker},True")
        else:
            made.append(f"{at + 1},{price},{size},{2 * at},{2 * at + 1},{time},{str(maker).lower()}")
    return made


def text(lines: Sequence[str], *, header: bool = True) -> bytes:
    return "\n".join([HEADER, *lines] if header else lines).encode() + b"\n"


def archive(folder: Path, content: bytes | Sequence[bytes], name: str = "BTCUSDT-aggTrades-2026-01-05.zip", **how: Any) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", how.get("method", zipfile.ZIP_DEFLATED)) as made:
        for n, member in enumerate([content] if isinstance(content, bytes) else content):
            with made.open(f"{path.stem}{n or ''}.csv", "w", force_zip64=how.get("zip64", False)) as file:
                file.write(member)
    return path


def read(store: Store, path: Path, venue: str = "") -> dict[str, Any]:
    return read_archive.fn(store, str(path), venue=venue)


def rows(store: Store, table: str = "raw_binance__trades") -> pl.DataFrame:
    return store.scan(store.parts(table), floats=table.endswith("trades")).collect()


def everything(store: Store) -> list[Any]:
    return [(part, store.content(part)) for part in store.parts("raw_*__*")]


@pytest.mark.parametrize(
    ("of", "how"),
    [({}, {}), ({}, {"header": False}), ({"spot": True, "us": True}, {"header": False}), ({"spot": True}, {"header": False})],
    ids=["futures with header", "futures without", "spot in microseconds", "spot in milliseconds"],
)
def test_every_row_and_column_is_what_polars_reads(store: Store, tmp_path: Path, of: dict[str, bool], how: dict[str, bool]):
    facts = read(store, archive(tmp_path, text(lines := trades(3_000, **of), **how)))  # type: ignore[arg-type]
    names = [*HEADER.split(","), "is_best_match"][: 7 + bool(of.get("spot"))]
    theirs = pl.read_csv(io.StringIO("\n".join(lines)), has_header=False, new_columns=names)
    made = rows(store)
    assert (facts["n_rows"], facts["n_refused"], facts["error"]) == (3_000, 0, None)
    assert facts["venue"] == ("binance-spot" if of.get("spot") else "binance-usdm")
    assert made["price_decimals"].unique().to_list() == [1]
    assert made["size_decimals"].unique().to_list() == [2]
    per = 1_000 if of.get("us") else 1_000_000
    for ours, column in (("trade_id", "agg_trade_id"), ("price_float", "price"), ("size_float", "quantity")):
        assert made[ours].to_list() == theirs[column].to_list()
    assert (made["ts_event"].to_physical() // per).to_list() == theirs["transact_time"].to_list()
    assert made["ts_recv"].equals(made["ts_event"])
    maker = theirs["is_buyer_maker"].cast(pl.String).str.to_lowercase() == "true"
    assert (made["side"] == -1).to_list() == maker.to_list()
    assert made["row"].to_list() == list(range(1 + how.get("header", True), 3_001 + how.get("header", True)))


def test_an_archive_is_read_once_whatever_it_is_called(store: Store, tmp_path: Path):
    path = archive(tmp_path, text(trades(500)))
    assert not read(store, path)["skipped"]
    before = everything(store)
    assert read(store, path)["skipped"]
    moved = path.rename(path.with_name("BTCUSDT-aggTrades-2026-01.zip"))
    assert read(store, moved)["skipped"]
    assert everything(store) == before


def test_a_month_is_split_into_its_days_whatever_order_they_stand_in(store: Store, tmp_path: Path):
    lines = trades(288, step=3_600_000)
    mixed = [line for pair in zip(lines[:144], lines[144:], strict=True) for line in pair]  # as of May 2023
    facts = read(store, archive(tmp_path, text(mixed), "BTCUSDT-aggTrades-2026-01.zip"))
    assert len(facts["days"]) == 12
    for part in pieces_of(facts):
        made = store.scan(part).collect()
        assert made["ts_event"].is_sorted()
        assert made["ts_event"].dt.date().unique().to_list() == [part.day]
    assert len(rows(store)) == 288


def test_a_finer_number_far_into_the_file_is_exact_and_so_is_all_before(store: Store, tmp_path: Path):
    lines = trades(40_000)
    lines[-3] = lines[-3].replace(lines[-3].split(",")[1], "61000.00000001", 1)
    facts = read(store, archive(tmp_path, text(lines)))
    made = rows(store)
    assert (facts["n_refused"], made["price_decimals"].unique().to_list()) == (0, [8])
    assert made["price"][-3] == 6_100_000_000_001
    assert made["price_float"][:5].to_list() == [61_000.0, 61_000.1, 61_000.2, 61_000.3, 61_000.4]


def test_a_number_that_no_decimals_hold_with_the_others_is_refused_alone(store: Store, tmp_path: Path):
    lines = trades(40_000)
    lines[30_000] = lines[30_000].replace(lines[30_000].split(",")[1], "0.123456789012", 1)
    facts = read(store, archive(tmp_path, text(lines)))
    assert facts["by_reason"] == {"price of more digits than can be kept exactly": 1}
    assert rows(store)["price_decimals"].unique().to_list() == [1]


def test_malformed_lines_go_to_quarantine_and_the_rows_add_up(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(archive_batches, "ROWS", 100)  # so that there are many batches
    lines = trades(1_000)
    bad = {0: "nonsense", 10: lines[10] + ",1", 500: lines[500].replace(",", ";"), 998: "1,2,3", 999: lines[999][:-3]}
    for at, line in bad.items():
        lines[at] = line
    lines[700:700] = ["", "  "]
    content = text(lines) + lines[5].encode()[:20] + b"\xff\xfe" + b"9" * 3_000
    facts = read(store, archive(tmp_path, content))
    assert (facts["n_rows"], facts["n_refused"], facts["error"]) == (1_001, 6, None)
    refused = rows(store, "raw_binance__refused")
    assert refused["row"].to_list() == [2, 12, 502, 1_002, 1_003, 1_004]
    assert refused["text"][:5].to_list() == list(bad.values())
    assert refused["text"].str.len_chars().max() == 2_000
    told = clean_day.fn(store, *KEY, quality=Quality(), keep_levels=20, fees=(2.0, 5.0))
    [account] = accounts(store, [facts])
    assert (told["trades"], account["clean"], account["quarantined"]) == (995, 995, 6)


def test_doubled_rows_within_and_between_archives_are_counted_as_such(store: Store, tmp_path: Path):
    lines = trades(200)
    facts = [
        read(store, archive(tmp_path, text(lines + lines[50:60]))),
        read(store, archive(tmp_path, text(lines[:100]), "BTCUSDT-aggTrades-2026-01.zip")),
    ]
    clean_day.fn(store, *KEY, quality=Quality(out_of_order_s=60), keep_levels=20, fees=(2.0, 5.0))
    assert sum(of["clean"] for of in accounts(store, facts)) == 200
    assert sum(of["duplicate"] for of in accounts(store, facts)) == 110


@pytest.mark.parametrize("ending", [b"", b"\n", b"\r\n", b"\n\n\n"], ids=["none", "newline", "CRLF", "blank lines"])
def test_the_last_line_is_read_however_it_ends(store: Store, tmp_path: Path, ending: bytes):
    facts = read(store, archive(tmp_path, "\r\n".join(trades(50)).encode() + ending))
    assert (facts["n_rows"], facts["n_refused"]) == (50, 0)


@pytest.mark.parametrize("how", [{"zip64": True}, {"method": zipfile.ZIP_STORED}], ids=["zip64", "stored"])
def test_other_zips_are_zips_too(store: Store, tmp_path: Path, how: dict[str, Any]):
    assert read(store, archive(tmp_path, text(trades(5_000)), **how))["n_rows"] == 5_000


def test_several_members_are_read_one_after_the_other_each_with_or_without_header(store: Store, tmp_path: Path):
    lines = trades(90)
    members = [text(lines[:30]), text(lines[30:60], header=False)[:-1], b"\xef\xbb\xbf" + text(lines[60:])]
    assert read(store, archive(tmp_path, members))["n_rows"] == 90
    assert rows(store)["trade_id"].to_list() == list(range(1, 91))
    assert rows(store)["row"].to_list() == [*range(2, 62), *range(63, 93)]


def test_lines_are_whole_wherever_a_block_ends(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(archive_bytes, "BLOCK", 100)
    monkeypatch.setattr(archive_bytes, "LONGEST", 200)
    lines = trades(400)
    facts = read(store, archive(tmp_path, text([*lines[:200], "x" * 5_000, *lines[200:]])))
    assert (facts["n_rows"], facts["by_reason"]) == (401, {"the line is too long": 1})
    assert rows(store)["trade_id"].to_list() == list(range(1, 401))
    assert rows(store)["row"].to_list() == [*range(2, 202), *range(203, 403)]


def test_a_gigabyte_of_nothing_is_refused_in_little_memory(store: Store, tmp_path: Path):
    facts = read(store, archive(tmp_path, bytes(64 << 20)))
    assert "columns" in facts["error"]
    assert everything(store) == []


@pytest.mark.parametrize("damage", ["cut", "flipped", "wrong checksum", "wrong size", "emptied", "no zip", "checksum file", "no csv"])
def test_an_archive_that_is_not_whole_gives_an_error_and_no_row_and_heals(store: Store, tmp_path: Path, damage: str):
    path = archive(tmp_path, text(trades(20_000)))
    whole, beside = path.read_bytes(), path.with_name(f"{path.name}.CHECKSUM")
    with zipfile.ZipFile(path) as of:
        crc, size = (value.to_bytes(4, "little") for value in (of.infolist()[0].CRC, of.infolist()[0].file_size))
    broken = {
        "cut": whole[:-2_000],
        "flipped": whole[:30_000] + bytes([whole[30_000] ^ 0x55]) + whole[30_001:],
        "wrong checksum": whole.replace(crc, b"\1\2\3\4"),
        "wrong size": whole.replace(size, (5).to_bytes(4, "little")),
        "emptied": b"",
        "no zip": text(trades(10)),
        "checksum file": whole,
        "no csv": whole.replace(b".csv", b".txt"),
    }
    path.write_bytes(broken[damage])
    if damage == "checksum file":
        beside.write_text(f"{'0' * 64}  {path.name}\n")
    facts = read(store, path)
    assert str(path) in facts["error"]
    assert "nothing of it is kept" in facts["error"]
    assert everything(store) == []
    path.write_bytes(whole)
    beside.write_text(f"{hashlib.sha256(whole).hexdigest()}  {path.name}\n")
    assert (read(store, path)["n_rows"], read(store, path)["error"]) == (20_000, None)
    path.write_bytes(whole[:-2_000])
    assert "20,000 rows read from it before are kept" in read(store, path)["error"]


@pytest.mark.parametrize("late", [False, True], ids=["before the second pass", "within it"])
@pytest.mark.parametrize("change", ["another", "in place", "cut", "gone"])
def test_an_archive_that_changes_while_it_is_read_leaves_nothing_of_it(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str, late: bool
):
    lines = trades(3_000)
    lines[2_000] = "nonsense"
    path = archive(tmp_path, text(lines), method=zipfile.ZIP_STORED)
    whole, read_again = path.read_bytes(), archives.refusals
    os.utime(path, (1_767_571_200, 1_767_571_200))  # a later write is told by its time, which moves in steps

    def changed() -> None:
        if change == "another":
            archive(tmp_path / "new", text(["nonsense", *trades(2_000)])).replace(path)
        elif change == "gone":
            path.unlink()
        else:
            path.write_bytes(whole[:-2_000] if change == "cut" else whole)

    def refusals(*of: Any) -> Any:
        found = read_again(*of)
        if late:
            yield next(found)
        changed()
        yield from found

    monkeypatch.setattr(archives, "refusals", refusals)
    if change == "gone" and not late:
        with pytest.raises(FileNotFoundError):
            read(store, path)
    else:
        error = read(store, path)["error"]
        assert str(path) in error
        assert "nothing of it is kept" in error
        assert late is False or "changed while it was read" in error
    assert everything(store) == []
    monkeypatch.undo()
    path.write_bytes(whole)
    facts = read(store, path)
    assert (facts["n_rows"], facts["n_refused"], facts["error"]) == (3_000, 1, None)


ODD = "time;M;p;qty;m;note;id"


def test_columns_in_another_order_are_read_by_their_names(store: Store, tmp_path: Path):
    lines = [f'{MIDNIGHT + at};True; 61000.{at % 10} ;"{at}.5";{at % 2 == 0};x{at};{at}' for at in range(500)]
    lines[7] = "what?"
    facts = read(store, archive(tmp_path, "\n".join([ODD, *lines]).encode()))
    made = rows(store)
    assert (facts["venue"], facts["n_rows"], facts["n_refused"]) == ("binance-spot", 500, 1)
    assert (made["trade_id"].to_list(), made["price_float"][3]) == ([at for at in range(500) if at != 7], 61_000.3)
    assert made["size_float"].to_list() == [at + 0.5 for at in range(500) if at != 7]
    assert made["side"][:4].to_list() == [-1, 1, -1, 1]
    assert rows(store, "raw_binance__refused").select("text", "row").rows() == [("what?", 9)]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "holds no line"),
        (b"\n\n", "none of its 2 lines is a trade"),
        (HEADER.encode() + b"\n", "none of its 1 lines is a trade"),
        (b"open,high,low\n1,2,3\n", "names no agg_trade_id, price, quantity, transact_time, is_buyer_maker; expected the columns"),
        (b"1,2,3\n4,5,6\n", "has lines of 3 columns.*expected the columns agg_trade_id"),
        (b"1,2,3,4,5,6,7\n", "line 1 was refused: transact_time"),
    ],
    ids=["empty", "blank", "header", "other columns", "no names", "no trades"],
)
def test_what_is_no_archive_of_trades_is_refused_with_what_was_expected(store: Store, tmp_path: Path, content: bytes, says: str):
    with pytest.raises(AssertionError, match=says):
        raise AssertionError(read(store, archive(tmp_path, content))["error"])
    assert everything(store) == []


@pytest.mark.parametrize(
    ("where", "spot", "venue", "found"),
    [
        ("spot/daily/aggTrades/BTCUSDT/BTCUSDT-aggTrades-2026-01-05.zip", True, "", "binance-spot"),
        ("futures/um/monthly/aggTrades/BTCUSDT/BTCUSDT-aggTrades-2026-01.zip", False, "", "binance-usdm"),
        ("futures/cm/daily/aggTrades/BTCUSD_PERP/BTCUSD_PERP-aggTrades-2026-01-05.zip", False, "", "binance-cm"),
        ("BTCUSD_260327-aggTrades-2026-01-05.zip", False, "", "binance-cm"),
        ("BTCUSDT_260327-aggTrades-2026-01-05.zip", False, "", "binance-usdm"),
        ("BTCUSDT-aggTrades-2026-01-05.zip", True, "", "binance-spot"),
        ("BTCUSDT-aggTrades-2026-01-05.zip", True, "binance-us", "binance-us"),
        ("spot/BTCUSDT-aggTrades-2026-01-05.zip", False, "", "futures archive: name its venue with --venue"),
        ("BTCUSDT-aggTrades-2026-01-05.zip", True, "binance-usdm", "spot archive"),
        ("BTC USDT-aggTrades-2026-01-05.zip", False, "", "its name tells no symbol"),
    ],
)
def test_the_venue_is_told_by_folder_or_columns_or_asked_for(store: Store, tmp_path: Path, where: str, spot: bool, venue: str, found: str):
    facts = read(store, archive(tmp_path, text(trades(5, spot=spot), header=False), where), venue)
    assert found in (facts["error"] or facts["venue"])
    assert archives_in(tmp_path) == [tmp_path / where]


@pytest.mark.server
def test_a_day_of_an_archive_goes_through_ingest_and_features(data_dir: Path, tmp_path: Path):
    from prefect.testing.utilities import prefect_test_harness

    from flows.features import features
    from flows.ingest import ingest

    rng, lines = np.random.default_rng(7), []
    for at, (step, size) in enumerate(zip(np.cumsum(rng.integers(-2, 3, 20_000)), rng.integers(1, 500, 20_000), strict=True)):
        lines.append(f"{at},{61_000 + step / 10:.1f},{size / 1000},{at},{at},{MIDNIGHT + 200 * at},{'true' if at % 2 else 'false'}")
    archive(tmp_path / "futures" / "um", text(lines))
    with prefect_test_harness(server_startup_timeout=120):
        first = asyncio.run(ingest(Source.ARCHIVES, tmp_path / "futures"))
        again = asyncio.run(ingest(Source.ARCHIVES, tmp_path / "futures"))
        made = asyncio.run(features(first.parts[0].venue))
    assert (first.facts["days"][0]["trades"], first.facts["files"][0]["clean"], again.changed) == (20_000, 20_000, False)
    assert made.facts["days"][0]["complete_rows"] > 3_000
