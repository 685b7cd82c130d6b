"""A deployed version on paper: its MLflow model version and alias, and the card that says what it is made of."""

import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from core import machine
from core.serving_record import Version, write_whole

CARD_JSON, CARD_MD = "card.json", "card.md"


class Registry:
    """MLflow's model registry on SQLite under the data folder, or wherever `uri` says."""

    def __init__(self, data_dir: Path, model_name: str, uri: str = "") -> None:
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        from mlflow import MlflowClient

        logging.getLogger("mlflow").setLevel(logging.WARNING)
        data_dir.mkdir(parents=True, exist_ok=True)
        self.uri = uri or f"sqlite:///{data_dir / 'mlflow.db'}"
        self.model_name = model_name
        self.client = MlflowClient(tracking_uri=self.uri, registry_uri=self.uri)

    def register(self, version: Version, folder: Path, run_id: str | None = None) -> str:
        """A new registered version that names its folder and its number in Triton's repository; returns MLflow's number."""
        from mlflow.exceptions import MlflowException

        try:
            self.client.create_registered_model(self.model_name)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
        tags = {
            "n": str(version.n),
            "version_id": version.version_id,
            "feature_set_hash": version.feature_set_hash,
            "sha256": version.sha256,
            "generated": str(version.generated).lower(),
        }
        made = self.client.create_model_version(self.model_name, folder.as_uri(), run_id=run_id or None, tags=tags)
        return str(made.version)

    def numbered(self, n: int) -> str | None:
        """MLflow's number of our version `n`."""
        found = self.client.search_model_versions(f"name='{self.model_name}'")
        return next((str(v.version) for v in found if v.tags.get("n") == str(n)), None)

    def move(self, before: Mapping[str, int], after: Mapping[str, int]) -> None:
        """Let MLflow's aliases say what ours say now. Raises `LookupError` for a version that was never registered."""
        for alias, n in after.items():
            number = self.numbered(n)
            if number is None:
                raise LookupError(f"version {n} of {self.model_name} is not in the registry at {self.uri}")
            self.client.set_registered_model_alias(self.model_name, alias, number)
        for alias in before.keys() - after.keys():
            self.client.delete_registered_model_alias(self.model_name, alias)

    def withdraw(self, number: str) -> None:
        """Take back a version that was not proven after all."""
        self.client.delete_model_version(self.model_name, number)


def card(trained: Mapping[str, Any], version: Version, proven: Mapping[str, Any], code: str) -> dict[str, Any]:
    """What a reader needs to trust a version, or not: data, code, parameters, scores, verdict, machine, errors, latency."""
    kept = ("inputs", "params", "scores", "calibration_error", "effective_samples", "verdict", "evidence", "n_train", "n_test", "epochs")
    return {
        "model": version.version_id,
        "version": version.n,
        "decision": version.decision,
        "generated": version.generated,
        "feature_set_hash": version.feature_set_hash,
        "features": list(trained.get("feature_names", [])),
        "window_s": version.window,
        "onnx_sha256": version.sha256,
        "trained_by": trained.get("code", ""),
        "deployed_by": code,
        "machine": machine.machine(),
        "versions": machine.versions(),
        **{key: trained.get(key) for key in kept},
        **proven,
    }


def write_card(folder: Path, told: Mapping[str, Any]) -> None:
    """`card.json` for programs, `card.md` for people."""
    write_whole(folder / CARD_JSON, msgspec.json.format(msgspec.json.encode(told), indent=1))
    write_whole(folder / CARD_MD, card_text(told).encode())


def card_text(told: Mapping[str, Any]) -> str:
    latency = told.get("latency_ms") or {}
    lines = [f"# Model {told['model']}, version {told['version']}", ""]
    if told["generated"]:
        lines += ["**Trained on the generated market: its scores say nothing about a real one.**", ""]
    lines += [
        f"Decision: **{told['decision']}** ({told.get('reason', '')})",
        f"Verdict: {told.get('verdict')}; evidence of profit after cost over the baselines: {'yes' if told.get('evidence') else 'no'}",
        f"Effective samples: {told.get('effective_samples')}; calibration error: {told.get('calibration_error')}",
        f"Largest error: ONNX against torch {told.get('max_error_export')}, served against in-process {told.get('max_error_served')}",
        f"Latency, batch 1, by {told.get('served_by')}: p50 {latency.get('p50')} ms, p99 {latency.get('p99')} ms",
        f"Form: {told.get('form')} ({told.get('form_reason')})",
        f"Feature set: {told['feature_set_hash']} ({len(told['features'])} features, a window of {told['window_s']} s)",
        f"ONNX SHA-256: {told['onnx_sha256']}",
        f"Code: trained by {told['trained_by']}, deployed by {told['deployed_by']}",
        f"Machine: {told['machine']}",
        f"Libraries: {told['versions']}",
    ]
    text = "\n".join(line if not line or line.startswith(("#", "**")) else f"- {line}" for line in lines)
    return (
        text
        + "\n"
        + _forms(told.get("forms") or [])
        + _batching(told.get("batching") or {})
        + _scores(told.get("scores") or {})
        + _table("Data", told.get("inputs") or {})
        + _table("Parameters", told.get("params") or {})
    )


def _forms(table: Sequence[Mapping[str, Any]]) -> str:
    if not table:
        return ""

    def shown(value: Any, spec: str) -> str:
        return "" if value is None else format(value, spec)

    specs = {"p50_us": ",.0f", "p99_us": ",.0f", "batch_64_us": ",.0f", "max_error": ".2g", "flips": ".2%", "loss_bps": ".3f"}
    heads = ("form", "p50 us", "p99 us", "batch 64 us", "error to torch", "decided otherwise", "loss, bps a trade", "chosen, or why not")
    body = "".join(
        f"| {one['form']} | "
        + " | ".join(shown(one.get(key), spec) for key, spec in specs.items())
        + f" | {'**chosen**: ' if one['chosen'] else ''}{one['why']} |\n"
        for one in table
    )
    return f"\n## Forms, measured on this machine\n\n| {' | '.join(heads)} |\n|{'---|' * len(heads)}\n{body}"


def _batching(told: Mapping[str, Any]) -> str:
    if not told:
        return ""
    names = ("way", "p50_ms", "p99_ms", "per_s", "load_p99_ms", "unsound", "chosen")
    body = "".join("| " + " | ".join(str(one.get(name, "")) for name in names) + " |\n" for one in told.get("table") or [])
    heads = "way | p50 ms | p99 ms | requests/s of 16 clients | their p99 ms | not chosen because | chosen"
    return f"\n## Batching in Triton\n\n{told['why']}\n" + (f"\n| {heads} |\n|{'---|' * len(names)}\n{body}" if body else "")


def _scores(scores: Mapping[str, Any]) -> str:
    rows = {"model": scores.get("model") or {}} | dict(scores.get("baselines") or {})
    names = ("accuracy", "n_trades", "gross_bps", "net_bps", "mean_net_bps", "ci_low_bps", "ci_high_bps")
    body = "".join(f"| {who} | " + " | ".join(str(of.get(name, "")) for name in names) + " |\n" for who, of in rows.items())
    return f"\n## Scores on the test part\n\n| who | {' | '.join(names)} |\n|{'---|' * (len(names) + 1)}\n{body}"


def _table(title: str, values: Mapping[str, Any]) -> str:
    body = "".join(f"| {key} | {value} |\n" for key, value in sorted(values.items()))
    return f"\n## {title}\n\n| what | value |\n|---|---|\n{body}"
