"""`scalp run`, as it is typed: what a good day leaves behind, and that every bad day ends well."""

import gzip
import json
import re
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from core.store import Store
from tests.scalp.conftest import Finished, Started, contents, gone, half_files, scalp, times

pytestmark = pytest.mark.server

CLEAN = "clean_market__trades"


def test_a_run_ends_with_a_summary_and_a_report_that_needs_nothing_else(finished: Finished):
    said = finished.said
    assert said.returncode == 0, said.stdout + said.stderr
    assert "GENERATED MARKET" in said.stdout
    assert all(f"{n}/5 {name}" in said.stdout for n, name in enumerate(("ingest", "features", "train", "deploy", "benchmark"), 1))
    assert "Warning" not in said.stdout + said.stderr
    assert said.stderr == ""
    (report,) = re.findall(r"^report: (.+)$", said.stdout, re.MULTILINE)
    page = Path(report).read_text()
    assert "generated" in page.lower()
    assert not re.search(r"""(?:src|href|action|data)\s*=\s*["']?\s*(?:https?:)?//""", page)
    assert not re.search(r"@import|url\(\s*['\"]?(?:https?:)?//|<script[^>]+src|fetch\(|XMLHttpRequest", page)
    assert gone(finished.data)
    assert not half_files(finished.data)


def test_a_second_run_does_no_work_and_says_so(copy: Path):
    before, written = contents(copy, ""), times(copy)
    again = scalp(copy, "run", "--json")
    assert again.returncode == 0, again.stderr
    told = json.loads(again.stdout)
    assert [name for name, stage in told["stages"].items() if stage["changed"]] == []
    assert len(told["stages"]) == 5
    assert (contents(copy, ""), times(copy)) == (before, written)
    assert gone(copy)


def test_a_run_stopped_or_killed_anywhere_is_taken_up_and_ends_in_the_same_lake(finished: Finished, tmp_path: Path):
    data = tmp_path / "data"
    first = Started(data, "run")
    first.until("1/5 ingest")
    second = scalp(data, "run")
    assert second.returncode == 3
    assert f"'scalp run' (process {first.process.pid}" in second.stderr
    first.until(lambda: half_files(data))
    assert first.send(signal.SIGINT) == 130, first.output
    assert gone(data)

    killed = Started(data, "run")
    killed.until(lambda: [p for p in half_files(data) if "lake" in p.parts])
    killed.send(signal.SIGKILL)
    assert gone(data), "its servers outlived it"
    left = half_files(data)
    assert left

    for which in (signal.SIGTERM, signal.SIGINT, signal.SIGKILL):
        run = Started(data, "run")
        run.until("3/5 train")
        run.until(lambda: list((data / "models").glob("*")))
        code = run.send(which)
        assert code == (-9 if which is signal.SIGKILL else 130), run.output
        assert ("half-written file" in run.output) == (which is signal.SIGTERM), run.output
        assert gone(data)
        assert not set(left) & set(half_files(data))
        assert not list((data / "models").glob("*/train.json"))

    done = scalp(data, "run")
    assert done.returncode == 0, done.stdout + done.stderr
    assert contents(data, "raw", "clean", "quarantine", "feat") == contents(finished.data, "raw", "clean", "quarantine", "feat")
    assert [p.name for p in (data / "models").iterdir()] == [p.name for p in (finished.data / "models").iterdir()]
    assert not half_files(data)


def test_what_was_deleted_is_made_again_and_the_rest_is_left_alone(copy: Path):
    (version,) = (copy / "models").iterdir()
    gone_files = [
        next((copy / "lake").glob("clean_market__quotes/*/*/*/part.parquet")),
        next((copy / "lake").glob("raw_*__trades/*/*/*/part-*.parquet")),
        next((copy / "lake").glob("feat_market__1s_labels/*/*/*/part.parquet")),
        version / "model.safetensors",
        next((copy / "triton" / "models").glob("*/*/model.onnx")),
    ]
    layers = ("raw", "clean", "quarantine", "feat")
    before, written = contents(copy, *layers), times(copy)
    for path in gone_files:
        path.unlink()
    again = scalp(copy, "run")
    assert again.returncode == 0, again.stdout + again.stderr
    assert (version / "model.safetensors").is_file()
    assert list((copy / "triton" / "models").glob("*/*/model.onnx"))
    assert contents(copy, *layers) == before
    untouched = ("lake/clean_market__1s_bars", "lake/feat_market__1s_inputs")
    now = times(copy)
    assert {p for p in written if p.startswith(untouched) and now[p] != written[p]} == set()


