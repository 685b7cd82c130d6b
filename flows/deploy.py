"""Deploy: a trained model is proven against the real server, and serves; or the version before goes on, and the run says why.

models/<version_id> -> triton/models/<name>/<n>
"""

from pathlib import Path

from prefect import flow

from core import machine, runs, settings
from core.store import Store
from tasks.deploy import DeployFailed, deploy_model
from tasks.pages import publish


@flow(flow_run_name="deploy {trained.facts[version_id]}", validate_parameters=False)
async def deploy(trained: runs.Stage, run_folder: Path, again: bool = False) -> runs.Stage:
    """Deploy what the train stage made; the result is kept in `run_folder`, then a failure raises `DeployFailed`.

    `again` deploys also a model that was rolled back.
    """
    config = settings.load()
    stage = deploy_model(
        trained.facts,
        data_dir=config.data_dir,
        deploy=config.deploy,
        triton=config.triton,
        code=machine.code_version(),
        tracking_uri=config.train.tracking_uri,
        again=again,
    )
    runs.save(run_folder, stage)
    await publish(stage, Store(config.lake))
    if stage.facts.get("failed"):
        raise DeployFailed(stage.facts["reason"])
    return stage
