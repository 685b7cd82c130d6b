"""What has to stand before a worker can run anything: the work pool, all deployments of `prefect.yaml`, the automations.

A process of its own, with Prefect's environment set: `python -m scalp.up_pool`. Running it again changes nothing.
"""

import importlib.util
import subprocess
import sys
from importlib import import_module

from core.machine import ROOT
from core.orchestrator import POOL

FILE = ROOT / "prefect.yaml"


def pool() -> str:
    """The work pool; one that is there is left as it is, with what was set in the UI."""
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.actions import WorkPoolCreate
    from prefect.exceptions import ObjectNotFound
    from prefect.workers.process import ProcessWorker

    with get_client(sync_client=True) as client:
        try:
            found = client.read_work_pool(POOL)
        except ObjectNotFound:
            template = ProcessWorker.get_default_base_job_template()
            client.create_work_pool(WorkPoolCreate(name=POOL, type="process", base_job_template=template))
            return f"work pool {POOL}: made"
    return f"work pool {POOL}: there" + (", paused: nothing runs until it is resumed in the UI" if found.is_paused else "")


def deployments() -> str:
    """All of `prefect.yaml`. Raises `SystemExit` with Prefect's own words where one is refused."""
    if not FILE.is_file():
        return f"no deployments: there is no {FILE}"
    command = [sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--all", "--prefect-file", str(FILE)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"the deployments of {FILE} were refused:\n{done.stdout}{done.stderr}")
    from prefect.client.orchestration import get_client

    with get_client(sync_client=True) as client:
        names = sorted(one.name for one in client.read_deployments())
    return f"deployments: {', '.join(names)}"


def automations() -> str | None:
    """What the server does by itself: a run that died unheard is called crashed, and the like."""
    if importlib.util.find_spec("tasks.automations") is None:
        return None
    import_module("tasks.automations").ensure()
    return "automations: there"


def orphans() -> str | None:
    """Runs whose worker was killed, that were Running ever since."""
    from scalp import up_runs

    with up_runs.api() as client:
        found = up_runs.orphans(client, "scalp up was killed while it ran")
    return f"called crashed, for their worker was killed: {', '.join(found)}" if found else None


def main() -> None:
    for step in (orphans, pool, deployments, automations):
        if told := step():
            sys.stdout.write(told + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
