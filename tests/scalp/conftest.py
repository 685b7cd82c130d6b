"""The real command line, in a process and a data folder of its own; one finished data folder for all who only copy it."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import pytest

from core.store import Store

SCALP = Path(sys.executable).with_name("scalp")
SMALL = {
    "SCALP_GENERATOR__FRAMES_PER_S": "2",
    "SCALP_TRAIN__MAX_EPOCHS": "1",
    "SCALP_TRAIN__MAX_WINDOWS": "500",
    "SCALP_BENCH__REQUESTS": "20",
    "SCALP_TRITON__ENABLED": "false",
    "SCALP_DEPLOY__FORMS": "onnxruntime-f32",
    "SCALP_DEPLOY__TUNE": "false",
    "POLARS_MAX_THREADS": "2",
}
PATIENCE_S = 120.0  # for what happens within seconds on a quiet machine


def environment(data: Path, **more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("SCALP_", "PREFECT_"))}
    return kept | SMALL | {"SCALP_DATA_DIR": str(data)} | more


def scalp(data: Path, *words: str, cwd: Path | None = None, **more: str) -> subprocess.CompletedProcess[str]:
    """`scalp` typed in `cwd`, run to its end. No traceback ever reaches the terminal."""
    done = subprocess.run(
        [SCALP, *words], env=environment(data, **more), cwd=cwd or data.parent, capture_output=True, text=True, timeout=300, check=False
    )
    assert "Traceback" not in done.stdout + done.stderr, done.stdout + done.stderr
    return done


class Started:
    """`scalp` at work, in a process group of its own, as a shell starts it."""

    all: ClassVar[list["Started"]] = []

    def __init__(self, data: Path, *words: str, **more: str) -> None:
        self.all.append(self)
        self.log = data.parent / f"{data.name}-{time.monotonic_ns()}.txt"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [SCALP, *words], env=environment(data, **more), cwd=data.parent, stdout=log, stderr=subprocess.STDOUT, process_group=0
            )

    @property
    def output(self) -> str:
        return self.log.read_text()

    def until(self, so: str | Callable[[], object]) -> None:
        """Wait until it has printed this, or until this is so."""
        began = time.monotonic()
        while not (so in self.output if isinstance(so, str) else so()):
            assert self.process.poll() is None, f"it ended too early:\n{self.output}"
            assert time.monotonic() - began < PATIENCE_S, f"it did not come to {so}:\n{self.output}"
            time.sleep(0.02)

    def send(self, which: signal.Signals) -> int:
        """Ctrl-C goes to the whole group, as from a terminal, other signals to the process alone; returns the exit code."""
        (os.killpg if which is signal.SIGINT else os.kill)(self.process.pid, which)
        code = self.process.wait(30)
        assert "Traceback" not in self.output, self.output
        return code


def at_work_in(data: Path) -> list[str]:
    """Command lines of the processes that were started for a data folder and still run."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if str(data).encode() in (folder / "environ").read_bytes():
                found.append((folder / "cmdline").read_bytes().replace(b"\0", b" ").decode())
        except OSError:
            continue  # it ended meanwhile, or is somebody else's
    return found


def gone(data: Path) -> bool:
    """Whether nothing runs for a data folder any more; what a kill leaves behind is given a moment."""
    began = time.monotonic()
    while found := at_work_in(data):
        if time.monotonic() - began > 20:
            raise AssertionError(f"still at work: {found}")
        time.sleep(0.1)
    return True


def contents(data: Path, *layers: str) -> dict[str, str]:
    """The content hash of every part of these layers; receipts name paths, and so do the names of pieces."""
    store = Store(data / "lake")
    found: dict[str, str] = {}
    for table in store.tables():
        if table.startswith(layers) and not table.endswith("__files"):
            for part in store.parts(table):
                found[str(replace(part, piece=""))] = store.content(part) or ""
    return found


def times(data: Path) -> Mapping[str, int]:
    """When each file of the lake and the models was written."""
    return {str(p.relative_to(data)): p.stat().st_mtime_ns for of in ("lake", "models") for p in (data / of).rglob("*") if p.is_file()}


def half_files(data: Path) -> list[Path]:
    return [p for p in data.rglob("*.partial") if p.is_file()]


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    """What a failing test started is ended with it."""
    yield
    for run in Started.all:
        if run.process.poll() is None:
            run.send(signal.SIGINT)
    Started.all.clear()


@dataclass(frozen=True)
class Finished:
    """A data folder in which `scalp run` has ended, and what it said."""

    data: Path
    said: subprocess.CompletedProcess[str]

    def copy(self, to: Path) -> Path:
        """All of it but the history of runs, to destroy."""
        return shutil.copytree(self.data, to, ignore=shutil.ignore_patterns("prefect", "runs", "logs", "run.lock"), dirs_exist_ok=True)


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    data = tmp_path_factory.mktemp("finished") / "data"
    return Finished(data, scalp(data, "run"))


@pytest.fixture
def copy(finished: Finished, tmp_path: Path) -> Path:
    return finished.copy(tmp_path / "data")
