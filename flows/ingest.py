"""Ingest: files of market data become clean, checked days.

files -> raw_<family>__* -> clean_market__*, quarantine_market__rows
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

from prefect import flow

from core import machine, runs, settings
from core.market import GENERATED
from core.settings import Settings
from core.store import Store
from tasks.accounts import close_accounts
from tasks.archives import archives_in, read_archive
from tasks.clean import clean_day
from tasks.generated import write_market
from tasks.ingest import after, beside, instruments_of, refuse_errors, summed, touched
from tasks.pages import publish
from tasks.recordings import read_recording, recordings_in
from tasks.tables import mapping_called, read_table_file, read_tables

InThread = Callable[..., Awaitable[Any]]


@flow(flow_run_name="ingest {source}", validate_parameters=False)
async def ingest(source: str, folder: Path | None = None, mapping: str = "", run_folder: Path | None = None, venue: str = "") -> runs.Stage:
    """Read the files that are new or changed, and build the days they touch; the result is kept in `run_folder`.

    `source` is `generated`, `recordings`, `archives` or `tables`; `folder` is where the latter three lie, `mapping` names the columns
    of tables, `venue` is that of archives whose folders do not tell it.
    Raises `IngestError` where a file could not be read to its end, once everything sound is kept and told.
    """
    config, began = settings.load(), time.monotonic()
    store = Store(config.lake, code=machine.code_version())
    store.sweep()
    in_thread = limited(config.ingest.workers)

    files = await read(store, config, source, folder, mapping or config.ingest.mapping, venue, in_thread)
    built = [build(store, config, files, *instrument, in_thread) for instrument in instruments_of(files)]
    days = [day for of_one in await asyncio.gather(*built) for day in of_one]
    accounts = close_accounts(store, files)

    stage = summed(source, files, accounts, days, time.monotonic() - began, store)
    if run_folder:
        runs.save(run_folder, stage)
    await publish(stage, store)
    refuse_errors(stage)
    return stage


def limited(workers: int) -> InThread:
    """Call a task in a thread, so many at a time."""
    free = asyncio.Semaphore(workers)

    async def call(task: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        async with free:
            return await asyncio.to_thread(task, *args, **kwargs)

    return call


async def read(
    store: Store, config: Settings, source: str, folder: Path | None, mapping: str, venue: str, in_thread: InThread
) -> list[dict[str, Any]]:
    """The facts of every file, read at once as far as there are workers."""
    if source == GENERATED:
        paths = await in_thread(write_market, config.generator, config.data_dir / "generated")
        started: list[Any] = [
            in_thread(read_recording, store, str(p), quality=config.quality, venue=GENERATED, generated=True) for p in paths
        ]
    elif folder is None:
        raise settings.SettingsError(f"source {source!r} needs a folder: --from FOLDER")
    elif source == "tables":
        of = mapping_called(mapping, config.mappings)
        start: Any = partial(in_thread, read_table_file)
        started = read_tables(store, folder, mapping, of, config.quality, config.ingest.keep_levels, each=start)
    elif source == "archives":
        started = [in_thread(read_archive, store, str(path), venue=venue) for path in archives_in(folder)]
    else:
        started = [in_thread(read_recording, store, str(path), quality=config.quality) for path in recordings_in(folder)]
    return list(await asyncio.gather(*started))


async def build(
    store: Store, config: Settings, files: list[dict[str, Any]], venue: str, symbol: str, in_thread: InThread
) -> list[dict[str, Any]]:
    """The facts of an instrument's days, built in time order: each starts from the book in which the one before ended."""
    fees = config.fees.by_venue.get(venue, config.fees.default)
    mine: list[date] = await asyncio.to_thread(touched, store, files, venue, symbol, config.quality.max_clock_skew_s)
    queue, told = beside(store, venue, symbol, mine), []
    while queue:
        day, *queue = queue
        facts = await in_thread(
            clean_day, store, venue, symbol, day, quality=config.quality, keep_levels=config.ingest.keep_levels, fees=fees
        )
        queue = after(store, queue, facts)
        if facts["changed"] or day in mine:
            told.append(facts)
    return told
