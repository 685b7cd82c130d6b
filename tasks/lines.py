"""The lines of a recorded file, streamed: inflated where it is gzip, in blocks of whole lines, up to where it is sound."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from isal import igzip_lib, isal_zlib

BLOCK = 1 << 18  # inflated bytes of a block: small enough that its frames stay in the processor's cache
STEP, SMALL_STEP = 1 << 16, 1 << 10  # compressed bytes given to the inflater at once; before a bad spot the few of a small step are lost
TRAILER = 8  # the checksum and length a gzip member ends in
LONGEST = 16 << 20  # no frame is longer
DAMAGE: Any = igzip_lib.IsalError  # its stub calls it a value, not a class
GZIP = b"\x1f\x8b"
GZIP_WINDOW = 31  # zlib's name for "gzip, largest window"


class Broken(Exception):
    """The file cannot be read further than to compressed byte `at`."""

    def __init__(self, why: str, at: int) -> None:
        super().__init__(why)
        self.why, self.at = why, at


class Block(NamedTuple):
    """Whole lines; or, with `too_long`, the start of one line that is longer than 16 MiB, the rest of which is passed over."""

    lines: bytes
    too_long: bool = False


def blocks(path: Path, n_bytes: int) -> Iterator[Block]:
    """The first `n_bytes` of a file as blocks. A line that is cut off by damage is left out, then `Broken` is raised."""
    held: list[bytes] = []
    size, passing = 0, False  # passing: within a line that was too long
    try:
        for text in inflated(path, n_bytes) if path.suffix == ".gz" else plain(path, n_bytes):
            some = text
            if passing:
                _, newline, some = text.partition(b"\n")
                passing = not newline
            held.append(some)
            size += len(some)
            if size < BLOCK:
                continue
            lines, newline, rest = b"".join(held).rpartition(b"\n")
            if newline:
                yield Block(lines + newline)
            elif size > LONGEST:
                yield Block(rest, too_long=True)
                rest, passing = b"", True
            held, size = [rest], len(rest)
    except Broken:
        lines, newline, _ = b"".join(held).rpartition(b"\n")
        if newline:
            yield Block(lines + newline)
        raise
    if size:
        yield Block(b"".join(held))


def plain(path: Path, n_bytes: int) -> Iterator[bytes]:
    with path.open("rb") as file:
        left = n_bytes
        while left and (text := file.read(min(BLOCK, left))):
            left -= len(text)
            yield text


def inflated(path: Path, n_bytes: int) -> Iterator[bytes]:
    """What a gzip file of one or more members holds; raises `Broken` where it is not gzip, damaged, or at an early end."""
    had = 0
    try:
        for text in stepped(path, n_bytes, STEP):
            yield text
            had += len(text)
        return
    except Broken:
        pass  # raised again below, after what there is before the spot
    for text in stepped(path, n_bytes, SMALL_STEP):
        if len(text) > had:
            yield text[had:]
        had = max(had - len(text), 0)


def stepped(path: Path, n_bytes: int, step: int) -> Iterator[bytes]:
    """As `inflated`, but for up to `step` compressed bytes before a damaged spot."""
    with path.open("rb") as file:
        at, inflater = 0, None
        given = b""  # read, and not inflated yet
        while True:
            if not given:
                left = n_bytes - at
                given = file.read(min(step, left - TRAILER if left > TRAILER else left))
                at += len(given)
            if not given:
                break
            start = at - len(given)
            if inflater is None:
                given = given.lstrip(b"\0") if start else given  # members may be padded
                if not given:
                    continue
                if not given.startswith(GZIP[: len(given)]):
                    raise Broken("something that is not gzip follows" if start else "not gzip", start)
                inflater = isal_zlib.decompressobj(wbits=GZIP_WINDOW)
            try:
                text = inflater.decompress(given)
            except DAMAGE as error:
                raise Broken(f"damaged ({error})", start) from error
            if text:
                yield text
            given = b""
            if inflater.eof:
                given, inflater = inflater.unused_data, None
        if inflater is not None:
            raise Broken("cut off", at)


def texts_of(path: Path, n_bytes: int, rows: set[int], characters: int) -> Mapping[int, str]:
    """The text of some lines (by number, from 1), as far as the file is sound; at most so many characters of each."""
    found: dict[int, str] = {}
    first = 1
    try:
        for block in blocks(path, n_bytes) if rows else ():
            n = 1 if block.too_long else block.lines.count(b"\n") + (not block.lines.endswith(b"\n"))
            wanted = rows.intersection(range(first, first + n))
            if wanted:
                lines = block.lines.split(b"\n")
                found |= {row: lines[row - first][: 4 * characters].decode(errors="replace")[:characters] for row in wanted}
            first += n
    except Broken:
        return found  # the first reading has said so
    return found
