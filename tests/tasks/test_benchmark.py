"""A benchmark measures, remembers, and flags only what is worse than before by more than the scatter of before."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from core import machine, settings
from core.runs import Stage
from core.store import Store
from core.triton_wheel import unavailable
from kernels import model, regressions
from tasks import benchmark, measuring, memory
from tasks.deploy import deploy_version
from tasks.export import by_torch, export

BENCH = settings.Bench(requests=20, history=5, regression_pct=25)
DEPLOY = settings.Deploy(max_latency_ms=5_000, forms=("onnxruntime-f32",), tune=False)


@pytest.fixture
def trained(tmp_path: Path) -> Stage:
    torch.manual_seed(0)
    folder = tmp_path / "models" / "0123456789ab"
    shape = model.ModelConfig(n_features=4, window=10, conv_channels=8, lstm_hidden=4, heads=2)
    network = model.new(shape).eval()
    model.save(folder, network, shape)
    features = np.random.default_rng(0).standard_normal((20, 10, 4)).astype(np.float32)
    np.savez(folder / "recorded.npz", features=features, **by_torch(network, features)._asdict())
    export(folder, max_error=1e-5)
    facts = {"folder": str(folder), "version_id": folder.name, "params": {"batch_size": 16}, "feature_set_hash": "h", "evidence": False}
    return Stage(name="train", changed=False, facts=facts)


def measured(store: Store, stages: list[Stage], tmp_path: Path, run_id: str = "r", *, enabled: bool = False) -> Stage:
    triton = settings.Triton(enabled=enabled)
    return benchmark.measure.fn(store, stages, run_id=run_id, data_dir=tmp_path, bench=BENCH, triton=triton, deploy=DEPLOY)


def test_a_run_is_measured_and_kept_with_machine_and_versions(store: Store, trained: Stage, tmp_path: Path):
    ingest = Stage(name="ingest", changed=True, seconds=2.0, facts={"files": [{"rows": 900}, {"rows": 100}, {"rows": 7, "skipped": True}]})
    days = [{"rows": 500, "changed": True}, {"rows": 9, "changed": False}]
    features = Stage(name="features", changed=True, seconds=0.5, facts={"days": days})
    stage = measured(store, [ingest, features, trained], tmp_path)
    rows = {r["name"]: r for r in stage.facts["rows"]}
    assert rows["ingest rows"]["value"] == 500 and rows["features rows"]["value"] == 1000
    assert rows["ingest rows"]["higher_is_better"] and not rows["in-process batch 1 p50"]["higher_is_better"]
    assert rows["ingest and features peak memory"]["value"] > 1
    assert {"training step, batch 16", "in-process batch 1 p50", "in-process batch 1 p99", "in-process batch 64 p50"} <= set(rows)
    assert all(r["value"] > 0 and r["median_before"] is None and not r["regressed"] for r in rows.values())
    assert "Triton was not measured" in stage.warnings[0]
    kept = store.scan(stage.parts).collect()
    assert kept["name"].to_list() == [r["name"] for r in stage.facts["rows"]]
    assert kept["machine"].unique().to_list() == [machine.machine()]


def test_sources_are_not_compared_and_a_stage_that_knows_its_memory_is_believed():
    cost = {"rows_per_second": 100.0, "peak_memory_bytes": 5_000_000}
    ingest = Stage(name="ingest", changed=True, seconds=2.0, facts={"source": "tables", "files": [{"rows": 200}], **cost})
    features = Stage(name="features", changed=True, seconds=1.0, facts={"days": [{"rows": 50, "changed": True}], **cost})
    found = {m.name: (m.value, m.unit) for m in measuring.of_stages([ingest, features], 1)}
    assert found == {
        "ingest rows, tables": (100.0, "rows/s"),
        "ingest peak memory, tables": (5.0, "MB"),
        "features rows, tables": (50.0, "rows/s"),
        "features peak memory, tables": (5.0, "MB"),
    }


def test_each_stage_has_a_peak_of_its_own():
    memory.forget()
    big = np.ones(60_000_000 // 8)
    first = memory.spent(10, 2.0)
    del big
    memory.forget()
    assert first["rows_per_second"] == 5.0
    assert memory.peak() <= first["peak_memory_bytes"]
    assert memory.spent(0, 1.0)["rows_per_second"] is None


def test_runs_of_a_day_stand_beside_each_other_and_a_repeated_run_replaces_itself(store: Store, trained: Stage, tmp_path: Path):
    for run_id in ("a", "b", "b"):
        stage = measured(store, [trained], tmp_path, run_id)
    kept = store.scan(store.parts(benchmark.TABLE)).collect()
    n = len(stage.facts["rows"])
    assert kept.group_by("run_id").len().sort("run_id").rows() == [("a", n), ("b", n)]
    assert all(r["median_before"] is not None for r in stage.facts["rows"])


def test_a_chain_that_changed_nothing_is_not_measured_and_shows_the_last_run(store: Store, trained: Stage, tmp_path: Path):
    first = measured(store, [trained], tmp_path, "a")
    quiet = [Stage(name=name, changed=False) for name in ("ingest", "features")]
    stage = measured(store, [*quiet, trained], tmp_path, "b")
    assert not stage.changed and stage.facts["rows"] == first.facts["rows"] and stage.facts["run_id"] == "a"


def test_a_slow_run_is_flagged_against_the_runs_before(store: Store):
    def run(value: float, run_id: str) -> dict[str, object]:
        (row,) = benchmark.judged(store, [measuring.Measured("thing", "ms", value, None, False)], BENCH)
        benchmark.append(store, [row], run_id=run_id)
        return row

    rows = [run(value, str(i)) for i, value in enumerate([10.0, 10.5, 9.5, 10.2, 14.0, 10.0])]
    assert [r["regressed"] for r in rows] == [False, False, False, False, True, False]
    assert rows[4]["median_before"] == pytest.approx(10.1)


def test_another_machine_is_no_measure_for_this_one(store: Store):
    row = {
        "name": "thing",
        "unit": "ms",
        "value": 1.0,
        "spread": None,
        "median_before": None,
        "regressed": False,
        "higher_is_better": False,
    }
    part = benchmark.append(store, [row], run_id="a")
    moved = store.scan(part).collect().with_columns(machine=pl.lit("another"))
    store.write(part, moved, inputs={}, params={})
    assert benchmark.history(store) == {}


@pytest.mark.server
@pytest.mark.skipif(unavailable() is not None, reason=str(unavailable()))
def test_a_served_version_is_measured_by_grpc_and_http(store: Store, trained: Stage, tmp_path: Path):
    deployed = deploy_version(trained.facts, data_dir=tmp_path, deploy=DEPLOY, triton=settings.Triton(enabled=True), expected_hash="h")
    assert deployed.facts["failed"] is None, deployed.facts["reason"]
    stage = measured(store, [trained], tmp_path, enabled=True)
    names = {r["name"] for r in stage.facts["rows"]}
    assert {f"{by} batch {n} p{q}" for by in ("in-process", "gRPC", "HTTP") for n in (1, 64) for q in (50, 99)} <= names
    assert stage.warnings == []


@pytest.mark.parametrize(
    ("value", "before", "higher", "regressed"),
    [
        (10.0, [], False, False),
        (100.0, [10.0, 10.0], False, False),
        (12.4, [10.0, 10.0, 10.0], False, False),
        (12.6, [10.0, 10.0, 10.0], False, True),
        (12.6, [10.0, 10.0, 10.0], True, False),
        (7.4, [10.0, 10.0, 10.0], True, True),
        (20.0, [5.0, 10.0, 15.0, 10.0], False, False),
        (40.0, [5.0, 10.0, 15.0, 10.0], False, True),
    ],
    ids=["no history", "too short", "within", "slower", "more is better", "less is worse", "within the scatter", "beyond the scatter"],
)
def test_regressed_is_worse_by_more_than_margin_and_scatter(value: float, before: list[float], higher: bool, regressed: bool):
    assert regressions.judge(value, before, higher_is_better=higher, margin_pct=25).regressed is regressed


@given(st.lists(st.floats(0.1, 1e6), min_size=2, max_size=30))
@examples(deadline=None, max_examples=50)
def test_spread_is_the_scaled_median_of_distances_from_the_median(values: list[float]):
    ordered = sorted(values)

    def median(of: list[float]) -> float:
        n = len(of)
        return (of[(n - 1) // 2] + of[n // 2]) / 2

    centre = median(ordered)
    assert regressions.spread(values) == pytest.approx(1.4826 * median(sorted(abs(v - centre) for v in values)))
