"""One command starts everything and says where it is; what dies comes back; whatever ends it, nothing is left running."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from sqlalchemy import create_engine, text

from core import orchestrator, pids, stack
from core.holding import holding
from core.stack_parts import State
from tests.core.ledgers import postgres, postgres_binaries
from tests.scalp.conftest import PATIENCE_S, Started, at_work_in, environment, scalp

pytestmark = [pytest.mark.server, pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")]

STATES = {"server": "healthy", "pool": "done", "worker": "healthy", "venue": "healthy", "live": "healthy"}


def started(data: Path, *words: str) -> Started:
    """A stack that outlives the test that asks for it first."""
    run = Started(data, "up", "--port", "0", *words, SCALP_VENUE__SPEED="1")
    Started.all.remove(run)
    return run


def until(so: Callable[[], object], what: str) -> None:
    began = time.monotonic()
    while not so():
        assert time.monotonic() - began < PATIENCE_S, what
        time.sleep(0.1)


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Started]]:
    """A data folder on which a stack runs."""
    data = tmp_path_factory.mktemp("up") / "data"
    run = started(data, "--only", ",".join(STATES))
    try:
        for name in STATES:
            run.until(lambda name=name: re.search(rf"^{name} +\| (healthy|done)", run.output, re.MULTILINE))
        run.until("parts up, after")
        yield data, run
    finally:
        run.process.kill()
        run.process.wait()


def told(data: Path) -> dict[str, dict[str, object]]:
    return json.loads(scalp(data, "status", "--json").stdout)["parts"]


def test_when_all_is_healthy_one_table_says_where_everything_is(up: tuple[Path, Started]):
    data, run = up
    for name, state in STATES.items():
        assert re.search(rf"^{name} +{state} ", run.output, re.MULTILINE), run.output
    assert re.search(r"^worker +\| +\S", run.output, re.MULTILINE), "logs are followed with the name before"
    password = orchestrator.password_file(data)
    assert password.name in run.output and password.stat().st_mode & 0o077 == 0
    (address,) = set(re.findall(r"^server +healthy +(http://127\.0\.0\.1:\d+)", run.output, re.MULTILINE))
    assert "<title>" in httpx.get(f"{address}/").text
    assert httpx.post(f"{address}/api/flow_runs/filter", json={}).status_code in (401, 403)


def test_status_tells_any_other_terminal(up: tuple[Path, Started]):
    data, run = up
    parts = told(data)
    assert {name: part["state"] for name, part in parts.items()} == STATES
    assert all(Path(str(part["log"])).is_file() and part["restarts"] == 0 for part in parts.values())
    said = scalp(data, "status")
    assert said.returncode == 0 and f"process {run.process.pid}" in said.stdout and "scalp down" in said.stdout


def test_a_second_one_on_the_folder_is_refused_by_the_first_ones_pid(up: tuple[Path, Started]):
    data, run = up
    said = scalp(data, "up", "--port", "0")
    assert said.returncode == 3
    assert f"process {run.process.pid}" in said.stderr and "scalp down" in said.stderr


def test_what_is_killed_is_started_again(up: tuple[Path, Started]):
    data, run = up
    pid = told(data)["worker"]["pid"]
    assert isinstance(pid, int)
    os.kill(pid, signal.SIGKILL)
    run.until("ended with SIGKILL; started again in")
    until(lambda: told(data)["worker"]["state"] == "healthy", run.output)
    after = told(data)["worker"]
    assert after["restarts"] == 1 and after["pid"] != pid


def test_a_run_typed_beside_it_uses_its_server(up: tuple[Path, Started]):
    data, run = up
    done = scalp(data, "ingest")
    assert done.returncode == 0, done.stderr
    assert f"using Prefect of scalp up (process {run.process.pid})" in done.stdout
    assert sum("server start" in command for command in at_work_in(data)) == 1
    now = stack.running(data)
    assert now is not None
    auth = (orchestrator.USER, orchestrator.password(data))
    token = httpx.get(f"{now.prefect_url}/api/csrf-token?client=test", auth=auth).json()["token"]
    headers = {"Prefect-Csrf-Token": token, "Prefect-Csrf-Client": "test"}
    found = httpx.post(f"{now.prefect_url}/api/flow_runs/filter", json={}, auth=auth, headers=headers).json()
    assert "COMPLETED" in {flow_run["state_type"] for flow_run in found}


def test_killed_with_a_flow_at_work_it_leaves_nothing_and_the_next_one_says_so_and_ends_in_order(up: tuple[Path, Started]):
    data, run = up
    now = stack.running(data)
    assert now is not None
    address = now.prefect_url.removeprefix("http://").split(":")
    asking = environment(data) | orchestrator.environment(data, address[0], int(address[1]))
    deploy = [sys.executable, "-m", "prefect", "deployment", "run", "ingest/ingest"]
    subprocess.run(deploy, env=asking, capture_output=True, check=True, timeout=PATIENCE_S)
    for deep in ("prefect.engine", "serving.guard", "serving.fanout"):  # what the worker and the live worker start themselves
        until(lambda deep=deep: any(deep in command for command in at_work_in(data)), f"no {deep}")
    run.process.kill()
    run.process.wait()
    until(lambda: not at_work_in(data), f"still at work: {at_work_in(data)}")
    status = scalp(data, "status")
    assert status.returncode == 1 and "was killed" in status.stdout and "scalp up" in status.stdout

    again = started(data, "--only", "pool")
    try:
        again.until("2 of 2 parts up, after")
        assert f"the last scalp up here (process {run.process.pid}" in again.output and "was killed" in again.output
        assert re.search(r"pool +\| called crashed, for their worker was killed: ", again.output), "else it would be Running for ever"
        down = scalp(data, "down")
        assert down.returncode == 0 and "stopped server" in down.stdout
        assert again.process.wait(30) == 0 and "stopped server" in again.output
        until(lambda: not at_work_in(data), "something is left")
    finally:
        again.process.kill()
    assert scalp(data, "down").returncode == 0


def test_beside_a_run_with_a_server_of_its_own_it_is_refused_for_there_is_one_over_the_database(tmp_path: Path):
    with holding(tmp_path, "scalp run"):
        said = scalp(tmp_path, "up", "--only", "server", "--port", "0")
    assert said.returncode == 3
    assert f"held by 'scalp run' (process {os.getpid()}" in said.stderr
    assert not (tmp_path / "prefect" / "prefect.db").exists()


BESIDE = """
import sys, threading, time
from pathlib import Path
from core.stack import running
from scalp.session import end_with
folder = Path(sys.argv[1])
threading.Thread(target=end_with, args=(running(folder), folder, threading.Event()), daemon=True).start()
print("at work", flush=True)
time.sleep(600)
"""


def test_a_run_that_uses_its_server_ends_with_it_and_says_why(tmp_path: Path):
    stand_in = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    parts = {"server": stack.PartTold(state=State.HEALTHY)}
    stack.write(tmp_path, stack.Running(pid=stand_in.pid, started=pids.start_time(stand_in.pid), since="now", parts=parts))
    run = subprocess.Popen([sys.executable, "-c", BESIDE, tmp_path], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert run.stdout is not None and run.stdout.readline() == "at work\n"
        stand_in.kill()
        stand_in.wait()
        _, said = run.communicate(timeout=PATIENCE_S)
        assert run.returncode == 1
        assert said.startswith(f"failed: scalp up (process {stand_in.pid}), whose Prefect this run used, has ended")
    finally:
        stand_in.kill()
        run.kill()


@pytest.mark.skipif(postgres_binaries() is None, reason="no PostgreSQL here: apt-get install postgresql")
def test_prefect_keeps_its_history_in_postgresql_where_that_is_asked_for(tmp_path: Path):
    data = tmp_path / "data"
    with postgres(tmp_path) as url:
        run = Started(data, "up", "--only", "pool", "--port", "0", SCALP_PREFECT__DATABASE_URL=url.replace("+psycopg", "+asyncpg"))
        run.until("parts up, after")
        assert {name: part["state"] for name, part in told(data).items()} == {"server": "healthy", "pool": "done"}
        with create_engine(url).connect() as connection:
            assert connection.execute(text("SELECT count(*) FROM deployment WHERE name = 'ingest'")).scalar() == 1
        assert not list(data.rglob("prefect.db")), "nothing in SQLite"
        assert scalp(data, "down").returncode == 0 and run.process.wait(30) == 0, run.output


def test_with_nothing_running_it_is_said_what_to_type(tmp_path: Path):
    status = scalp(tmp_path / "data", "status")
    assert status.returncode == 1 and "scalp up" in status.stdout
    down = scalp(tmp_path / "data", "down")
    assert down.returncode == 0 and "nothing to stop" in down.stdout
    assert not (tmp_path / "data").exists()


def test_a_taken_port_is_told_with_who_has_it_and_nothing_is_started(tmp_path: Path):
    with socket.create_server(("127.0.0.1", 0)) as held:
        port = str(held.getsockname()[1])
        said = scalp(tmp_path / "data", "up", "--port", port)
    assert said.returncode == 2
    assert f"port {port} is taken by process {os.getpid()}" in said.stderr and "--port N" in said.stderr
    assert not at_work_in(tmp_path / "data")


def test_a_part_there_is_not_is_told_with_those_there_are(tmp_path: Path):
    said = scalp(tmp_path / "data", "up", "--only", "tritn")
    assert said.returncode == 2 and "there is no part tritn; there are server, pool" in said.stderr
