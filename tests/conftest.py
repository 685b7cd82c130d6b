"""Fixtures for everyone: an empty lake, an empty data folder, and the real market data beside the project."""

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from core import settings
from core.store import Store

if TYPE_CHECKING:
    from tests.stacks import Stack

SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture
def data_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty data folder that the settings point at."""
    folder = tmp_path / "data"
    monkeypatch.setenv("SCALP_DATA_DIR", str(folder))
    settings.load.cache_clear()
    yield folder
    settings.load.cache_clear()


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "lake", code="test")


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real data; a test that asks for it is skipped where it is missing."""
    if not (SHARED / "data").is_dir():
        pytest.skip("needs the market data in ../shared, which is not here")
    return SHARED


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator["Stack"]:
    """`scalp up` without its live side; whoever starts a run in it waits for its end."""
    from tests.stacks import started

    with started(tmp_path_factory.mktemp("stack")) as stack:
        yield stack


@pytest.fixture(scope="session")
def ingested(stack: "Stack") -> "Stack":
    """The stack, its generated market ingested by the deployment, and features built by what that sets off."""
    from tests.stacks import until

    run = stack.ended(stack.run("ingest", source="generated"))
    assert run.state.is_completed(), run.state.message
    until(lambda: list((stack.data / "lake" / "feat_market__1s_labels").rglob("*.parquet")), "features follow ingest")
    return stack


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Callable[[int], Path]]:
    """Makes a disk of so many bytes; skips where that is not allowed."""
    made: list[Path] = []

    def mount(n_bytes: int) -> Path:
        folder = tmp_path / f"disk{len(made)}"
        folder.mkdir()
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={n_bytes}", "tmpfs", folder], capture_output=True, text=True, check=False
        )
        if done.returncode:
            pytest.skip(f"needs to mount a small disk: {done.stderr.strip()}")
        made.append(folder)
        return folder

    yield mount
    for folder in made:
        subprocess.run(["umount", "-l", folder], check=False)
