"""A build that is killed tears nothing: what is there can be read, and the next run ends as if nothing had happened."""

import shutil
import signal
import subprocess
import sys
from datetime import date
from pathlib import Path

import pytest

from core.settings import Bars, Generator, Quality
from core.store import Store
from tasks.clean import MARKET, clean_day
from tasks.features import BARS, INPUTS, build_bars, build_inputs
from tasks.generated import write_day, write_market
from tasks.recordings import read_recording

KEY = ("generated", "SIMUSDT", date(2026, 1, 5))
SIDE_BY_SIDE = 6  # tables of a clean day that may be on their way to the disk at once
PROJECT = Path(__file__).resolve().parents[2]


def clean(store: Store) -> None:
    clean_day.fn(store, *KEY, quality=Quality(), keep_levels=20, fees=(2.0, 5.0))


def features(store: Store) -> None:
    build_bars.fn(store, *KEY, rules=Bars())
    build_inputs.fn(store, *KEY, rules=Bars(), quality=Quality())


BUILDS = {"clean": clean, "features": features}


def contents(store: Store) -> dict[str, str | None]:
    return {str(part): store.content(part) for table in store.tables() for part in store.parts(table)}


@pytest.fixture(scope="module")
def lakes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A day of the generated market before each build and after all of them, undisturbed."""
    folder = tmp_path_factory.mktemp("lakes")
    (recorded,) = write_market(Generator(frames_per_s=0.5), folder / "recorded", each=write_day.fn)
    store = Store(folder / "built")
    read_recording.fn(store, str(recorded), quality=Quality(), venue="generated", generated=True)
    for name, build in BUILDS.items():
        shutil.copytree(folder / "built", folder / name)
        build(store)
    return {path.name: path for path in folder.iterdir()}


def killed(build: str, root: Path, function: str, call: int) -> None:
    """Run a build in a process that kills itself at so many calls of a function, as a power cut or the kernel would."""
    code = f"""
import importlib.util, os, signal
import pyarrow.parquet
spec = importlib.util.spec_from_file_location("killed", {__file__!r})
this = importlib.util.module_from_spec(spec)
spec.loader.exec_module(this)
left = [{call}]
def until(real):
    def counted(*args, **kwargs):
        left[0] -= 1
        if not left[0]:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*args, **kwargs)
    return counted
if {function!r} == "rename":
    os.replace = until(os.replace)
else:
    pyarrow.parquet.ParquetWriter.write_table = until(pyarrow.parquet.ParquetWriter.write_table)
this.BUILDS[{build!r}](this.Store({str(root)!r}))
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=PROJECT, check=False, capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL, done.stderr


@pytest.mark.parametrize(
    ("build", "function", "call", "n_parts"),
    [
        ("clean", "write", 1, 0),
        ("clean", "write", 2, 1),
        ("clean", "rename", 1, 0),
        ("clean", "rename", 4, 3),
        ("clean", "rename", len(MARKET) + 1, len(MARKET)),
        ("features", "write", 2, 1),
        ("features", "rename", 2, 1),
    ],
    ids=["first rows", "rows of the second part", "first part", "fourth part", "last part", "rows of the inputs", "the inputs"],
)
def test_a_killed_build_tears_nothing_and_is_made_up_for(
    lakes: dict[str, Path], tmp_path: Path, build: str, function: str, call: int, n_parts: int
):
    root = Path(shutil.copytree(lakes[build], tmp_path / "lake"))
    store, before = Store(root), contents(Store(root))
    killed(build, root, function, call)
    left = contents(store)
    assert before.items() <= left.items(), "what was there is as it was"
    # The small tables of a clean day are written side by side: a part that was about to be renamed may not have made it.
    most = len(before) + n_parts
    assert len(left) == most if build == "features" else most - SIDE_BY_SIDE < len(left) <= most
    for table in store.tables():
        for part in store.parts(table):
            assert store.scan(part).collect().height == store.lineage(part).rows  # type: ignore[union-attr]
    assert 1 <= store.sweep() <= (1 if build == "features" else SIDE_BY_SIDE), "what was half written is swept"
    BUILDS[build](store)
    undisturbed = contents(Store(lakes["built"]))
    made = contents(store)
    assert made == {part: undisturbed[part] for part in made}
    assert {BARS, INPUTS} <= set(store.tables()) if build == "features" else set(MARKET) <= set(store.tables())
