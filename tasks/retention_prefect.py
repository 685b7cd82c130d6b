"""The orchestrator's own history: its runs that are old as items, and their end, with their artifacts; the server removes their logs."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from uuid import UUID

from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.filters import ArtifactFilter, FlowRunFilter
from prefect.client.schemas.sorting import FlowRunSort
from prefect.exceptions import ObjectNotFound

from kernels.retention import Item

PAGE = 200
ENDED = ["COMPLETED", "FAILED", "CRASHED", "CANCELLED"]


async def old_runs(days: int) -> list[Item]:
    """Outermost flow runs that ended longer ago."""
    if not days:
        return []
    now = datetime.now(UTC)
    asked = {
        "parent_task_run_id": {"is_null_": True},
        "state": {"type": {"any_": ENDED}},
        "end_time": {"before_": now - timedelta(days=days)},
    }
    of, found = FlowRunFilter.model_validate(asked), []
    async with get_client() as client:
        while page := await client.read_flow_runs(flow_run_filter=of, sort=FlowRunSort.END_TIME_DESC, limit=PAGE, offset=len(found)):
            found += page
    return [Item("prefect", f"{run.name} {run.id}", (now - run.end_time).total_seconds() / 86_400) for run in found if run.end_time]


async def forget(runs: Iterable[Item]) -> int:
    """Delete the runs, those within them, and their artifacts; returns how many."""
    n = 0
    async with get_client() as client:
        for item in runs:
            n += await forget_run(client, UUID(item.name.rsplit(" ", 1)[-1]))
    return n


async def forget_run(client: PrefectClient, run_id: UUID) -> int:
    within = FlowRunFilter.model_validate({"parent_flow_run_id": {"any_": [run_id]}})
    n = sum([await forget_run(client, run.id) for run in await client.read_flow_runs(flow_run_filter=within, limit=PAGE)])
    artifacts = ArtifactFilter.model_validate({"flow_run_id": {"any_": [run_id]}})
    while found := await client.read_artifacts(artifact_filter=artifacts, limit=PAGE):
        for artifact in found:
            if artifact.id is not None:
                await client.delete_artifact(artifact.id)
    try:
        await client.delete_flow_run(run_id)
    except ObjectNotFound:
        return n
    return n + 1
