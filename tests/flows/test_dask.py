"""On a Dask cluster the same flows make the same lake, part by part; a worker that is killed costs its chunk only."""

import asyncio
import os
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from distributed import LocalCluster

from core import settings
from core.asking import Grain
from core.backfills import Kind, Stage
from core.store import Store
from flows.backfill import backfill
from flows.features import features
from tasks.backfill import kept
from tests.flows.conftest import FIRST
from tests.scalp.conftest import PATIENCE_S, contents, half_files

pytestmark = [pytest.mark.server, pytest.mark.usefixtures("prefect")]

MARKET = {"SCALP_GENERATOR__SYMBOLS": "SIMA,SIMB", "SCALP_GENERATOR__FRAMES_PER_S": "0.1", "SCALP_QUALITY__GAP_S": "900"}
ASKED: dict[str, Any] = {
    "stage": Stage.FEATURES,
    "grain": Grain.TRADE,
    "symbols": ("SIMA", "SIMB"),
    "start": FIRST,
    "end": FIRST + timedelta(days=1),
}
MADE = ("raw", "clean_market__t", "clean_market__q", "clean_market__b", "quarantine", "feat_market__trade")
SECONDS = ("clean_market__1s", "feat_market__1s")


@pytest.fixture
def at(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Path]]:
    """Points the settings at a data folder."""

    def point(data: Path, **given: str) -> Path:
        for name, value in (MARKET | {"SCALP_DATA_DIR": str(data)} | given).items():
            monkeypatch.setenv(name, value)
        settings.load.cache_clear()
        return data

    yield point
    settings.load.cache_clear()


@pytest.fixture(scope="module")
def by_threads(prefect: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What threads make."""
    data = tmp_path_factory.mktemp("threads") / "data"
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (MARKET | {"SCALP_DATA_DIR": str(data)}).items():
            patch.setenv(name, value)
        settings.load.cache_clear()
        asyncio.run(backfill(**ASKED))
        asyncio.run(features(symbols=("SIMA",)))
        settings.load.cache_clear()
    return data


class Killer(threading.Thread):
    """Kills the first process but this one that is writing a clean part, in the middle of it."""

    def __init__(self, data: Path) -> None:
        super().__init__(daemon=True)
        self.data, self.killed = data, 0

    def run(self) -> None:
        until = time.monotonic() + PATIENCE_S
        while not self.killed and time.monotonic() < until:
            for path in self.data.glob("lake/clean_*/*/*/*/part.*.partial"):
                pid = int(path.name.split(".")[1].split("-")[0])
                if pid != os.getpid():
                    os.kill(pid, signal.SIGKILL)
                    self.killed = pid
                    return
            time.sleep(0.001)


def test_a_backfill_on_a_local_cluster_makes_the_same_lake_though_a_worker_is_killed(
    by_threads: Path, at: Callable[..., Path], tmp_path: Path
):
    data = at(tmp_path / "data", SCALP_COMPUTE="dask")
    killer = Killer(data)
    killer.start()
    made = asyncio.run(backfill(**ASKED))
    assert killer.killed, "no worker was at work"
    assert (made.facts["failed"], made.facts["held"]) == ([], [])
    assert contents(data, *MADE) == contents(by_threads, *MADE)
    (folder,) = (data / "runs").iterdir()
    tried = [outcome.partition for outcome in kept(folder)]
    again = {partition for partition in tried if tried.count(partition) > 1}
    assert {(partition.kind, partition.symbol) for partition in again} <= {(Kind.CLEAN, symbol) for symbol in ASKED["symbols"]}
    assert len({partition.symbol for partition in again}) <= 1, "another chunk was made twice"

    assert not asyncio.run(backfill(**ASKED)).changed
    assert not half_files(data), "what the killed worker left is swept"


def test_the_features_flow_runs_on_a_cluster_that_is_there_and_makes_the_same_parts(
    by_threads: Path, at: Callable[..., Path], tmp_path: Path
):
    data = Path(shutil.copytree(by_threads, tmp_path / "data"))
    for table in (name for name in Store(data / "lake").tables() if name.startswith(SECONDS)):
        shutil.rmtree(data / "lake" / table)
    with LocalCluster(n_workers=1, threads_per_worker=2, processes=True, host="127.0.0.1", dashboard_address="127.0.0.1:0") as cluster:  # pyright: ignore[reportArgumentType]
        at(data, SCALP_COMPUTE="dask", SCALP_DASK__ADDRESS=cluster.scheduler_address)
        asyncio.run(features(symbols=("SIMA",)))
    assert contents(data, *SECONDS) == contents(by_threads, *SECONDS) != {}
