"""Features and labels in; a trained, calibrated, scored model version in `<data_dir>/models/<version_id>/` out.

Facts of the stage: version_id folder generated · n_windows n_train n_validation n_calibration n_test effective_samples · epochs
best_validation curves · scores {model, baselines} calibration_error calibration equity verdict evidence · inputs (part -> content
hash) params feature_names feature_set_hash code · tracking · seconds. Times are UTC ns, returns basis points after cost.
"""

import contextlib
import errno
import hashlib
import json
import shutil
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from prefect import task
from prefect.cache_policies import NO_CACHE
from pydantic import SecretStr

from core.freshness import FRESH, Freshness, changed_inputs, changed_params, listed
from core.market import GENERATED
from core.runs import Stage
from core.settings import Train
from core.states import State
from core.store import Part, Store, StoreError, inputs_of
from tasks.damage import blaming
from tasks.windows import INPUTS, LABELS

FORM = 2  # of what is trained and how it is scored; a change trains again
DONE = "train.json"  # written last: a folder that has it is whole
SCORES = "scores.json"
WHOLE = (DONE, SCORES, "model.safetensors", "config.json", "recorded.npz")  # what the later stages read
FULL = 1_000_000  # bytes; torch does not say why a checkpoint could not be written
NOT_THE_RESULT = {"logger", "tracking_uri"}


def params_of(train: Train) -> dict[str, Any]:
    """Every setting that changes the result."""
    return train.model_dump(mode="json", exclude=NOT_THE_RESULT) | {"form": FORM}


def version_id(inputs: dict[str, str], params: dict[str, Any]) -> str:
    """Same data, same settings, same name: the first 12 hex digits of a SHA-256 over both."""
    return hashlib.sha256(json.dumps([inputs, params], sort_keys=True).encode()).hexdigest()[:12]


def known_version(folder: Path) -> Stage | None:
    """The stage of a folder that is whole, with `changed` false."""
    if not all((folder / name).is_file() for name in WHOLE):
        return None
    facts = json.loads((folder / DONE).read_bytes())
    return Stage(name="train", changed=False, warnings=facts.get("warnings", []), facts=facts | {"folder": str(folder)})


class Version(NamedTuple):
    """A model as it would be trained now: on these parts of the inputs' table and their labels, into this folder."""

    parts: list[Part]
    inputs: dict[str, str]
    params: dict[str, Any]
    folder: Path

    def freshness(self) -> Freshness:
        """Fresh where just this version is there; stale where there is one of the same days, of other data or settings."""
        if known_version(self.folder):
            return FRESH
        for facts in versions(self.folder.parent):
            if facts["inputs"].keys() == self.inputs.keys():
                reasons = [*changed_inputs(facts["inputs"], self.inputs), *changed_params(facts["params"], self.params)]
                return Freshness(State.STALE, listed(reasons) or f"model {self.folder.name} is not whole")
        return Freshness(State.MISSING, "no model of these days")


def model_to_train(store: Store, parts: Sequence[Part], *, train: Train, data_dir: Path) -> Version:
    """Only footers are read. Raises `StoreError` for a missing part."""
    chosen = sorted({part.of(INPUTS) for part in parts if part.table in (INPUTS, LABELS)})
    inputs = inputs_of(store, [part.of(table) for part in chosen for table in (INPUTS, LABELS)])
    params = params_of(train)
    return Version(chosen, inputs, params, data_dir / "models" / version_id(inputs, params))


def versions(models: Path) -> Iterator[dict[str, Any]]:
    """What was said of each model when it was trained, the newest first."""
    for path in sorted(models.glob(f"*/{DONE}"), key=lambda path: path.stat().st_mtime, reverse=True):
        with contextlib.suppress(ValueError):  # no JSON: not whole, and nobody's
            yield json.loads(path.read_bytes())


