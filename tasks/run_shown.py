"""The page of a run in the orchestrator's UI: the artifact `run-page` of the flow's run."""

import asyncio
import logging
from uuid import UUID

from core.run_records import RunRecord

log = logging.getLogger("scalp")
KEY = "run-page"
PATIENCE_S = 10.0  # for the server to keep the page; a run does not wait for it longer


async def publish(record: RunRecord, text: str) -> None:
    """Keep the page as an artifact of the flow's run. A server that is away, or without room, is a warning: the folder has the page."""
    if not record.flow_run_id:
        return
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.actions import ArtifactCreate

    about = f"{record.flow} {record.state}" + (f": {record.cause}" if record.cause else "")
    try:
        async with asyncio.timeout(PATIENCE_S), get_client() as client:
            made = ArtifactCreate(key=KEY, type="markdown", description=about, data=text, flow_run_id=UUID(record.flow_run_id))
            await client.create_artifact(made)
    except Exception as error:  # a page that is not shown must not fail the run it tells of
        log.warning("the run's page is not shown in Prefect's UI, it is in runs/%s: %s", record.run_id, error or type(error).__name__)
