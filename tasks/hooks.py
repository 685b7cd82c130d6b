"""What happens when a flow's run ends badly outside its own code: `@flow(..., **HOOKS)` on every flow.

A flow that is stopped by its time limit, refused for its parameters, cancelled or killed does not see its own end. The hooks put it
into its record: Prefect calls them in the flow's process, or in the worker's when the process is gone.
"""

import logging
from typing import Any

from core import run_page, run_records, runs, settings
from core.causes import cause_of
from core.run_records import RunRecord, State
from tasks.run_shown import publish

log = logging.getLogger("scalp")
ENDED: dict[str, State] = {"FAILED": "failed", "CRASHED": "crashed", "CANCELLED": "cancelled", "CANCELLING": "cancelled"}


async def on_bad_end(flow: Any, flow_run: Any, state: Any) -> None:
    """A run failed, crashed or was cancelled. A flow within another one is told by that one."""
    if flow_run.parent_task_run_id is not None or await put_down(flow.name, flow_run, state):
        return
    data_dir = settings.load().data_dir
    record = run_records.of_flow_run(data_dir, str(flow_run.id))
    if record is not None and record.state == "cancelled":  # while it was being stopped its page could not be shown
        await publish(record, run_page.page(record, run_page.stage_pages(data_dir / "runs" / record.run_id)))


async def put_down(flow: str, flow_run: Any, state: Any) -> RunRecord | None:
    """The run's record with the end that Prefect tells of; None where the record has told it itself, or it has not ended badly.

    A run that was stopped on purpose is cancelled, though Prefect says that it crashed.
    """
    from tasks.run_record import close, plain

    config = settings.load()
    ending = ENDED.get(str(getattr(state.type, "value", state.type)))
    if ending is None:
        return None
    record = run_records.of_flow_run(config.data_dir, str(flow_run.id))
    if record is not None and record.cause and (record.state == ending or (record.state, ending) == ("cancelled", "crashed")):
        return None  # it saw its end itself; only of a time limit it knows no more than that it was stopped
    if record is None:  # it never came to our code
        given = runs.RUN_FOLDER.get()  # of a verb of the command line
        folder = given if given and run_records.load(given) is None else runs.new_folder(config.data_dir)
        record = run_records.begun(folder.name, flow)
        record.flow_run_id, record.flow_run_name, record.pid = str(flow_run.id), flow_run.name, 0
        record.parameters = plain(flow_run.parameters or {})
        record.started = (flow_run.start_time or state.timestamp).isoformat(timespec="milliseconds")
    record.state, record.ended = ending, state.timestamp.isoformat(timespec="milliseconds")
    if ending != "cancelled":
        record.cause, record.fault, record.kind, record.next = cause_of(await error_of(state), flow=flow, data_dir=config.data_dir)
        record.next = record.next or f"scalp runs show {record.run_id}"
        record.state = "cancelled" if record.kind == "stopped" else ending
        if record.kind == "killed" and record.pid and str(record.pid) not in record.cause:
            record.cause += f" (process {record.pid} on {record.host})"
    await close(config.data_dir / "runs" / record.run_id, record, config)
    return record


async def error_of(state: Any) -> BaseException | str:
    """What ended a run: the exception where it is at hand, else what its state says."""
    data = state.data
    if isinstance(data, BaseException):
        return data
    if isinstance(result := getattr(data, "result", None), BaseException):
        return result
    return state.message or state.name


HOOKS: dict[str, Any] = {"on_failure": [on_bad_end], "on_crashed": [on_bad_end], "on_cancellation": [on_bad_end]}
