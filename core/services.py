"""Local servers as child processes: start, wait until ready, stop, and find what a killed run left behind.

    Service(name, command, log=data_dir / "logs" / "x.log", ready=probe) -> start -> wait_ready -> stop

A service runs in a session of its own, so Ctrl-C reaches only us and we stop it in order. It dies with us, also when we
are killed: on Linux the kernel sends it SIGTERM. Its pid file, in `pids/` beside `logs/`, lets `stop_leftovers` end what
outlived a killed run all the same (another system, a server that ignored the signal).
"""

import atexit
import contextlib
import http.client
import os
import queue
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar
from urllib.parse import urlsplit

from core import pids
from core.pids import GRACE_S, stop_leftovers

__all__ = ["Service", "ServiceError", "answers", "free_port", "free_ports", "log_tail", "stop_leftovers"]

Made = TypeVar("Made")
TAIL_LINES = 20
PR_SET_PDEATHSIG = 1
# Asking for the signal between fork and exec would run Python in a forked child of a threaded process. So a fresh
# interpreter asks for it, checks that the parent did not die meanwhile, and becomes the server.
LAUNCH = (
    "import ctypes,os,sys\n"
    f"ctypes.CDLL(None).prctl({PR_SET_PDEATHSIG},{int(signal.SIGTERM)})\n"
    "os.getppid()==int(sys.argv[1]) or sys.exit('the program that started this has ended')\n"
    "os.execvp(sys.argv[2],sys.argv[2:])"
)


class ServiceError(RuntimeError):
    """A server that did not start, did not become ready or died; the message shows the end of its log and where the rest is."""


class Service:
    """One server. As a context manager it is started on entry (not yet waited for) and stopped on exit, whatever happened.

    `env` is the whole environment. `log` is `<data_dir>/logs/<file>` (else name the `data_dir`). `ready` is asked until it
    says True and may raise `OSError` for "not yet".
    """

    def __init__(
        self,
        name: str,
        command: list[str],
        env: Mapping[str, str],
        log: Path,
        ready: Callable[[], bool],
        *,
        data_dir: Path | None = None,
        grace_s: float = GRACE_S,
    ) -> None:
        self.name, self.command, self.env, self.log, self.ready, self.grace_s = name, command, dict(env), log, ready, grace_s
        self._pids = (data_dir or log.parent.parent) / "pids"
        self._process: subprocess.Popen[bytes] | None = None
        self._pid_file: Path | None = None

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    @property
    def alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def exit_code(self) -> int | None:
        """Of one that ended by itself and was not stopped since; negative: the signal it died of."""
        return self._process.poll() if self._process else None

    @property
    def exit_words(self) -> str:
        return _exit_words(self.exit_code)

    def start(self) -> Self:
        """Start the server, unless it runs; the log before goes to `<log>.1`. Raises `ServiceError` where the program cannot be started."""
        if self.alive:
            return self
        if shutil.which(self.command[0], path=self.env.get("PATH")) is None:
            raise ServiceError(f"{self.name} could not be started: there is no program {self.command[0]}")
        self.log.parent.mkdir(parents=True, exist_ok=True)
        if self.log.exists():  # why it died the last time is in there
            self.log.replace(self.log.with_name(f"{self.log.name}.1"))
        launch = [sys.executable, "-I", "-S", "-c", LAUNCH, str(os.getpid())] if sys.platform == "linux" else []
        with self.log.open("wb") as log:
            try:
                process = self._process = _from_lasting_thread(
                    lambda: subprocess.Popen(
                        launch + self.command,
                        env=self.env,
                        stdin=subprocess.DEVNULL,
                        stdout=log,
                        stderr=subprocess.STDOUT,
                        start_new_session=True,
                    )
                )
            except OSError as error:
                raise ServiceError(f"{self.name} could not be started: {error}") from error
        atexit.register(self.stop)
        self._pid_file = pids.write(self._pids, self.name, process.pid, self.command)
        return self

    def wait_ready(self, timeout: float, progress: Callable[[float], None] | None = None) -> float:
        """Wait until `ready` says so; returns the seconds it took. `progress` is called about once a second with those so far.

        Raises `ServiceError` when the server dies or is not ready in time; it is stopped then.
        """
        begun = told = time.monotonic()
        while True:
            if not self.alive:
                code = self.exit_words
                self.stop()
                raise ServiceError(f"{self.name} ended with {code} before it was ready.\n{self.tail()}")
            with contextlib.suppress(OSError):
                if self.ready():
                    return time.monotonic() - begun
            now = time.monotonic()
            if now - begun > timeout:
                self.stop()
                raise ServiceError(f"{self.name} was not ready after {timeout:g} s.\n{self.tail()}")
            if progress and now - told >= 1:
                told = now
                progress(now - begun)
            time.sleep(0.05 if now - begun < 2 else 0.2)

    def stop(self) -> None:
        """SIGTERM, then SIGKILL to its whole group after the grace period. Safe to call twice; a Ctrl-C meanwhile kills at once."""
        process, self._process = self._process, None
        if process is not None:
            try:
                if process.poll() is None:
                    process.terminate()
                    process.wait(self.grace_s)
            except subprocess.TimeoutExpired:
                pass  # killed below
            finally:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(process.pid, signal.SIGKILL)  # also what the server started itself
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(self.grace_s)
                atexit.unregister(self.stop)
        if self._pid_file is not None:
            self._pid_file.unlink(missing_ok=True)
            self._pid_file = None

    def tail(self) -> str:
        """The end of the log, and its path."""
        return log_tail(self.log)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()


