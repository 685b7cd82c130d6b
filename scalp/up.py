"""`scalp up` and `scalp down`: everything in one terminal, looked after until Ctrl-C; and its end from another one."""

import json
import os
import signal
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from scalp.console import out
from scalp.failures import FAILED, INTERRUPTED, OK, UsageError, guarded
from scalp.up_shown import Notes, Voice, show, voice

if TYPE_CHECKING:
    from core.settings import Settings
    from core.stack import Running

KEEPER_GRACE_S = 15.0  # what a killed stack leaves behind may end in order for so long
LEFT_GRACE_S = 10.0
PORT_S = 2.0
ALONE_S = 3.0  # a run that used the server of a stack that was killed ends within a second
DOWN_S = 180.0  # the longest orderly stop


def up(
    only: Annotated[str, typer.Option(help="Only these parts and what they need, with commas: server,pool,worker.")] = "",
    without: Annotated[str, typer.Option(help="All but these, and but what needs them.")] = "",
    port: Annotated[int | None, typer.Option(min=0, help="Of Prefect's UI; 0: a free one. Default: up.port.", show_default=False)] = None,
) -> None:
    """Everything at once, until Ctrl-C: Prefect's server and UI, work pool and deployments, worker, Triton, venue, live worker (paper).

    Waits until each is healthy, prints where everything is, follows the logs, starts again what dies, stops all in order. A second Ctrl-C
    ends at once. scalp status and scalp down work from any other terminal.

    \b
    scalp up
    scalp up --only server,pool,worker --port 4201
    scalp up --without live,venue
    """
    raise typer.Exit(guarded(lambda: run(words(only), words(without), port)))


def down() -> None:
    """End the scalp up that runs on this data folder, in order, and say what stopped.

    \b
    scalp down
    """
    raise typer.Exit(guarded(end))


def words(text: str) -> list[str]:
    return [word for word in text.replace(",", " ").split() if word]


def run(only: list[str], without: list[str], port: int | None) -> int:
    """Returns the exit code. Raises `UsageError`, `SettingsError`, `Held`, `OSError`."""
    from core import settings, stack
    from core.stack_keeper import Keeper
    from core.stack_parts import Care, chosen
    from core.stack_supervisor import Supervisor
    from scalp import up_parts

    config = settings.load()
    ground = up_parts.Ground.of(config, config.up.port if port is None else port)
    try:
        parts, left_out = chosen(up_parts.parts(ground), only or config.up.parts, without)
    except LookupError as error:
        raise UsageError(str(error.args[0])) from error
    if not parts:
        raise UsageError("; ".join(["nothing is left to start", *(f"{name}: {why}" for name, why in left_out.items())]))
    names = [part.name for part in parts]
    with stack.the_stack(config.data_dir) as before, voice(config.data_dir / "logs" / "up" / "up.log", names) as told:
        began = time.monotonic()
        mend(config, before, told)
        for name, why in left_out.items():
            told.event(name, f"left out: {why}")
        if "server" in names:
            alone(config, told)
            check_server(config, ground.server_port)
        keeper = Keeper(config.data_dir, KEEPER_GRACE_S)
        asked = stopping(config.data_dir)
        notes = Notes(config.data_dir, ground.prefect_url if "server" in names else "")
        up = config.up
        care = Care(up.start_timeout_s, up.restarts, up.restart_window_s, unhealthy_s=up.unhealthy_s)
        supervisor = Supervisor(
            parts, care, said=told.event, line=told.line, changed=notes.write, down=lambda name, why: alert(config, name, why)
        )
        told.event("", f"starting {', '.join(names)}; Ctrl-C stops everything in order")
        try:
            ended_well = supervisor.run(asked, lambda: show(config, notes, began), keeper.keep)
        finally:
            told.event("", "stopping in order; Ctrl-C again ends at once")
            if "server" in names and (beside := at_work_beside(config.data_dir)):
                told.event("", f"{beside} is at work with this Prefect, and ends with it")
            stopped = supervisor.stop()
            keeper.bye()
            told.event("", f"stopped {', '.join(stopped)}" if stopped else "nothing was running")
    return OK if ended_well else FAILED


# Before the start


