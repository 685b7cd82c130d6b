"""A flow's run, put down as it happens: its folder, its record, its page.

    async with run_of("train", {"symbols": ["BTCUSDT"]}) as folder:      # inside a flow
        ...

The outermost flow of a process makes the run; flows within it find its folder. What happens inside is recorded, however it ends.
"""

import hashlib
import json
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import msgspec
from prefect.runtime import deployment, flow_run

from core import machine, run_records, runs, settings, trail
from core.causes import cause_of
from core.holding import turn
from core.run_records import RunRecord
from core.runs import Read

log = logging.getLogger("scalp")
RECORDING: ContextVar[bool] = ContextVar("recording", default=False)


@asynccontextmanager
async def run_of(name: str, parameters: Mapping[str, Any]) -> AsyncIterator[Path]:
    """The folder of the run that this flow belongs to. Raises `Held` where another run does not end in time."""
    folder = runs.RUN_FOLDER.get()
    if folder is not None and RECORDING.get():
        yield folder
        return
    config = settings.load()
    async with AsyncExitStack() as stack:
        if folder is None:  # nobody holds the data folder for us
            await stack.enter_async_context(turn(config.data_dir, f"flow {name}", wait_s=config.up.wait_s, told=log.info))
            folder = runs.new_folder(config.data_dir)
        record = begun(folder, name, parameters, config)
        tokens = runs.RUN_FOLDER.set(folder), RECORDING.set(True)
        try:
            yield folder
        except BaseException as error:
            ended(folder, record, error)
            raise
        else:
            ended(folder, record, None)
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
    run_records.save(folder, record)
    return record


def plain(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters as JSON values."""
    return msgspec.to_builtins(dict(parameters), enc_hook=str, str_keys=True, builtin_types=())


def ended(folder: Path, record: RunRecord, error: BaseException | None) -> None:
    """Complete the record."""
    wrote = trail.read(folder)
    made = {one.part for one in wrote}
    used = sorted({item for one in wrote for item in one.inputs.items() if item[0] not in made})
    record.wrote = [Read(part=one.part, content=one.content, rows=one.rows) for one in wrote]
    record.read = [Read(part=part, content=content) for part, content in used]
    record.ended, record.state = run_records.now(), "completed"
    if error is not None:
        told = cause_of(error)
        record.state = "failed" if isinstance(error, Exception) else "cancelled"
        record.cause, record.fault, record.kind, record.next = told
    run_records.save(folder, record)
