"""The one writer of the raw layer: the rows of a source file become pieces, and a receipt says when all of them are there.

    read -> Rows (typed, scaled) -> one piece per (table, venue, symbol, UTC day of ts_recv) -> receipt

A reader asks `receipt_of` first; if there is none it decodes the file and hands `write_pieces` an iterator of `Rows`, so a
file need not be in memory twice. Pieces carry the hash of the file's address and of its bytes in their name: reading a file
twice writes once, and reading its mended form retires what came of the broken one.
"""

import contextlib
import hashlib
import threading
from collections.abc import Iterable, Iterator, Mapping
from datetime import date
from itertools import groupby
from pathlib import Path
from typing import Any

import polars as pl
from prefect.runtime import task_run

from core.store import Lineage, Part, Store, StoreError
from core.tables import RAW, raw_table
from tasks.raw_pieces import About, Rows, Source, Written

__all__ = ["About", "Rows", "Source", "alone", "listed", "pieces_of", "reading", "receipt_of", "source_of", "write_pieces"]

_GUARD = threading.Lock()
_READING: dict[str, threading.Lock] = {}  # by content


def source_of(path: Path) -> Source:
    """The file's address and hash; one pass over its bytes."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        return Source(str(path.resolve()), digest, file.tell())


def receipt_of(store: Store, sha256: str, params: Mapping[str, Any] | None = None) -> dict[str, Any] | None:
    """The facts of the receipt of a file with these bytes, complete or not; None where it has to be read.

    It has to be read when there is no receipt, when one of the pieces it names is gone, or when it was read by other `params`.
    """
    for part, lineage in receipts(store, f"*-{sha256[:12]}"):
        if lineage.facts["sha256"] != sha256:
            continue
        if store.fresh(part, inputs=lineage.inputs, params=lineage.params if params is None else params):
            return lineage.facts
    return None


def receipts(store: Store, piece: str) -> Iterator[tuple[Part, Lineage]]:
    """The readable receipts of such pieces (`*` matches any) that have all the pieces they name."""
    for part in store.parts("raw_*__files", piece=piece):
        try:
            lineage = store.lineage(part)
        except StoreError:
            continue  # a torn receipt is none: the file is read again, and this one replaced
        if lineage and all(store.exists(named) for named in pieces_of(lineage.facts)):
            yield part, lineage


def pieces_of(facts: Mapping[str, Any]) -> list[Part]:
    """The parts a receipt names."""
    return [Part(table, venue, symbol, date.fromisoformat(day), piece) for table, venue, symbol, day, piece in facts["pieces"]]


def listed(folder: Path, found: Iterable[Path], expected: str) -> list[Path]:
    """The files among `found` in order of name, hidden ones left out. Raises `FileNotFoundError` where there is no folder, or no file."""
    if not folder.is_dir():
        raise FileNotFoundError(f"no folder {folder}: {expected}")
    files = sorted(path for path in found if path.is_file() and not path.name.startswith("."))
    if not files:
        raise FileNotFoundError(f"nothing to read in {folder}: {expected}")
    return files


def reading() -> str:
    """The name of a task run that reads the file `uri`."""
    return f"read {Path(task_run.parameters['uri']).name}"


def write_pieces(
    store: Store,
    source: Source,
    rows: Iterable[Rows],
    *,
    about: Mapping[tuple[str, str], About],
    params: Mapping[str, Any],
    error: str | None = None,
    frames: Mapping[str, int] | None = None,
    generated: bool = False,
) -> dict[str, Any]:
    """Write a file's rows as pieces, retire what came of earlier bytes at the same address, and write the receipt last.

    `rows` come with all batches of one (noun, venue, symbol) in one run (a second run of it raises `ValueError`); days are
    split here, and a batch becomes a row group, so make it large. `about` has every instrument before the first row is
    asked for. `error` says why the file could not be read to its end; its receipt is then incomplete, and where an earlier
    reading of the address was complete or holds more, that one is kept and this one dropped. `params` must hold `form` and each
    setting that changes a row.

    Returns the receipt's facts: uri, sha256, complete, error, n_rows (refused ones included), n_refused, by_reason,
    pieces, instruments, main, days, frames, clock_offset_ms, generated. Without a single row nothing is written, there is no
    receipt, and `error` says so. Raises `StoreError` on a full disk, and what `rows` raises; what was in the lake before is then still
    there, and no new piece.
    """
    written = Written(store, source, about, params, complete=error is None, generated=generated)
    seen = set()
    try:
        for of, batches in groupby(rows, key=lambda batch: batch.of):
            if of in seen:
                raise ValueError(f"{source.uri}: rows of {of} come in more than one run")
            seen.add(of)
            written.run(batches)
    except BaseException:
        for part in written.new:
            store.remove(part)  # no receipt would ever name them
        raise
    if not written.pieces:
        error = error or f"{source.uri}: holds no rows"
    facts = written.facts(error, frames or {})
    if error and (better := fuller(store, source, facts["n_rows"] - facts["n_refused"])):
        for part in written.pieces:
            store.remove(part)
        return better | {"error": f"{error}; the {better['n_rows']:,} rows read from it before are kept"}
    if not written.pieces:
        return facts | {"complete": False}
    retire(store, source, keep=set(written.pieces))
    venue, symbol = facts["main"]
    first = Part(raw_table(venue, "files"), venue, symbol, min(part.day for part in written.pieces), source.piece)
    receipt = {
        "uri": source.uri,
        "sha256": source.sha256,
        "n_bytes": source.n_bytes,
        "n_rows": facts["n_rows"],
        "n_refused": facts["n_refused"],
        "complete": error is None,
        "error": error,
    }
    frame = pl.DataFrame([receipt], schema=dict(RAW["files"].columns))
    store.write(first, frame, inputs={source.uri: source.sha256}, params=params, facts=facts)
    return facts


def fuller(store: Store, source: Source, n_sound: int) -> dict[str, Any] | None:
    """The facts of an earlier reading of this address that was complete, or broken with at least `n_sound` rows accepted.

    A damaged file may inflate to more lines than the sound one had, of garbage: refused lines do not count.
    """
    for part, lineage in receipts(store, f"{source.address}-*"):
        had = lineage.facts
        if part.piece != source.piece and (had["complete"] or had["n_rows"] - had["n_refused"] >= n_sound):
            return had
    return None


@contextlib.contextmanager
def alone(source: Source) -> Iterator[None]:
    """Let one thread at a time read these bytes: of two equal files the second finds the receipt of the first."""
    with _GUARD:
        lock = _READING.setdefault(source.sha256, threading.Lock())
    with lock:
        yield


def retire(store: Store, source: Source, keep: set[Part]) -> int:
    """Remove all pieces and receipts of this address, or of these bytes at the venues of `keep`, that are not in `keep`; returns how many.

    The same bytes may be read as two venues (a copy of a generated day is a recording like any other): each keeps its own.
    """
    venues = {part.venue for part in keep}
    moved = (part for part in store.parts("raw_*__*", piece=f"*-{source.sha256[:12]}") if part.venue in venues)
    old = {*store.parts("raw_*__*", piece=f"{source.address}-*"), *moved} - keep
    for part in sorted(old, key=lambda part: not part.table.endswith("__files")):
        store.remove(part)  # the receipt first: without it a half-retired reading is made again
    return len(old)
