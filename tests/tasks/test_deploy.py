"""Prove, switch, then retire: a version serves only after it has shown what it must, and until then the one before does."""

import json
import os
import shutil
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import torch

from core import settings
from core.inference import Predictor
from core.serving_record import RepositoryError, Serving, Version
from core.triton import serve
from core.triton_wheel import unavailable
from kernels import model, promotion
from tasks import deployment, proving
from tasks.deploy import deploy_version, rollback
from tasks.export import by_torch, read_recorded
from tasks.registry import Registry

HASH = "0123456789abcdef"
# A busy machine is not what is tested; forms and batching have tests of their own.
DEPLOY = settings.Deploy(max_latency_ms=5_000, forms=("onnxruntime-f32",), tune=False)
BY_TRITON = settings.Triton()
IN_PROCESS = settings.Triton(enabled=False)
needs_triton = [pytest.mark.server, pytest.mark.skipif(unavailable() is not None, reason=str(unavailable()))]


def trained(data_dir: Path, seed: int, *, evidence: bool = True, generated: bool = False, window: int = 10) -> dict[str, Any]:
    """What the train stage leaves of a small network with random weights."""
    torch.manual_seed(seed)
    name = f"{seed:012x}"
    folder = data_dir / "models" / name
    shape = model.ModelConfig(n_features=4, window=window, conv_channels=8, lstm_hidden=4, heads=2, feature_set_hash=HASH)
    network = model.new(shape).eval()
    model.save(folder, network, shape)
    features = np.random.default_rng(seed).standard_normal((20, window, 4)).astype(np.float32)
    np.savez(folder / "recorded.npz", features=features, **by_torch(network, features)._asdict())
    return {
        "version_id": name,
        "folder": str(folder),
        "feature_set_hash": HASH,
        "feature_names": ["a", "b", "c", "d"],
        "evidence": evidence,
        "verdict": "beats the baselines after cost" if evidence else "loses after cost",
        "generated": generated,
        "inputs": {"feat_market__1s_inputs binance-usdm/BTCUSDT 2026-01-05": "ab" * 32},
        "params": {"seed": seed},
        "scores": {"model": {"accuracy": 0.5}, "baselines": {"no trade": {"accuracy": 0.4}}},
    }


