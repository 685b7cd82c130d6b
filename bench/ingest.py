# pyright: reportMissingImports=false
"""A zip of aggregated trades, as Binance publishes them, to a Parquet part of its day: ours beside what reads CSV elsewhere."""

import contextlib
import io
import struct
import zipfile
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from bench.harness import Arrays, Bench, BenchError, Pass, Row, Variant, same

NAME = "BTCUSDT-aggTrades-2026-01-05"
MIDNIGHT_MS = 1_767_571_200_000
SMALL = 20_000
CHUNK = 8 << 20  # bytes deflated at once
COLUMNS = ("agg_trade_id", "price", "quantity", "first_trade_id", "last_trade_id", "transact_time", "is_buyer_maker")
PEERS = ("polars", "duckdb", "pyarrow", "pandas")


def make(folder: Path, size: int) -> Mapping[str, Any]:
    """A day of futures trades along a random walk, in the seven columns of such an archive, with its header line."""
    import polars as pl

    rng = np.random.default_rng(7)
    price = np.maximum(292_230 + np.cumsum(rng.integers(-3, 4, size) * (rng.random(size) < 0.3)), 1_000)
    lots = np.maximum(np.rint(np.exp(rng.normal(-2.5, 1.6, size)) * 1000), 1)
    n = rng.integers(1, 4, size)
    last = 3_643_221_425 + np.cumsum(n)
    time = MIDNIGHT_MS + np.sort(rng.integers(0, 86_400_000, size))
    columns = (1_715_206_948 + np.arange(size), price / 10, lots / 1000, last - n + 1, last, time, rng.random(size) < 0.5)
    text = io.BytesIO()
    pl.DataFrame(dict(zip(COLUMNS, columns, strict=True))).write_csv(text)
    write_zip(folder / f"{NAME}.zip", text.getbuffer())
    return {"rows": size}


def write_zip(path: Path, text: memoryview) -> None:
    """One deflated member (level 6, as archives have it), its chunks compressed side by side; zlib would take half a minute."""
    import zlib

    def deflated(start: int) -> bytes:
        packer = zlib.compressobj(6, zlib.DEFLATED, -15)
        final = start + CHUNK >= len(text)
        return packer.compress(text[start : start + CHUNK]) + packer.flush(zlib.Z_FINISH if final else zlib.Z_FULL_FLUSH)

    with ThreadPoolExecutor(2) as pool:
        packed = list(pool.map(deflated, range(0, len(text), CHUNK)))
    name = f"{NAME}.csv".encode()
    common = struct.pack("<HHHHHLLLHH", 20, 0, 8, 0, 0x5821, zlib.crc32(text), sum(map(len, packed)), len(text), len(name), 0)
    with path.open("wb") as file:
        file.write(b"PK\3\4" + common + name)
        file.writelines(packed)
        at = file.tell()
        directory = b"PK\1\2" + struct.pack("<H", 20) + common + struct.pack("<HHHLL", 0, 0, 0, 0, 0) + name
        file.write(directory + b"PK\5\6" + struct.pack("<HHHHLLH", 0, 0, 1, 1, len(directory), at, 0))


def target(folder: Path, of: str) -> Path:
    path = folder / of / "day=2026-01-05" / "part.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def result(path: Path) -> Arrays | None:
    """The columns of what a peer wrote; None where they are not to be compared."""
    import pyarrow.parquet as pq

    if pq.read_metadata(path).num_rows > SMALL:
        return None
    return {name: pq.read_table(path)[name].to_numpy() for name in COLUMNS}


def member(folder: Path) -> contextlib.AbstractContextManager[Any]:
    return zipfile.ZipFile(folder / f"{NAME}.zip").open(f"{NAME}.csv")


def ours(folder: Path) -> Pass:
    import pyarrow as pa
    import pyarrow.parquet as pq

    from core.encodings import writer_options
    from kernels.archive_rows import INTS
    from tasks.archive_batches import Tally, batches, looked

    archive, path = folder / f"{NAME}.zip", target(folder, "ours")
    schema = pa.schema([*((name, pa.int64()) for name in INTS), ("side", pa.int8())])

    def once() -> Arrays | None:
        _, places = looked(archive, whole=False)
        options: dict[str, Any] = writer_options(schema)
        with pq.ParquetWriter(path, schema, **options) as writer:
            for batch in batches(archive, places, Tally(), settled=False):
                columns = [*batch.rows.ints[:, : batch.n], batch.rows.side[: batch.n]]
                writer.write_table(pa.Table.from_arrays([pa.array(c) for c in columns], schema=schema))
        if pq.read_metadata(path).num_rows > SMALL:
            return None
        made = pq.read_table(path)
        found = {name: made[name].to_numpy() for name in (*INTS, "side")}
        there = dict(zip(COLUMNS, found.values(), strict=True))
        return there | {
            "price": there["price"] / 10 ** places[0],  # an integer over a power of ten: the float nearest to the text
            "quantity": there["quantity"] / 10 ** places[1],
            "transact_time": there["transact_time"] // 1_000_000,
            "is_buyer_maker": there["is_buyer_maker"] == -1,
        }

    return once


