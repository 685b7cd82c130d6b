"""The watch asks the server for runs that nobody takes, and tells them once."""

import asyncio
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from core import settings

pytestmark = [pytest.mark.server, pytest.mark.usefixtures("prefect")]


def test_a_run_that_nobody_takes_is_late_once_and_not_while_whoever_takes_it_has_just_begun(data_dir: Path):
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.actions import WorkPoolCreate
    from prefect.states import Scheduled

    from flows.ingest import ingest
    from tasks.watch import look

    now, hour = datetime.now(UTC), timedelta(hours=1)

    async def looks() -> list[list[str]]:
        async with get_client() as client:
            await client.create_work_pool(WorkPoolCreate(name="nobody", type="process"))
            flow = await client.create_flow(ingest.with_options(name="waits"))
            of = await client.create_deployment(flow_id=flow, name="waits", work_pool_name="nobody", entrypoint="flows.ingest.ingest")
            late = Scheduled(scheduled_time=now - timedelta(minutes=10))
            await client.create_flow_run_from_deployment(of, state=late)
            found = [await look(client, settings.load(), now, begun) for begun in (now, now - hour, now - hour)]
        return [[alert.flow for alert in alerts if alert.flow == "waits"] for alerts in found]

    assert asyncio.run(looks()) == [[], ["waits"], []]
    told = [json.loads(line) for line in (data_dir / "alerts.jsonl").read_text().splitlines()]
    (alert,) = [alert for alert in told if alert["flow"] == "waits"]
    assert (alert["kind"], alert["runbook"]) == ("late", "docs/runbook.md#a-run-is-late")
