"""Where a training run is written down: MLflow on SQLite, or Weights & Biases. Imported lazily: MLflow takes seconds."""

import os
import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import SecretStr

from core.settings import Train

if TYPE_CHECKING:
    from pytorch_lightning.loggers import Logger

PROJECT = "cryptoscalp"


def mlflow_uri(train: Train, data_dir: Path) -> str:
    """The tracking server of the settings, or the data folder's own SQLite file."""
    return train.tracking_uri or f"sqlite:///{data_dir / 'mlflow.db'}"


def run_logger(train: Train, data_dir: Path, *, name: str, tags: dict[str, str], wandb_api_key: SecretStr) -> "Logger | None":
    """The logger the settings ask for, with everything it writes under `data_dir`; none for "none".

    Weights & Biases stays offline (`wandb sync` sends a run later) unless there is a key.
    """
    if train.logger == "mlflow":
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")
        from pytorch_lightning.loggers import MLFlowLogger

        data_dir.mkdir(parents=True, exist_ok=True)
        artifacts = (data_dir / "mlflow-artifacts").as_uri()
        uri = mlflow_uri(train, data_dir)
        # The run is made here and known by its id, so that training in processes of its own writes to it, and not to another.
        made = MLFlowLogger(PROJECT, run_name=name, tracking_uri=uri, artifact_location=artifacts, tags=tags)
        return MLFlowLogger(PROJECT, tracking_uri=uri, run_id=made.run_id)
    if train.logger == "wandb":
        from pytorch_lightning.loggers import WandbLogger

        key = wandb_api_key.get_secret_value()
        if key:
            os.environ.setdefault("WANDB_API_KEY", key)
        os.environ.setdefault("WANDB_SILENT", "true")
        folder = data_dir / "wandb"
        for kind in ("CACHE", "CONFIG", "DATA", "ARTIFACT"):  # else under the home folder
            os.environ[f"WANDB_{kind}_DIR"] = str(folder / kind.lower())
            (folder / kind.lower()).mkdir(parents=True, exist_ok=True)
        said = [f"{k}:{v}" for k, v in tags.items()]
        run_id = secrets.token_hex(4)
        return WandbLogger(name=name, save_dir=folder, version=run_id, offline=not key, project=PROJECT, tags=said)
    return None


def finish(logger: "Logger | None", train: Train, data_dir: Path, scores: dict[str, float]) -> dict[str, Any]:
    """Write the final scores and close the run; says where it is (JSON values)."""
    if logger is None:
        return {"kind": "none"}
    logger.log_metrics(scores)
    logger.finalize("success")
    if train.logger == "wandb":
        import wandb

        run_id = str(logger.version or "")
        wandb.finish()
        return {"kind": "wandb", "run_id": run_id, "where": str(data_dir / "wandb")}
    return {"kind": "mlflow", "run_id": str(getattr(logger, "run_id", "") or ""), "where": mlflow_uri(train, data_dir)}
