"""Folders of foreign Parquet reach the raw layer whole, file by file; a bad file is named and harms no other."""

from pathlib import Path

import polars as pl
import pytest

from core.mappings import MAPPINGS, TableMapping
from core.settings import Quality, SettingsError
from core.store import Store
from kernels.mappings import MappingError
from tasks.raw import pieces_of
from tasks.tables import mapping_called, read_table_file, read_tables

T0 = 1_767_743_990_000  # ms, 2026-01-06 23:59:50
MINE = TableMapping(
    venue="mine",
    trades_glob="trades_*.parquet",
    trade_ts_event="at",
    trade_ts_recv="got",
    trade_price="px",
    trade_size="qty",
    trade_side="way",
    book_glob="book_*.parquet",
    book_ts_event="at",
    book_ts_recv="got",
    bid_prices="bp",
    bid_sizes="bs",
    ask_prices="ap",
    ask_sizes="as",
)


def read(store: Store, folder: Path, mapping: TableMapping = MINE, **quality: float) -> list[dict]:
    return read_tables(store, folder, "mine", mapping, Quality(**quality), 20, each=read_table_file.fn)  # type: ignore[arg-type]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Twenty trades a file over midnight, one of them without a price, and ten books."""
    made = tmp_path / "tables"
    made.mkdir()
    at = [T0 + 1_000 * n for n in range(20)]
    for name, bad in (("a", 3), ("b", 4)):
        prices = [None if n == bad else 100.0 + n / 10 for n in range(20)]
        columns = {"at": at, "got": [t + 40 for t in at], "px": prices, "qty": [0.5] * 20, "way": ["buy"] * 20, "symbol": ["X-USD"] * 20}
        pl.DataFrame(columns).write_parquet(made / f"trades_{name}.parquet")
    levels = {"bp": [[99.0]] * 10, "bs": [[1.0]] * 10, "ap": [[101.0]] * 10, "as": [[1.0]] * 10}
    pl.DataFrame({"at": at[:10], "got": at[:10], "symbol": ["X-USD"] * 10, **levels}).write_parquet(made / "book_a.parquet")
    return made


def count(store: Store, table: str) -> int:
    parts = store.parts(table)
    return store.scan(parts).select(pl.len()).collect().item() if parts else 0


def test_every_row_is_a_raw_row_or_refused_on_the_day_it_was_received(store: Store, folder: Path):
    facts = read(store, folder)
    assert [(f["name"], f["rows"], f["n_refused"], f["error"], f["skipped"]) for f in facts] == [
        ("book_a.parquet", 10, 0, None, False),
        ("trades_a.parquet", 20, 1, None, False),
        ("trades_b.parquet", 20, 1, None, False),
    ]
    assert (count(store, "raw_mine__trades"), count(store, "raw_mine__refused"), count(store, "raw_mine__depth")) == (38, 2, 10)
    assert {str(p.day) for p in store.parts("raw_mine__trades")} == {"2026-01-06", "2026-01-07"}
    assert facts[1]["clock_offset_ms"] == -40
    assert facts[1]["by_reason"] == {"no price": 1}
    assert all(store.exists(part) for f in facts for part in pieces_of(f))


def test_a_second_reading_is_no_work_until_a_setting_that_matters_changes(store: Store, folder: Path):
    read(store, folder)
    assert all(f["skipped"] for f in read(store, folder))
    assert all(f["skipped"] for f in read(store, folder, max_jump_pct=3.0))
    assert not any(f["skipped"] for f in read(store, folder, off_grid_share=0.01))
    assert count(store, "raw_mine__trades") == 38


