"""`scalp doctor` names what is wrong and the command that mends it; its estimate says what it stands on."""

import importlib.metadata
import json
import os
import socket
import time
from pathlib import Path

import pytest

from core import capacity, checks, settings, stack
from core.capacity import Stored, Took
from core.checks import Check, Level
from core.ledger import Ledger, url_of
from core.ledger_control import latch
from scalp import doctor_folder, doctor_machine, doctor_packages
from tests.scalp.conftest import Finished, scalp

GB = 1_000_000_000


@pytest.mark.parametrize(
    ("check", "level", "said"),
    [
        (checks.disk("/d", 0.2 * GB, 100 * GB), "fail", "0.2 GB free of 100 GB"),
        (checks.disk("/d", 5 * GB, 100 * GB), "warn", "5.0 GB free"),
        (checks.disk("/d", 50 * GB, 100 * GB), "ok", "50.0 GB free"),
        (checks.inodes("/d", 10, 1_000_000), "fail", "10 of 1,000,000 free"),
        (checks.inodes("/d", 0, 0), "ok", "no limit"),
        (checks.memory(1 * GB, 8 * GB), "fail", "1.0 GB available"),
        (checks.memory(6 * GB, 8 * GB), "ok", "6.0 GB available"),
        (checks.cores(1, 0.1), "warn", "1 core, load 0.1"),
        (checks.cores(2, 9.0), "warn", "more wants to run than can"),
        (checks.clock(1.5, 0.3, 10**9, 0, True, "UTC"), "warn", "it jumped by +1.200 s"),
        (checks.clock(0.3, 0.3, 0, 10**9, True, "UTC"), "fail", "days behind"),
        (checks.clock(0.3, 0.3, 10**9, 0, False, "CET"), "warn", "not synchronised"),
        (checks.clock(0.3, 0.3, 10**9, 0, True, "CET"), "ok", "time zone CET"),
    ],
)
def test_numbers_are_judged_and_what_is_not_well_comes_with_what_mends_it(check: Check, level: str, said: str):
    assert check.level == level and said in check.said
    assert bool(check.mend) == (level != "ok")


def test_a_package_out_of_its_range_is_named_with_the_command_that_mends_it():
    wanted = ["fastapi<0.151,>=0.139", "prefect<3.9,>=3.8.8", "torch==2.13.0", 'asyncpg>=0.30; extra == "postgres"', 'ruff; extra == "dev"']
    installed = {"fastapi": "0.165.0", "prefect": "3.8.8", "torch": "2.13.0+cpu"}
    found = checks.requirements(wanted, installed.get, {})
    assert found.level == "fail" and found.said == "fastapi 0.165.0 is installed, <0.151,>=0.139 is asked for"
    assert found.mend == "pip install 'fastapi<0.151,>=0.139'"
    found = checks.requirements(wanted[1:], installed.get, {"postgres": "a database of PostgreSQL is set"})
    assert found.said == "asyncpg is not installed (a database of PostgreSQL is set)"
    assert checks.requirements(wanted[1:3], installed.get, {}).level == "ok"


def test_what_is_installed_here_is_what_is_asked_for():
    found = doctor_packages.packages(settings.Settings())
    assert found.level == "ok", found
    assert importlib.metadata.version("fastapi") < "0.151"


def test_the_package_that_only_has_the_name_of_ebpf_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    folder = tmp_path / "bcc-0.4.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: bcc\nVersion: 0.4\n")
    assert [check.level for check in doctor_packages.strangers()] == ["ok"]
    monkeypatch.syspath_prepend(str(tmp_path))
    (found,) = doctor_packages.strangers()
    assert found.level == "fail" and "pip uninstall bcc" in found.mend


def test_the_kernels_word_on_the_clock_is_heard():
    assert doctor_machine.synchronised() in (True, False, None)
    assert doctor_machine.clock().name == "clock"


# The folder


def by_name(found: list[Check]) -> dict[str, Check]:
    return {check.name: check for check in found}


def test_a_taken_port_is_told_with_who_has_it(data_dir: Path, monkeypatch: pytest.MonkeyPatch):
    with socket.create_server(("127.0.0.1", 0)) as held:
        port = held.getsockname()[1]
        monkeypatch.setenv("SCALP_UP__PORT", str(port))
        (found,) = doctor_folder.asked_ports(settings.read())
        assert found.level == "fail" and f"{port} (up.port) is taken by process {os.getpid()}" in found.said and "--port 0" in found.mend


