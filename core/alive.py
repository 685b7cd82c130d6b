"""A sign of life in a file: the watch over runs touches it at every look, and whoever looks after the watch asks for it."""

import time
from pathlib import Path

FILE = "watch.alive"
EVERY_S = 10.0  # between two looks
LONG_S = 6 * EVERY_S


def touch(data_dir: Path) -> None:
    (data_dir / FILE).touch()


def forget(data_dir: Path) -> None:
    (data_dir / FILE).unlink(missing_ok=True)


def seen(data_dir: Path) -> bool:
    """Whether it has looked just now."""
    try:
        return time.time() - (data_dir / FILE).stat().st_mtime < LONG_S
    except OSError:
        return False
