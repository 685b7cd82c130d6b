"""SQL over the lake: one DuckDB view per table, in memory, read-only.

Each process has its own connection (a DuckDB file would belong to one process); nothing is copied, the views read the
parts where they lie. Every view has `venue`, `symbol` and `day`, the table's columns, and `<name>_float` beside each scaled
integer. A query may be anybody's: it is one SELECT, it sees the lake and nothing else.
"""

import contextlib
import difflib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import duckdb
import polars as pl
import pyarrow as pa

from core.store import Store
from core.tables import table
from core.views import FOLDERS, UnreadableError, empty, known, pattern, quoted, unreadable, view

BATCH = 20_000  # rows
EXPLAIN = re.compile(r"\s*explain(\s+analyze)?(\s*\([^)]*\))?\s+", re.IGNORECASE)
FIXED = {
    "TimeZone": "UTC",
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
    "python_enable_replacements": False,  # else a name in the query may read a Python variable
    "temp_directory": "",  # what does not fit in memory is refused, not spilled beside the caller
}


class QueryError(ValueError):
    """A query that cannot be answered; the message says why and what is near."""


@dataclass(frozen=True, slots=True)
class Answer:
    """`frame` holds at most `limit` rows; `more`: there are others."""

    frame: pl.DataFrame
    more: bool = False


def connect(store: Store, tables: Iterable[str] | None = None, *, threads: int = 2, memory: str = "1GB") -> duckdb.DuckDBPyConnection:
    """An in-memory connection with a view per table of the lake, or for `tables` alone.

    A table that has no part yet is an empty view. The connection reads the lake's files and no others, and its settings
    are locked; that nothing is written into the lake either is up to `stream` and `ask`. Raises `QueryError` for an
    unreadable part of one of `tables`; where all are shown, a table with one is shown empty.
    """
    con = duckdb.connect(config={"threads": threads, "memory_limit": memory})
    base = store.base if store.local else store.fs.unstrip_protocol(store.base)
    try:
        if not store.local:
            con.register_filesystem(store.fs)
        for name, value in FIXED.items():
            con.execute(f"SET {name} = ?", [value])
        con.execute("SET allowed_directories = ?", [[base, pattern(base)]])
        con.execute("SET enable_external_access = false")
        con.execute("SET lock_configuration = true")
        for name in known(store) if tables is None else tables:
            try:
                select = view(con, store, name, pattern(base))
            except UnreadableError as error:
                if tables is not None:
                    raise QueryError(str(error)) from error
                select = empty(table(name))
            con.execute(f"CREATE VIEW {quoted(name)} AS {select}")
    except BaseException:
        con.close()
        raise
    return con


def stream(store: Store, query: str, *, threads: int = 2, memory: str = "1GB") -> Iterator[pl.DataFrame]:
    """The rows a query gives, in batches; the first frame is empty and tells the columns. Raises `QueryError`."""
    _refuse_writing(query)
    names = known(store)
    used = [name for name in names if re.search(rf"\b{re.escape(name)}\b", query, re.IGNORECASE)]
    with contextlib.closing(connect(store, used or None, threads=threads, memory=memory)) as con:
        try:
            found = con.sql(query.strip().rstrip(";"))
            if any("INTERVAL" in str(kind) for kind in found.types):  # Polars has no such type
                words = (f"#{i}::VARCHAR" if "INTERVAL" in str(kind) else f"#{i}" for i, kind in enumerate(found.types, 1))
                found = found.project(", ".join(f"{word} AS {quoted(c)}" for word, c in zip(words, found.columns, strict=True)))
            reader = found.to_arrow_reader(BATCH)
            yield _frame(reader.schema.empty_table())
            for batch in reader:
                yield _frame(pa.Table.from_batches([batch]))
        except duckdb.OutOfMemoryException as error:
            raise QueryError(f"the query needs more than {memory} of memory: ask for fewer days or columns") from error
        except (duckdb.Error, pa.ArrowException) as error:
            raise QueryError(_helpful(str(error), names, store, used)) from error


def ask(store: Store, query: str, *, limit: int | None = None, threads: int = 2, memory: str = "1GB") -> Answer:
    """The answer to a query, at most `limit` rows of it. Raises `QueryError`."""
    frames, n = [], 0
    for frame in stream(store, query, threads=threads, memory=memory):
        frames.append(frame)
        n += frame.height
        if limit is not None and n > limit:
            break
    whole = pl.concat(frames)
    return Answer(whole if limit is None else whole.head(limit), limit is not None and n > limit)


def _refuse_writing(query: str) -> None:
    inner = EXPLAIN.sub("", query, count=1) if EXPLAIN.match(query) else query  # EXPLAIN ANALYZE does what it explains
    try:
        statements = duckdb.extract_statements(inner)
    except duckdb.Error as error:
        raise QueryError(_first(str(error))) from error
    if len(statements) != 1:
        raise QueryError("there is no query" if not statements else f"one statement at a time: these are {len(statements)}")
    kind = statements[0].type.name
    if kind == "MULTI":
        raise QueryError("several statements in one; a PIVOT is answered when it names its values: ON column IN (...)")
    if kind != "SELECT":
        raise QueryError(f"the lake is only read here: SELECT, DESCRIBE, SHOW, SUMMARIZE and EXPLAIN are answered, {kind} is not")


def _first(message: str) -> str:
    """DuckDB's message in one line, without the drawing below it."""
    return " ".join(message.split("\n\nLINE", maxsplit=1)[0].split())


def _helpful(message: str, names: list[str], store: Store, used: list[str]) -> str:
    if broken := next(filter(None, (unreadable(store, name) for name in used)), ""):
        return broken
    if missing := re.search(r"Table with name (\S+) does not exist", message):
        wanted = missing[1].lower()
        near = difflib.get_close_matches(wanted, names, n=3, cutoff=0.4)
        near += [n for n in names if (wanted in n or n.endswith(f"__{wanted}")) and n not in near]
        return f"no table {missing[1]}" + (f"; near: {', '.join(near[:4])}" if near else f"; there are {', '.join(names)}")
    if missing := re.search(r'column "([^"]+)" not found', message):
        columns = {c for name in used for c in [*FOLDERS, *table(name).columns, *(f"{c}_float" for c in table(name).scales)]}
        if near := difflib.get_close_matches(missing[1].lower(), sorted(columns), n=4, cutoff=0.5):
            return f"no column {missing[1]} in {', '.join(used) or 'the query'}; near: {', '.join(near)}"
    if "file system operations are disabled" in message:
        return "a query reads the lake and no other file"
    return _first(message)


def _frame(rows: pa.Table) -> pl.DataFrame:
    names: list[str] = []
    for name in rows.column_names:  # SQL lets two columns have one name
        n = next(n for n in range(1, len(rows.column_names) + 1) if (name if n == 1 else f"{name}_{n}") not in names)
        names.append(name if n == 1 else f"{name}_{n}")
    frame = pl.from_arrow(rows.rename_columns(names))
    return frame if isinstance(frame, pl.DataFrame) else frame.to_frame()
