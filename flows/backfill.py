"""Backfill: what is missing or stale in a range of days is planned, shown, and made again; what is fresh is left alone.

lake and models -> the plan -> raw (generated market), clean, features, model, in chunks

    with session("my script") as now:      # Python (scalp.session), as from the form and from `scalp backfill`
        from flows.backfill import backfill
        now.flow(lambda: backfill(stage=Stage.FEATURES, venue="binance-usdm", symbols=("BTCUSDT",), start=..., end=...))
"""

import asyncio
import logging
import time
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

import httpx
from prefect import flow
from prefect.artifacts import aupdate_progress_artifact
from prefect.exceptions import PrefectException
from prefect.runtime import flow_run

from core import asking, machine, runs, settings
from core.asking import Grain
from core.backfills import Chunk, Kind, Only, Outcome, Partition, Stage
from core.settings import Settings
from core.store import Store
from flows.compute import BySettings
from tasks.asked import today
from tasks.backfill import complete, crashed, held, make_chunk, n_done, rules_of
from tasks.backfill_plan import Planned, headline, planned
from tasks.backfill_survey import Wanted
from tasks.backfill_told import ended, models_of, page, refuse_failures, show_failures, show_plan, summed
from tasks.hooks import HOOKS
from tasks.pages import publish
from tasks.run_record import run_of

RUNNER: Any = BySettings()
LOOK_S = 1.0  # between looks at what is done
HERE = (Kind.RAW, Kind.MODEL)  # made in this process: their files lie in the data folder, not in the lake

log = logging.getLogger("scalp")


def asked_name() -> str:
    of = flow_run.parameters
    return f"backfill {of['stage']} of {asking.named(of)}" + (" (dry run)" if of["dry_run"] else "")


@flow(name="backfill", flow_run_name=asked_name, task_runner=RUNNER, **HOOKS)
async def backfill(
    stage: Stage = Stage.FEATURES,
    venue: str = "generated",
    symbols: tuple[str, ...] = (),
    start: date = date(2026, 1, 5),
    end: date = date(2026, 1, 5),
    only: Only = Only.ALL,
    dry_run: bool = False,
    grain: Grain = Grain.SECOND,
    upstream: bool = True,
) -> runs.Stage:
    """Make what is missing or stale in these days, and only that. The plan comes first; what fails is listed at the end, the rest is made.

    Run it again after whatever ended it: what was finished is fresh, and is not made twice.

    Args:
        stage: Up to where: ingest (clean days, of the raw rows in the lake), features, or train (one model over all of the days).
        venue: Of which venue, such as binance-usdm; days of the generated market that are not there are generated.
        symbols: Of which symbols, such as BTCUSDT; none for all there are.
        start: The first day (UTC).
        end: The last day (UTC), included.
        only: missing (what is not there), stale (what is there and was made of other data or by other settings), or all (both).
        dry_run: Only plan: show what would be made, why and how long it may take, and make nothing.
        grain: For features, a row for every second (with bars and labels), for every trade, or both.
        upstream: What the stage is made of as well: features make the clean days they need first. Else only the stage itself.
    """
    asking.span(start, end, today())  # said at once, also where the run has to wait for another
    asked = Wanted(stage, venue, symbols, start, end, only, grain, upstream)
    async with run_of("backfill", asked._asdict() | {"dry_run": dry_run}) as folder:
        config, began = settings.load(), time.monotonic()
        store = Store(config.lake, code=machine.code_version())
        if not dry_run:
            store.sweep()
        of = planned(store, config, asked)
        log.info(headline(of), extra={"stage": headline(of)})
        progress = await show_plan(of)
        outcomes = [] if dry_run else await make(of, store, config, folder, progress)
        result = summed(of, outcomes, time.monotonic() - began)
        runs.save(folder, result)
        (folder / "backfill.md").write_text(page(result))
        for trained in models_of(outcomes, config.data_dir):
            runs.save(folder, trained)
            await publish(trained, store)
        if result.facts["failed"]:
            await show_failures(result)
        refuse_failures(result)
        return result


async def make(of: Planned, store: Store, config: Settings, folder: Path, progress: Any) -> list[Outcome]:
    """Make all chunks, each after those it waits for, so many at a time; returns what became of every step, in order of the plan."""
    free, full = asyncio.Semaphore(config.backfill.parallel), asyncio.Event()
    started: list[asyncio.Task[list[Outcome]]] = []

    async def one(chunk: Chunk) -> list[Outcome]:
        before = [outcome for n in chunk.waits for outcome in await started[n]]
        async with free:
            lost = [outcome.partition for outcome in before if outcome.error or outcome.held]
            made = held(chunk, "the disk is full") if full.is_set() else await made_of(chunk, store, config, lost)
        if any(outcome.full for outcome in made):
            full.set()
        complete(folder, made)
        log.info(ended(chunk, made))
        return made

    started += [asyncio.create_task(one(chunk)) for chunk in of.chunks]
    watching = asyncio.create_task(watch(folder, len(of.steps), progress))
    try:
        return [outcome for chunk in started for outcome in await chunk]
    finally:
        for running in (watching, *started):
            running.cancel()
        await told(progress, n_done(folder), len(of.steps))


async def made_of(chunk: Chunk, store: Store, config: Settings, failed: Sequence[Partition]) -> list[Outcome]:
    """What became of a chunk, in this process or wherever the settings say tasks run. A task that died costs its chunk only."""

    def run() -> list[Outcome]:
        if chunk.kind in HERE:
            return make_chunk(store, chunk, rules=rules_of(config, secrets=True), failed=failed)
        return make_chunk.submit(store, chunk, rules=rules_of(config), failed=failed).result()

    try:
        return await asyncio.to_thread(run)
    except Exception as error:  # whatever it was, the other chunks go on; the run ends failed, with its cause
        return crashed(store.run_folder, chunk, error)


async def watch(folder: Path, n: int, progress: Any) -> None:
    """Let the progress follow what is done."""
    done = 0
    while True:
        await asyncio.sleep(LOOK_S)
        if (now := n_done(folder)) != done:
            done = now
            await told(progress, done, n)


async def told(progress: Any, done: int, n: int) -> None:
    if not n:
        return
    log.info("%d of %d partitions", done, n, extra={"now": f"{done} of {n} partitions"})
    try:
        await aupdate_progress_artifact(progress, min(100.0 * done / n, 100.0), description=f"{done} of {n} partitions")
    except (httpx.HTTPError, PrefectException) as error:  # what was made counts, whether the server hears of it or not
        log.warning("the progress could not be shown: %s", error or type(error).__name__)
