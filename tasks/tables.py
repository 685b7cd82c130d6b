"""Reads foreign Parquet tables of trades and books into the raw layer, file by file, by a mapping of their columns.

<folder>/<globs of the mapping> -> raw_<family>__{trades,depth,refused} pieces, and a receipt per file
"""

import errno
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import polars as pl
from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.runtime import task_run

from core.mappings import TableMapping
from core.settings import Quality, SettingsError
from core.store import Store
from kernels.mappings import Columns, MappingError, check, select
from kernels.mappings_rows import Mapped, typed
from tasks.raw import About, Rows, Source, alone, receipt_of, source_of, write_pieces

T = TypeVar("T")
FORM = 1  # raise it when the same file gives other rows
MISSING = (errno.ENOENT, errno.ENOSPC, errno.EACCES)  # what a second try does not mend


def mapping_called(name: str, mappings: Mapping[str, TableMapping]) -> TableMapping:
    """The mapping of that name. Raises `SettingsError` with the names there are."""
    if name not in mappings:
        raise SettingsError(f"no mapping {name!r}; there are {', '.join(sorted(mappings))}")
    return mappings[name]


def read_tables(
    store: Store,
    folder: Path,
    mapping_name: str,
    mapping: TableMapping,
    quality: Quality,
    keep_levels: int,
    each: Callable[..., Any] | None = None,
) -> list[Any]:
    """Read every file of `folder` that one of the mapping's globs matches; returns what became of each, in order of name.

    `each` reads one of them, by default the task `read_table_file`; what it returns is passed on. A file that is no whole Parquet
    file has its `error` and nothing in the lake, and the others are read. Raises `MappingError` before anything is written where
    no file matches or a readable one lacks a mapped column.
    """
    each = each or read_table_file
    files = files_of(folder, mapping_name, mapping)
    for path, noun in files:
        if (schema := schema_of(path)) is not None:
            named(path, mapping_name, check, schema, columns_of(mapping, noun))
    return [each(store, str(path), mapping_name, mapping, quality, keep_levels) for path, _ in files]


def files_of(folder: Path, mapping_name: str, mapping: TableMapping) -> list[tuple[Path, str]]:
    """The files and whether they are trades or depth. Raises `MappingError` where none matches."""
    if not folder.is_dir():
        raise MappingError(f"{folder} is not a folder (mapping {mapping_name!r} looks for tables in it)")
    globs = (mapping.trades_glob, mapping.book_glob)
    found = {path for glob in globs for path in folder.glob(glob) if path.is_file()}
    if not found:
        raise MappingError(f"{folder}: no file matches {' or '.join(globs)} (mapping {mapping_name!r})")
    return [(path, noun_of(path, mapping)) for path in sorted(found)]


def noun_of(path: Path, mapping: TableMapping) -> str:
    return "trades" if path.match(mapping.trades_glob) else "depth"


def recoverable(task: Any, run: Any, state: Any) -> bool:
    """A second try may help a failing disk or mount, never bad data."""
    error = state.result(raise_on_failure=False)
    return isinstance(error, OSError) and error.errno not in MISSING


def run_name() -> str:
    return f"read {Path(task_run.parameters['uri']).name}"


@task(
    task_run_name=run_name,
    retries=2,
    retry_delay_seconds=[1, 3],
    retry_condition_fn=recoverable,
    persist_result=False,
    cache_policy=NO_CACHE,
)
def read_table_file(store: Store, uri: str, mapping_name: str, mapping: TableMapping, quality: Quality, keep_levels: int) -> dict[str, Any]:
    """Read one file unless its bytes are in the lake already, read by the same mapping.

    Returns the facts of its receipt (see `tasks.raw.write_pieces`) with name, venue, symbol, rows, skipped and seconds. Raises
    `MappingError` where a mapped column is missing or of a wrong type.
    """
    started = time.monotonic()
    path = Path(uri)
    params = {"form": FORM, "mapping": mapping.model_dump(), "keep_levels": keep_levels, "off_grid_share": quality.off_grid_share}
    source = source_of(path)
    with alone(source):
        facts = receipt_of(store, source.sha256, params)
        skipped = facts is not None
        if facts is None:
            facts = read(store, source, mapping_name, mapping, params)
    venue, symbol = facts["main"] or (None, None)
    about = {"name": path.name, "venue": venue, "symbol": symbol, "rows": facts["n_rows"], "skipped": skipped}
    return facts | about | {"seconds": round(time.monotonic() - started, 3)}