def mend(config: "Settings", before: "Running | None", told: "Voice") -> None:
    """What a killed stack, or a killed run, left behind is ended and said."""
    from core.services import stop_leftovers
    from core.stack_marks import end_marked

    if before is not None:
        told.event("", f"the last scalp up here (process {before.pid}, since {before.since}) was killed; looking for what it left behind")
    for name in stop_leftovers(config.data_dir):
        told.event("", f"ended {name}, left over from a program that was killed")
    for one in end_marked(config.data_dir, LEFT_GRACE_S):
        told.event("", f"ended {one}, left over from a stack that was killed")


def alone(config: "Settings", told: "Voice") -> None:
    """Raises `Held` where a run that was typed before us is at work: it has a server of its own over the same database."""
    from core.holding import holding

    with holding(config.data_dir, "scalp up", wait_s=ALONE_S, told=lambda text: told.event("", text)):
        pass


def check_server(config: "Settings", port: int) -> None:
    """Raises `UsageError` where the server could not start anyway."""
    from core import orchestrator, ports

    if not ports.free_within(config.prefect.host, port, PORT_S):
        raise UsageError(
            f"port {port} is taken by {ports.holder(port)}: end that, or choose another port with scalp up --port N (0 takes a free one)"
        )
    try:
        orchestrator.server_environment(config.prefect.database_url.get_secret_value())
    except ValueError as error:
        raise UsageError(str(error)) from error


def at_work_beside(data_dir: Path) -> str | None:
    """A run typed in another terminal, for people; not one that our worker started."""
    import psutil

    from core.stack_marks import marked

    try:
        by = json.loads((data_dir / "run.holder.json").read_text())
        what, pid = str(by["what"]), int(by["pid"])
    except (OSError, ValueError, KeyError):
        return None
    if not psutil.pid_exists(pid) or pid in marked(data_dir):
        return None
    return f"{what} (process {pid})"


def stopping(data_dir: Path) -> threading.Event:
    """Set by Ctrl-C, SIGTERM or the terminal's end; a second one ends at once, without order."""
    from core.stack import FILE
    from core.stack_marks import kill_marked

    asked = threading.Event()

    def heard(number: int, _: object) -> None:
        if not asked.is_set():
            asked.set()
            return
        os.write(2, b"\nending at once\n")
        kill_marked(data_dir)
        (data_dir / FILE).unlink(missing_ok=True)
        os._exit(INTERRUPTED)

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, heard)
    return asked


def alert(config: "Settings", name: str, why: str) -> None:
    """Whoever is on call: a part is left down."""
    from core.alerts import Alert
    from tasks.alerts import tell

    line = f"{name} of scalp up is left down: {why}"
    tell([Alert(kind="down", key=f"down:{name}", line=line, next="scalp status")], config)


# From another terminal


def end() -> int:
    """Returns the exit code."""
    from core import settings, stack
    from core.stack_marks import end_marked

    config = settings.load()
    told = stack.running(config.data_dir)
    if told is None:
        left = end_marked(config.data_dir, LEFT_GRACE_S) if stack.last(config.data_dir) is not None else []
        for one in left:
            out.print(f"ended {escape(one)}, left over from a stack that was killed", soft_wrap=True)
        (config.data_dir / stack.FILE).unlink(missing_ok=True)
        out.print(f"no scalp up runs on {config.data_dir}" + ("" if left else "; there is nothing to stop"), soft_wrap=True)
        return OK
    began = time.monotonic()
    os.kill(told.pid, signal.SIGTERM)
    stopped: set[str] = set()
    while told.lives:
        now = stack.last(config.data_dir)
        for name, part in (now.parts if now is not None and now.pid == told.pid else {}).items():
            if part.state == "stopped" and name not in stopped and told.parts[name].pid is not None:
                stopped.add(name)
                out.print(f"stopped {name}")
        if time.monotonic() - began > DOWN_S:
            out.print(f"[red]process {told.pid} did not end within {DOWN_S:g} s[/red]: kill -9 {told.pid} ends it, and all it started")
            return FAILED
        time.sleep(0.1)
    late = [name for name, part in reversed(told.parts.items()) if name not in stopped and part.pid is not None]
    if late:
        out.print(f"stopped {', '.join(late)}")
    out.print(f"scalp up (process {told.pid}) has ended after {time.monotonic() - began:.1f} s", soft_wrap=True)
    return OK
