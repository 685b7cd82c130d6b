"""A flow's run, put down as it happens: its folder, its record, its page, and alerts where it ended badly.

    async with run_of("train", {"symbols": ["BTCUSDT"]}) as folder:      # inside a flow
        ...

The outermost flow of a process makes the run; flows within it find its folder. What happens inside is recorded, however it ends.
"""

import asyncio
import contextlib
import hashlib
import json
import logging
import shlex
import shutil
import traceback
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import msgspec
from prefect.runtime import deployment, flow_run

from core import alerts, machine, run_page, run_records, runs, settings, trail
from core.causes import cause_of
from core.holding import turn
from core.run_records import RunRecord
from core.store import Store
from tasks import run_facts
from tasks.alerts import tell
from tasks.run_shown import publish

log = logging.getLogger("scalp")
RECORDING: ContextVar[bool] = ContextVar("recording", default=False)
FULL = 1_000_000  # bytes; with less nothing works
TRACEBACK = "failure.txt"
STOPPED = "it was stopped: Ctrl-C, cancelled in the UI, or its worker was stopped"


@asynccontextmanager
async def run_of(name: str, parameters: Mapping[str, Any]) -> AsyncIterator[Path]:
    """The folder of the run that this flow belongs to. Raises `Held` where another run does not end in time."""
    folder = runs.RUN_FOLDER.get()
    if folder is not None and RECORDING.get():
        yield folder
        return
    config = settings.load()
    if log.level == logging.NOTSET:  # in a worker nobody has said what is worth a line
        log.setLevel(logging.INFO)
    async with AsyncExitStack() as stack:
        if folder is None:  # nobody holds the data folder for us
            await stack.enter_async_context(turn(config.data_dir, f"flow {name}", wait_s=config.up.wait_s, told=log.info))
            folder = runs.new_folder(config.data_dir)
        record = begun(folder, name, parameters, config)
        tokens = runs.RUN_FOLDER.set(folder), RECORDING.set(True)
        try:
            yield folder
        except BaseException as error:
            try:
                await ended(folder, record, config, error)
            except Exception as trouble:  # what ended the run is what has to be told
                log.warning("the run's end could not be put down: %s", trouble)
            raise
        else:
            await ended(folder, record, config)
        finally:
            runs.RUN_FOLDER.reset(tokens[0])
            RECORDING.reset(tokens[1])


def begun(folder: Path, name: str, parameters: Mapping[str, Any], config: settings.Settings) -> RunRecord:
    """The record of a run that begins, written down."""
    record = run_records.begun(folder.name, name)
    record.flow_run_id, record.flow_run_name = str(flow_run.id or ""), str(flow_run.name or "")
    record.deployment = str(deployment.name or "")
    record.parameters = plain(parameters)
    record.code, record.versions = machine.code_version(), machine.versions()
    record.settings = settings.differing(config)
    record.settings_hash = hashlib.sha256(json.dumps(record.settings, sort_keys=True).encode()).hexdigest()[:12]
    kept(folder, record)
    return record


def plain(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters as JSON values."""
    return msgspec.to_builtins(dict(parameters), enc_hook=str, str_keys=True)


async def ended(folder: Path, record: RunRecord, config: settings.Settings, error: BaseException | None = None) -> None:
    """Complete the record, write and show the page, and tell what is to be told."""
    record.ended, record.state = run_records.now(), "completed"
    if isinstance(error, Exception):
        full = shutil.disk_usage(config.data_dir).free < FULL
        record.state = "failed"
        record.cause, record.fault, record.kind, record.next = cause_of(error, flow=record.flow, data_dir=config.data_dir, full=full)
        record.next = record.next or f"less {shlex.quote(str(folder / TRACEBACK))}"
        with contextlib.suppress(OSError):
            (folder / TRACEBACK).write_text("".join(traceback.format_exception(error)))
    elif error is not None:
        record.state, record.cause, record.kind = "cancelled", STOPPED, "stopped"
    await close(folder, record, config, shown=error is None or isinstance(error, Exception))


async def close(folder: Path, record: RunRecord, config: settings.Settings, *, shown: bool = True) -> None:
    """Write down how a run ended; `shown` puts its page into the orchestrator's UI too."""
    stages = runs.load(folder)
    store = Store(config.lake)
    run_facts.fill(record, trail.read(folder), stages, run_facts.rows_in(store))
    text = kept(folder, record)
    found = list(alerts.of_record(record))
    of = {"flow": record.flow, "run_id": record.run_id, "flow_run_id": record.flow_run_id}
    if "ingest" in stages:
        found += alerts.of_quality(stages["ingest"].facts, breach(config), **of)
    if "benchmark" in stages and stages["benchmark"].changed:
        found += alerts.of_benchmark(stages["benchmark"].facts, **of)
    if found:
        await asyncio.to_thread(tell, found, config)
    if shown:
        await publish(record, text)


def breach(config: settings.Settings) -> alerts.Breach:
    of = config.alerts
    return alerts.Breach(of.quarantine_share, of.different_share, of.sequence_breaks, of.book_known_share)


def kept(folder: Path, record: RunRecord) -> str:
    """Write record and page; returns the page. On a full disk the page is all there is, and the run goes on."""
    try:
        run_records.save(folder, record)
        return run_page.keep(folder, record)
    except OSError as error:
        log.warning("the run's record could not be written: %s", error)
        return run_page.page(record)
