"""A part is whole or absent, knows what it was made from, and is never torn."""

import os
import subprocess
import sys
from datetime import date
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.store import Part, Store, StoreError, inputs_of

DAY = date(2024, 8, 8)
PART = Part("clean_market__book_end", "binance-usdm", "BTCUSDT", DAY)


def levels(n: int = 3) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "side": [1] * n,
            "price": list(range(100, 100 + n)),
            "size": [7] * n,
            "update_id": [1] * n,
            "price_decimals": [1] * n,
            "size_decimals": [3] * n,
        }
    )


@pytest.fixture(params=["folder", "memory://"], ids=["folder", "object store"])
def lake(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    return Store(tmp_path / "lake" if request.param == "folder" else f"memory://{tmp_path.name}/lake", code="test")


def test_a_written_part_reads_back_with_its_lineage(lake: Store):
    lake.write(PART, levels(), inputs={"raw": "abc"}, params={"form": 1, "levels": (1, 20)}, facts={"n": 3})
    lineage = lake.lineage(PART)
    assert lineage is not None
    assert (lineage.rows, lineage.inputs, lineage.code, lineage.facts) == (3, {"raw": "abc"}, "test", {"n": 3})
    assert lake.scan(PART).collect().equals(levels().cast({"side": pl.Int8, "price_decimals": pl.Int8, "size_decimals": pl.Int8}))
    assert lake.parts("clean_market__book_end") == [PART]
    assert lake.tables() == ["clean_market__book_end"]


def test_floats_stand_beside_the_exact_integers(lake: Store):
    lake.write(PART, levels(1), inputs={}, params={})
    row = lake.scan(PART, floats=True).collect().row(0, named=True)
    assert (row["price"], row["price_float"], row["size"], row["size_float"]) == (100, 10.0, 7, 0.007)


def test_equal_data_has_an_equal_hash_and_other_data_another(lake: Store):
    first = lake.content(lake.write(PART, levels(), inputs={}, params={}))
    again = lake.content(lake.write(PART, levels(), inputs={"x": "y"}, params={"form": 2}))
    other = lake.content(lake.write(PART, levels(4), inputs={}, params={}))
    assert first == again != other


def test_a_part_is_fresh_only_for_its_own_inputs_and_parameters(lake: Store):
    assert not lake.fresh(PART, inputs={"a": "1"}, params={"form": 1})
    lake.write(PART, levels(), inputs={"a": "1"}, params={"form": 1, "of": (1, 2)})
    assert lake.fresh(PART, inputs={"a": "1"}, params={"form": 1, "of": (1, 2)})
    assert not lake.fresh(PART, inputs={"a": "2"}, params={"form": 1, "of": (1, 2)})
    assert not lake.fresh(PART, inputs={"a": "1"}, params={"form": 2, "of": (1, 2)})


def test_pieces_of_a_day_stand_beside_each_other(lake: Store):
    pieces = [Part("raw_binance__trades", "binance-spot", "BTCUSDT", DAY, f"aaaa-{n}") for n in ("1", "2")]
    for piece in pieces:
        with lake.writing(piece, inputs={}, params={}):
            pass
    assert lake.parts("raw_binance__trades") == pieces
    assert lake.parts("raw_binance__trades", piece="*-2") == pieces[1:]
    assert lake.scan(pieces).collect().height == 0


def test_an_exception_while_writing_leaves_the_part_as_it_was(lake: Store):
    lake.write(PART, levels(), inputs={}, params={})
    before = lake.content(PART)
    with pytest.raises(RuntimeError, match="stop"), lake.writing(PART, inputs={}, params={}) as sink:
        sink.add(levels(5).cast({"side": pl.Int8, "price_decimals": pl.Int8, "size_decimals": pl.Int8}))
        raise RuntimeError("stop")
    assert lake.content(PART) == before
    assert not [p for p in lake.fs.find(lake.base) if p.endswith(".partial")]


def test_a_killed_writer_leaves_no_part_and_its_leavings_are_swept(tmp_path: Path):
    code = f"""
import os, signal, datetime
from core.store import Part, Store
with Store({str(tmp_path)!r}).writing(Part("clean_market__book_end", "x", "Y", datetime.date(2024, 8, 8)), inputs={{}}, params={{}}):
    os.kill(os.getpid(), signal.SIGKILL)
"""
    done = subprocess.run([sys.executable, "-c", code], check=False)
    assert done.returncode == -9
    lake = Store(tmp_path)
    assert lake.parts("*") == []
    assert lake.sweep() == 1
    assert not list(tmp_path.rglob("*.partial"))


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small disk needs root")
def test_a_full_disk_is_said_and_nothing_before_is_lost(tmp_path: Path):
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(disk)], check=False, capture_output=True, text=True)
    if mounted.returncode:
        pytest.skip(f"no tmpfs can be mounted here: {mounted.stderr.strip()}")
    try:
        lake = Store(disk)
        lake.write(PART, levels(), inputs={}, params={})
        big = levels(1).select(pl.all().repeat_by(300_000).explode()).with_columns(price=pl.int_range(300_000).shuffle(seed=1))
        with pytest.raises(StoreError, match="disk is full"):
            lake.write(PART, big, inputs={}, params={})
        assert lake.scan(PART).collect().height == 3
        assert not list(disk.rglob("*.partial"))
    finally:
        subprocess.run(["umount", str(disk)], check=True)


@pytest.mark.parametrize("junk", [b"", b"PAR1", os.urandom(4096)], ids=["empty", "torn", "garbage"])
def test_a_file_that_is_no_part_is_named_and_counts_as_stale(store: Store, junk: bytes):
    path = Path(store.path(PART))
    path.parent.mkdir(parents=True)
    path.write_bytes(junk)
    with pytest.raises(StoreError, match="clean_market__book_end binance-usdm/BTCUSDT 2024-08-08"):
        store.lineage(PART)
    assert not store.fresh(PART, inputs={}, params={})


def test_missing_inputs_are_named(store: Store):
    with pytest.raises(StoreError, match=r"BTCUSDT 2024-08-08: missing"):
        inputs_of(store, [PART])


@pytest.mark.parametrize(
    "wrong",
    [{"symbol": "../x"}, {"symbol": ""}, {"symbol": ".hidden"}, {"venue": "A/B"}, {"table": "no_noun"}, {"piece": "../x"}],
    ids=["climbs", "empty", "hidden", "slash", "table", "piece"],
)
def test_what_would_be_a_strange_path_is_refused(wrong: dict[str, str]):
    with pytest.raises(ValueError, match="not a"):
        Part(**({"table": "clean_market__trades", "venue": "v", "symbol": "S", "day": DAY} | wrong))  # type: ignore[arg-type]


@pytest.mark.parametrize("frame", [levels().drop("size"), levels().with_columns(more=1)], ids=["missing column", "extra column"])
def test_a_frame_of_the_wrong_shape_is_refused(store: Store, frame: pl.DataFrame):
    with pytest.raises(ValueError, match="clean_market__book_end"):
        store.write(PART, frame, inputs={}, params={})
    assert not store.exists(PART)


@given(st.lists(st.integers(-(2**62), 2**62), min_size=1, max_size=50))
@settings(deadline=None, max_examples=30)
def test_integers_survive_exactly(tmp_path_factory: pytest.TempPathFactory, values: list[int]):
    lake = Store(tmp_path_factory.mktemp("lake"))
    frame = levels(len(values)).with_columns(price=pl.Series(values, dtype=pl.Int64))
    assert lake.scan(lake.write(PART, frame, inputs={}, params={})).collect()["price"].to_list() == values
