"""What is seen and kept of `scalp up`: lines with the name of their part, the table of parts, what to type next, `up.json`."""

import contextlib
import os
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from scalp.console import counted, out

if TYPE_CHECKING:
    from core.settings import Settings
    from core.stack import PartTold, Running
    from core.stack_parts import Standing

WIDE = 220
COLOURS = ("cyan", "green", "magenta", "blue", "yellow", "bright_cyan", "bright_green", "bright_magenta")
MARKS = {"healthy": "green", "done": "green", "skipped": "dim", "down": "red", "unhealthy": "red", "stopped": "dim"}


class Notes:
    """`up.json`, on every change."""

    def __init__(self, data_dir: Path, prefect_url: str) -> None:
        from core import pids

        self.data_dir, self.prefect_url = data_dir, prefect_url
        self.pid = os.getpid()
        self.started, self.since = pids.start_time(self.pid), stamp(time.time())
        self.standing: list[Standing] = []

    def write(self, standing: "list[Standing]") -> None:
        from core import stack

        self.standing = standing
        parts = {
            one.part.name: stack.PartTold(
                what=one.part.what, state=one.state, why=one.why, since=stamp(one.since) if one.since else self.since, pid=one.pid,
                restarts=one.restarts, address=one.address, log=one.log,
            )
            for one in standing
        }  # fmt: skip
        told = stack.Running(pid=self.pid, started=self.started, since=self.since, prefect_url=self.prefect_url, parts=parts)
        with contextlib.suppress(OSError):  # on a full disk the terminal has to do
            stack.write(self.data_dir, told)


def stamp(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


class Voice:
    """Lines on the terminal, each with the name of its part; what happens to parts is kept in a file too."""

    def __init__(self, file: TextIO, names: list[str]) -> None:
        self.file = file
        self.width = max(map(len, (*names, "up")))
        self.colour = {name: COLOURS[i % len(COLOURS)] for i, name in enumerate(names)}

    def line(self, name: str, text: str) -> None:
        self._print(f"[{self.colour.get(name, 'bold')}]{name or 'up':<{self.width}} |[/] {escape(text)}")

    def event(self, name: str, text: str) -> None:
        """What the supervisor has to say itself."""
        self._print(f"[{self.colour.get(name, 'bold')}]{name or 'up':<{self.width}} |[/] [bold]{escape(text)}[/bold]")
        with contextlib.suppress(OSError):
            self.file.write(f"{stamp(time.time())} {name or 'up'}: {text}\n")
            self.file.flush()

    def _print(self, text: str) -> None:
        with contextlib.suppress(OSError):  # its disk may be full: what runs goes on
            out.print(text, soft_wrap=True)


@contextlib.contextmanager
def voice(path: Path, names: list[str]) -> Iterator[Voice]:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        yield Voice(file, names)


def print_table(parts: "dict[str, PartTold]", *, since: bool = False) -> None:
    """One line for each part. Where nobody looks at a screen, lines are as long as they are."""
    columns = ("part", "state", "address", "log", *(["since"] if since else []))
    shown = Table(*columns, box=None, pad_edge=False, header_style="bold")
    for name, part in parts.items():
        state = str(part.state)
        text = f"[{MARKS.get(state, 'yellow')}]{state}[/]" + (f": {escape(part.why)}" if part.why else "")
        if part.restarts:
            text += f" ({counted(part.restarts, 'restart')})"
        shown.add_row(name, text, escape(part.address), escape(short(part.log)), *([part.since] if since else []))
    (out if out.is_terminal else Console(highlight=False, width=WIDE)).print(shown)


def short(path: str) -> str:
    """As it would be typed from here."""
    with contextlib.suppress(ValueError):
        return str(Path(path).relative_to(Path.cwd())) if path else ""
    return path


def show(config: "Settings", notes: Notes, began: float) -> None:
    """Where everything is, once it is there."""
    from core import stack

    told = stack.running(config.data_dir)
    if told is None:
        return
    with contextlib.suppress(OSError):
        out.print()
        print_table(told.parts)
        out.print()
        for line in hints(config, told):
            out.print(line, soft_wrap=True)
        n, n_skipped = sum(part.up for part in told.parts.values()), sum(part.state == "skipped" for part in told.parts.values())
        skipped, took = f", {n_skipped} skipped" if n_skipped else "", time.monotonic() - began
        out.print(f"{n} of {counted(len(told.parts), 'part')} up{skipped}, after {took:.0f} s. Ctrl-C stops everything in order.\n")


def hints(config: "Settings", told: "Running") -> list[str]:
    """What a person wants to know next."""
    from core import orchestrator
    from scalp.live_wanted import key_path

    found = []
    if (server := told.parts.get("server")) is not None and server.up:
        file = escape(short(str(orchestrator.password_file(config.data_dir))))
        found.append(f"Prefect's UI is at {server.address}; it asks for [bold]{orchestrator.USER}:PASSWORD[/bold], both in the one field.")
        found.append(f"The password was generated and is the one line of {file}:  echo {orchestrator.USER}:$(cat {file})")
    if (live := told.parts.get("live")) is not None and live.up and (mode := mode_of(live.address)) not in ("", "active"):
        found.append(
            f"[bold red]The live worker is {mode.upper()}[/bold red]: it opens nothing. Why is in its log; after a kill, once it is"
        )
        found[-1] += " understood: scalp rearm --reason TEXT"
    if live is not None and live.up and not config.stream.api_key.get_secret_value():
        found.append(f"Orders by hand want the key in {escape(short(str(key_path(config))))}; signals: {live.address}/stream (WebSocket)")
    return found


def mode_of(address: str) -> str:
    """What a live worker may do now (active, reducing, halted); empty where it does not say."""
    import httpx

    try:
        return str(httpx.get(f"{address}/healthz", timeout=1.0, trust_env=False).json()["mode"])
    except (httpx.HTTPError, ValueError, KeyError):
        return ""
