"""Ten things that go wrong, each done for real: the run's page alone says in one line what is at fault, and what to type next."""

import asyncio
import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import polars as pl
import pytest

from core import run_records, runs, settings
from core.asking import Source
from core.machine import ROOT
from core.run_records import RunRecord
from core.services import free_port
from core.store import Store
from core.triton_wheel import unavailable
from scalp.session import drain, prefect_server
from tasks import automations
from tests.flows.test_ingest import MIDNIGHT_MS, record

pytestmark = pytest.mark.server
WORKER = {"PREFECT_WORKER_QUERY_SECONDS": "1"}


@dataclass(frozen=True)
class Server:
    environment: dict[str, str]

    def page(self, flow_run_id: str) -> str:
        """The run's page as the UI shows it."""
        from prefect.client.orchestration import get_client
        from prefect.client.schemas.filters import ArtifactFilter
        from prefect.client.schemas.sorting import ArtifactSort

        of = ArtifactFilter.model_validate({"flow_run_id": {"any_": [flow_run_id]}, "key": {"any_": ["run-page"]}})
        found: list[Any] = []
        with get_client(sync_client=True) as client:

            def there() -> bool:
                found[:] = client.read_artifacts(artifact_filter=of, sort=ArtifactSort.UPDATED_DESC, limit=1)
                return bool(found)

            until(there, "there is no page")
        return str(found[0].data)

    def heard(self, flow_run_id: str) -> bool:
        """Whether a heartbeat of the run has come."""
        from prefect.client.orchestration import get_client

        asked = {"event": {"name": ["prefect.flow-run.heartbeat"]}, "resource": {"id": [f"prefect.flow-run.{flow_run_id}"]}}
        with get_client(sync_client=True) as client:
            return bool(client.request("POST", "/events/filter", json={"filter": asked}).json()["events"])

    def state(self, flow_run_id: str) -> str | None:
        from prefect.client.orchestration import get_client

        with get_client(sync_client=True) as client:
            return client.read_flow_run(UUID(flow_run_id)).state_name

    def running(self, flow: str) -> str:
        """A run of which the server believes that it is at work."""
        from prefect.client.orchestration import get_client
        from prefect.states import Running

        from flows.train import train

        with get_client(sync_client=True) as client:
            return str(client.create_flow_run(train.with_options(name=flow), state=Running()).id)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server for all, as `scalp` starts it."""
    from prefect.settings import temporary_settings
    from prefect.settings.legacy import _get_settings_fields
    from prefect.settings.models.root import Settings as PrefectSettings

    config = settings.Settings(data_dir=tmp_path_factory.mktemp("prefect"))
    service, environment = prefect_server(config, free_port())
    known = _get_settings_fields(PrefectSettings)
    ours: dict[Any, Any] = {known[name]: value for name, value in environment.items() if name in known}
    with service, temporary_settings(updates=ours):
        service.wait_ready(120)
        yield Server(environment)
        drain()


@pytest.fixture(autouse=True)
def at_once(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "GENERATOR__FRAMES_PER_S": "1",
        "TRITON__ENABLED": "false",
        "DEPLOY__TUNE": "false",
        "DEPLOY__FORMS": "onnxruntime-f32",
    }.items():
        monkeypatch.setenv(f"SCALP_{name}", value)


@dataclass(frozen=True)
class Killed:
    """A run that was killed together with its worker, and when; `watch` starts who watches."""

    data: Path
    at: float
    watch: Callable[[], object]

    def end_of(self, flow_run_id: str) -> RunRecord:
        """The run's record, once its end is put down."""

        def ended() -> RunRecord | None:
            found = run_records.of_flow_run(self.data, flow_run_id)
            return found if found is not None and found.state == "crashed" else None

        until(ended, "its end was not put down")
        return ended()  # pyright: ignore[reportReturnType]

    def crashes(self) -> list[dict[str, Any]]:
        """Alerts of crashed runs; the server's other runs, of other folders, fail too."""
        told = [json.loads(line) for line in (self.data / "alerts.jsonl").read_text().splitlines()]
        return [alert for alert in told if alert["kind"] == "crashed"]


@pytest.fixture(scope="module", autouse=True)
def killed(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Killed]:
    """At the start, so that the others pass the time until its end is known: a worker and its run get SIGKILL, and somebody watches."""
    data = tmp_path_factory.mktemp("killed") / "data"
    env = {name: value for name, value in os.environ.items() if not name.startswith(("SCALP_", "PREFECT_"))} | server.environment
    env |= {
        "SCALP_DATA_DIR": str(data),
        "SCALP_GENERATOR__FRAMES_PER_S": "500",
        "SCALP_ALERTS__ZOMBIE_S": "60",
        "PREFECT_WORKER_QUERY_SECONDS": "1",
    }
    with contextlib.ExitStack() as stack:
        mp = stack.enter_context(pytest.MonkeyPatch.context())
        mp.setenv("SCALP_ALERTS__ZOMBIE_S", "60")  # 90 by default
        settings.load.cache_clear()
        automations.ensure()
        automations.ensure()  # safe to repeat
        started(server)

        def process(*command: str) -> subprocess.Popen[bytes]:
            log = stack.enter_context((data.parent / f"{len(list(data.parent.iterdir()))}.log").open("wb"))
            made = subprocess.Popen([sys.executable, "-m", *command], env=env, cwd=ROOT, stdout=log, stderr=log, start_new_session=True)
            stack.callback(end, made)
            return made

        worker = process("prefect", "worker", "start", "--pool", "ours", "--type", "process")
        until(lambda: list((data / "generated").glob("*")), "the run was not taken")
        (record,) = run_records.every(data)
        until(lambda: server.heard(record.flow_run_id), "the run has no heartbeat")
        worker.kill()
        os.kill(record.pid, signal.SIGKILL)
        yield Killed(data, time.monotonic(), lambda: process("tasks.watch"))