def train_version(
    store: Store, parts: Sequence[Part], *, train: Train, data_dir: Path, wandb_api_key: SecretStr = SecretStr(""), label: str = ""
) -> Stage:
    """Train a version on these parts (inputs, with their labels beside), unless there is one of just this data and settings.

    Raises `ValueError` with the numbers where there is too little data, and `StoreError` for a missing part or a full disk.
    """
    started = time.monotonic()
    chosen, inputs, params, folder = model_to_train(store, parts, train=train, data_dir=data_dir)
    version = folder.name
    if done := known_version(folder):
        return done
    if folder.exists():  # what a killed run left behind
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    try:
        with blaming(store, inputs):
            facts = make_version(store, chosen, train=train, folder=folder, data_dir=data_dir, wandb_api_key=wandb_api_key)
        facts |= {"version_id": version, "folder": str(folder), "inputs": inputs, "params": params, "code": store.code}
        facts |= {"seconds": time.monotonic() - started, "generated": any(part.venue == GENERATED for part in chosen)}
        write(folder / SCORES, {name: facts[name] for name in ("scores", "verdict", "evidence", "effective_samples", "calibration_error")})
        write(folder / DONE, facts)
    except Exception as error:
        if getattr(error, "errno", None) == errno.ENOSPC or shutil.disk_usage(folder).free < FULL:
            raise StoreError(f"model version {version}: the disk is full; free some space and run again") from error
        raise
    return Stage(name="train", changed=True, seconds=facts["seconds"], warnings=facts["warnings"], facts=facts)


train_model = task(name="train_model", task_run_name="train on {label}", cache_policy=NO_CACHE)(train_version)


def write(path: Path, value: Any) -> None:
    """JSON, whole or not at all."""
    partial = path.with_suffix(".partial")
    partial.write_bytes(msgspec.json.format(msgspec.json.encode(value), indent=1))
    partial.replace(path)


def make_version(
    store: Store, parts: Sequence[Part], *, train: Train, folder: Path, data_dir: Path, wandb_api_key: SecretStr
) -> dict[str, Any]:
    """Read, split, train, calibrate, score and record; everything but the last word (`train.json`)."""
    import numpy as np

    from kernels import model, splits
    from tasks import evaluation, judged, lightning, tracking, windows

    with lightning.steady(train.threads, train.seed):
        data = windows.read(store, parts, window=train.window)
        of = data.outcomes
        shares = splits.Shares(train.validation_share, train.calibration_share, train.test_share)
        parted = splits.split(of.decided_at, of.known_at, data.window_start, shares, min_train=train.min_train_windows)
        warnings = list(parted.warnings)
        if data.left_out:
            warnings.append(f"trained without inputs that mostly have no value here: {', '.join(data.left_out)}")
        parted = splits.thinned(parted, most=train.max_windows)
        classes = np.unique(of.direction[parted.train])
        if len(classes) < 3:
            names = ("down", "flat", "up")
            warnings.append(f"the training labels are all {' or '.join(names[c] for c in classes)}: no other direction can be learnt")
        config = model.ModelConfig(
            n_features=len(data.names),
            window=train.window,
            conv_channels=train.conv_channels,
            lstm_hidden=train.lstm_hidden,
            lstm_layers=train.lstm_layers,
            heads=train.heads,
            dropout=train.dropout,
            feature_names=data.names,
            feature_set_hash=data.feature_set_hash,
        )
        tags = {"version_id": folder.name, "feature_set_hash": data.feature_set_hash, "generated": str(data.generated).lower()}
        logger = tracking.run_logger(train, data_dir, name=folder.name, tags=tags, wandb_api_key=wandb_api_key)
        fitted = lightning.fit(
            data, of_train=parted.train, of_validation=parted.validation, config=config, train=train, folder=folder, logger=logger
        )
        warnings += evaluation.calibrate(fitted.network, data, parted.calibration)
        found = evaluation.evaluate(fitted.network, data, parted, train)
        evaluation.record(fitted.network, data, parted.test, folder)
        judged.keep(data, parted.test, folder)
        model.save(folder, fitted.network, config)
        said = {f"test_{name}": float(value) for name, value in found["scores"]["model"].items()}
        said |= {"test_calibration_error": found["calibration_error"], "test_effective_samples": found["effective_samples"]}
        return {
            "n_windows": len(data.ends),
            "n_train": len(parted.train),
            "n_validation": len(parted.validation),
            "n_calibration": len(parted.calibration),
            "epochs": fitted.epochs,
            "best_validation": fitted.best_validation,
            "curves": fitted.curves,
            **found,
            "feature_names": list(data.names),
            "feature_set_hash": data.feature_set_hash,
            "tracking": tracking.finish(logger, train, data_dir, said),
            "warnings": warnings,
        }
