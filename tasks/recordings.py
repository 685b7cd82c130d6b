"""Reads recorded files of Binance frames into the raw layer: hash, inflate, decode, find the instruments, write the pieces.

A file that was read before, bytes and settings unchanged, costs its hash and nothing more. A damaged file gives what is sound
before the damage, and an `error` that names the file, the compressed byte and the line; reading it again mended heals it.
"""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
from prefect import task
from prefect.cache_policies import NO_CACHE

from core.settings import Quality
from core.store import Store
from kernels.frames import Frames
from kernels.frames_batch import TEXT
from kernels.frames_columns import Tables
from tasks.clean import recoverable
from tasks.lines import Broken, blocks, texts_of
from tasks.raw import About, Rows, Source, alone, listed, reading, receipt_of, source_of, write_pieces

SUFFIXES = (".gz", ".jsonl", ".txt")
FRAMES = "frames-*.gz"  # finished files of a session
FORM = 1  # raised when the same bytes would give other rows


def recordings_in(folder: Path) -> list[Path]:
    """The recorded files of a folder in order of name. Raises `FileNotFoundError` where there is no folder, or none in it."""
    expected = "expected *.gz files of lines '<time> <JSON>' (or *.jsonl, *.txt), or sessions of scalp live or record"
    beside = ("journal-", "decisions-")  # of a session: what the engine got and did, no frames
    plain = (path for path in folder.glob("*") if path.suffix in SUFFIXES and not path.name.startswith(beside))
    return listed(folder, [*plain, *folder.glob(f"*/{FRAMES}")], expected)


def session_venue(path: Path) -> str | None:
    """The venue of a session's frames, which its first page names: `local` is no market, whatever its frames look like."""
    page = path.parent / "meta.json"
    if not path.match(FRAMES) or not page.is_file():
        return None
    return msgspec.json.decode(page.read_bytes()).get("plan", {}).get("venue")


def take_recording(store: Store, uri: str, *, quality: Quality, venue: str | None = None, generated: bool = False) -> dict[str, Any]:
    """Read one file into pieces of the raw tables. Returns its receipt's facts (`tasks.raw.write_pieces`) and, beside them,

    `name`; `skipped` (it was read before and nothing was done); `venue`, `symbol` of its main instrument (None if it has
    none); `seconds` and `frames_per_s` of this call. `error` is None, or says what kept the file from being read to its end.
    `venue` overrides the one the frames tell; `generated` marks what comes of it as such.

    Raises `FileNotFoundError` where the file is missing, `StoreError` on a full disk.
    """
    began = time.perf_counter()
    path = Path(uri)
    source = source_of(path)
    venue = venue or session_venue(path)
    params = {
        "form": FORM,
        "unknown_fields": quality.unknown_fields,
        "off_grid_share": quality.off_grid_share,
        "venue": venue,
        "generated": generated,
    }
    with alone(source):
        facts = receipt_of(store, source.sha256, params)
        skipped = facts is not None
        if facts is None:
            facts = decode(store, path, source, params, keep_unknown_fields=quality.unknown_fields == "keep")
    seconds = time.perf_counter() - began
    main = facts["main"] or [None, None]
    n_frames = sum(facts["frames"].values())
    timing = {"seconds": round(seconds, 3), "frames_per_s": None if skipped else round(n_frames / seconds)}
    return facts | {"name": path.name, "skipped": skipped, "venue": main[0], "symbol": main[1]} | timing


read_recording = task(
    name="read_recording",
    task_run_name=reading,
    retries=2,
    retry_delay_seconds=[1, 3],
    retry_condition_fn=recoverable,
    cache_policy=NO_CACHE,
)(take_recording)


def decode(store: Store, path: Path, source: Source, params: dict[str, Any], *, keep_unknown_fields: bool) -> dict[str, Any]:
    """Decode a file as far as it is sound, and write its pieces and receipt."""
    frames, error = Frames(keep_unknown_fields=keep_unknown_fields), None
    try:
        for block in blocks(path, source.n_bytes):
            if block.too_long:
                frames.refuse_long(block.lines)
            else:
                frames.add(block.lines)
    except Broken as broken:
        at = f"at compressed byte {broken.at:,} of {source.n_bytes:,}, in line {frames.n_lines + 1:,}"
        error = f"{path}: {broken.why} {at}; the {frames.n_lines:,} lines before are kept"
    tables = Tables(frames, off_grid_share=params["off_grid_share"], venue=params["venue"])
    if not tables.told:
        error = error if error and not frames.n_lines else f"{path}: {empty(tables, source)}"

    def rows():
        for table in tables.rows():
            yield Rows(*table)
        unread = {refusal.row for refusal in tables.refused if refusal.text is None}
        for table in tables.refusals(texts_of(path, source.n_bytes, unread, TEXT)):
            yield Rows(*table)

    return write_pieces(
        store,
        source,
        rows(),
        about={instrument: About(*told) for instrument, told in tables.told.items()},
        params=params,
        error=error,
        frames=tables.kinds,
        generated=params["generated"],
    )


def empty(tables: Tables, source: Source) -> str:
    """Why a file gave no row at all."""
    if not source.n_bytes:
        return "the file is empty"
    refused: Sequence[Any] = sorted(tables.refused)
    if not refused:
        return "holds no line"
    first = refused[0]
    what = f"line {first.row:,} was refused: {first.reason}: {(first.text or '')[:80]!r}"
    return f"none of its {len(refused):,} lines is a frame of Binance; {what}"