def end(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def until(so: Callable[[], object], otherwise: str, patience_s: float = 120) -> None:
    began = time.monotonic()
    while not so():
        assert time.monotonic() - began < patience_s, otherwise
        time.sleep(0.2)


def started(server: Server) -> None:
    """Ask for a run of ingest by the worker of the pool `ours`."""
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.actions import WorkPoolCreate
    from prefect.workers.process import ProcessWorker

    from flows.ingest import ingest

    with get_client(sync_client=True) as client:
        client.create_work_pool(
            WorkPoolCreate(name="ours", type="process", base_job_template=ProcessWorker.get_default_base_job_template())
        )
        made = client.create_deployment(
            flow_id=client.create_flow(ingest), name="killed", work_pool_name="ours", entrypoint="flows.ingest.ingest", pull_steps=[]
        )
        client.create_flow_run_from_deployment(made, parameters={"source": "generated"})


def fails(server: Server, data_dir: Path, run: Callable[[], Any]) -> tuple[RunRecord, str]:
    """Run it to its failure; returns the record, and the page that the UI shows."""
    settings.load.cache_clear()
    with contextlib.suppress(Exception):  # which one is what the page has to tell
        asyncio.run(run())
    (record,) = run_records.every(data_dir)
    assert record.state == "failed"
    return record, server.page(record.flow_run_id)


def diagnosed(page: str, record: RunRecord, names: str, command: str) -> None:
    """The page begins with one line that names the thing, and with the command."""
    cause, following = re.search(r"\*\*Cause:\*\* (.+)", page), re.search(r"\*\*Next:\*\* `(.+)`", page)
    assert cause and names in cause[1].replace("\\", ""), page[:1_000]
    assert following and command in following[1], page[:1_000]
    assert page.index("Cause") < 200


def lake(data_dir: Path, tmp_path: Path) -> Store:
    """A lake with one clean day."""
    from flows.ingest import ingest

    folder = tmp_path / "recordings"
    folder.mkdir()
    record(folder / "btcusdt_20240808.gz", MIDNIGHT_MS - 600_000, 300)
    settings.load.cache_clear()
    asyncio.run(ingest(Source.RECORDINGS, folder))
    for path in (data_dir / "runs").glob("*/*"):
        path.unlink()
    for path in (data_dir / "runs").glob("*"):
        path.rmdir()
    return Store(settings.load().lake)


def model_in(data_dir: Path) -> Path:
    """A small model with random weights, trained on the features that this code computes, as the train stage leaves one."""
    import torch

    from kernels import features, model
    from tasks.export import by_torch

    torch.manual_seed(1)
    folder = data_dir / "models" / "3f2a9c01b7de"
    names = [spec.name for spec in features.SPECS[:4]]
    of = features.feature_set_hash(names)
    shape = model.ModelConfig(n_features=4, window=10, conv_channels=8, lstm_hidden=4, heads=2, feature_set_hash=of)
    network = model.new(shape).eval()
    model.save(folder, network, shape)
    windows = np.random.default_rng(1).standard_normal((20, 10, 4)).astype(np.float32)
    np.savez(folder / "recorded.npz", features=windows, **by_torch(network, windows)._asdict())
    facts = {
        "version_id": folder.name,
        "feature_set_hash": shape.feature_set_hash,
        "feature_names": names,
        "inputs": {},
        "params": {},
    }
    (folder / "train.json").write_text(
        json.dumps(facts | {"evidence": True, "verdict": "beats the baselines", "generated": False, "scores": {}})
    )
    return folder


def test_a_missing_source(server: Server, data_dir: Path, tmp_path: Path):
    from flows.ingest import ingest

    record, page = fails(server, data_dir, lambda: ingest(Source.RECORDINGS, tmp_path / "nowhere"))
    diagnosed(page, record, str(tmp_path / "nowhere"), "ls -l")


@pytest.mark.parametrize("torn", [True, False], ids=["cut off", "bytes changed"])
def test_a_corrupt_partition(server: Server, data_dir: Path, tmp_path: Path, torn: bool):
    from flows.features import features

    store = lake(data_dir, tmp_path)
    (part,) = store.parts("clean_market__trades")
    path = Path(store.path(part))
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2] if torn else whole[:4] + bytes(b ^ 0xFF for b in whole[4:1_000]) + whole[1_000:])
    record, page = fails(server, data_dir, features)
    diagnosed(page, record, str(part), f"rm {path}")


