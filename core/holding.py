"""One run at a time in a data folder: the second is told who holds it."""

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from filelock import FileLock, Timeout


class Held(RuntimeError):
    """Another process is at work in the folder; the message says which, since when, and what to do."""


@contextmanager
def holding(data_dir: Path, what: str) -> Iterator[None]:
    """Hold `data_dir` for `what` (a command, for people) while the block runs. Raises `Held`; a dead holder does not hold."""
    data_dir.mkdir(parents=True, exist_ok=True)
    lock, holder = FileLock(data_dir / "run.lock"), data_dir / "run.holder.json"
    try:
        lock.acquire(timeout=0)
    except Timeout:
        try:
            by = json.loads(holder.read_text())
            who = f"'{by['what']}' (process {by['pid']}, since {by['since']})"
        except (OSError, ValueError, KeyError):
            who = "another process"
        raise Held(f"{data_dir} is held by {who}. Wait for it, end it, or choose another folder with SCALP_DATA_DIR.") from None
    try:
        since = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
        holder.write_text(json.dumps({"pid": os.getpid(), "what": what, "since": since, "python": sys.executable}))
        yield
    finally:
        holder.unlink(missing_ok=True)
        lock.release()
