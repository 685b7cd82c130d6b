"""What is kept of every run, in `<data_dir>/runs/<run_id>/run.json`: enough to tell what it did, with what, and how it ended.

The record is written when the run begins and again when it ends. A record that says `running` while its process is gone is a
run that was killed; `state_of` says so.
"""

import contextlib
import os
import socket
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import msgspec

from core import pids
from core.runs import Read

FILE = "run.json"
State = Literal["running", "completed", "failed", "crashed", "cancelled"]


class Skipped(msgspec.Struct, frozen=True):
    """Something that was not done, or not taken, and the reason."""

    what: str
    why: str


class RunRecord(msgspec.Struct, kw_only=True):
    """One run. Secrets are never in `settings` or `parameters`."""

    run_id: str
    flow: str
    state: State = "running"
    flow_run_id: str = ""
    flow_run_name: str = ""
    deployment: str = ""
    parameters: dict[str, Any] = {}
    code: str = ""
    settings: dict[str, Any] = {}  # what differs from the defaults
    settings_hash: str = ""
    versions: str = ""
    host: str = ""
    pid: int = 0
    pid_started: float = 0.0
    started: str = ""  # ISO, UTC
    ended: str = ""
    changed: bool = False
    warnings: list[str] = []
    cause: str = ""  # of its failure, in one line
    fault: str = ""  # the thing that is at fault
    kind: str = ""
    next: str = ""  # what to type next
    read: list[Read] = []
    wrote: list[Read] = []
    skipped: list[Skipped] = []
    metrics: dict[str, float] = {}

    @property
    def seconds(self) -> float | None:
        if not (self.started and self.ended):
            return None
        return (datetime.fromisoformat(self.ended) - datetime.fromisoformat(self.started)).total_seconds()


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def begun(run_id: str, flow: str) -> RunRecord:
    """A record of this process, beginning now."""
    pid = os.getpid()
    return RunRecord(run_id=run_id, flow=flow, host=socket.gethostname(), pid=pid, pid_started=pids.start_time(pid), started=now())


def save(folder: Path, record: RunRecord) -> None:
    """Write the record, whole or not at all."""
    partial = folder / f"{FILE}.{os.getpid()}.partial"
    partial.write_bytes(msgspec.json.format(msgspec.json.encode(record), indent=1))
    partial.replace(folder / FILE)


def load(folder: Path) -> RunRecord | None:
    """The record in a run's folder; None where there is none, or it is torn."""
    with contextlib.suppress(OSError, msgspec.DecodeError, msgspec.ValidationError):
        return msgspec.json.decode((folder / FILE).read_bytes(), type=RunRecord)
    return None


def every(data_dir: Path) -> Iterator[RunRecord]:
    """The records of a data folder, newest first."""
    for folder in sorted((data_dir / "runs").glob("*/"), reverse=True):
        if record := load(folder):
            yield record


def of_flow_run(data_dir: Path, flow_run_id: str) -> RunRecord | None:
    """The record of one of the orchestrator's runs."""
    return next((record for record in every(data_dir) if record.flow_run_id == flow_run_id), None)


def state_of(record: RunRecord) -> State:
    """How the run stands now: one that says it runs while its process is gone has crashed."""
    if record.state == "running" and record.host == socket.gethostname() and not pids.is_same(record.pid, record.pid_started):
        return "crashed"
    return record.state


def seen(record: RunRecord) -> RunRecord:
    """The record as it stands now: that of a run that was killed says so."""
    if state_of(record) == record.state:
        return record
    return msgspec.structs.replace(
        record,
        state="crashed",
        cause=f"process {record.pid} of flow {record.flow} is gone: it was killed, or the machine went down",
        fault=f"process {record.pid} on {record.host}",
        kind="killed",
        next="dmesg | grep -i 'killed process'",
    )
