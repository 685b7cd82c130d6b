"""Which run is at work, and what it has written: a line for every part, in the run's folder.

`Store` notes its run when it is made and takes the note along to other processes, so that a run's record is exact wherever its
tasks ran: all of them append to `<run folder>/wrote.jsonl`.
"""

import contextlib
from collections.abc import Mapping
from contextvars import ContextVar
from pathlib import Path

import msgspec

RUN_FOLDER: ContextVar[Path | None] = ContextVar("run_folder", default=None)
FILE = "wrote.jsonl"


class Wrote(msgspec.Struct, frozen=True, kw_only=True):
    """A part as it was written, and the content of what it was made from."""

    part: str
    content: str
    rows: int
    inputs: dict[str, str] = {}


def note(folder: Path | None, part: str, content: str, rows: int, inputs: Mapping[str, str]) -> None:
    """Append a line. A line that cannot be kept, on a full disk, must not undo the part that it tells of."""
    if folder is None:
        return
    line = msgspec.json.encode(Wrote(part=part, content=content, rows=rows, inputs=dict(inputs))) + b"\n"
    with contextlib.suppress(OSError), (folder / FILE).open("ab", buffering=0) as file:
        file.write(line)  # one call: lines of several processes do not mix


def read(folder: Path) -> list[Wrote]:
    """What was written, each part once, as it was last; a line that a killed process left half is passed over."""
    last: dict[str, Wrote] = {}
    with contextlib.suppress(FileNotFoundError):
        for line in (folder / FILE).read_bytes().splitlines():
            with contextlib.suppress(msgspec.DecodeError, msgspec.ValidationError):
                found = msgspec.json.decode(line, type=Wrote)
                last[found.part] = found
    return sorted(last.values(), key=lambda one: one.part)
