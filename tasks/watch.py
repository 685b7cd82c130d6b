"""Who tells of runs that cannot tell of themselves: `python -m tasks.watch`, a part of `scalp up`.

    the server's list of runs -> those that crashed or failed unheard, those that are late -> records, pages, alerts

Hooks run in the flow's process or its worker's; where both were killed, or nobody takes a run, only a look at the server tells.
"""

import asyncio
import logging
from datetime import UTC, datetime, timedelta
from itertools import islice
from uuid import UUID

import httpx
from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.filters import FlowRunFilter
from prefect.client.schemas.sorting import FlowRunSort
from prefect.exceptions import ObjectNotFound, PrefectHTTPStatusError
from prefect.states import Crashed

from core import alerts, alive, run_records, settings
from tasks.alerts import tell
from tasks.hooks import put_down

log = logging.getLogger("scalp")
BACK_S = 3_600.0  # how far back the first look goes
SETTLE_S = 10.0  # a run that ended just now may still be telling of it itself
LIMIT = 100  # runs that are looked at, the newest


async def look(client: PrefectClient, config: settings.Settings, since: datetime, begun: datetime) -> list[alerts.Alert]:
    """One look: runs that ended badly since then are put down where nobody has, late ones are told. Returns the alerts of late runs.

    What should have begun while nothing was up is late only if it still waits so long after we have `begun`.
    """
    await end_lost(client, config)
    outermost = {"parent_task_run_id": {"is_null_": True}}
    settled = datetime.now(UTC) - timedelta(seconds=SETTLE_S)
    ended = {"state": {"type": {"any_": ["CRASHED", "FAILED"]}}, "end_time": {"after_": since, "before_": settled}}
    bad = FlowRunFilter.model_validate(outermost | ended)
    for run in await client.read_flow_runs(flow_run_filter=bad, sort=FlowRunSort.END_TIME_DESC, limit=LIMIT):
        flow = await client.read_flow(run.flow_id)
        if await put_down(flow.name, run, run.state):
            log.info("put down the end of %s (%s)", run.name, run.state_name)
    now = datetime.now(UTC)
    if (now - begun).total_seconds() < config.alerts.late_s:
        return []
    waiting = {"state": {"name": {"any_": ["Late", "Scheduled"]}}}
    waiting |= {"expected_start_time": {"before_": now - timedelta(seconds=config.alerts.late_s)}}
    found: list[alerts.Alert] = []
    for run in await client.read_flow_runs(flow_run_filter=FlowRunFilter.model_validate(outermost | waiting), limit=LIMIT):
        flow = await client.read_flow(run.flow_id)
        if run.expected_start_time is not None:
            found += alerts.late(flow.name, run.name, str(run.id), run.expected_start_time, now, config.alerts.late_s)
    return tell(found, config)


async def end_lost(client: PrefectClient, config: settings.Settings) -> None:
    """Runs that say they are at work while their process is gone: they have crashed, also where no heartbeat was ever heard."""
    for record in islice(run_records.every(config.data_dir), LIMIT):
        seen = run_records.seen(record)
        if record.state != "running" or seen.state == "running" or not record.flow_run_id:
            continue
        try:
            run = await client.read_flow_run(UUID(record.flow_run_id))
        except ObjectNotFound:
            continue  # another server's
        if run.state is not None and not run.state.is_final():
            await client.set_flow_run_state(run.id, Crashed(message=seen.cause), force=True)


async def watch(config: settings.Settings, every_s: float = alive.EVERY_S) -> None:
    """Look again and again. A server that is away for a moment is asked again."""
    overlap = timedelta(seconds=60)
    begun = datetime.now(UTC)
    since = begun - timedelta(seconds=BACK_S)
    while True:
        began = datetime.now(UTC)
        try:
            async with get_client() as client:
                await look(client, config, since, begun)
            since = began - overlap  # an end may be written down a little after it happened
            alive.touch(config.data_dir)
        except (httpx.HTTPError, PrefectHTTPStatusError, OSError) as error:
            log.warning("the server was not asked: %s", error or type(error).__name__)
        await asyncio.sleep(every_s)


def main() -> None:
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    log.setLevel(logging.INFO)
    config = settings.load()
    alive.forget(config.data_dir)
    asyncio.run(watch(config))


if __name__ == "__main__":
    main()