def test_a_schema_that_drifted(server: Server, data_dir: Path, tmp_path: Path):
    from flows.ingest import ingest

    folder = tmp_path / "tables"
    folder.mkdir()
    mapping = settings.load().mappings["standx"]
    path = folder / mapping.trades_glob.replace("*", "a")
    path.parent.mkdir(parents=True, exist_ok=True)
    pl.DataFrame({"time": [1], "cost": [2.0]}).write_parquet(path)
    record, page = fails(server, data_dir, lambda: ingest(Source.TABLES, folder, "standx"))
    diagnosed(page, record, str(path), "scalp ingest")


@pytest.mark.skipif(unavailable() is not None, reason=str(unavailable()))
def test_triton_that_cannot_start(server: Server, data_dir: Path, monkeypatch: pytest.MonkeyPatch):
    from flows.deploy import deploy

    model_in(data_dir)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        monkeypatch.setenv("SCALP_TRITON__ENABLED", "true")
        monkeypatch.setenv("SCALP_TRITON__GRPC_PORT", str(port))
        record, page = fails(server, data_dir, deploy)
    diagnosed(page, record, f"127.0.0.1:{port}", "triton.log")
    assert "riton" in record.cause


def test_a_gate_that_refuses(server: Server, data_dir: Path, monkeypatch: pytest.MonkeyPatch):
    from flows.deploy import deploy

    model_in(data_dir)
    monkeypatch.setenv("SCALP_DEPLOY__MAX_LATENCY_MS", "0.000001")
    record, page = fails(server, data_dir, deploy)
    diagnosed(page, record, "3f2a9c01b7de was not taken at the step 'latency'", "scalp deploy 3f2a9c01b7de")


def test_a_full_disk(server: Server, data_dir: Path, disk: Callable[[int], Path], monkeypatch: pytest.MonkeyPatch):
    from flows.ingest import ingest

    small = disk(3 << 20)
    monkeypatch.setenv("SCALP_DATA_DIR", str(small / "data"))
    record, page = fails(server, small / "data", ingest)
    diagnosed(page, record, "disk is full", "scalp maintain")


def test_a_bad_parameter(server: Server, data_dir: Path):
    from flows.features import features

    record, page = fails(server, data_dir, lambda: features(start="the day after"))  # pyright: ignore[reportArgumentType]
    diagnosed(page, record, "start", "scalp features --help")
    assert not (data_dir / "lake").exists()


def test_a_run_over_its_time(server: Server, data_dir: Path, monkeypatch: pytest.MonkeyPatch):
    from flows.ingest import ingest

    monkeypatch.setenv("SCALP_GENERATOR__FRAMES_PER_S", "3")
    record, page = fails(server, data_dir, ingest.with_options(timeout_seconds=0.5))
    diagnosed(page, record, "flow ingest took longer than its limit of 0.5 s", "scalp doctor")


def test_a_model_that_cannot_be_read(server: Server, data_dir: Path):
    from flows.deploy import deploy

    path = model_in(data_dir) / "model.safetensors"
    path.write_bytes(b"\xff" * 64 + path.read_bytes()[64:])
    record, page = fails(server, data_dir, deploy)
    diagnosed(page, record, str(path), "scalp train")


def test_a_worker_that_was_killed_with_its_run(server: Server, killed: Killed):
    """Nobody is left to tell: the server finds out within two minutes, and one alert goes out."""
    (record,) = run_records.every(killed.data)
    until(lambda: server.state(record.flow_run_id) == "Crashed", "it was not found out", 120 - (time.monotonic() - killed.at))
    killed.watch()
    ended = killed.end_of(record.flow_run_id)
    diagnosed(server.page(record.flow_run_id), ended, "the worker and the process of flow ingest are gone", "scalp status")
    (alert,) = killed.crashes()
    assert (alert["flow"], alert["run_id"]) == ("ingest", record.run_id)
    assert alert["runbook"].endswith("#a-run-crashed")


def test_a_run_that_was_killed_before_anything_was_heard_of_it(server: Server, killed: Killed):
    """No heartbeat, no automation: the watch sees that its process is gone."""
    gone = subprocess.Popen([sys.executable, "-c", ""])
    lost = run_records.begun(runs.new_folder(killed.data).name, "train")
    lost.flow_run_id, lost.pid, lost.pid_started = server.running("train"), gone.pid, time.time()
    gone.wait()
    run_records.save(killed.data / "runs" / lost.run_id, lost)
    ended = killed.end_of(lost.flow_run_id)
    assert server.state(lost.flow_run_id) == "Crashed"
    diagnosed(server.page(lost.flow_run_id), ended, f"process {gone.pid} of flow train is gone", "dmesg")
    assert [alert["flow"] for alert in killed.crashes()] == ["ingest", "train"]
