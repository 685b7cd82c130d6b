"""Pid files: which servers a run started, so that what a killed run left behind is found and ended, and nobody else's."""

import contextlib
import json
import os
import signal
import time
from pathlib import Path

GRACE_S = 10.0  # between SIGTERM and SIGKILL
CLOCK_SLACK_S = 2.0  # start times are kept in ticks since boot, and the boot time is rounded


def write(folder: Path, name: str, pid: int, command: list[str]) -> Path:
    """Write down that this process started `command` as `pid`."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}-{pid}.json"
    owner = os.getpid()
    record = {
        "name": name,
        "pid": pid,
        "started": start_time(pid),
        "command": command,
        "owner": owner,
        "owner_started": start_time(owner),
    }
    path.write_text(json.dumps(record))
    return path


def stop_leftovers(data_dir: Path, grace_s: float = GRACE_S) -> list[str]:
    """End the servers that runs of this data folder left behind when they were killed; returns their names.

    A server whose owner still runs is left alone. A pid is believed only if its start time and command line are those
    written down: pids are used again, and a stranger must not be killed.
    """
    ended = []
    for file in sorted((data_dir / "pids").glob("*.json")):
        try:
            record = json.loads(file.read_text())
            name, pid, started, command = record["name"], int(record["pid"]), float(record["started"]), list(record["command"])
            owner, owner_started = int(record["owner"]), float(record["owner_started"])
        except (ValueError, KeyError, TypeError):
            file.unlink(missing_ok=True)  # torn: its writer was killed while writing
            continue
        if is_same(owner, owner_started):
            continue
        if is_same(pid, started, command):
            _end(pid, started, grace_s)
            ended.append(name)
        file.unlink(missing_ok=True)
    return ended


def _end(pid: int, started: float, grace_s: float) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)
        until = time.monotonic() + grace_s
        while is_same(pid, started) and time.monotonic() < until:
            time.sleep(0.05)
        os.killpg(pid, signal.SIGKILL)  # it leads a group of its own


def is_same(pid: int, started: float, command: list[str] | None = None) -> bool:
    """Whether `pid` runs, since `started`, and (where given) with a command line that ends in `command`."""
    import psutil

    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE or abs(process.create_time() - started) > CLOCK_SLACK_S:
            return False
        return command is None or process.cmdline()[-len(command) :] == command
    except psutil.Error:
        return False


def start_time(pid: int) -> float:
    import psutil

    try:
        return psutil.Process(pid).create_time()
    except psutil.Error:
        return 0.0  # it ended at once: nothing to find later
