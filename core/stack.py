"""The one stack of a data folder, seen from outside: what `scalp up` wrote down of itself, and whether that is still so.

scalp up: holding the stack -> up.json on every change        running(data_dir) -> Running | None     anybody else
"""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import msgspec
from filelock import FileLock, Timeout

from core import pids
from core.holding import Held
from core.stack_parts import UP, State

LOCK, FILE = "up.lock", "up.json"


class PartTold(msgspec.Struct, frozen=True, kw_only=True):
    """What is written down of a part."""

    what: str = ""
    state: State = State.WAITING
    why: str = ""
    since: str = ""  # UTC
    pid: int | None = None
    restarts: int = 0
    address: str = ""
    log: str = ""

    @property
    def up(self) -> bool:
        return self.state in UP


class Running(msgspec.Struct, frozen=True, kw_only=True):
    """A stack, as it wrote itself down."""

    pid: int
    started: float  # of the process, as `core.pids` tells it
    since: str
    prefect_url: str = ""  # http://host:port, of the UI; empty where no server is among the parts
    parts: dict[str, PartTold] = {}

    @property
    def lives(self) -> bool:
        return pids.is_same(self.pid, self.started)


def last(data_dir: Path) -> Running | None:
    """What the last stack of this folder wrote down, whether it lives or not."""
    try:
        return msgspec.json.decode((data_dir / FILE).read_bytes(), type=Running)
    except (OSError, msgspec.MsgspecError):
        return None


def running(data_dir: Path) -> Running | None:
    """The stack that runs on this data folder now, or None."""
    told = last(data_dir)
    return told if told is not None and told.lives else None


def write(data_dir: Path, told: Running) -> None:
    """Whole or not at all: others read it at any time."""
    partial = data_dir / f"{FILE}.{os.getpid()}.partial"
    partial.write_bytes(msgspec.json.format(msgspec.json.encode(told), indent=1))
    partial.replace(data_dir / FILE)


@contextlib.contextmanager
def the_stack(data_dir: Path) -> Iterator[Running | None]:
    """Be the one stack of the folder while the block runs; gives what a killed one left written. Raises `Held`."""
    data_dir.mkdir(parents=True, exist_ok=True)
    lock = FileLock(data_dir / LOCK)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        told = last(data_dir)
        who = f"process {told.pid}, since {told.since}" if told is not None else "a process that is just starting"
        raise Held(f"scalp up runs on {data_dir} already ({who}). See it with scalp status, end it with scalp down.") from None
    try:
        yield last(data_dir)
    finally:
        (data_dir / FILE).unlink(missing_ok=True)
        lock.release()
