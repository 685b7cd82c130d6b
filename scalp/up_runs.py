"""Flow runs whose worker is gone: their processes are ended, and the server is told that they crashed.

    the server's list of runs of our worker, not ended -> those whose process does not live -> Crashed, with what nested in them

Prefect's worker ends the processes of its runs when it is stopped, and tells nobody: they would be Running for ever, and hold the places of
their deployments. `python -m scalp.up_runs` after the worker was stopped; `orphans` before it is started. Plain HTTP: importing Prefect
would take longer than all of it.
"""

import contextlib
import os
import socket
import sys
import time
from collections.abc import Iterator
from typing import Any

import httpx

OPEN = ["RUNNING", "PENDING", "CANCELLING"]  # one that is suspended has no process, and goes on when it is resumed
ENGINES = ("prefect.engine", "prefect.flow_engine", "prefect.runner._workspace_supervisor")
LIMIT = 200
GRACE_S = 10.0


def worker_name() -> str:
    """Of the worker of this machine."""
    return f"scalp-up-{socket.gethostname()}"


def main() -> None:
    from core import settings
    from core.stack_marks import marked

    data_dir = settings.load().data_dir
    end([pid for pid in marked(data_dir) if engine(pid)])
    with api() as client:
        for name in orphans(client, "scalp up was stopped while it ran"):
            sys.stdout.write(f"{name}: was at work, is called crashed now\n")


@contextlib.contextmanager
def api() -> Iterator[httpx.Client]:
    """Prefect's server as the environment names it."""
    url, (user, _, password) = os.environ["PREFECT_API_URL"], os.environ["PREFECT_API_AUTH_STRING"].partition(":")
    with httpx.Client(base_url=url, auth=(user, password), timeout=10, trust_env=False) as client:
        token = client.get("/csrf-token", params={"client": worker_name()}).raise_for_status().json()["token"]
        client.headers.update({"Prefect-Csrf-Token": token, "Prefect-Csrf-Client": worker_name()})
        yield client


def orphans(client: httpx.Client, message: str) -> list[str]:
    """Call the runs crashed that our worker began and whose process is gone; returns their names. Raises `httpx.HTTPError`."""
    begun = read(client, {"flow_runs": {"state": {"type": {"any_": OPEN}}}})
    ours = [run for run in begun if run["labels"].get("prefect.worker.name") == worker_name()]
    ended = []
    for run in ours:
        if str(run["infrastructure_pid"] or "").isdigit() and engine(int(run["infrastructure_pid"])):
            continue  # it outlived its worker, and will tell its end itself
        crash(client, run, message)
        ended.append(f"{run['name']} ({run['id']})")
    return ended


def crash(client: httpx.Client, run: dict[str, Any], message: str) -> None:
    """A run, after those that it had started."""
    nested = {"flow_runs": {"parent_flow_run_id": {"any_": [run["id"]]}, "state": {"type": {"any_": OPEN}}}}
    for inner in read(client, nested):
        crash(client, inner, message)
    state = {"type": "CRASHED", "name": "Crashed", "message": message}
    client.post(f"/flow_runs/{run['id']}/set_state", json={"state": state, "force": True}).raise_for_status()


def read(client: httpx.Client, asked: dict[str, Any]) -> list[dict[str, Any]]:
    return client.post("/flow_runs/filter", json=asked | {"limit": LIMIT}).raise_for_status().json()


# Processes


def engine(pid: int) -> bool:
    """Whether this is a process that runs a flow."""
    import psutil

    with contextlib.suppress(psutil.Error):
        process = psutil.Process(pid)
        return process.status() != psutil.STATUS_ZOMBIE and any(word in process.cmdline() for word in ENGINES)
    return False


def end(pids: list[int]) -> None:
    """SIGTERM, and SIGKILL after the grace."""
    import psutil

    for signalled in ("terminate", "kill"):
        for pid in filter(engine, pids):
            with contextlib.suppress(psutil.Error):
                getattr(psutil.Process(pid), signalled)()
        until = time.monotonic() + GRACE_S
        while any(map(engine, pids)) and time.monotonic() < until:
            time.sleep(0.1)


if __name__ == "__main__":
    main()
