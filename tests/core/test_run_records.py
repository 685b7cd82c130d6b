"""A run's record: who is meant by a few letters, what differs between two, and that a killed run does not look alive."""

import subprocess
import sys
from pathlib import Path

import pytest

from core import pids, run_ids, run_page, run_records, runs, trail
from core.run_diff import differences
from core.run_ids import UnknownRun
from core.run_records import RunRecord
from core.runs import Read

WRITER = """
import sys
from pathlib import Path
from core import trail

for i in range(200):
    trail.note(Path(sys.argv[1]), f"{sys.argv[2]}{i}", "c", i, {})
"""
THERE = ["20260106-040000-9f3a", "20260105-040000-77b0", "20260105-030000-0c41"]


@pytest.mark.parametrize(
    ("asked", "meant"), [("latest", 0), ("latest~2", 2), ("9f3a", 0), ("20260106", 0), ("20260105-03", 2), (THERE[1], 1)]
)
def test_a_few_letters_are_enough(asked: str, meant: int):
    assert run_ids.meant(asked, THERE) == THERE[meant]


@pytest.mark.parametrize(("asked", "meant"), [("train", 1), ("train~1", 2), ("failed", 1), ("latest~1", 1)])
def test_a_flow_or_those_that_failed_are_counted_from_the_newest(asked: str, meant: int):
    named = {"train": THERE[1:], "failed": THERE[1:2]}
    assert run_ids.meant(asked, THERE, named) == THERE[meant]
    with pytest.raises(UnknownRun, match="there is no failed~1: there are 1 runs of failed"):
        run_ids.meant("failed~1", THERE, named)


@pytest.mark.parametrize(("asked", "said"), [("20260105", "may be .*77b0.*0c41"), ("9f3b", "did you mean .*9f3a"), ("latest~3", "3 runs")])
def test_what_is_not_clear_is_refused_with_what_is_near(asked: str, said: str):
    with pytest.raises(UnknownRun, match=said):
        run_ids.meant(asked, THERE)


def test_that_none_failed_is_said():
    with pytest.raises(UnknownRun, match="there is no run that failed"):
        run_ids.meant("failed", THERE, {"failed": []})


def record(**of) -> RunRecord:
    return RunRecord(**({"run_id": "a", "flow": "train", "code": "1", "started": "2026-01-05T00:00:00+00:00"} | of))


def test_only_what_differs_is_told():
    one = record(parameters={"venue": "*", "start": "2026-01-05"}, metrics={"train.accuracy": 0.5}, read=[Read(part="x", content="11")])
    other = record(run_id="b", parameters={"venue": "*"}, metrics={"train.accuracy": 0.6}, read=[Read(part="x", content="22")])
    found = differences(one, other)
    assert {kind: [tuple(d) for d in of] for kind, of in found.items()} == {
        "parameters": [("start", "2026-01-05", None)],
        "metrics": [("train.accuracy", 0.5, 0.6)],
        "read": [("x", "11", "22")],
    }
    assert differences(one, one) == {}


def test_a_killed_run_says_so(tmp_path: Path):
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    begun = run_records.begun("20260105-040000-77b0", "train")
    begun.pid, begun.pid_started = child.pid, pids.start_time(child.pid)
    assert run_records.seen(begun).state == "running"
    child.kill()
    child.wait()
    folder = tmp_path / "runs" / begun.run_id
    folder.mkdir(parents=True)
    run_records.save(folder, begun)
    (found,) = run_records.every(tmp_path)
    seen = run_records.seen(found)
    assert (seen.state, seen.kind) == ("crashed", "killed")
    assert str(child.pid) in seen.cause
    assert seen.next in run_page.page(seen)


def test_the_page_tells_first_what_ended_it_and_what_to_type():
    failed = record(
        state="failed", cause="no folder /x|y", fault="/x", next="ls -l /", read=[Read(part="p v/S 2026-01-05", content="ab" * 32, rows=7)]
    )
    text = run_page.page(failed, {"ingest": "# Data\n\ntext"})
    assert text.index("Cause") < text.index("`ls -l /`") < text.index("## Read")
    assert "| `p v/S 2026-01-05` | `abababababab` | 7 |" in text
    assert "\n## Data" in text


def test_what_several_processes_wrote_is_put_together(tmp_path: Path):
    children = [subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path), name]) for name in "ab"]
    assert [child.wait() for child in children] == [0, 0]
    with (tmp_path / trail.FILE).open("ab") as file:
        file.write(b'{"part": "half')
    assert len(trail.read(tmp_path)) == 400
    assert runs.load(tmp_path) == {}


def test_a_stage_that_could_not_be_written_whole_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    stage = runs.Stage(name="ingest", changed=True, facts={"rows": 7})

    def half(path: Path, data: bytes) -> int:
        with path.open("wb") as file:
            file.write(data[: len(data) // 2])
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch, pytest.raises(OSError, match="No space"):
        patch.setattr(Path, "write_bytes", half)
        runs.save(tmp_path, stage)
    assert runs.load(tmp_path) == {}
    runs.save(tmp_path, stage)
    assert runs.load(tmp_path)["ingest"].facts == {"rows": 7}
