"""One Prefect server for the flows that are called from here, and a recorded market small enough for all of them."""

import shutil
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

import pytest

from core.settings import Generator
from tasks.generated import make_next

FIRST = date(2026, 1, 5)


@pytest.fixture(scope="package")
def prefect() -> Iterator[None]:
    from prefect.testing.utilities import prefect_test_harness

    with prefect_test_harness(server_startup_timeout=120):
        yield


@pytest.fixture(scope="package")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three days of the generated market, as recordings of frames: the lake takes them for a venue's."""
    folder = tmp_path_factory.mktemp("recorded")
    paths = [make_next(Generator(frames_per_s=0.2), "SIMUSDT", FIRST + n * timedelta(days=1), folder / "made") for n in range(3)]
    for path in paths:
        shutil.copy(path, folder)
    shutil.rmtree(folder / "made")
    return folder
