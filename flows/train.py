"""Train: stored features and labels become a scored model version, or the one that is already there.

feat_market__1s_inputs, feat_market__1s_labels -> models/<version_id>
"""

from collections.abc import Sequence
from pathlib import Path

from prefect import flow
from prefect.runtime import flow_run

from core import machine, runs, settings
from core.parts import told
from core.store import Part, Store
from tasks.pages import publish
from tasks.train import train_model


def run_name() -> str:
    return f"train on {told(flow_run.parameters['parts'])}"


@flow(flow_run_name=run_name, validate_parameters=False)
async def train(parts: Sequence[Part], run_folder: Path) -> runs.Stage:
    """Train on the parts that the features stage made; the result is kept in `run_folder`."""
    config = settings.load()
    store = Store(config.lake, code=machine.code_version())
    stage = train_model(store, parts, train=config.train, data_dir=config.data_dir, wandb_api_key=config.wandb_api_key, label=told(parts))
    runs.save(run_folder, stage)
    await publish(stage, store)
    return stage
