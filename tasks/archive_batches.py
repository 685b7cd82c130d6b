"""Blocks of an archive's text to batches of rows: each member's layout told, every line read or refused.

Inflating, reading and what is done with a batch go on at once, in three threads that hold no lock while they work.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from kernels.archive_digits import BEFORE, PAD
from kernels.archive_layouts import BOM, Layout, LayoutError, layout_of, usual
from kernels.archive_rows import REASONS, Rows, counted, parse, room
from kernels.decimals import chosen
from kernels.frames_bytes import NEWLINE
from tasks.archive_bytes import Text, ahead, texts
from tasks.lines import Broken

ROWS = 1 << 18  # of a batch, which becomes a row group
TEXT = 2_000  # characters of a refused line that are kept
TOO_LONG = 9


class Batch(NamedTuple):
    """The first `n` of `rows` are rows; they lie where later ones will, once two more batches have been asked for."""

    rows: Rows
    n: int


class Refused(NamedTuple):
    line: int
    ts: int | None  # of the row before, ns; None where there is none
    reason: str
    text: str


class Unfit(Exception):
    """A price or a size has no place in units of the decimals that were taken for enough."""


@dataclass(slots=True)
class Tally:
    """What was found while reading: lines, rows, refused lines and the first such."""

    lines: int = 0
    refused: int = 0
    rows: int = 0
    first_ts: int | None = None
    first_refused: Refused | None = None
    layout: Layout | None = None


class Read(NamedTuple):
    """What one call of the parser made of a block: rows from `start` to `n` of `rows`, and lines refused between them."""

    rows: Rows
    start: int
    n: int
    refused: list[Refused]


def reads(blocks: Iterable[Text], places: tuple[int, int], tally: Tally, *, settled: bool) -> Iterator[Read]:
    """Read blocks into rooms of `ROWS` rows, three of them in turn; a read whose `n` is `ROWS` is the last into its room.

    Raises `Unfit` at a number that has no place, unless the decimals are `settled`; `Broken` where the columns cannot be told.
    """
    rooms, turn, n, line, last = [room(ROWS) for _ in range(3)], 0, 0, 1, None
    layout = Layout(best=False, header=False)
    for text in blocks:
        at, end, buffer, lines = text.start, text.end, text.buffer, None
        if text.first:
            layout, at = told(text)
            if tally.layout is not None and tally.layout.best != layout.best:
                raise Broken("some of its members have the columns of spot archives, some those of futures", 0)
            tally.layout = layout
            line += int(np.count_nonzero(buffer[text.start : at] == NEWLINE))
        if text.too_long:
            yield Read(rooms[turn], n, n, [Refused(line, last, REASONS[TOO_LONG], shown(buffer[at:end].tobytes()))])
            line += 1
            continue
        if layout.places is not None:
            lines = buffer[at:end].tobytes()
            buffer, at, end = padded(usual(lines, layout))
            lines = lines.split(b"\n")
        began = line
        while at < end:
            rows = rooms[turn]
            start = n
            best = layout.best and layout.places is None
            at, line, n, n_bad, unfit = parse(buffer, at, end, line, n, *places, best, rows.ints, rows.side, rows.row, rows.bad)
            if unfit and not settled:
                raise Unfit
            refused = []
            for bad_from, bad_to, bad_line, reason in rows.bad[:n_bad].tolist():
                before = int(np.searchsorted(rows.row[start:n], bad_line)) + start - 1
                ts = int(rows.ints[5, before]) if before >= start else last
                raw = buffer[bad_from:bad_to].tobytes() if lines is None else lines[bad_line - began]
                refused.append(Refused(bad_line, ts, REASONS[reason], shown(raw)))
            if n > start:
                last = int(rows.ints[5, n - 1])
            yield Read(rows, start, n, refused)
            if n == ROWS:
                n, turn = 0, (turn + 1) % len(rooms)
        tally.lines = line - 1


def told(text: Text) -> tuple[Layout, int]:
    """The layout of a member from its first block, and where its first line of data begins."""
    head = text.buffer[text.start : text.end].tobytes()
    try:
        layout = layout_of(head)
    except LayoutError as error:
        raise Broken(str(error), 0) from error
    at = len(BOM) if head.startswith(BOM) else 0
    while layout.header:
        began, at = at, head.index(b"\n", at) + 1
        if head[began:at].strip():
            break
    return layout, text.start + at


def padded(text: bytes) -> tuple[np.ndarray, int, int]:
    buffer = np.zeros(BEFORE + len(text) + PAD, np.uint8)
    buffer[BEFORE : BEFORE + len(text)] = np.frombuffer(text, np.uint8)
    return buffer, BEFORE, BEFORE + len(text)


def shown(line: bytes) -> str:
    return line[: 4 * TEXT].decode(errors="replace").rstrip("\r\n")[:TEXT]


def batches(path: Path, places: tuple[int, int], tally: Tally, *, settled: bool) -> Iterator[Batch]:
    """The rows of an archive, read two batches ahead. Raises as `reads` and `tasks.archive_bytes.texts`."""

    def made() -> Iterator[Batch]:
        held = None
        for read in reads(ahead(texts(path), 2), places, tally, settled=settled):
            tally.refused += len(read.refused)
            if read.refused and tally.first_refused is None:
                tally.first_refused = read.refused[0]
            if read.n and tally.first_ts is None:
                tally.first_ts = int(read.rows.ints[5, 0])
            tally.rows += read.n - read.start
            held = Batch(read.rows, read.n)
            if read.n == ROWS:
                yield held
                held = None
        if held is not None and held.n:
            yield held

    return ahead(made(), 1)


def refusals(path: Path, places: tuple[int, int]) -> Iterator[list[Refused]]:
    """The refused lines of an archive, which is read again for them: they are few, or the file is not worth much memory."""
    for read in reads(ahead(texts(path), 2), places, Tally(), settled=True):
        if read.refused:
            yield read.refused


def looked(path: Path, *, whole: bool) -> tuple[Layout, tuple[int, int]]:
    """The layout of an archive, and the fewest decimals of prices and of sizes that lose nothing (or the least): by its first block,

    or by all of it. Raises `Broken` where there is no line, or its columns cannot be told.
    """
    fits = np.zeros((2, 14), np.int64)
    layout: Layout | None = None
    for text in texts(path):
        buffer, at, end = text.buffer, text.start, text.end
        if text.first or layout is None:
            layout, at = told(text)
        if text.too_long:
            continue
        if layout.places is not None:
            buffer, at, end = padded(usual(buffer[at:end].tobytes(), layout))
        fits += counted(buffer, at, end)
        if not whole:
            break
    if layout is None:
        raise Broken("holds no line", 0)
    price, size = (chosen(of, 0.0) for of in fits)
    return layout, (price, size)
