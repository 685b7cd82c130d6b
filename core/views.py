"""The SELECT behind each table's view: columns, floats beside scaled integers, and the parts it reads.

Times are `TIMESTAMP_NS` in UTC: DuckDB keeps them exact and has all its time functions for that type, which is not so for
the type with a zone.
"""

import re

import duckdb
import polars as pl

from core.store import Store, StoreError
from core.tables import CLEAN, RAW, TS, Table, table

SQL_TYPES: dict[pl.DataType | type[pl.DataType], str] = {
    pl.Int8: "TINYINT",
    pl.Int32: "INTEGER",
    pl.Int64: "BIGINT",
    pl.UInt16: "USMALLINT",
    pl.UInt32: "UINTEGER",
    pl.Float64: "DOUBLE",
    pl.Boolean: "BOOLEAN",
    pl.String: "VARCHAR",
    pl.Date: "DATE",
    TS: "TIMESTAMP_NS",
    pl.List(pl.Int64): "BIGINT[]",
}
FOLDERS = {"venue": "VARCHAR", "symbol": "VARCHAR", "day": "DATE"}  # told by a part's folders


class UnreadableError(ValueError):
    """A part that is torn or not ours; the message names its file."""


def known(store: Store) -> list[str]:
    """Names of all views: every clean table, every table with a folder, and all raw tables of a venue that has one."""
    found = [name for name in store.tables() if is_known(name)]
    families = {name.partition("__")[0] for name in found if name.startswith("raw_")}
    return sorted({*CLEAN, *found, *(f"{f}__{noun}" for f in families for noun in RAW)})


def is_known(name: str) -> bool:
    """Whether the schemas have a table of this name."""
    try:
        table(name)
    except KeyError:
        return False
    return True


def view(con: duckdb.DuckDBPyConnection, store: Store, name: str, base: str) -> str:
    """The SELECT over all parts of a table below `base` (a glob pattern). Reads every footer; raises `UnreadableError`."""
    shape = table(name)
    if not store.parts(name):
        return empty(shape)
    files = text(f"{base}/{name}/venue=*/symbol=*/day=*/part*.parquet")
    read = f"read_parquet({files}, union_by_name = true, hive_partitioning = true, hive_types_autocast = false)"
    try:
        foreign = con.execute(
            f"SELECT file FROM glob({files}) WHERE file NOT IN "
            f"(SELECT file_name FROM parquet_kv_metadata({files}) WHERE decode(key) = 'scalp.lineage')"
        ).fetchone()
        if foreign:
            raise UnreadableError(f"{name}: {foreign[0]} was not written by this program; take it away and ask again")
        there = [row[0] for row in con.execute(f"DESCRIBE SELECT * FROM {read}").fetchall()]
    except duckdb.Error as error:
        raise UnreadableError(unreadable(store, name) or f"{name}: {error}") from error
    columns = [f"CAST({quoted(c)} AS {kind}) AS {quoted(c)}" for c, kind in FOLDERS.items()]
    columns += [
        _column(c, shape.columns.get(c), present=c in there)
        for c in [*shape.columns, *(c for c in there if c not in shape.columns)]
        if c not in FOLDERS
    ]
    columns += [f"{_scaled(c, k, shape)} AS {quoted(c + '_float')}" for c, k in shape.scales.items() if c in there]
    return f"SELECT {', '.join(columns)} FROM {read}"


def empty(shape: Table) -> str:
    """A SELECT with a table's columns and no rows."""
    columns = FOLDERS | {name: SQL_TYPES[kind] for name, kind in shape.columns.items() if name not in FOLDERS}
    columns |= {f"{c}_float": "DOUBLE[]" if _is_list(shape, c) else "DOUBLE" for c in shape.scales}
    return "SELECT " + ", ".join(f"CAST(NULL AS {kind}) AS {quoted(name)}" for name, kind in columns.items()) + " WHERE false"


def unreadable(store: Store, name: str) -> str:
    """Which part of a table cannot be read, in words; empty where all can."""
    for part in store.parts(name):
        try:
            store.lineage(part)
        except StoreError as error:
            return str(error)
    return ""


def quoted(word: str) -> str:
    return '"' + word.replace('"', '""') + '"'


def text(word: str) -> str:
    return "'" + word.replace("'", "''") + "'"


def pattern(path: str) -> str:
    """A path as DuckDB's glob takes it: signs that would match something else stand for themselves."""
    return re.sub(r"([\[*?])", r"[\1]", path)


def _column(name: str, kind: pl.DataType | type[pl.DataType] | None, *, present: bool) -> str:
    if kind is None:
        return quoted(name)
    if not present:  # the table grew and no part has been made again since
        return f"CAST(NULL AS {SQL_TYPES[kind]}) AS {quoted(name)}"
    return f"CAST({quoted(name)} AS TIMESTAMP_NS) AS {quoted(name)}" if kind == TS else quoted(name)


def _is_list(shape: Table, column: str) -> bool:
    return shape.columns[column] == pl.List(pl.Int64)


def _scaled(column: str, kind: str, shape: Table) -> str:
    by = f"pow(10.0, {kind}_decimals::DOUBLE)"
    if _is_list(shape, column):
        return f"list_transform({quoted(column)}, lambda value: value::DOUBLE / {by})"
    return f"{quoted(column)}::DOUBLE / {by}"
