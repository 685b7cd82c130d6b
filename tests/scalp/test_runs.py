"""`scalp runs`, as it is typed: the history is in the folders, and needs no server."""

import json
from pathlib import Path
from typing import Any

import pytest

from core import run_page, run_records
from core.run_records import RunRecord
from core.runs import Read
from tests.scalp.conftest import scalp

GOOD, BAD, GONE = "20260105-040000-9f3a", "20260105-050000-77b0", "20260105-060000-0c41"
PART = "clean_market__trades v/S 2026-01-05"
WROTE = [Read(part=PART, content="ab" * 32, rows=7)]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three runs: one that went well, one that failed, and one whose process was killed."""
    folder = tmp_path_factory.mktemp("history") / "data"
    began: dict[str, Any] = {"started": "2026-01-05T04:00:00.000+00:00", "ended": "2026-01-05T04:01:05.000+00:00", "code": "0.1.0-aa"}
    good = RunRecord(run_id=GOOD, flow="train", state="completed", changed=True, wrote=WROTE, **began)
    bad = RunRecord(run_id=BAD, flow="train", state="failed", cause="no folder /x", fault="/x", next="ls -l /", **began)
    gone = run_records.begun(GONE, "ingest")
    gone.pid, gone.pid_started = 2**22 - 1, 1.0
    for record in (good, bad, gone):
        (folder / "runs" / record.run_id).mkdir(parents=True)
        run_records.save(folder / "runs" / record.run_id, record)
        run_page.keep(folder / "runs" / record.run_id, record)
    return folder


def test_the_list_tells_how_each_ended_and_why(data: Path):
    said = scalp(data, "runs")
    assert said.returncode == 0
    assert [line.split()[:3] for line in said.stdout.splitlines()[1::2]] == [
        [GONE, "ingest", "crashed"],
        [BAD, "train", "failed"],
        [GOOD, "train", "completed"],
    ]
    assert "no folder /x" in said.stdout
    assert "1 min 05 s" in said.stdout
    failed = json.loads(scalp(data, "runs", "--failed", "--flow", "train", "--json").stdout)
    assert [(row["run"], row["next"]) for row in failed] == [(BAD, "ls -l /")]


def test_a_page_is_found_by_a_few_letters(data: Path):
    said = scalp(data, "runs", "show", "77b0").stdout
    assert "> **Cause:** no folder /x" in said
    assert "> **Next:** `ls -l /`" in said
    assert json.loads(scalp(data, "runs", "show", "latest~2", "--json").stdout)["wrote"][0]["part"] == PART
    assert "dmesg" in scalp(data, "runs", "show", GONE).stdout


def test_a_run_there_is_not_is_refused_with_what_is_near(data: Path):
    said = scalp(data, "runs", "show", "20260105-040000-9f3b")
    assert said.returncode == 2
    assert GOOD in said.stderr.replace("\n", "")


def test_only_what_differs_is_shown(data: Path):
    said = json.loads(scalp(data, "runs", "diff", "9f3a", "77b0", "--json").stdout)
    assert set(said) == {"a", "b", "run", "wrote"}
    assert [row["what"] for row in said["run"]] == ["state", "cause"]
    assert "differ in nothing" in scalp(data, "runs", "diff", "9f3a", "9f3a").stdout
