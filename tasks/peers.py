"""Ours beside the peers: the benchmarks of `bench/`, run in processes of their own, as measurements to keep.

`bench/` stands at the top of the repository and is not installed; its peers live in an environment that `make bench` fills.
"""

import contextlib
import json
import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from typing import IO, Any, NamedTuple

from prefect import task
from prefect.cache_policies import NO_CACHE

from core.benches import ROOT
from tasks.measuring import BESIDE, Measured

log = logging.getLogger("scalp")


class Compared(NamedTuple):
    """`failed`: the benchmarks that could not be taken or whose results differ, with the reason."""

    measured: list[Measured]
    failed: dict[str, str]


@task(task_run_name="measure beside peers", cache_policy=NO_CACHE)
def beside_peers(names: Sequence[str] = ()) -> Compared:
    """Run the named benchmarks (all where none is named), at most some 20 minutes. A benchmark that fails does not stop the others."""
    command = [sys.executable, "-m", "bench", "--json", *names]
    env = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen(
        command, cwd=ROOT, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    said: list[str] = []
    try:
        assert process.stdout and process.stderr
        reading = threading.Thread(target=told, args=(process.stderr, said), daemon=True)
        reading.start()
        printed = process.stdout.read()
        reading.join()
        code = process.wait()
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # its workers too, where this was interrupted
    if not printed.strip():
        raise RuntimeError(f"the benchmarks ended with {code} and no rows: {' '.join(said[-5:]).strip()[-500:]}")
    found = json.loads(printed)
    return Compared([measured(row) for row in found["rows"]], found["failed"])


def told(lines: IO[str], said: list[str]) -> None:
    """Pass progress lines on as they come."""
    for line in lines:
        said.append(line)
        log.info(line.rstrip(), extra={"now": line.strip()})


def measured(row: dict[str, Any]) -> Measured:
    """A row of `bench/` as a measurement. Its spread, there a share of the median, is in the row's unit here."""
    spread = None if row["spread"] is None else row["spread"] * row["ours"]
    beside = {key: row.get(key) for key in BESIDE}
    return Measured(f"{row['bench']}: {row['name']}", row["unit"], row["ours"], spread, row["higher_is_better"], beside)