def test_a_stack_that_was_killed_is_told(tmp_path: Path):
    assert doctor_folder.stack_check(tmp_path).level == "ok"
    stack.write(tmp_path, stack.Running(pid=os.getpid(), started=1.0, since="long ago"))
    found = doctor_folder.stack_check(tmp_path)
    assert found.level == "warn" and "was killed" in found.said and "scalp down" in found.mend


def test_a_dead_workers_lease_and_the_kill_switch_are_told(data_dir: Path):
    config = settings.read()
    assert [check.said for check in doctor_folder.ledger(config)] == ["none yet; scalp live makes one"]
    with Ledger(url_of(data_dir)) as ledger:
        ledger.take("local/main", f"{socket.gethostname()}:{2**22 + 1}", time.time_ns(), 600.0)
        assert latch(ledger, "local/main", "too many orders", "somebody", time.time_ns())
    found = by_name(doctor_folder.ledger(config))
    assert "which is dead" in found["lease"].said and "ends by itself" in found["lease"].mend
    assert "too many orders" in found["kill switch"].said and "scalp rearm" in found["kill switch"].mend


def test_what_a_killed_run_left_half_written_is_counted(data_dir: Path):
    config = settings.read()
    assert doctor_folder.half_written(config).level == "ok"
    day = Path(config.lake) / "clean_market__trades" / "venue=generated" / "symbol=SIMUSDT" / "day=2026-01-01"
    day.mkdir(parents=True)
    (day / f"part.{os.getpid()}-00000000.partial").touch()
    assert doctor_folder.half_written(config).level == "ok", "its writer is at work"
    (day / f"part.{2**22 + 1}-00000000.partial").touch()
    assert doctor_folder.half_written(config).said.startswith("1 in the lake")


@pytest.mark.server
def test_the_verb_prints_a_line_for_each_and_fails_where_something_has_to_be_mended(tmp_path: Path):
    found = json.loads(scalp(tmp_path / "data", "doctor", "--json", SCALP_UP__PORT="0").stdout)
    names = {check["name"] for check in found["checks"]}
    assert names >= {
        "clock",
        "disk",
        "inodes",
        "memory",
        "cores",
        "tracing",
        "ports",
        "stack",
        "run lock",
        "ledger",
        "packages",
        "triton",
        "tools",
    }
    assert {check["level"] for check in found["checks"]} <= set(Level)
    assert not (tmp_path / "data").exists(), "looking makes nothing"
    with socket.create_server(("127.0.0.1", 0)) as held:
        said = scalp(tmp_path / "data", "doctor", SCALP_UP__PORT=str(held.getsockname()[1]))
    assert said.returncode == 1
    assert "fail  ports" in said.stdout and "mend: end it, or take a free one: scalp up --port 0" in said.stdout


# What more data takes


def test_an_estimate_grows_with_days_where_the_work_does_and_says_what_it_stands_on():
    stored = [Stored("raw", 100), Stored("raw", 300), Stored("clean", 50)]
    took = [Took("ingest", 4.0, 2), Took("ingest", 9.0, 3), Took("train", 60.0, 0), Took("features", 5.0, 0)]
    made = capacity.estimate(stored, took, symbols=10, days=3, stages=("ingest", "features", "train"))
    assert [(line.name, line.all, line.most, line.basis) for line in made.disk] == [
        ("clean", 1500, 1500, "1 stored day"),
        ("raw", 6000, 9000, "2 stored days"),
    ]
    assert [(line.name, line.all) for line in made.time] == [("ingest", 75.0), ("train", 60.0)]
    assert made.missing == ["features"], "a run without a day tells nothing of days"
    assert (made.size, made.seconds) == (7500, 135.0)


@pytest.mark.server
def test_capacity_is_told_from_history_and_refused_where_it_does_not_fit(finished: Finished, tmp_path: Path):
    empty = scalp(tmp_path / "data", "doctor", "--capacity")
    assert empty.returncode == 0 and "no history here" in empty.stdout
    said = scalp(finished.data, "doctor", "--capacity", "--symbols", "2", "--days", "2")
    assert said.returncode == 0 and "clean_market__trades" in said.stdout and "from the days of generated" in said.stdout
    far = json.loads(scalp(finished.data, "doctor", "--capacity", "--symbols", "1000000", "--days", "100000", "--json").stdout)
    assert not far["fits"] and far["missing"] == [] and far["bytes"] > far["free_bytes"]
    near = json.loads(scalp(finished.data, "doctor", "--capacity", "--symbols", "1", "--days", "1", "--json").stdout)
    assert far["bytes"] == pytest.approx(near["bytes"] * 1e11)
