"""Every verb as it is typed: what it does on a finished folder and on an empty one, and what it says to a slip of the hand."""

import json
import re
import signal
import subprocess
from pathlib import Path

import pytest

from core.triton_wheel import unavailable
from tests.scalp.conftest import SCALP, Started, at_work_in, gone, scalp

pytestmark = pytest.mark.server

VERBS = ("run", "ingest", "features", "train", "deploy", "rollback", "bench", "up", "down", "status", "doctor", "sql", "coverage")


def test_help_names_every_verb_and_each_has_an_example(tmp_path: Path):
    listed = scalp(tmp_path / "data", "--help").stdout
    for verb in VERBS:
        assert re.search(rf"^\W*{verb}\s", listed, re.MULTILINE), verb
        said = scalp(tmp_path / "data", verb, "--help")
        assert said.returncode == 0
        assert f"scalp {verb}" in said.stdout.split("Usage:")[1].split("\n", 1)[1], f"{verb} shows no example"
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(
    ("words", "more", "said"),
    [
        (("run", "--source", "recordings", "--from", "../shared/nowhere"), {}, "--from: there is no folder"),
        (("run", "--source", "recordings", "--from", "file.gz"), {}, "file.gz"),
        (("run", "--source", "recordings", "--from", "empty"), {}, "empty is empty; expected *.gz"),
        (("run", "--source", "tables", "--from", "empty"), {}, "empty is empty"),
        (("run", "--source", "recordings"), {}, "--from: the source recordings needs one"),
        (("run", "--source", "tables", "--mapping", "nobody", "--from", "empty"), {}, "[mappings.nobody]"),
        (("run", "--source", "kraken"), {}, "there are archives, generated, recordings, tables"),
        (("run", "--source", "generated", "--from", "empty"), {}, "--from: it goes with"),
        (("run",), {"SCALP_TRIAN__SEED": "3"}, "SCALP_TRAIN__SEED"),
        (("run",), {"SCALP_TRAIN__SEED": "three"}, "train.seed"),
        (("rnu",), {}, "rnu"),
        (("ingest", "--form", "empty"), {}, "--from"),
        (("features",), {}, "scalp ingest"),
        (("features", "--grain", "trade"), {}, "scalp ingest"),
        (("features", "--grain", "tick"), {}, "'second', 'trade', 'both'"),
        (("train",), {}, "scalp features"),
        (("deploy",), {}, "scalp train"),
        (("bench", "nosuch"), {}, "there is no benchmark nosuch; there are"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else None,
)
def test_a_slip_is_told_what_to_type(words: tuple[str, ...], more: dict[str, str], said: str, tmp_path: Path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "file.gz").write_bytes(b"")
    found = scalp(tmp_path / "data", *words, cwd=None, **more)
    assert found.returncode == 2, found.stdout + found.stderr
    assert said in " ".join(re.sub(r"[│╭╮╰╯─]", " ", found.stderr).split()), found.stderr
    assert found.stdout == ""
    assert not at_work_in(tmp_path / "data")


@pytest.mark.parametrize("verb", ["sql", "coverage"])
def test_looking_at_an_empty_folder_says_what_fills_it(verb: str, tmp_path: Path):
    found = scalp(tmp_path / "data", verb, *(["SHOW TABLES"] if verb == "sql" else []))
    assert found.returncode == 0
    assert "scalp run" in found.stdout


def test_going_back_from_nothing_is_refused(tmp_path: Path, copy: Path):
    for data in (tmp_path / "new", copy):
        found = scalp(data, "rollback")
        assert found.returncode == 3, found.stdout + found.stderr
        assert "refused" in found.stderr


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path):
    (tmp_path / "file").write_text("not a folder")
    found = scalp(tmp_path / "file" / "data", "run", cwd=tmp_path)
    assert found.returncode == 1
    assert str(tmp_path / "file") in found.stderr
    assert found.stderr.count("\n") == 1


def test_each_stage_runs_alone_and_finds_its_work_done(copy: Path):
    for verb in ("ingest", "features", "train", "deploy"):
        done = scalp(copy, verb, "--json")
        assert done.returncode == 0, done.stderr
        told = json.loads(done.stdout)
        assert [(name, stage["changed"]) for name, stage in told["stages"].items()] == [(verb, False)]
    grains = [json.loads(scalp(copy, "features", "--grain", grain, "--json").stdout)["stages"]["features"] for grain in ("both", "trade")]
    assert [stage["changed"] for stage in grains] == [True, False]
    assert grains[0]["facts"]["trade"]["days"][0]["rows"] == grains[1]["facts"]["days"][0]["rows"] > 0
    measured = scalp(copy, "bench")
    assert measured.returncode == 0, measured.stderr
    assert re.search(r"trade features\s+[\d.,]+ [Mk]? ?trades/s", measured.stdout) and "kept in out_bench__runs" in measured.stdout
    tables = scalp(copy, "sql", "--csv", "SELECT count(*) AS n FROM clean_market__trades")
    assert int(tables.stdout.split()[1]) > 0
    assert "generated SIMUSDT" in scalp(copy, "coverage").stdout
    assert "microprice" in scalp(copy, "features", "--list").stdout
    assert gone(copy)


@pytest.mark.skipif(unavailable() is not None, reason=f"needs Triton: {unavailable()}")
def test_a_deployment_stopped_halfway_changes_nothing_and_the_next_one_can_be_rolled_back(copy: Path):
    before = (copy / "triton" / "serving.json").read_bytes()
    run = Started(copy, "deploy", SCALP_TRITON__ENABLED="true")
    run.until((copy / "triton" / "server.json").is_file)
    assert run.send(signal.SIGINT) == 130, run.output
    assert gone(copy)
    assert (copy / "triton" / "serving.json").read_bytes() == before
    assert [p.name for p in (copy / "triton" / "models").glob("*/[0-9]*")] == ["1"]

    done = scalp(copy, "deploy", SCALP_TRITON__ENABLED="true")
    assert done.returncode == 0, done.stdout
    assert "by triton" in done.stdout
    assert gone(copy)
    back = scalp(copy, "rollback")
    assert back.returncode == 0, back.stderr
    assert "shadow: version 2 (" in back.stdout
    assert "-> version 1 (" in back.stdout


def test_version_is_one_line():
    said = subprocess.run([SCALP, "--version"], capture_output=True, text=True, check=True).stdout
    assert re.fullmatch(r"scalp \S+\n", said)
