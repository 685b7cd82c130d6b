"""Whose process is that: everything a stack starts carries a mark in its environment, which children of children inherit.

So what outlives a killed stack is found wherever it went: in a session of its own, taken over by init, without a pid file. Guards of
live workers carry it too and are let be: they take orders away at the exchange when their worker dies, and then end by themselves.
"""

import contextlib
import os
import time
from collections.abc import Iterable
from pathlib import Path

MARK = "CRYPTOSCALP_STACK"  # not SCALP_...: it is no setting
GUARD = "serving.guard"


def marks(data_dir: Path) -> dict[str, str]:
    """The variable that what is started for this data folder carries."""
    return {MARK: str(data_dir.resolve())}


def marked(data_dir: Path, besides: Iterable[int] = ()) -> dict[int, str]:
    """Processes that carry the mark of this data folder, but for guards, ourselves and `besides`: pid -> what it is, for people."""
    import psutil

    wanted, spared = str(data_dir.resolve()), {os.getpid(), *besides}
    found: dict[int, str] = {}
    for process in psutil.process_iter():
        if process.pid in spared:
            continue
        with contextlib.suppress(psutil.Error, OSError):
            if process.environ().get(MARK) == wanted and process.status() != psutil.STATUS_ZOMBIE:
                command = process.cmdline()
                if GUARD not in command:
                    found[process.pid] = words(command)
    return found


def end_marked(data_dir: Path, grace_s: float, besides: Iterable[int] = ()) -> list[str]:
    """End what carries the mark: SIGTERM, and SIGKILL after the grace. Returns what it was, one line for each process."""
    import psutil

    spared = tuple(besides)
    ended: dict[int, str] = {}
    for signalled in ("terminate", "kill"):
        if not (found := marked(data_dir, spared)):
            break
        ended |= found
        for pid in found:
            with contextlib.suppress(psutil.Error):
                getattr(psutil.Process(pid), signalled)()
        wait_gone(data_dir, grace_s, spared)
    return list(ended.values())


def kill_marked(data_dir: Path, besides: Iterable[int] = ()) -> None:
    """SIGKILL at once, again until nothing new was started meanwhile."""
    import psutil

    spared = tuple(besides)
    for _ in range(5):
        if not (found := marked(data_dir, spared)):
            return
        for pid in found:
            with contextlib.suppress(psutil.Error):
                psutil.Process(pid).kill()
        wait_gone(data_dir, 1.0, spared)


def wait_gone(data_dir: Path, seconds: float, besides: Iterable[int] = ()) -> bool:
    """Wait until nothing carries the mark any more; False where something still does."""
    spared, until = tuple(besides), time.monotonic() + seconds
    while marked(data_dir, spared):
        if time.monotonic() > until:
            return False
        time.sleep(0.1)
    return True


def words(command: list[str], most: int = 80) -> str:
    """A command line in a few words: the program without its folders, and what it was given."""
    if not command:
        return "a process"
    text = " ".join([Path(command[0]).name, *command[1:]])
    return text if len(text) <= most else text[: most - 1] + "…"
