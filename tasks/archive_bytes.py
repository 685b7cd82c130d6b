"""The text of a zip archive, streamed: inflated in small steps, in blocks of whole lines, its checksum and size checked at the end.

    zip -> members that are CSV -> blocks of whole lines

Blocks lie in a few buffers that are filled again and again: one is good until `AHEAD` more have been asked for.
"""

import queue
import struct
import threading
import zipfile
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import IO, Any, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt
from isal import igzip_lib, isal_zlib

from kernels.archive_digits import BEFORE, PAD
from tasks.lines import DAMAGE, Broken

T = TypeVar("T")
STEP = 1 << 16  # compressed bytes read at once
BLOCK = 1 << 18  # inflated bytes of a block: small enough to stay in the processor's cache until they are read
LONGEST = 1 << 16  # of a line
AHEAD = 5  # buffers there are: two wait, one is read, one is filled, and a line that is too long takes a turn of its own
HEADER = struct.Struct("<4s22xHH")  # of a member: a signature, and in the end the lengths of its name and of its extra field
STORED, DEFLATED, ENCRYPTED = zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, 1


class Text(NamedTuple):
    """Whole lines from `start` to `end` of a buffer; `first` of a member. With `too_long`, the start of a line that is no trade."""

    buffer: npt.NDArray[np.uint8]
    start: int
    end: int
    first: bool
    too_long: bool = False


def members_of(file: IO[bytes]) -> list[zipfile.ZipInfo]:
    """The CSV members of an archive. Raises `Broken` where it is not whole, or they cannot be read."""
    size = file.seek(0, 2)
    try:
        with zipfile.ZipFile(file) as archive:
            found = [member for member in archive.infolist() if not member.is_dir()]
    except (zipfile.BadZipFile, struct.error, ValueError, OverflowError, NotImplementedError, EOFError) as error:
        raise Broken(f"no zip archive, or cut off ({error})", size) from error
    members = [member for member in found if member.filename.lower().endswith(".csv")]
    if not members:
        raise Broken(f"holds no .csv file ({', '.join(m.filename for m in found[:3]) or 'nothing at all'})", size)
    for member in members:
        if member.flag_bits & ENCRYPTED:
            raise Broken(f"{member.filename} is encrypted", member.header_offset)
        if member.compress_type not in (STORED, DEFLATED):
            raise Broken(f"{member.filename} is compressed by method {member.compress_type}; expected deflate", member.header_offset)
    return members


def inflated(file: IO[bytes], member: zipfile.ZipInfo) -> Iterator[bytes]:
    """What a member holds, in pieces of at most `BLOCK` bytes. Raises `Broken` unless it is what the archive says of it."""
    file.seek(member.header_offset)
    head = file.read(30)
    signature, *lengths = HEADER.unpack(head) if len(head) == HEADER.size else (b"", 0, 0)
    if signature != b"PK\3\4":
        raise Broken(f"{member.filename} does not begin where the archive says", member.header_offset)
    file.seek(sum(lengths), 1)
    crc = had = 0
    pieces = stored if member.compress_type == STORED else deflated
    for piece in pieces(file, member):
        crc, had = isal_zlib.crc32(piece, crc), had + len(piece)
        if had > member.file_size:
            break
        yield piece
    if had != member.file_size:
        size = "more" if had > member.file_size else f"{had:,}"
        raise Broken(f"{member.filename} was to inflate to {member.file_size:,} bytes, not {size}", file.tell())
    if crc != member.CRC:
        raise Broken(f"{member.filename} fails its checksum (CRC {crc:08x}, not {member.CRC:08x})", file.tell())


def stored(file: IO[bytes], member: zipfile.ZipInfo) -> Iterator[bytes]:
    left = member.compress_size
    while left and (piece := file.read(min(BLOCK, left))):
        left -= len(piece)
        yield piece


def deflated(file: IO[bytes], member: zipfile.ZipInfo) -> Iterator[bytes]:
    inflater: Any = igzip_lib.IgzipDecompressor(flag=igzip_lib.DECOMP_DEFLATE)
    left = member.compress_size
    while not inflater.eof:
        given = b""
        if inflater.needs_input:
            given = file.read(min(STEP, left))
            left -= len(given)
            if not given:
                raise Broken(f"{member.filename} is cut off", file.tell())
        try:
            yield inflater.decompress(given, BLOCK)
        except DAMAGE as error:
            raise Broken(f"{member.filename} is damaged ({error})", file.tell()) from error


def texts(path: Path) -> Iterator[Text]:
    """The blocks of an archive; a last line without a newline gets one. Raises `Broken` at the end of a member that is not sound."""
    room = BEFORE + LONGEST + BLOCK + 1 + PAD
    buffers = [np.zeros(room, np.uint8) for _ in range(AHEAD)]
    at, n = BEFORE, 0  # where to write next in which buffer
    with path.open("rb") as file:
        for member in members_of(file):
            first, passing = True, False  # passing: within a line that was too long
            for piece in inflated(file, member):
                buffer = buffers[n % AHEAD]
                start = piece.find(b"\n") + 1 if passing else 0
                if passing and not start:
                    continue
                passing = False
                cut = piece.rfind(b"\n", start) + 1
                buffer[at : at + len(piece) - start] = np.frombuffer(piece, np.uint8)[start:]
                end, at = at + cut - start, at + len(piece) - start
                if cut:
                    yield Text(buffer, BEFORE, end, first)
                    first, n = False, n + 1
                else:
                    end = BEFORE
                left = at - end
                if left > LONGEST:
                    buffer[end + LONGEST] = 10
                    yield Text(buffer, end, end + LONGEST + 1, first, too_long=True)
                    first, passing, left, n = False, True, 0, n + 1
                buffers[n % AHEAD][BEFORE : BEFORE + left] = buffer[end : end + left]
                at = BEFORE + left
            if at > BEFORE:
                buffers[n % AHEAD][at] = 10
                yield Text(buffers[n % AHEAD], BEFORE, at + 1, first)
                at, n = BEFORE, n + 1


def ahead(items: Iterator[T], depth: int) -> Iterator[T]:
    """The same items, made in a thread of their own, up to `depth` of them before they are asked for."""
    made: queue.Queue[tuple[T | None, BaseException | None]] = queue.Queue(depth)
    unwanted = threading.Event()

    def put(item: T | None, error: BaseException | None = None) -> None:
        while not unwanted.is_set():
            try:
                made.put((item, error), timeout=0.1)
            except queue.Full:
                continue
            return

    def make() -> None:
        try:
            for item in items:
                put(item)
                if unwanted.is_set():
                    return
            put(None)
        except BaseException as error:  # it is raised where the items are wanted
            put(None, error)
        finally:
            if isinstance(items, Generator):
                items.close()

    thread = threading.Thread(target=make, name="ahead", daemon=True)
    thread.start()
    try:
        while True:
            item, error = made.get()
            if error is not None:
                raise error
            if item is None:
                return
            yield item
    finally:
        unwanted.set()
        thread.join()