def log_tail(log: Path, lines: int = TAIL_LINES) -> str:
    """The last lines of a log file, indented, under its path."""
    if not log.exists():
        return f"There is no log at {log}."
    text = log.read_bytes()[-64_000:].decode(errors="replace").splitlines()
    return "\n".join([f"The end of its log ({log}):", *(f"  | {line}" for line in text[-lines:] or ["(empty)"])])


def answers(url: str, timeout_s: float = 2.0) -> bool:
    """Whether a GET there says 200. Raises `OSError` where nobody listens."""
    where = urlsplit(url)
    connection = http.client.HTTPConnection(where.hostname or "", where.port, timeout=timeout_s)
    try:
        connection.request("GET", where.path or "/")
        return connection.getresponse().status == 200
    except http.client.HTTPException:
        return False
    finally:
        connection.close()


def free_port(host: str = "127.0.0.1") -> int:
    """A port that is free just now."""
    return free_ports(1, host)[0]


def free_ports(n: int, host: str = "127.0.0.1") -> list[int]:
    """`n` different ports that are free just now. Somebody may still take one: a server that loses the race should be started again."""
    with contextlib.ExitStack() as stack:
        held = [stack.enter_context(socket.socket()) for _ in range(n)]
        for one in held:
            one.bind((host, 0))
        return [int(one.getsockname()[1]) for one in held]


def _exit_words(code: int | None) -> str:
    if code is None or code >= 0:
        return f"exit code {code}"
    with contextlib.suppress(ValueError):
        return signal.Signals(-code).name
    return f"signal {-code}"


_requests: queue.SimpleQueue[tuple[Callable[[], Any], queue.SimpleQueue[Any]]] = queue.SimpleQueue()
_starter_lock = threading.Lock()
_starter: threading.Thread | None = None


def _serve_requests() -> None:
    while True:
        make, answer = _requests.get()
        try:
            answer.put((make(), None))
        except BaseException as error:  # handed to the caller, who raises it
            answer.put((None, error))


def _from_lasting_thread(make: Callable[[], Made]) -> Made:
    """Run `make` in a thread that lives as long as the process: a server must not die with the worker thread that asked for it."""
    global _starter  # noqa: PLW0603 (one per process, started when first needed)
    with _starter_lock:
        if _starter is None or not _starter.is_alive():
            _starter = threading.Thread(target=_serve_requests, name="services", daemon=True)
            _starter.start()
    answer: queue.SimpleQueue[Any] = queue.SimpleQueue()
    _requests.put((make, answer))
    made, error = answer.get()
    if error is not None:
        raise error
    return made
