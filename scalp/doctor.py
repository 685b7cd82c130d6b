"""`scalp doctor`: what this machine and this data folder lack, each with the command that mends it; and what more data would take."""

import json
import time
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from scalp.console import counted, out
from scalp.failures import FAILED, OK, guarded

if TYPE_CHECKING:
    from core.checks import Check
    from core.settings import Settings

COLOURS = {"ok": "green", "warn": "yellow", "fail": "red"}


def doctor(
    capacity: Annotated[bool, typer.Option("--capacity", help="Estimate disk and time for more data, from run history.")] = False,
    symbols: Annotated[int, typer.Option(min=1, help="With --capacity: how many symbols.")] = 10,
    days: Annotated[int, typer.Option(min=1, help="With --capacity: how many days of each.")] = 30,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Look at clock, disk, memory, cores, ports, locks, packages, tools and rights. Exit code 1 where something has to be mended.

    \b
    scalp doctor
    scalp doctor --json
    scalp doctor --capacity --symbols 50 --days 365
    """
    if capacity:
        from scalp.doctor_capacity import tell

        raise typer.Exit(guarded(lambda: tell(symbols, days, as_json=as_json)))
    raise typer.Exit(guarded(lambda: look(as_json=as_json)))


def look(*, as_json: bool) -> int:
    """Returns the exit code."""
    from core import settings

    began = time.perf_counter()
    found = checks(settings.load())
    levels = [check.level for check in found]
    if as_json:
        print(json.dumps({"well": "fail" not in levels, "checks": [check._asdict() for check in found]}))
    else:
        width = max(len(check.name) for check in found)
        for check in found:
            out.print(f"[{COLOURS[check.level]}]{check.level:<4}[/]  {check.name:<{width}}  {escape(check.said)}", soft_wrap=True)
            if check.mend:
                out.print(f"      {'':<{width}}  [bold]mend:[/bold] {escape(check.mend)}", soft_wrap=True)
        n_fail, n_warn = levels.count("fail"), levels.count("warn")  # pyright: ignore[reportArgumentType]
        told = "nothing has to be mended" if not n_fail else f"{counted(n_fail, 'thing')} to mend"
        out.print(f"\n{told}, {counted(n_warn, 'warning')}; looked for {time.perf_counter() - began:.1f} s", soft_wrap=True)
    return FAILED if "fail" in levels else OK


def checks(config: "Settings") -> "list[Check]":
    """Everything, in the order a person would look."""
    from scalp import doctor_folder, doctor_machine, doctor_packages

    return [*doctor_machine.checks(config), *doctor_folder.checks(config), *doctor_packages.checks(config)]
