"""Training ends in a whole, repeatable version that says honestly what it is worth, on a day or on minutes."""

import json
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from pydantic import SecretStr

from core.market import NS
from core.settings import Train
from core.store import Part, Store, StoreError
from core.tables import TS
from kernels import features, model, scores
from tasks import windows
from tasks.train import known_version, params_of, train_model, version_id

SMALL = Train(
    window=20,
    max_epochs=2,
    conv_channels=8,
    lstm_hidden=8,
    heads=2,
    batch_size=64,
    learning_rate=5e-3,
    dropout=0.1,
    max_windows=500,
    bootstrap=50,
    logger="none",
    threads=1,
)
DAY = date(2026, 1, 5)


def market(
    store: Store, n: int, *, day: date = DAY, symbol: str = "SIMUSDT", venue: str = "generated", lacks: tuple[str, ...] = (), seed: int = 1,
    only: int | None = None, hole: int | None = None,
) -> Part:  # fmt: skip
    """A day of inputs and labels whose drift follows `imbalance_1`; `lacks` are inputs without a value."""
    random = np.random.default_rng(seed)
    ts = int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()) * NS + np.arange(1, n + 1) * NS
    lean = random.normal(size=n)
    for i in range(1, n):
        lean[i] = 0.97 * lean[i - 1] + 0.24 * lean[i]
    ret = 1e-4 * random.normal(size=n)
    ret[1:] += 1e-4 * lean[:-1]
    price = 60_000 * np.exp(np.cumsum(ret))
    names = features.model_inputs()
    values = {name: random.normal(size=n) for name in names} | {"imbalance_1": lean}
    plain = dict.fromkeys(("close", "mid", "bid", "ask"), price) | {"top_age_s": np.zeros(n)}
    frame = pl.DataFrame({"ts_event": ts, "known_at": ts + NS // 4, "segment": np.zeros(n, np.int32), **plain, **values})
    frame = frame.with_columns(pl.col("ts_event", "known_at").cast(TS))
    frame = frame.with_columns(pl.lit(None, pl.Float64).alias(name) for name in lacks)
    if hole is not None:
        frame = frame.with_columns(pl.when(pl.int_range(pl.len()) != hole).then("ret_1").alias("ret_1"))
    m = n - 31
    gross = price[31:] / price[1 : m + 1] - 1
    direction = np.where(gross > 1e-4, 1, np.where(gross < -1e-4, -1, 0)) if only is None else np.full(m, only)
    labels = pl.DataFrame(
        {"ts_event": ts[:m], "ts_entry": ts[:m] + NS // 2, "known_at": ts[:m] + 30 * NS + NS // 4, "direction": direction,
         "ret_long": gross - 1e-5, "ret_short": -gross - 1e-5, "gross_long": gross, "gross_short": -gross,
         "volatility": np.abs(random.normal(size=m)) * 1e-4}
    ).with_columns(pl.col("ts_event", "ts_entry", "known_at").cast(TS))  # fmt: skip
    part = Part("feat_market__1s_inputs", venue, symbol, day)
    facts = {"feature_set_hash": features.feature_set_hash()}
    store.write(part, frame, inputs={}, params={"form": 1, "seed": seed}, facts=facts)
    store.write(part.of("feat_market__1s_labels"), labels, inputs={}, params={"form": 1}, facts=facts)
    return part


def trained(store: Store, parts: list[Part], folder: Path, **changed: Any):
    return train_model.fn(store, parts, train=SMALL.model_copy(update=changed), data_dir=folder)


def test_a_version_is_whole_and_says_what_it_is(store: Store, data_dir: Path):
    stage = trained(store, [market(store, 4000)], data_dir)
    facts, folder = stage.facts, Path(stage.facts["folder"])
    assert stage.changed and facts["generated"] and folder == data_dir / "models" / facts["version_id"]
    names = {"model.safetensors", "config.json", "scores.json", "curves.json", "recorded.npz", "judged.npz", "train.json", "checkpoints"}
    assert {path.name for path in folder.iterdir()} == names
    assert 400 < facts["n_train"] <= 500 and facts["n_test"] > 300 and 0 < facts["effective_samples"] < facts["n_test"]
    assert len(facts["curves"]["train_mse"]) == len(facts["curves"]["train_huber"]) == facts["epochs"] == 2
    assert set(facts["scores"]["baselines"]) == {"no trade", "last sign", "logistic"}
    assert sum(n for *_, n in facts["calibration"]) == facts["n_test"] and 0 <= facts["calibration_error"] <= 1
    assert len(facts["equity"]["ts"]) == len(facts["equity"]["model"]) <= 500
    assert facts["equity"]["model"][-1] == pytest.approx(facts["scores"]["model"]["net_bps"])
    assert json.loads((folder / "train.json").read_text())["verdict"] == facts["verdict"]
    network, config = model.load(folder)
    assert config.feature_names == features.model_inputs() and config.feature_set_hash == features.feature_set_hash(config.feature_names)
    recorded = np.load(folder / "recorded.npz")
    assert recorded["features"].shape == (len(recorded["direction"]), 20, len(config.feature_names)) and len(recorded["direction"]) <= 256
    with torch.no_grad():
        for name, made in zip(("direction", "confidence", "volatility"), network(torch.from_numpy(recorded["features"])), strict=True):
            np.testing.assert_allclose(made.numpy(), recorded[name], atol=1e-6)


def test_same_seed_and_data_give_the_same_bytes_and_another_seed_does_not(store: Store, tmp_path: Path):
    part = market(store, 1500)
    made = [trained(store, [part], tmp_path / name, seed=seed).facts for name, seed in (("a", 7), ("b", 7), ("c", 8))]
    a, b, c = ((Path(facts["folder"]) / "model.safetensors").read_bytes() for facts in made)
    assert a == b and a != c
    assert made[0]["scores"] == made[1]["scores"] and made[0]["version_id"] == made[1]["version_id"] != made[2]["version_id"]


def test_an_unchanged_second_run_trains_nothing_and_new_data_does(store: Store, data_dir: Path):
    part = market(store, 1500)
    first = trained(store, [part], data_dir)
    again = trained(store, [part, part.of("feat_market__1s_labels")], data_dir, logger="mlflow")
    assert not again.changed and json.dumps(again.facts, sort_keys=True) == json.dumps(first.facts, sort_keys=True)
    assert trained(store, [market(store, 1500, seed=2)], data_dir).facts["version_id"] != first.facts["version_id"]


def test_a_run_that_was_killed_is_done_again(store: Store, data_dir: Path):
    part = market(store, 1500)
    folder = Path(trained(store, [part], data_dir).facts["folder"])
    (folder / "train.json").unlink()
    (folder / "checkpoints" / "half.ckpt").write_bytes(b"torn")
    assert known_version(folder) is None
    assert trained(store, [part], data_dir).changed
    assert known_version(folder) and not (folder / "checkpoints" / "half.ckpt").exists()


@pytest.mark.parametrize("n", [210, 330], ids=["three and a half minutes", "five and a half minutes"])
def test_minutes_of_data_train_and_are_not_judged(store: Store, data_dir: Path, n: int):
    facts = trained(store, [market(store, n, venue="binance-usdm")], data_dir).facts
    assert facts["verdict"] == scores.TOO_LITTLE and not facts["evidence"] and not facts["generated"]
    assert facts["n_train"] >= 32 and facts["warnings"]


def test_too_little_to_train_on_names_the_numbers(store: Store, data_dir: Path):
    with pytest.raises(ValueError, match=r"too little data to train: 50 windows .* 10 are left .* train\.min_train_windows is 32"):
        trained(store, [market(store, 100)], data_dir)
    assert not list(data_dir.glob("models/*/train.json"))


def test_no_window_at_all_is_said_so(store: Store, data_dir: Path):
    with pytest.raises(ValueError, match="no window of complete rows ends at a settled label"):
        trained(store, [market(store, 45)], data_dir)


def test_one_class_of_labels_is_trained_and_said(store: Store, data_dir: Path):
    facts = trained(store, [market(store, 800, only=0)], data_dir).facts
    assert any("all flat" in said for said in facts["warnings"])
    assert facts["scores"]["model"]["n_trades"] == 0 and not facts["evidence"]


def test_inputs_that_are_never_there_are_left_out_and_said(store: Store, data_dir: Path):
    lacking = ("imbalance_5", "imbalance_20")
    facts = trained(store, [market(store, 800, lacks=lacking)], data_dir).facts
    assert not set(lacking) & set(facts["feature_names"]) and any("imbalance_5" in said for said in facts["warnings"])


def test_windows_are_in_order_over_days_and_symbols_and_never_touch_a_hole(store: Store):
    later = date(2026, 1, 6)
    parts = [market(store, 400, symbol=s, day=d, hole=200) for s in ("BBB", "AAA") for d in (later, DAY)]
    data = windows.read(store, parts, window=20)
    assert (np.diff(data.outcomes.decided_at) >= 0).all() and set(data.outcomes.instrument) == {0, 1}
    assert np.isfinite(data.batch(np.arange(len(data.ends)))).all()
    assert len(data.ends) == 4 * (400 - 31 - 19 - 20)
    some = data.batch(np.array([0, 5]))
    assert np.array_equal(some[1], data.rows[data.ends[5] - 19 : data.ends[5] + 1])


def test_parts_of_another_feature_set_are_refused(store: Store, data_dir: Path):
    part = market(store, 400)
    store.write(part, store.scan(part), inputs={}, params={"form": 0}, facts={"feature_set_hash": "0ld"})
    with pytest.raises(ValueError, match="another feature set"):
        trained(store, [part], data_dir)


def test_a_missing_part_is_named(store: Store, data_dir: Path):
    with pytest.raises(StoreError, match="feat_market__1s_inputs generated/GONE 2026-01-05: missing"):
        trained(store, [Part("feat_market__1s_inputs", "generated", "GONE", DAY)], data_dir)


def test_the_version_follows_what_changes_the_result():
    inputs = {"a": "1"}
    base = version_id(inputs, params_of(SMALL))
    assert base == version_id(inputs, params_of(SMALL.model_copy(update={"logger": "wandb", "tracking_uri": "sqlite:///x"})))
    assert base != version_id({"a": "2"}, params_of(SMALL)) and base != version_id(inputs, params_of(SMALL.model_copy(update={"seed": 8})))


def test_mlflow_keeps_parameters_curves_and_scores_in_the_data_folder(
    store: Store, data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    before = set(tmp_path.iterdir())
    facts = trained(store, [market(store, 1500)], data_dir, logger="mlflow").facts
    assert set(tmp_path.iterdir()) - before <= {data_dir, tmp_path / "lake"}
    from mlflow.tracking import MlflowClient

    run = MlflowClient(f"sqlite:///{data_dir / 'mlflow.db'}").get_run(facts["tracking"]["run_id"])
    assert run.info.status == "FINISHED" and run.data.tags["version_id"] == facts["version_id"]
    assert run.data.params["learning_rate"] == str(SMALL.learning_rate) and run.data.params["config/window"] == "20"
    assert {"train_mse", "train_huber", "validation_loss", "test_accuracy"} <= set(run.data.metrics)
    assert any(name.startswith("lr-") for name in run.data.metrics)


@pytest.mark.server
def test_weights_and_biases_stays_offline_without_a_key(store: Store, data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    pytest.importorskip("wandb")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    part = market(store, 800)
    stage = train_model.fn(
        store, [part], train=SMALL.model_copy(update={"logger": "wandb"}), data_dir=data_dir, wandb_api_key=SecretStr("")
    )
    assert stage.facts["tracking"]["kind"] == "wandb" and list((data_dir / "wandb").rglob("*.wandb"))
    assert not (tmp_path / "wandb").exists()