def lake(folder: Path) -> Pass:
    """All that `scalp ingest` does with the archive before it cleans the day: hash, pieces with times, rows and lineage, receipt."""
    import shutil

    import polars as pl

    from core.store import Store
    from tasks.archives import read_archive

    archive, root = folder / f"{NAME}.zip", folder / "lake"

    def once() -> Arrays | None:
        shutil.rmtree(root, ignore_errors=True)
        store = Store(root)
        facts = read_archive.fn(store, str(archive))
        if facts["n_rows"] > SMALL:
            return None
        rows = store.scan(store.parts("raw_binance__trades"), floats=True).collect()
        columns = {
            "agg_trade_id": "trade_id",
            "price": "price_float",
            "quantity": "size_float",
            "transact_time": rows["ts_event"].to_physical() // 1_000_000,
            "is_buyer_maker": pl.col("side") == -1,
        }
        return {name: rows.select(of).to_series().to_numpy() for name, of in columns.items()}

    return once


def inflate(folder: Path) -> Pass:
    """ISA-L and the checksum, and nothing of what it gives kept."""
    from tasks.archive_bytes import inflated, members_of

    def once() -> None:
        with (folder / f"{NAME}.zip").open("rb") as file:
            for of in members_of(file):
                for _ in inflated(file, of):
                    pass

    return once


def polars(folder: Path) -> Pass:
    import polars as pl

    path = target(folder, "polars")

    def once() -> Arrays | None:
        with member(folder) as file:
            text = file.read()
        pl.scan_csv(text).sink_parquet(path, compression="zstd", compression_level=1)
        return result(path)

    return once


def duckdb(folder: Path) -> Pass:
    import shutil

    import duckdb

    path, text = target(folder, "duckdb"), folder / "duckdb.csv"

    def once() -> Arrays | None:
        with member(folder) as file, text.open("wb") as out:
            shutil.copyfileobj(file, out, 1 << 20)
        with duckdb.connect(config={"threads": 2}) as base:
            base.execute("SET preserve_insertion_order = true")
            copy = "COPY (FROM read_csv(?, header = true)) TO '{}' (FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL 1)"
            base.execute(copy.format(path), [str(text)])
        text.unlink()
        return result(path)

    return once


def pyarrow(folder: Path) -> Pass:
    import pyarrow.parquet as pq
    from pyarrow import csv

    path = target(folder, "pyarrow")

    def once() -> Arrays | None:
        with member(folder) as file, csv.open_csv(file, read_options=csv.ReadOptions(block_size=8 << 20)) as reader:
            options: dict[str, Any] = {"compression": "zstd", "compression_level": 1, "use_dictionary": ["is_buyer_maker"]}
            with pq.ParquetWriter(path, reader.schema, **options) as writer:
                for batch in reader:
                    writer.write_batch(batch)
        return result(path)

    return once


def pandas(folder: Path) -> Pass:
    import pandas as pd

    path = target(folder, "pandas")

    def once() -> Arrays | None:
        pd.read_csv(folder / f"{NAME}.zip").to_parquet(path, compression="zstd", compression_level=1)
        return result(path)

    return once


def check(found: Mapping[str, Arrays]) -> str:
    for name in ("ours", "lake", *PEERS[1:]):
        without = ("first_trade_id", "last_trade_id") if name == "lake" else ()  # the lake has none
        if set(found[name]) != set(COLUMNS) - set(without):
            raise BenchError(f"{name} gave the columns {', '.join(found[name])}")
        for column, values in found[name].items():
            same(f"{name}, {column}", values, found["polars"][column])
    return f"{len(found['polars']['price']):,} rows, all columns, exactly"


BENCH = Bench(
    name="ingest",
    about="10 M aggregated trades: zip to Parquet",
    make=make,
    small=SMALL,
    large=10_000_000,
    variants=(
        Variant("ours", ours, threads=2, repeats=3, seconds=0),
        Variant("lake", lake, threads=2, repeats=1, seconds=0),
        Variant("inflate", inflate, checked=False, repeats=3, seconds=0),
        Variant("polars", polars, peer=True, threads=2, repeats=2, seconds=0),
        Variant("duckdb", duckdb, peer=True, threads=2, repeats=1, seconds=0),
        Variant("pyarrow", pyarrow, peer=True, threads=2, repeats=1, seconds=0),
        Variant("pandas", pandas, peer=True, threads=2, repeats=1, seconds=0),
    ),
    check=check,
    rows=(
        Row("aggTrades zip to Parquet", "rows/s", "ours", PEERS, work="rows", target=2.5, limit="inflate"),
        Row("aggTrades zip to Parquet, memory", "MB", "ours", PEERS, at_most=300),
        Row("aggTrades zip to the lake's raw pieces", "rows/s", "lake", PEERS, work="rows", limit="inflate"),
    ),
    rounds=1,  # a round of it takes minutes
)
