"""The tutorials are true: their commands, typed in their order into one folder, do what the pages say."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from core import stack
from tests.scalp.conftest import PATIENCE_S, environment

pytestmark = pytest.mark.server
ROOT = Path(__file__).resolve().parents[1]
BLOCK = re.compile(r"^```(?P<language>sh|python)(?: (?P<how>\w+))?\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
SMALL = {"SCALP_GENERATOR__FRAMES_PER_S": "1", "SCALP_UP__PORT": "0"}


class Terminal:
    """A shell that remembers its variables and folder from one block to the next, and others beside it for what goes on."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.state, self.beside = folder, folder / ".state", list[subprocess.Popen[bytes]]()
        self.env = environment(folder / "data", **SMALL) | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
        self.state.touch()

    def typed(self, language: str, how: str | None, text: str) -> str:
        """Run a block; returns what it printed."""
        if how == "background":
            self.start(text)
            return ""
        script = f"set -euo pipefail; source {self.state}; {{\n{text}}}\ndeclare -px > {self.state}"
        command = [sys.executable, "-c", text] if language == "python" else ["bash", "-c", script]
        done = subprocess.run(
            command, env=self.env, cwd=self.folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=300, check=False
        )
        assert (done.returncode == 0) == (how != "fails"), f"exit code {done.returncode} of\n{text}\nwhich said\n{done.stdout}"
        assert "Traceback" not in done.stdout, done.stdout
        return done.stdout

    def start(self, text: str) -> None:
        """In a terminal of its own, until everything is up; nothing where it runs already."""
        if stack.running(self.folder / "data"):
            return
        log = self.folder / "up.txt"
        with log.open("wb") as file:
            beside = subprocess.Popen(
                ["bash", "-c", f"exec {text}"], env=self.env, cwd=self.folder, stdout=file, stderr=file, process_group=0
            )
        self.beside.append(beside)
        began = time.monotonic()
        while not re.search(r"^\d+ of \d+ parts up", log.read_text(), re.MULTILINE):
            assert beside.poll() is None, log.read_text()
            assert time.monotonic() - began < PATIENCE_S, log.read_text()
            time.sleep(0.1)

    def close(self) -> None:
        for beside in self.beside:
            if beside.poll() is None:
                os.killpg(beside.pid, signal.SIGINT)
            beside.wait(60)


@pytest.fixture(scope="module")
def terminal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Terminal]:
    """One for all pages: a reader has one data folder too."""
    terminal = Terminal(tmp_path_factory.mktemp("reader"))
    yield terminal
    terminal.close()


def said(terminal: Terminal, page: str) -> list[tuple[str, str]]:
    """The blocks of a page, each with what it printed."""
    text = (ROOT / "docs" / page).read_text()
    return [(block["text"], terminal.typed(block["language"], block["how"], block["text"])) for block in BLOCK.finditer(text)]


def of(printed: list[tuple[str, str]], typed: str) -> list[str]:
    """What the blocks with this in them printed."""
    return [output for block, output in printed if typed in block]


def test_a_data_scientist_backfills_asks_trains_and_compares(terminal: Terminal):
    printed = said(terminal, "tutorial-data-scientist.md")
    assert ["missing" in of(printed, "--dry-run")[0], "stale" in of(printed, "--dry-run")[1]] == [True, True]
    assert "SIMUSDT" in of(printed, "scalp coverage")[0]
    assert "train.seed" in of(printed, "runs diff")[0]
    assert (terminal.folder / "bars.csv").read_text().count("\n") > 1_000
    assert "made from" in of(printed, "lineage")[0]


def test_who_is_on_call_sees_mends_kills_and_restarts(terminal: Terminal):
    printed = said(terminal, "tutorial-on-call.md")
    assert "incoming/simusdt_20260105.gz" in of(printed, "runs --failed")[0]
    assert "simusdt_20260105.gz" in of(printed, "alerts.jsonl")[0]
    assert "crashed" in of(printed, "kill -9 $!")[0].lower()
    assert "worker" in of(printed, "1 restart")[0]
    assert stack.running(terminal.folder / "data") is None
