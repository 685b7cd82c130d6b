"""What a batch verb stands on: the folder held, a local Prefect server, and everything started stopped again.

    with session("scalp run") as session:      # the server is up, the environment set
        stages = session.flow(lambda: ...)     # flows are imported only here, when Prefect can read its environment

Ctrl-C ends it the same way: servers are stopped, half-written files are left to the next sweep, nothing finished is lost. Where
`scalp up` runs on the folder, its server is used: there is one over the database.
"""

import asyncio
import contextlib
import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from core import machine, orchestrator, runs, settings
from core.holding import holding
from core.services import Service, ServiceError, answers, free_ports, stop_leftovers
from core.stack import PartTold, Running, running
from core.stack_parts import State
from core.store import Store
from scalp.console import counted
from scalp.failures import FAILED

log = logging.getLogger("scalp")


@dataclass(frozen=True, slots=True)
class Session:
    config: settings.Settings
    store: Store
    run_id: str
    run_folder: Path

    def flow(self, made: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
        """Run a flow to its end; `made` imports it and calls it. Ctrl-C and SIGTERM end it where it is, as `KeyboardInterrupt`."""
        from prefect.exceptions import TerminationSignal

        async def run() -> Any:
            asyncio.get_running_loop().set_default_executor(Impatient())
            return await made()

        # With a handler of our own asyncio leaves Ctrl-C alone; its own is not heard before a stage in the main thread has ended.
        before = signal.signal(signal.SIGINT, interrupt)
        try:
            return asyncio.run(run())
        except TerminationSignal:  # what Prefect makes of SIGTERM while a flow runs
            raise KeyboardInterrupt from None
        finally:
            signal.signal(signal.SIGINT, before)


class Impatient(ThreadPoolExecutor):
    """Threads that nobody waits for: after Ctrl-C those still inside a kernel end with the process."""

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        super().shutdown(wait=False, cancel_futures=True)


def interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def prefect_server(config: settings.Settings, port: int) -> tuple[Service, dict[str, str]]:
    """The server, not yet started, and the environment that it and its clients share."""
    host = config.prefect.host
    environment = orchestrator.environment(config.data_dir, host, port)
    database = orchestrator.server_environment(config.prefect.database_url.get_secret_value())
    log_file = config.data_dir / "logs" / "prefect.log"
    command = orchestrator.server_command(host, port)
    health = f"{environment['PREFECT_API_URL']}/health"
    return Service("prefect", command, log=log_file, ready=lambda: answers(health), env=os.environ | environment | database), environment


def drain() -> None:
    """Hand the last run logs and events to the server before it goes."""
    from prefect.events.worker import EventsWorker
    from prefect.logging.handlers import APILogWorker

    APILogWorker.drain_all(timeout=5)
    EventsWorker.drain_all(timeout=5)


def import_flows() -> None:
    """Import what the verbs run. An error is left to the verb, which imports it again and tells."""
    with contextlib.suppress(Exception):
        import_module("flows.nightly")


@contextlib.contextmanager
def prefect(config: settings.Settings, meanwhile: Callable[[], None]) -> Iterator[None]:
    """A server that answers, and its environment as ours: that of the running stack, else one of our own while the block runs.

    `meanwhile` is called once the environment is set, before the server has to answer. Raises `ServiceError`.
    """
    stack = running(config.data_dir)
    if stack is not None and stack.prefect_url:
        where = urlsplit(stack.prefect_url)
        log.info("using Prefect of scalp up (process %d)", stack.pid, extra={"stage": "waiting for Prefect"})
        os.environ.update(orchestrator.environment(config.data_dir, where.hostname or "", where.port or 0))
        meanwhile()
        until = time.monotonic() + config.prefect.start_timeout_s
        while not answering(f"{stack.prefect_url}/api/health"):
            if time.monotonic() > until or not stack.lives:
                raise ServiceError(f"Prefect of scalp up (process {stack.pid}) does not answer at {stack.prefect_url}; see scalp status")
            time.sleep(0.2)
        done = threading.Event()
        threading.Thread(target=end_with, args=(stack, config.data_dir, done), daemon=True).start()
        try:
            yield
        finally:
            done.set()
        return
    server, environment = prefect_server(config, config.prefect.port or free_ports(1)[0])
    log.info("starting Prefect", extra={"stage": "starting Prefect"})
    os.environ.update(environment)
    with server:
        meanwhile()
        server.wait_ready(config.prefect.start_timeout_s)
        yield


def end_with(stack: Running, data_dir: Path, done: threading.Event) -> None:
    """End this process when the stack ends whose server it uses: Prefect's client would try to reach it for ever, deaf to signals.

    What was being written has a temporary name and is swept next time; servers we started die with us.
    """
    while not done.wait(1.0):
        now = running(data_dir)
        if now is None or now.pid != stack.pid or ended(now.parts["server"]):
            said = f"scalp up (process {stack.pid}), whose Prefect this run used, has ended; what was finished is kept, run it again"
            os.write(2, f"failed: {said}\n".encode())
            os._exit(FAILED)


def ended(server: PartTold) -> bool:
    """Whether it stops for good. One that is stopped for a reason is started again, and Prefect's client waits for it."""
    return server.state in (State.STOPPED, State.DOWN) or (server.state is State.STOPPING and not server.why)


def answering(url: str) -> bool:
    try:
        return answers(url)
    except OSError:
        return False


@contextlib.contextmanager
def session(what: str) -> Iterator[Session]:
    """Hold the data folder and run a Prefect server while the block runs. Raises `Held`, `SettingsError`, `ServiceError`.

    Where `scalp up` runs, its schedules and events start runs at any time: then the verb waits for its turn, else it is refused.
    """
    config = settings.load()
    wait_s = config.up.wait_s if running(config.data_dir) else 0.0
    with holding(config.data_dir, what, wait_s=wait_s, told=log.info):
        for name in stop_leftovers(config.data_dir):
            log.info("stopped %s, left over from a run that was killed", name)
        store = Store(config.lake, code=machine.code_version())
        if swept := store.sweep():
            log.info("removed %s of a run that was killed", counted(swept, "half-written file"))
        run_folder = runs.new_folder(config.data_dir)
        within = runs.RUN_FOLDER.set(run_folder)
        imports = threading.Thread(target=import_flows, daemon=True)  # takes as long as the server does
        with prefect(config, imports.start):
            imports.join()
            try:
                yield Session(config, store, run_folder.name, run_folder)
            finally:
                runs.RUN_FOLDER.reset(within)
                drain()
