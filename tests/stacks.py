"""`scalp up` with server, pool and worker, on a small generated market: one for all tests that look at it from outside."""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID

from core import orchestrator, stack
from tests.scalp.conftest import PATIENCE_S, SCALP, environment

Found = TypeVar("Found")
# The market must have room for a train; the worker asks for work every 2 s.
SMALL = {"SCALP_GENERATOR__FRAMES_PER_S": "1", "SCALP_UP__WORKER_LIMIT": "2"}


@dataclass(frozen=True)
class Stack:
    data: Path
    url: str

    @property
    def password(self) -> str:
        """As the login form of the user interface wants it."""
        return f"{orchestrator.USER}:{orchestrator.password(self.data)}"

    @property
    def env(self) -> dict[str, str]:
        """Ours, with the addresses of the stack."""
        host, port = self.url.removeprefix("http://").split(":")
        return environment(self.data, **SMALL) | orchestrator.environment(self.data, host, int(port))

    @contextmanager
    def client(self) -> Iterator[Any]:
        """Prefect's own client of the stack's server."""
        from prefect.client.orchestration import get_client
        from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_URL, temporary_settings

        with (
            temporary_settings({PREFECT_API_URL: f"{self.url}/api", PREFECT_API_AUTH_STRING: self.password}),
            get_client(sync_client=True) as client,
        ):
            yield client

    def run(self, deployment: str, **parameters: Any) -> UUID:
        """Start a run as the button does; returns its id."""
        with self.client() as client:
            of = client.read_deployment_by_name(f"{deployment}/{deployment}")
            return client.create_flow_run_from_deployment(of.id, parameters=parameters).id

    def ended(self, run: UUID) -> Any:
        """The flow run, when it has ended."""
        with self.client() as client:
            return until(lambda: (found := client.read_flow_run(run)).state.is_final() and found, f"run {run} ends")


def until(so: Callable[[], Found], what: str, seconds: float = PATIENCE_S) -> Found:
    """What `so` gives, as soon as it gives something."""
    began = time.monotonic()
    while not (found := so()):
        assert time.monotonic() - began < seconds, f"it did not come to this: {what}"
        time.sleep(0.1)
    return found


@contextmanager
def started(folder: Path) -> Iterator[Stack]:
    """The stack, with every part healthy, until the block ends."""
    data, log = folder / "data", folder / "up.txt"
    with log.open("wb") as file:
        process = subprocess.Popen(
            [SCALP, "up", "--only", "server,pool,worker", "--port", "0"],
            env=environment(data, **SMALL),
            cwd=folder,
            stdout=file,
            stderr=subprocess.STDOUT,
            process_group=0,
        )

    def healthy() -> stack.Running | None:
        assert process.poll() is None, f"scalp up ended:\n{log.read_text()}"
        told = stack.running(data)
        return told if told and told.parts and all(part.up for part in told.parts.values()) else None

    try:
        told = until(healthy, "the stack is up")
        assert told
        yield Stack(data, told.prefect_url)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGINT)
        process.wait(60)
