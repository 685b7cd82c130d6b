"""One run at a time in a data folder: the second is told who holds it, or waits its turn.

with holding(data_dir, "scalp run"): ...                                   # at once, or `Held`
async with turn(data_dir, "flow ingest", wait_s=3600, told=log.info): ...  # says whom it waits for, then goes on
"""

import asyncio
import json
import os
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime
from pathlib import Path

from filelock import FileLock, Timeout

POLL_S = 0.5


class Held(RuntimeError):
    """Another process is at work in the folder; the message says which, since when, and what to do."""


@contextmanager
def holding(data_dir: Path, what: str, *, wait_s: float = 0.0, told: Callable[[str], None] = print) -> Iterator[None]:
    """Hold `data_dir` for `what` (a command, for people) while the block runs; a dead holder does not hold.

    Waits up to `wait_s` for who holds it; each new holder is told once. Raises `Held` when the time is over.
    """
    lock = _lock(data_dir)
    for _ in _tries(lock, data_dir, wait_s, told):
        time.sleep(POLL_S)
    with _held(lock, data_dir, what):
        yield


@asynccontextmanager
async def turn(data_dir: Path, what: str, *, wait_s: float, told: Callable[[str], None]) -> AsyncIterator[None]:
    """The same where an event loop has to go on meanwhile: a cancelled wait ends at once."""
    lock = _lock(data_dir)
    for _ in _tries(lock, data_dir, wait_s, told):
        await asyncio.sleep(POLL_S)
    with _held(lock, data_dir, what):
        yield


def _tries(lock: FileLock, data_dir: Path, wait_s: float, told: Callable[[str], None]) -> Iterator[None]:
    """Ends when the lock is ours; between tries the caller waits."""
    until, last = time.monotonic() + wait_s, ""
    while True:
        try:
            lock.acquire(timeout=0)
            return
        except Timeout:
            who = _holder(data_dir)
        if time.monotonic() >= until:
            raise Held(_refusal(data_dir))
        if who != last:
            told(f"waiting for {who} to leave {data_dir}")
            last = who
        yield


def _lock(data_dir: Path) -> FileLock:
    data_dir.mkdir(parents=True, exist_ok=True)
    return FileLock(data_dir / "run.lock")


def _record(data_dir: Path) -> Path:
    return data_dir / "run.holder.json"


@contextmanager
def _held(lock: FileLock, data_dir: Path, what: str) -> Iterator[None]:
    """Say who we are while we hold the lock, and let go of it."""
    record = _record(data_dir)
    try:
        since = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
        record.write_text(json.dumps({"pid": os.getpid(), "what": what, "since": since, "python": sys.executable}))
        yield
    finally:
        record.unlink(missing_ok=True)
        lock.release()


def _holder(data_dir: Path) -> str:
    try:
        by = json.loads(_record(data_dir).read_text())
        return f"'{by['what']}' (process {by['pid']}, since {by['since']})"
    except (OSError, ValueError, KeyError):
        return "another process"


def _refusal(data_dir: Path) -> str:
    return f"{data_dir} is held by {_holder(data_dir)}. Wait for it, end it, or choose another folder with SCALP_DATA_DIR."
