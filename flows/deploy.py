"""Deploy: a trained model is proven against the real server, and serves; or the version before goes on, and the run says why.

models/<version_id> -> triton/models/<name>/<n>
"""

from pathlib import Path

from prefect import flow
from prefect.runtime import flow_run

from core import machine, runs, settings
from core.store import Store
from tasks.asked import model_asked
from tasks.deploy import DeployFailed, deploy_model
from tasks.hooks import HOOKS
from tasks.pages import publish
from tasks.run_record import run_of


def asked_name() -> str:
    return f"deploy {flow_run.parameters['version_id'] or 'the newest model'}"


@flow(name="deploy", flow_run_name=asked_name, **HOOKS)
async def deploy(version_id: str = "") -> runs.Stage:
    """Prove a trained model against the real Triton server, switch to it, retire the old one. A failed proof changes nothing.

    Args:
        version_id: Which trained model, a folder under models/ such as 3f2a9c01b7de; empty for the newest. One that is named is
            deployed also where it was rolled back before.
    """
    async with run_of("deploy", {"version_id": version_id}) as folder:
        return await prove(folder, model_asked(settings.load().data_dir, version_id), again=bool(version_id))


@flow(name="deploy", flow_run_name="deploy {trained.facts[version_id]}", validate_parameters=False, **HOOKS)
async def deploy_trained(trained: runs.Stage) -> runs.Stage:
    """Deploy what the train stage made: a stage of a larger run."""
    async with run_of("deploy", {"version_id": trained.facts["version_id"]}) as folder:
        return await prove(folder, trained)


async def prove(folder: Path, trained: runs.Stage, *, again: bool = False) -> runs.Stage:
    """Deploy; the result is kept in the run's `folder`, then a failure raises `DeployFailed`. `again` takes also what was rolled back."""
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
    runs.save(folder, stage)
    await publish(stage, Store(config.lake))
    if stage.facts.get("failed"):
        raise DeployFailed(stage.facts["reason"])
    return stage