@pytest.mark.recordings
def test_a_cut_off_file_keeps_what_is_sound_and_heals(shared: Path, tmp_path: Path):
    whole = next((shared / "data" / "hftbacktest" / "cm").glob("*0808.gz"))
    lines = gzip.decompress(whole.read_bytes()).splitlines(keepends=True)[:40_000]
    source = tmp_path / "recorded"
    source.mkdir()
    path = source / whole.name
    sound = gzip.compress(b"".join(lines), mtime=0)
    path.write_bytes(sound[: len(sound) * 2 // 3])

    data = tmp_path / "data"
    broken = scalp(data, "run", "--source", "recordings", "--from", "recorded")
    assert broken.returncode == 1
    assert re.search(rf"failed.*{whole.name}.*byte [\d,]+", broken.stdout), broken.stdout
    assert "GENERATED" not in broken.stdout
    store = Store(data / "lake")
    assert sum((store.lineage(p) or pytest.fail("no part")).rows for p in store.parts(CLEAN)) > 0
    page = next((data / "runs").glob("*/report.html")).read_text()
    assert whole.name in page
    assert "failed" in page

    path.write_bytes(sound)
    assert scalp(data, "ingest", "--from", "recorded").returncode == 0
    never_broken = tmp_path / "other"
    assert scalp(never_broken, "ingest", "--from", "recorded").returncode == 0
    assert contents(data, "clean", "quarantine") == contents(never_broken, "clean", "quarantine")
    assert contents(data, "clean")


@pytest.mark.parametrize("megabytes", [12, 18], ids=["the market's file", "the lake"])
def test_a_full_disk_is_one_line_and_loses_nothing(megabytes: int, disk: Callable[[int], Path]):
    data = disk(megabytes << 20) / "data"
    full = scalp(data, "run")
    assert full.returncode == 1, full.stdout
    assert re.search(r"failed.*disk is full", full.stdout), full.stdout + full.stderr
    assert full.stderr == ""
    contents(data, "")  # every part that is there can be read
    assert not half_files(data)
    assert gone(data)


def test_a_full_disk_is_named_when_a_server_cannot_start(disk: Callable[[int], Path]):
    data = disk(2 << 20) / "data"
    full = scalp(data, "run")
    assert full.returncode == 1, full.stdout
    assert re.search(r"^failed:.*disk is full.*\n\Z", full.stderr), full.stderr
    assert gone(data)


@pytest.mark.parametrize(("stage", "room"), [("train", 5_200_000), ("deploy", 4_900_000)])
def test_a_disk_that_fills_later_leaves_what_was_finished(
    stage: str, room: int, finished: Finished, disk: Callable[[int], Path], tmp_path: Path
):
    copied = finished.copy(tmp_path / "copied")
    for name in ("triton", "generated", "mlflow.db", *(["models"] if stage == "train" else [])):
        path = copied / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    # Prefect's database takes about 4 MB of the room.
    used = sum(-(-p.stat().st_size // 4096) * 4096 for p in copied.rglob("*") if p.is_file())
    data = disk(used + room) / "data"
    shutil.copytree(copied, data)
    before = contents(data, "")
    full = scalp(data, stage)
    assert full.returncode == 1, full.stdout + full.stderr
    assert re.search(r"failed.*disk is full", full.stdout + full.stderr), full.stdout + full.stderr
    assert contents(data, "") == before
    assert gone(data)
