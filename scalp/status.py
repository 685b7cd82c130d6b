"""`scalp status`: what runs on this data folder, seen from any terminal."""

import json
from typing import Annotated

import msgspec
import typer

from scalp.console import out
from scalp.failures import FAILED, OK, guarded
from scalp.up_shown import hints, print_table


def status(as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False) -> None:
    """The parts of scalp up: how each stands and since when, restarts, addresses, logs. Exit code 1 where one is not well, or none runs.

    \b
    scalp status
    scalp status --json
    """
    raise typer.Exit(guarded(lambda: look(as_json=as_json)))


def look(*, as_json: bool) -> int:
    from core import settings, stack
    from core.stack_marks import marked
    from core.stack_parts import UP, State

    config = settings.load()
    told = stack.running(config.data_dir)
    killed = stack.last(config.data_dir) if told is None else None
    left = marked(config.data_dir) if killed is not None else {}
    if as_json:
        shown = {
            "running": told is not None,
            "data_dir": str(config.data_dir),
            "left_over": [{"pid": p, "what": w} for p, w in left.items()],
        }
        print(json.dumps(shown | (msgspec.to_builtins(told) if told is not None else {"parts": {}})))
    elif told is None:
        if killed is not None:
            out.print(f"the last scalp up (process {killed.pid}, since {killed.since}) was killed", soft_wrap=True)
            for pid, what in left.items():
                out.print(f"  still there: process {pid} ({what})", soft_wrap=True, markup=False)
        out.print(f"no scalp up runs on {config.data_dir}. Start everything with: scalp up", soft_wrap=True)
    else:
        out.print(f"scalp up on {config.data_dir}: process {told.pid}, since {told.since}\n", soft_wrap=True)
        print_table(told.parts, since=True)
        out.print()
        for line in hints(config, told):
            out.print(line, soft_wrap=True)
        out.print("Stop everything with: scalp down")
    if told is None:
        return FAILED
    return OK if all(part.state in UP | {State.SKIPPED} for part in told.parts.values()) else FAILED
