"""The fastest form that passes serves, in process and by the real server; what could not be shown is not chosen."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from core import form, settings
from core.configuration import Batching
from core.inference import Predictor, in_process
from core.repository import TRIAL, Repository
from core.serving_record import Version, sha256
from core.triton import Triton
from core.triton_wheel import unavailable
from kernels import model
from kernels.scores import Outcomes
from tasks import deployment, export, forms, forms_made, judged, tuned, tuning
from tasks.deploy import deploy_version
from tasks.forms_made import COMPARED, Missing
from tasks.registry import Registry
from tasks.windows import Windows

HERE = [name for name in form.FORMS if form.missing(name) is None]
DEPLOY = settings.Deploy(max_latency_ms=5_000, tune=False)
needs_triton = [pytest.mark.server, pytest.mark.skipif(unavailable() is not None, reason=str(unavailable()))]
WINDOW, FEATURES = 12, 4


def trained(data_dir: Path, seed: int = 1) -> dict[str, Any]:
    """A small network with random weights that takes sides, exported."""
    torch.manual_seed(seed)
    folder = data_dir / "models" / f"{seed:012x}"
    config = model.ModelConfig(n_features=FEATURES, window=WINDOW, conv_channels=8, lstm_hidden=8, heads=2, feature_set_hash="h")
    network = model.new(config).eval()
    network.set_calibration(0.1, 1.0, 0.0)
    model.save(folder, network, config)
    features = np.random.default_rng(seed).standard_normal((70, WINDOW, FEATURES)).astype(np.float32)
    np.savez(folder / "recorded.npz", features=features, **export.by_torch(network, features)._asdict())
    export.export(folder, max_error=1e-5)
    return {"version_id": folder.name, "folder": str(folder), "feature_set_hash": "h", "evidence": True, "verdict": "v", "generated": False}


def windows(n: int, seed: int = 3) -> Windows:
    random = np.random.default_rng(seed)
    rows = random.standard_normal((n + WINDOW + 40, FEATURES)).astype(np.float32)
    ends = np.sort(random.choice(np.arange(WINDOW - 1, len(rows)), n, replace=False))
    at = np.arange(n, dtype=np.int64) * 10
    of = Outcomes(at, at + 1, np.zeros(n, np.int64), random.integers(0, 3, n), *random.normal(0, 1e-4, (4, n)))
    none = np.zeros(n, np.int64)
    return Windows(tuple("abcd"), (), "h", WINDOW, rows, ends, none, none, of, np.zeros(n), none, len(rows), False)


def kept_times(data_dir: Path, folder: Path, **p50_us: float) -> None:
    """As if measured on this machine before: the named forms with these times, all others slow."""
    key = tuned.key(folder / "model.onnx", {"forms": forms.FORM, "allowed": list(form.FORMS)})
    rows = {name: {"p50_us": p50_us.get(name.replace("-", "_"), 500.0), "p99_us": 900.0, "batch_64_us": 9000.0} for name in form.FORMS}
    tuned.write(data_dir, key, forms=rows)


def of(table: list[dict[str, Any]], name: str) -> dict[str, Any]:
    return next(one for one in table if one["form"] == name)


def test_every_form_answers_as_torch_does(tmp_path: Path):
    folder = Path(trained(tmp_path)["folder"])
    network, config = model.load(folder)
    features, want = export.read_recorded(folder, config)
    for name in [*HERE, *COMPARED]:
        ask = forms_made.make(name, folder, network, config)
        assert not isinstance(ask, Missing), name
        for n in (1, 2, 64):
            wrong = ask(features[:n]).error(type(want)(*(values[:n] for values in want)))
            assert wrong <= (1e-5 if forms.precision(name) in ("", "f32") else 0.2), (name, n)


def test_a_form_that_cannot_be_had_is_skipped_with_a_reason(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    folder = Path(trained(tmp_path)["folder"])
    monkeypatch.setitem(form.FORMS, "openvino-f32", form.Form("no_such_runtime", "model.onnx", "f32"))
    found = forms.choose(folder, deploy=DEPLOY, data_dir=tmp_path)
    assert of(found.table, "openvino-f32")["why"] == "no_such_runtime is not installed"
    with pytest.raises(form.FormError, match="deploy again"):
        in_process(folder, "openvino-f32")


def test_without_windows_to_judge_it_on_nothing_in_less_than_float32_is_chosen(tmp_path: Path):
    folder = Path(trained(tmp_path)["folder"])
    kept_times(tmp_path, folder, onnxruntime_int8=1.0, openvino_bf16=1.0)
    found = forms.choose(folder, deploy=DEPLOY, data_dir=tmp_path)
    assert form.of(found.form).precision == "f32"
    assert "no windows with known outcomes" in of(found.table, "onnxruntime-int8")["why"]


def test_int8_is_judged_by_its_decisions_and_its_file_goes_with_it(tmp_path: Path):
    folder = Path(trained(tmp_path)["folder"])
    judged.keep(windows(1200), np.arange(1200), folder)
    kept_times(tmp_path, folder, onnxruntime_int8=1.0)
    strict = forms.choose(folder, deploy=DEPLOY.model_copy(update={"max_flips": 0.0, "max_loss_bps": 0.0}), data_dir=tmp_path)
    row = of(strict.table, "onnxruntime-int8")
    assert 0 < row["flips"] < 0.2 and row["n_windows"] == 1200 and row["n_trades"] > 30
    assert strict.form != "onnxruntime-int8" and "otherwise" in row["why"]
    lenient = forms.choose(folder, deploy=DEPLOY.model_copy(update={"max_flips": 0.2, "max_loss_bps": 5.0}), data_dir=tmp_path)
    assert lenient.form == "onnxruntime-int8" and lenient.again
    assert lenient.sha256 == sha256(folder / "model.int8.onnx")


def test_times_are_measured_once_for_a_shape_and_kept(tmp_path: Path):
    first, second = (Path(trained(tmp_path, seed)["folder"]) for seed in (1, 2))
    found = forms.choose(first, deploy=DEPLOY, data_dir=tmp_path)
    assert not found.again and sum(one["chosen"] for one in found.table) == 1
    assert all(one["p50_us"] > 0 and one["p99_us"] >= one["p50_us"] for one in found.table if one["form"] in [*HERE, *COMPARED])
    assert json.loads(json.dumps(found.table)) == found.table
    again = forms.choose(second, deploy=DEPLOY, data_dir=tmp_path)
    assert again.again and [one["p50_us"] for one in again.table] == [one["p50_us"] for one in found.table]


def test_windows_are_kept_with_what_they_led_to(tmp_path: Path):
    data = windows(90)
    chosen = np.arange(5, 80, 3)
    judged.keep(data, chosen, tmp_path)
    kept = judged.read(tmp_path)
    assert kept is not None and len(kept.rows) <= len(data.rows)
    np.testing.assert_array_equal(kept.batch(0, len(chosen)), data.batch(chosen))
    for ours, theirs in zip(kept.outcomes, data.outcomes.take(chosen), strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.fixture(scope="module")
def mlflow_db(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("mlflow")
    Registry(folder, "none").numbered(1)
    return folder / "mlflow.db"


def deployed(place: Path, facts: dict[str, Any], mlflow_db: Path, *, triton: bool, **options: Any) -> dict[str, Any]:
    if not (place / "mlflow.db").exists():
        shutil.copyfile(mlflow_db, place / "mlflow.db")
    deploy = DEPLOY.model_copy(update=options)
    return deploy_version(facts, data_dir=place, deploy=deploy, triton=settings.Triton(enabled=triton), expected_hash="h").facts


def test_the_chosen_form_is_served_and_on_the_card(tmp_path: Path, mlflow_db: Path):
    if "openvino-f32" not in HERE:
        pytest.skip("OpenVINO is not installed")
    facts = trained(tmp_path)
    kept_times(tmp_path, Path(facts["folder"]), openvino_f32=1.0)
    told = deployed(tmp_path, facts, mlflow_db, triton=False)
    assert told["failed"] is None and told["form"] == "openvino-f32"
    repository = deployment.repository(tmp_path, DEPLOY)
    assert repository.read().versions["1"].form == "openvino-f32" == form.named(repository.path(1).parent)
    card = json.loads((Path(facts["folder"]) / "card.json").read_text())
    assert card["form"] == "openvino-f32" and card["forms"] == told["forms"]
    assert "**chosen**: 1 us at batch 1" in (Path(facts["folder"]) / "card.md").read_text()
    assert told == deployed(tmp_path, facts, mlflow_db, triton=False) | {"alias": told["alias"]}
    other = deployed(tmp_path, facts, mlflow_db, triton=False, forms=("onnxruntime-f32",))
    assert (other["version"], other["form"]) == (2, "onnxruntime-f32")  # no longer allowed: deployed again


def test_what_stalls_or_has_one_instance_is_not_chosen_and_the_settings_own_always_may_be():
    own, waits_not = tuning.first_ways(Batching())
    alone = tuning.more_ways(own)[-1]
    assert alone.instances == 1
    fine, best = {"p99_ms": 3.0, "per_s": 900.0, "stalled": 0}, {"p99_ms": 1.0, "per_s": 1000.0, "stalled": 0}
    assert tuning.chosen({own: fine, waits_not: best, alone: best})[0] == waits_not
    assert tuning.chosen({own: fine, waits_not: best | {"stalled": 3}, alone: best})[0] == own
    assert tuning.chosen({own: fine | {"stalled": 16}, waits_not: fine | {"stalled": 17}, alone: best})[0] == own


class TestByTriton:
    pytestmark = needs_triton

    def test_the_server_answers_in_every_form_as_this_process_does(self, tmp_path: Path):
        folder = Path(trained(tmp_path)["folder"])
        forms_made.quantise(folder / "model.onnx", folder / "model.int8.onnx")
        features, _ = export.read_recorded(folder)
        repository = Repository(tmp_path, "scalper")
        versions = [
            Version(n=n, version_id=folder.name, feature_set_hash="h", decision="shadow", window=WINDOW, n_features=FEATURES, form=name,
                    sha256=sha256(folder / "model.onnx"))
            for n, name in enumerate(HERE, 1)
        ]  # fmt: skip
        for version in versions:
            repository.write_version(version, folder / "model.onnx")
        repository.write_config(versions)
        with Triton(tmp_path) as server:
            server.load("scalper")
            for version in versions:
                here = in_process(folder, version.form)
                with Predictor(server.grpc_url, "scalper", version.n) as ask:
                    for n in (1, 3, 64):
                        assert ask(features[:n]).error(here(features[:n])) <= 1e-6, (version.form, n)

    def test_a_form_that_will_not_load_gives_way_to_the_default(self, tmp_path: Path, mlflow_db: Path, monkeypatch: pytest.MonkeyPatch):
        facts = trained(tmp_path)
        judged.keep(windows(1200), np.arange(1200), Path(facts["folder"]))
        kept_times(tmp_path, Path(facts["folder"]), onnxruntime_int8=1.0)
        write = Repository.write_version

        def torn(self: Repository, version: Version, onnx: Path) -> None:
            write(self, version, onnx)
            if version.form == "onnxruntime-int8":
                (self.path(version.n).parent / "model.int8.onnx").write_bytes(b"torn")

        monkeypatch.setattr(Repository, "write_version", torn)
        told = deployed(tmp_path, facts, mlflow_db, triton=True, max_flips=0.2, max_loss_bps=5.0)
        assert told["failed"] is None and told["form"] == "onnxruntime-f32"
        assert "would not load in Triton" in of(told["forms"], "onnxruntime-int8")["why"]
        assert deployment.repository(tmp_path, DEPLOY).read().versions["1"].form == "onnxruntime-f32"

    def test_batching_is_tuned_on_the_server_once_and_recorded(self, tmp_path: Path, mlflow_db: Path):
        first, second = trained(tmp_path, 1), trained(tmp_path, 2)
        options = {"forms": ("onnxruntime-f32",), "tune": True}
        told = deployed(tmp_path, first, mlflow_db, triton=True, **options)
        assert told["failed"] is None, told["reason"]
        found = told["batching"]
        assert len(found["table"]) >= 2 and sum(one["chosen"] for one in found["table"]) == 1 and not found["again"]
        assert all(one["per_s"] > 0 and one["p99_ms"] >= one["p50_ms"] > 0 for one in found["table"])
        assert found["batching"]["instances"] >= 2
        repository = deployment.repository(tmp_path, DEPLOY)
        chosen = repository.read().batching
        assert isinstance(chosen, Batching) and tuning.fields(chosen) == found["batching"]
        assert f"max_queue_delay_microseconds: {chosen.queue_delay_us}" in (repository.folder / "config.pbtxt").read_text()
        assert not list(repository.root.glob(f"*{TRIAL}*"))
        assert "Batching in Triton" in (Path(first["folder"]) / "card.md").read_text()
        again = deployed(tmp_path, second, mlflow_db, triton=True, **options)
        assert again["batching"] == found | {"again": True}