@pytest.fixture(scope="session")
def mlflow_db(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty registry: making its tables takes seconds, copying them does not."""
    folder = tmp_path_factory.mktemp("mlflow")
    Registry(folder, "none").numbered(1)
    return folder / "mlflow.db"


@pytest.fixture
def place(tmp_path: Path, mlflow_db: Path) -> Path:
    (tmp_path / "data").mkdir()
    shutil.copyfile(mlflow_db, tmp_path / "data" / "mlflow.db")
    return tmp_path / "data"


def deployed(place: Path, facts: dict[str, Any], *, triton: settings.Triton = IN_PROCESS, expected_hash: str = HASH, **options: Any) -> Any:
    options = {"deploy": DEPLOY} | options
    return deploy_version(facts, data_dir=place, triton=triton, expected_hash=expected_hash, code="test", **options)


def record(place: Path) -> Serving:
    return deployment.repository(place, DEPLOY).read()


def no_children() -> bool:
    until = time.monotonic() + 20
    while time.monotonic() < until:
        left = [p for p in psutil.Process(os.getpid()).children(recursive=True) if p.status() != psutil.STATUS_ZOMBIE]
        if not any("triton" in p.name() for p in left):
            return True
        time.sleep(0.1)
    return False


class TestByTriton:
    pytestmark = needs_triton

    def test_a_first_version_is_proven_served_and_written_down_and_nothing_is_left_running(self, place: Path):
        facts = trained(place, 1)
        stage = deployed(place, facts, triton=BY_TRITON)
        told = stage.facts
        assert stage.changed and told["failed"] is None and stage.warnings == []
        assert (told["version"], told["alias"], told["served_by"], told["previous"]) == (1, "champion", "triton", None)
        assert [s["step"] for s in told["steps"]] == [
            "features", "export", "write", "start", "load", "compare", "latency", "register", "switch",
        ]  # fmt: skip
        assert told["max_error_export"] <= 1e-5 and told["max_error_served"] <= 1e-5
        assert 0 < told["latency_ms"]["p50"] <= told["latency_ms"]["p99"]
        assert told["statistics"]["requests"] > 200 and told["statistics"]["compute_infer_us"] > 0
        assert json.loads(json.dumps(told)) == told
        card = json.loads((place / "models" / facts["version_id"] / "card.json").read_text())
        assert card["inputs"] == facts["inputs"] and card["feature_set_hash"] == HASH and card["latency_ms"] == told["latency_ms"]
        book = Registry(place, DEPLOY.model_name)
        assert book.client.get_model_version_by_alias(DEPLOY.model_name, "champion").tags["version_id"] == facts["version_id"]
        assert no_children()

        again = deployed(place, facts, triton=BY_TRITON)
        assert not again.changed and again.facts["version"] == 1 and again.facts["statistics"] == told["statistics"]

        with serve(place) as server, Predictor(server.grpc_url, DEPLOY.model_name, 1) as ask:
            windows, answers = read_recorded(Path(facts["folder"]))
            assert ask(windows).error(answers) <= 1e-5

    def test_a_corrupt_version_leaves_the_one_before_serving(self, place: Path, monkeypatch: pytest.MonkeyPatch):
        first, second = trained(place, 1), trained(place, 2)
        deployed(place, first, triton=BY_TRITON)
        write = deployment.Repository.write_version

        def torn(self: Any, version: Version, onnx: Path) -> None:
            write(self, version, onnx)
            path = self.path(version.n)
            path.write_bytes(path.read_bytes()[:3000])

        with monkeypatch.context() as broken, serve(place) as server:
            broken.setattr(deployment.Repository, "write_version", torn)  # a disk that loses what it was given
            stage = deployed(place, second, triton=BY_TRITON)
            assert stage.facts["failed"]["step"] == "load"
            assert "version 2" in stage.facts["reason"] and "version 1 goes on serving as champion" in stage.facts["reason"]
            assert server.versions(DEPLOY.model_name) == [1]
            windows, answers = read_recorded(Path(first["folder"]))
            with Predictor(server.grpc_url, DEPLOY.model_name, 1) as ask:
                assert ask(windows).error(answers) <= 1e-5
        assert record(place).aliases == {"champion": 1}
        assert deployment.repository(place, DEPLOY).numbers() == [1]

    def test_a_server_killed_while_proving_is_told_and_the_old_version_stays(self, place: Path, monkeypatch: pytest.MonkeyPatch):
        deployed(place, trained(place, 1))
        answers = deployment.proving.same_answers

        def killed(*asked: Any, **options: Any) -> dict[str, float]:
            mine = [p for p in psutil.Process(os.getpid()).children() if p.name() == "tritonserver"]
            for process in mine:
                process.kill()
                process.wait()
            return answers(*asked, **options)

        monkeypatch.setattr(deployment.proving, "same_answers", killed)
        stage = deployed(place, trained(place, 2), triton=BY_TRITON)
        assert stage.facts["failed"]["step"] == "compare"
        assert "Triton" in stage.facts["failed"]["reason"]
        assert record(place).aliases == {"champion": 1} and deployment.repository(place, DEPLOY).numbers() == [1]
        assert no_children()

    def test_a_version_with_another_window_serves_beside_the_old_one_and_old_ones_retire(self, place: Path):
        for seed, window in ((1, 10), (2, 10), (3, 14)):
            stage = deployed(
                place, trained(place, seed, window=window), triton=BY_TRITON, deploy=DEPLOY.model_copy(update={"keep_versions": 1})
            )
            assert stage.facts["failed"] is None, stage.facts["reason"]
        assert stage.facts["steps"][-1]["step"] == "retire"
        assert sorted(record(place).versions) == ["2", "3"]  # the one before is kept to go back to
        assert deployment.repository(place, DEPLOY).numbers() == [2, 3]
        with serve(place) as server:
            assert server.versions(DEPLOY.model_name) == [2, 3]


def test_without_triton_it_says_so_and_gives_the_same_proofs_in_process(place: Path):
    stage = deployed(place, trained(place, 1))
    assert stage.facts["served_by"] == "in-process" and stage.facts["failed"] is None
    assert "without Triton: it is switched off" in stage.warnings[0]
    assert [s["step"] for s in stage.facts["steps"]] == ["features", "export", "write", "load", "compare", "latency", "register", "switch"]
    assert not deployed(place, trained(place, 1)).changed


@pytest.mark.parametrize(
    ("step", "broken", "words"),
    [
        ("features", {"expected_hash": "f" * 16}, "trained on feature set 0123456789abcdef"),
        ("export", {"deploy": DEPLOY.model_copy(update={"max_error": 1e-15})}, "ONNX differs from torch"),
        ("latency", {"deploy": DEPLOY.model_copy(update={"max_latency_ms": 1e-6})}, "over the limit of 1e-06 ms"),
    ],
    ids=["wrong feature set", "inexact export", "too slow"],
)
def test_what_is_not_proven_does_not_serve(place: Path, step: str, broken: dict[str, Any], words: str):
    nothing = deployed(place, trained(place, 1), **broken)
    assert nothing.facts["failed"]["step"] == step and "nothing is served" in nothing.facts["reason"]
    assert record(place).aliases == {}
    deployed(place, trained(place, 1))
    stage = deployed(place, trained(place, 2), **broken)
    assert stage.facts["failed"]["step"] == step and words in stage.facts["failed"]["reason"]
    assert (stage.facts["version"], stage.facts["alias"]) == (1, "champion")
    assert not stage.facts["steps"][-1]["ok"]
    assert record(place).aliases == {"champion": 1}
    assert deployment.repository(place, DEPLOY).numbers() == [1]


def test_a_switch_that_cannot_be_written_leaves_everything_as_it_was(place: Path, monkeypatch: pytest.MonkeyPatch):
    deployed(place, trained(place, 1))

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as broken:
        broken.setattr(deployment.Repository, "write_record", full)
        stage = deployed(place, trained(place, 2))
    assert stage.facts["failed"]["step"] == "switch"
    assert record(place).aliases == {"champion": 1}
    client = Registry(place, DEPLOY.model_name).client
    assert client.get_model_version_by_alias(DEPLOY.model_name, "champion").tags["n"] == "1"
    assert len(client.search_model_versions(f"name='{DEPLOY.model_name}'")) == 1


def test_a_run_killed_while_proving_is_tidied_by_the_next(place: Path, monkeypatch: pytest.MonkeyPatch):
    deployed(place, trained(place, 1))

    def interrupted(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as broken:
        broken.setattr(deployment.proving, "in_time", interrupted)
        broken.setattr(deployment.Deployment, "undo", lambda *_: [])  # as when killed: nothing is undone
        with pytest.raises(KeyboardInterrupt):
            deployed(place, trained(place, 2))
    assert deployment.repository(place, DEPLOY).numbers() == [1, 2]
    stage = deployed(place, trained(place, 3))
    assert "left unproven" in stage.warnings[0]
    assert stage.facts["failed"] is None and record(place).aliases == {"champion": 2}


def test_a_run_stopped_just_after_the_switch_leaves_the_new_version_serving(place: Path, monkeypatch: pytest.MonkeyPatch):
    deployed(place, trained(place, 1))

    def write_and_stop(self: deployment.Repository, serving: Serving) -> None:
        write(self, serving)
        raise KeyboardInterrupt

    write = deployment.Repository.write_record
    with monkeypatch.context() as patch:
        patch.setattr(deployment.Repository, "write_record", write_and_stop)
        with pytest.raises(KeyboardInterrupt):
            deployed(place, trained(place, 2))
    kept = deployment.repository(place, DEPLOY)
    assert kept.read().aliases == {"champion": 2} and kept.sound(kept.read().versions["2"])
    book = Registry(place, DEPLOY.model_name)
    assert book.client.get_model_version_by_alias(DEPLOY.model_name, "champion").tags["n"] == "2"


def test_the_statistics_of_the_proof_leave_the_warm_up_out():
    def seen(n: int, mean: float, batches: dict[str, tuple[int, float]]) -> dict[str, Any]:
        means = dict.fromkeys(proving.MEANS, mean)
        by_batch = {size: {"executions": k, "compute_infer_us": us} for size, (k, us) in batches.items()}
        return {
            "requests": n,
            "failed": 0,
            "inferences": n,
            "executions": sum(k for k, _ in batches.values()),
            **means,
            "by_batch": by_batch,
        }

    told = proving.since(seen(65, 4000.0, {"1": (1, 900.0), "64": (1, 4000.0)}), seen(265, 1132.1, {"1": (201, 204.5), "64": (1, 4000.0)}))
    assert (told["requests"], told["executions"]) == (200, 200) and told["compute_infer_us"] == pytest.approx(200, abs=1)
    assert told["by_batch"] == {"1": {"executions": 200, "compute_infer_us": pytest.approx(201, abs=1)}}


def test_without_evidence_a_version_is_only_a_shadow_and_the_champion_stays(place: Path):
    alone = deployed(place, trained(place, 1, evidence=False))
    assert alone.facts["alias"] == "shadow" and "shadow only" in alone.facts["reason"]
    deployed(place, trained(place, 2))
    beside = deployed(place, trained(place, 3, evidence=False))
    assert beside.facts["alias"] == "shadow" and "version 2 stays champion" in beside.facts["reason"]
    assert record(place).aliases == {"champion": 2, "shadow": 3}
    assert record(place).live == ("champion", record(place).versions["2"])


def test_rollback_goes_back_one_version_and_then_says_there_is_none(place: Path):
    deployed(place, trained(place, 1))
    second = trained(place, 2)
    deployed(place, second)
    told = rollback(place, deploy=DEPLOY)
    assert (told["from"], told["to"], told["warnings"]) == ({"champion": 2}, {"champion": 1}, [])
    assert record(place).aliases == {"champion": 1}
    assert Registry(place, "scalper").client.get_model_version_by_alias("scalper", "champion").tags["n"] == "1"
    with pytest.raises(RepositoryError, match="no version to go back to"):
        rollback(place, deploy=DEPLOY)

    stays = deployed(place, second)
    assert not stays.changed and "was rolled back" in stays.warnings[0] and stays.facts["version"] == 1
    assert deployed(place, second, again=True).facts["version"] == 3


def test_rollback_where_nothing_was_deployed_says_so(place: Path):
    with pytest.raises(RepositoryError, match="nothing was deployed"):
        rollback(place, deploy=DEPLOY)


def test_versions_deployed_one_after_another_never_share_a_number(place: Path):
    numbers = [deployed(place, trained(place, seed)).facts["version"] for seed in (1, 2)]
    rollback(place, deploy=DEPLOY)
    numbers.append(deployed(place, trained(place, 3)).facts["version"])
    assert numbers == [1, 2, 3]


@pytest.mark.parametrize(
    ("evidence", "generated", "champion", "champion_generated", "alias"),
    [
        (False, False, None, False, "shadow"),
        (False, False, "version 1", False, "shadow"),
        (True, False, "version 1", False, "champion"),
        (True, True, None, False, "champion"),
        (True, True, "version 1", True, "champion"),
        (True, True, "version 1", False, "shadow"),
    ],
    ids=[
        "no evidence",
        "no evidence, a champion",
        "evidence",
        "generated, none before",
        "generated, as before",
        "generated, a real one before",
    ],
)
def test_only_evidence_of_its_own_world_makes_a_champion(
    evidence: bool, generated: bool, champion: str | None, champion_generated: bool, alias: str
):
    told = promotion.decide(evidence=evidence, verdict="v", generated=generated, champion=champion, champion_generated=champion_generated)
    assert told.alias == alias and told.reason


def test_the_record_is_never_seen_half_written(place: Path):
    kept, seen, ended = deployment.repository(place, DEPLOY), [], threading.Event()
    serving = Serving(model_name=DEPLOY.model_name)
    version = Version(n=1, version_id="a", feature_set_hash="h", decision="shadow", sha256="s", window=1, n_features=1)
    serving.switch("shadow", version, "x" * 10_000)
    kept.write_record(serving)

    def read() -> None:
        while not ended.is_set():
            seen.append(kept.read().aliases)

    reader = threading.Thread(target=read)
    reader.start()
    for _ in range(50):
        kept.write_record(serving)
    ended.set()
    reader.join()
    assert all(aliases == {"shadow": 1} for aliases in seen)