@pytest.mark.parametrize("damage", ["cut", "emptied", "text", "scratched"])
def test_a_damaged_file_is_named_and_the_others_are_kept(store: Store, folder: Path, damage: str):
    path = folder / "trades_a.parquet"
    whole = path.read_bytes()
    scratched = whole[:4] + bytes(len(whole) - 1_200) + whole[len(whole) - 1_196 :]
    path.write_bytes({"cut": whole[:-50], "emptied": b"", "text": b"price,size\n", "scratched": scratched}[damage])
    facts = {f["name"]: f for f in read(store, folder)}
    assert str(path) in facts["trades_a.parquet"]["error"]
    assert facts["trades_a.parquet"]["pieces"] == []
    assert facts["trades_b.parquet"]["error"] is None
    assert count(store, "raw_mine__trades") == 19
    path.write_bytes(whole)
    healed = {f["name"]: f for f in read(store, folder)}
    assert healed["trades_a.parquet"]["error"] is None
    assert healed["trades_b.parquet"]["skipped"]
    assert count(store, "raw_mine__trades") == 38


def test_a_missing_column_names_file_column_and_mapping_before_anything_is_written(store: Store, folder: Path):
    pl.read_parquet(folder / "trades_b.parquet").drop("qty").write_parquet(folder / "trades_b.parquet")
    with pytest.raises(MappingError, match=r"trades_b.parquet: column 'qty' is missing; .* \(mapping 'mine'\)"):
        read(store, folder)
    assert store.tables() == []


def test_a_column_of_a_wrong_type_names_file_column_and_mapping(store: Store, folder: Path):
    pl.read_parquet(folder / "trades_b.parquet").with_columns(px=pl.lit("dear")).write_parquet(folder / "trades_b.parquet")
    with pytest.raises(MappingError, match=r"trades_b.parquet: column 'px' is String, not a number \(mapping 'mine'\)"):
        read(store, folder)


def test_a_folder_without_a_matching_file_names_folder_globs_and_mapping(store: Store, tmp_path: Path):
    with pytest.raises(MappingError, match=r"no file matches trades_\*.parquet or book_\*.parquet \(mapping 'mine'\)"):
        read(store, tmp_path)
    with pytest.raises(MappingError, match="is not a folder"):
        read(store, tmp_path / "nowhere")


def test_an_unknown_mapping_lists_those_there_are():
    with pytest.raises(SettingsError, match="no mapping 'stadnx'; there are crypto-microstructure, standx"):
        mapping_called("stadnx", MAPPINGS)


def test_a_table_without_rows_is_said_to_hold_none(store: Store, folder: Path):
    pl.read_parquet(folder / "trades_b.parquet").clear().write_parquet(folder / "trades_b.parquet")
    assert "holds no rows" in read(store, folder)[2]["error"]


@pytest.mark.recordings
def test_an_hour_of_standx_is_read_to_the_row(store: Store, shared: Path, tmp_path: Path):
    for name in ("trades_BTC-USD_2026-01-06_00.parquet", "orderbook_BTC-USD_2026-01-06_00.parquet"):
        (tmp_path / name).symlink_to(shared / "data" / "standx" / name)
    facts = read_tables(store, tmp_path, "standx", MAPPINGS["standx"], Quality(), 20, each=read_table_file.fn)
    assert [(f["rows"], f["n_refused"], f["error"]) for f in facts] == [(22_352, 0, None), (3_787, 0, None)]
    assert store.scan(store.parts("raw_standx__trades")).select(pl.col("side").unique()).collect().to_series().to_list() == [0]


@pytest.mark.recordings
def test_crypto_microstructure_is_read_to_the_row_as_two_venues(store: Store, shared: Path):
    folder = shared / "data" / "crypto-microstructure"
    facts = read_tables(store, folder, "crypto-microstructure", MAPPINGS["crypto-microstructure"], Quality(), 20, each=read_table_file.fn)
    rows = {(f["venue"], *f["frames"]): f["rows"] for f in facts}
    assert rows == {
        ("binance-usdm", "depth"): 2_559,
        ("binance-spot", "depth"): 2_559,
        ("binance-usdm", "trades"): 11_947,
        ("binance-spot", "trades"): 10_215,
    }
    assert sum(f["n_refused"] for f in facts) == 0
    assert store.scan(store.parts("raw_binance__depth")).select(pl.col("bid_prices").list.len().max()).collect().item() == 20
