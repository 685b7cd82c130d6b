"""A server we start is ready when it says so, tells why when it is not, and never outlives us."""

import http.client
import json
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from core import services
from core.services import Service, ServiceError, stop_leftovers

SLEEPER = [sys.executable, "-c", "import time; print('sleeping', flush=True); time.sleep(600)"]
STUBBORN = [
    sys.executable,
    "-c",
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(600)",
]


def gone(pid: int) -> bool:
    """Within some seconds, which is no promise of speed."""
    until = time.monotonic() + 20
    while time.monotonic() < until:
        if not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
            return True
        time.sleep(0.05)
    return False


def service(folder: Path, command: list[str], ready: Callable[[], bool] = lambda: True, grace_s: float = 10.0) -> Service:
    return Service("thing", command, os.environ, folder / "logs" / "thing.log", ready, grace_s=grace_s)


def said(folder: Path, word: str) -> Callable[[], bool]:
    return lambda: word in (folder / "logs" / "thing.log").read_text()


def test_a_real_web_server_is_started_waited_for_and_stopped(tmp_path: Path):
    port = services.free_port()

    def answers() -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
        connection.request("GET", "/")
        return connection.getresponse().status == 200

    command = [sys.executable, "-m", "http.server", str(port), "--bind", "127.0.0.1"]
    with service(tmp_path, command, answers) as server:
        assert server.wait_ready(60) >= 0
        pid = server.pid
        assert pid is not None and server.alive
        assert list((tmp_path / "pids").iterdir())
    assert gone(pid)
    assert not list((tmp_path / "pids").iterdir())


def test_a_server_that_dies_shows_the_end_of_its_log_and_its_path(tmp_path: Path):
    dying = service(tmp_path, [sys.executable, "-c", "print('no such model'); raise SystemExit(3)"], ready=lambda: False)
    with pytest.raises(ServiceError, match="thing ended with exit code 3") as error, dying:
        dying.wait_ready(60)
    assert "no such model" in str(error.value) and str(dying.log) in str(error.value)


def test_a_server_that_is_never_ready_is_stopped_and_said_so(tmp_path: Path):
    slow, seen = service(tmp_path, SLEEPER, ready=lambda: False), []
    with slow:
        pid = slow.pid
        with pytest.raises(ServiceError, match=r"not ready after 1\.5 s"):
            slow.wait_ready(1.5, progress=seen.append)
        assert pid is not None and gone(pid)
    assert len(seen) == 1


def test_a_program_that_is_not_there_is_an_error_that_names_it(tmp_path: Path):
    absent = service(tmp_path, ["/no/such/server"], ready=lambda: False)
    with pytest.raises(ServiceError, match="/no/such/server"), absent:
        absent.wait_ready(60)


def test_a_server_deaf_to_sigterm_is_killed(tmp_path: Path):
    deaf = service(tmp_path, STUBBORN, said(tmp_path, "deaf"), grace_s=0.2).start()
    deaf.wait_ready(60)
    pid = deaf.pid
    deaf.stop()
    assert pid is not None and gone(pid)


def test_what_the_server_started_itself_is_stopped_with_it(tmp_path: Path):
    start = f"import subprocess as s, time; c = s.Popen({SLEEPER!r}); print('child', c.pid, flush=True); time.sleep(600)"
    parent = service(tmp_path, [sys.executable, "-c", start], said(tmp_path, "child")).start()
    parent.wait_ready(60)
    grandchild = int(parent.log.read_text().split()[1])
    parent.stop()
    assert gone(grandchild)


def test_a_server_outlives_the_thread_that_started_it(tmp_path: Path):
    one = service(tmp_path, SLEEPER, said(tmp_path, "sleeping"))
    thread = threading.Thread(target=one.start)
    thread.start()
    thread.join()
    with one:
        one.wait_ready(60)
        time.sleep(0.3)
        assert one.alive


def test_free_ports_differ():
    assert len(set(services.free_ports(20))) == 20


OWNER = """
    import os, sys, time
    from pathlib import Path
    from core.services import Service

    folder = Path({folder!r})
    log = folder / "logs" / "thing.log"
    one = Service("thing", {command!r}, os.environ, log, lambda: bool(log.read_text())).start()
    one.wait_ready(60)
    print(one.pid, flush=True)
    time.sleep(600)
"""


def owner(folder: Path, command: list[str]) -> tuple[subprocess.Popen[str], int]:
    """A program that started a server, and the server's pid."""
    source = textwrap.dedent(OWNER.format(folder=str(folder), command=command))
    program = subprocess.Popen([sys.executable, "-c", source], stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2])
    assert program.stdout is not None
    return program, int(program.stdout.readline())


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's death signal is Linux's")
def test_a_server_dies_with_a_program_that_is_killed(tmp_path: Path):
    program, pid = owner(tmp_path, SLEEPER)
    program.kill()
    program.wait()
    assert gone(pid)


def test_what_outlives_a_killed_program_is_found_and_ended(tmp_path: Path):
    program, pid = owner(tmp_path, STUBBORN)
    assert stop_leftovers(tmp_path) == []  # its owner runs: not a leftover
    assert psutil.pid_exists(pid)
    program.kill()
    program.wait()
    assert stop_leftovers(tmp_path, grace_s=0.2) == ["thing"]
    assert gone(pid)
    assert not list((tmp_path / "pids").iterdir())


@pytest.mark.parametrize("lie", ["started", "command"], ids=["another start time", "another command line"])
def test_a_stranger_with_the_same_pid_is_never_killed(tmp_path: Path, lie: str):
    stranger = subprocess.Popen(SLEEPER, stdout=subprocess.DEVNULL, start_new_session=True)
    try:
        record = {
            "name": "thing",
            "pid": stranger.pid,
            "started": psutil.Process(stranger.pid).create_time(),
            "command": SLEEPER,
            "owner": 2**22 + 1,
            "owner_started": 0.0,
        }
        record |= {"started": 1.0} if lie == "started" else {"command": ["tritonserver"]}
        (tmp_path / "pids").mkdir()
        (tmp_path / "pids" / f"thing-{stranger.pid}.json").write_text(json.dumps(record))
        assert stop_leftovers(tmp_path, grace_s=0.2) == []
        assert stranger.poll() is None
        assert not list((tmp_path / "pids").iterdir())
    finally:
        os.killpg(stranger.pid, signal.SIGKILL)
        stranger.wait()


def test_a_torn_pid_file_is_put_away(tmp_path: Path):
    (tmp_path / "pids").mkdir()
    (tmp_path / "pids" / "thing-1.json").write_text('{"name": "th')
    assert stop_leftovers(tmp_path) == []
    assert not list((tmp_path / "pids").iterdir())
