"""The session journal: every input of the engine under one sequence number, so that the session can be run again.

    frames -> frames-<k>.log, and a line that says which of them were taken together;  other inputs -> a line each;  decisions -> beside

`read` gives the inputs back in order: frames as they were received, the rest as structs of `core.events`.
"""

import gzip
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from core.events import AnyDecision, AnyInput, Ask, Decision, Input
from serving.recorder import PACKED, PLAIN, Recorder, number

META = "meta.json"


class Line(msgspec.Struct, omit_defaults=True):
    """`input`, or `frames` payloads received at `ts` that begin at a line of a file of frames."""

    seq: int
    input: AnyInput | None = None
    frames: int = 0
    ts: int = 0
    file: int = 0
    line: int = 0


class Decided(msgspec.Struct):
    """`seq` is that of the input (of frames: the first) that led to it."""

    seq: int
    decision: AnyDecision


class Frames(NamedTuple):
    payloads: list[bytes]
    ts_recv: int


class Journal:
    """The writer of a session's folder. A failing disk raises `OSError` from whatever was asked."""

    def __init__(self, folder: Path, meta: dict[str, Any], *, rotate_mb: float = 64.0) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.seq = folder, 0
        partial = folder / f".{META}.{os.getpid()}"
        partial.write_bytes(msgspec.json.format(msgspec.json.encode(meta), indent=1))
        partial.replace(folder / META)
        self.frames_file = Recorder(folder, rotate_mb=rotate_mb)
        self._journal = Recorder(folder, rotate_mb=rotate_mb, name="journal")
        self._decisions = Recorder(folder, rotate_mb=rotate_mb, name="decisions")
        self._encoder = msgspec.json.Encoder()

    def frames(self, payloads: Sequence[bytes], ts_recv: int) -> int:
        """Payloads that the engine gets together; returns the sequence number of the first, each has its own."""
        file, line = self.frames_file.write(payloads, ts_recv)
        first = self.seq + 1
        told = b'{"seq":%d,"frames":%d,"ts":%d,"file":%d,"line":%d}' % (first, len(payloads), ts_recv, file, line)
        self._journal.write_line(told)
        self.seq += len(payloads)
        return first

    def aside(self, payloads: Sequence[bytes], ts_recv: int) -> None:
        """Frames that were received and never reached the engine: recorded only."""
        self.frames_file.write(payloads, ts_recv)

    def input(self, told: Input) -> int:
        seq = self.seq + 1
        self._journal.write_line(b'{"seq":%d,"input":%b}' % (seq, self._encoder.encode(told)))
        self.seq = seq
        return seq

    def decisions(self, seq: int, made: Sequence[Decision]) -> None:
        for decision in made:
            told = msgspec.structs.replace(decision, window=None) if isinstance(decision, Ask) else decision
            self._decisions.write_line(b'{"seq":%d,"decision":%b}' % (seq, self._encoder.encode(told)))

    def close(self) -> None:
        for file in (self.frames_file, self._journal, self._decisions):
            file.close()


def meta_of(folder: Path) -> dict[str, Any]:
    """What a session was run with. Raises `FileNotFoundError` where the folder is no session's."""
    path = folder / META
    if not path.exists():
        raise FileNotFoundError(f"{folder} is no session: it has no {META}. Sessions are listed by `scalp replay --list`.")
    return msgspec.json.decode(path.read_bytes())


def lines(folder: Path, name: str) -> Iterator[bytes]:
    """The lines of `<name>-<k>` in order, packed or not; a last line that was cut off is left out."""
    found = {k for path in folder.glob(f"{name}-*") if path.suffix in (PLAIN, PACKED) and (k := number(path)) is not None}
    for k in sorted(found):
        yield from lines_of(folder, name, k)


def lines_of(folder: Path, name: str, k: int) -> list[bytes]:
    """The lines of `<name>-<k>`, whole ones only. Raises `FileNotFoundError`."""
    plain = folder / f"{name}-{k:05d}{PLAIN}"
    try:
        text = plain.read_bytes()
    except FileNotFoundError:  # packed, maybe just now: that is renamed before the plain one goes
        text = gzip.decompress(plain.with_suffix(PACKED).read_bytes())
    return text.split(b"\n")[:-1]


def read(folder: Path) -> Iterator[tuple[int, Frames | AnyInput]]:
    """(sequence number, input) in order, frames in the batches that the engine got.

    Raises `ValueError` where frames that the journal names are not there.
    """
    decoder = msgspec.json.Decoder(Line)
    file, rows = 0, []
    for text in lines(folder, "journal"):
        line = decoder.decode(text)
        if line.input is not None:
            yield line.seq, line.input
            continue
        if line.file != file:
            file, rows = line.file, lines_of(folder, "frames", line.file)
        taken = rows[line.line : line.line + line.frames]
        if len(taken) < line.frames:
            raise ValueError(f"{folder.name}: frames of input {line.seq} are missing (file {line.file}, line {line.line})")
        yield line.seq, Frames([row[row.index(b" ") + 1 :] for row in taken], line.ts)


def decided(folder: Path) -> Iterator[Decided]:
    """The decisions of a session in order."""
    decoder = msgspec.json.Decoder(Decided)
    for text in lines(folder, "decisions"):
        yield decoder.decode(text)
