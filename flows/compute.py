"""Where the tasks of a flow run: threads of its own process, or a Dask cluster; the same flow and the same results either way.

    @flow(task_runner=BySettings(2))              # SCALP_COMPUTE=threads | dask, read when the flow starts

Dask: the scheduler at SCALP_DASK__ADDRESS, else a cluster of processes on this machine for the length of the run.
"""

import logging
from typing import Any

from prefect.task_runners import TaskRunner, ThreadPoolTaskRunner

from core import settings
from core.settings import Settings

# What a worker runs first: Ctrl-C goes to all processes of a terminal, and a worker's end is its cluster's to say.
QUIET = "import logging, signal; signal.signal(signal.SIGINT, signal.SIG_IGN); logging.getLogger('distributed').setLevel(logging.ERROR)"


def runner(config: Settings, workers: int) -> TaskRunner[Any]:
    """The task runner that the settings name; `workers` threads, where it is threads."""
    if config.compute == "threads":
        return ThreadPoolTaskRunner(max_workers=workers)
    from prefect_dask.task_runners import DaskTaskRunner  # a second to import, and not needed by most

    if config.dask.address:
        return DaskTaskRunner(address=config.dask.address)
    cluster = {"n_workers": config.dask.workers, "threads_per_worker": 1, "processes": True}
    # Whoever reaches a scheduler runs code as its owner: loopback, and TLS with keys made for this run keeps other users out.
    closed = {"host": "127.0.0.1", "dashboard_address": "127.0.0.1:0", "security": True}
    return DaskTaskRunner(cluster_kwargs=cluster | closed | {"silence_logs": logging.ERROR, "preload": [QUIET]})


class BySettings(ThreadPoolTaskRunner):
    """Stands for `runner`: Prefect copies a flow's task runner when a run of it begins, and the copy is the one that the settings name."""

    def __init__(self, workers: int | None = None) -> None:
        """`workers` threads, where it is threads; None for as many as a backfill has chunks at a time."""
        super().__init__()
        self.workers = workers

    def duplicate(self) -> Any:
        config = settings.load()
        return runner(config, self.workers or config.backfill.parallel)
