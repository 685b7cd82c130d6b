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
from prefect.runtime import flow_run

from core import asking, machine, runs, settings
from core.asking import Source
from core.market import GENERATED
from core.settings import Settings
from core.store import Store
from tasks.accounts import close_accounts
from tasks.announcing import INGESTED, announce
from tasks.archives import archives_in, read_archive
from tasks.clean import clean_day
from tasks.generated import write_market
from tasks.hooks import HOOKS
from tasks.ingest import after, beside, instruments_of, refuse_errors, summed, touched
from tasks.pages import publish
from tasks.recordings import read_recording, recordings_in
from tasks.run_record import run_of
from tasks.tables import mapping_called, read_table_file, read_tables

InThread = Callable[..., Awaitable[Any]]


def asked_name() -> str:
    return f"ingest {flow_run.parameters['source']}"


@flow(name="ingest", flow_run_name=asked_name, **HOOKS)
async def ingest(source: Source = Source.GENERATED, folder: Path | None = None, mapping: str = "", venue: str = "") -> runs.Stage:
    """Market data into the lake: raw parts, then clean days, checked and accounted for. Files that are known are not read again.

    Args:
        source: generated (the built-in market), recordings (raw frames), archives (zip files of data.binance.vision) or tables (Parquet).
        folder: Where the recordings, archives or tables lie; not for the generated market.
        mapping: For tables, the mapping that names their columns: standx, crypto-microstructure or one of scalp.toml; empty for the
            one that the settings say.
        venue: For archives, binance-spot, binance-usdm or binance-cm where neither folders nor columns tell it.
    """
    config = settings.load()
    mapping = mapping or config.ingest.mapping
    asking.source(config, source, folder, mapping, venue)
    async with run_of("ingest", {"source": source, "folder": folder, "mapping": mapping, "venue": venue}) as run_folder:
        stage = await read_all(run_folder, source, folder, mapping, venue)
        if days := sorted(day["day"] for day in stage.facts["days"] if day["changed"]):
            announce(INGESTED, first_day=days[0], last_day=days[-1])
        refuse_errors(stage)
        return stage


async def read_all(run_folder: Path, source: Source, folder: Path | None, mapping: str, venue: str) -> runs.Stage:
    """Read the files that are new or changed, and build the days they touch; the result is kept in `run_folder`.

    Files that could not be read to their end are told by the stage (`refuse_errors`), once everything sound is kept.
    """
    config, began = settings.load(), time.monotonic()
    store = Store(config.lake, code=machine.code_version())
    store.sweep()
    in_thread = limited(config.ingest.workers)

    files = await read(store, config, source, folder, mapping, venue, in_thread)
    built = [build(store, config, files, *instrument, in_thread) for instrument in instruments_of(files)]
    days = [day for of_one in await asyncio.gather(*built) for day in of_one]
    accounts = close_accounts(store, files)

    stage = summed(source, files, accounts, days, time.monotonic() - began, store)
    runs.save(run_folder, stage)
    await publish(stage, store)
    return stage


def limited(workers: int) -> InThread:
    """Call a task in a thread, so many at a time."""
    free = asyncio.Semaphore(workers)

    async def call(task: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        async with free:
            return await asyncio.to_thread(task, *args, **kwargs)

    return call


async def read(
    store: Store, config: Settings, source: Source, folder: Path | None, mapping: str, venue: str, in_thread: InThread
) -> list[dict[str, Any]]:
    """The facts of every file, read at once as far as there are workers."""
    if folder is None:
        paths = await in_thread(write_market, config.generator, config.data_dir / "generated")
        started: list[Any] = [
            in_thread(read_recording, store, str(p), quality=config.quality, venue=GENERATED, generated=True) for p in paths
        ]
    elif source == Source.TABLES:
        of = mapping_called(mapping, config.mappings)
        start: Any = partial(in_thread, read_table_file)
        started = read_tables(store, folder, mapping, of, config.quality, config.ingest.keep_levels, each=start)
    elif source == Source.ARCHIVES:
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