def read(store: Store, source: Source, mapping_name: str, mapping: TableMapping, params: Mapping[str, Any]) -> dict[str, Any]:
    """Read a file and write its pieces; one that is not whole is written not at all."""
    path = Path(source.uri)
    noun = noun_of(path, mapping)
    columns = columns_of(mapping, noun)
    if schema_of(path) is None:
        return unread(store, source, params, f"{path}: not a whole Parquet file")
    lazy = named(path, mapping_name, select, pl.scan_parquet(path, hive_partitioning=False), columns, params["keep_levels"])
    try:
        frame = lazy.collect()
    except pl.exceptions.PolarsError as error:
        return unread(store, source, params, f"{path}: corrupt ({str(error).splitlines()[0]})")
    mapped = named(path, mapping_name, typed, frame, noun, params["off_grid_share"])
    n = sum(len(one.rows) + len(one.refused) for one in mapped)
    if n != len(frame):
        raise AssertionError(f"{path}: {len(frame):,} rows read, but {n:,} kept or refused")
    return write_pieces(
        store,
        source,
        pieces(mapped),
        about={(m.venue, m.symbol): About(m.price_decimals, m.size_decimals, m.offset_ns, {noun: len(m.rows)}) for m in mapped},
        params=params,
        frames={noun: n},
    )


def pieces(mapped: list[Mapped]) -> Iterator[Rows]:
    for one in mapped:
        if len(one.rows):
            yield Rows(one.noun, one.venue, one.symbol, one.rows)
        if len(one.refused):
            yield Rows("refused", one.venue, one.symbol, one.refused)


def unread(store: Store, source: Source, params: Mapping[str, Any], error: str) -> dict[str, Any]:
    """The facts of a file of which nothing is written."""
    return write_pieces(store, source, (), about={}, params=params, error=error)


def schema_of(path: Path) -> pl.Schema | None:
    """The columns of a Parquet file, None where it has no readable footer."""
    try:
        return pl.scan_parquet(path, hive_partitioning=False).collect_schema()
    except pl.exceptions.PolarsError:
        return None


def named(path: Path, mapping_name: str, call: Callable[..., T], *args: Any) -> T:
    """`call(*args)`, its `MappingError` with the file's and the mapping's name."""
    try:
        return call(*args)
    except MappingError as error:
        raise MappingError(f"{path}: {error} (mapping {mapping_name!r})") from error


def columns_of(mapping: TableMapping, noun: str) -> Columns:
    """The mapping of trades or of depth, under the names of the raw tables."""
    if noun == "trades":
        names = {
            "ts_event": mapping.trade_ts_event,
            "ts_recv": mapping.trade_ts_recv,
            "price": mapping.trade_price,
            "size": mapping.trade_size,
            "side": mapping.trade_side if mapping.sides_known else None,
            "trade_id": mapping.trade_id,
        }
    else:
        names = {
            "ts_event": mapping.book_ts_event,
            "ts_recv": mapping.book_ts_recv,
            "update_id": mapping.book_update_id,
            "bid_prices": mapping.bid_prices,
            "bid_sizes": mapping.bid_sizes,
            "ask_prices": mapping.ask_prices,
            "ask_sizes": mapping.ask_sizes,
        }
    return Columns(
        noun="trades" if noun == "trades" else "depth",
        names={ours: theirs for ours, theirs in names.items() if theirs},
        venue=mapping.venue,
        symbol=mapping.symbol,
        venue_names=mapping.venue_names,
        symbol_names=mapping.symbol_names,
    )
