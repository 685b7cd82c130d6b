"""`scalp sim`: histories of trouble from seeds, many of them; one that breaks something is told with its seed, to be run again."""

import json as js
import logging
import multiprocessing
import os
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer
from rich.markup import escape
from rich.progress import track

from scalp.console import err, out

SUMS = ("n_frames", "n_orders", "n_fills", "n_restarts", "n_incidents")


def sim(
    seed: Annotated[int, typer.Option(help="The first seed; a broken history names its own.")] = 0,
    count: Annotated[int, typer.Option(min=1, help="How many histories, one a seed.")] = 1,
    workers: Annotated[int, typer.Option(min=0, help="Processes; 0: one a core.", show_default="one a core")] = 0,
    journal: Annotated[Path | None, typer.Option(help="With one history: keep its journals in this folder.", show_default=False)] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """The real worker, engine and ledger on a simulated venue, under one clock: lost answers, cut lines, kills. Nothing may break."""
    began = time.monotonic()
    if journal is not None and count > 1:
        err.print("--journal keeps the journals of one history: leave out --count")
        raise typer.Exit(2)
    outcomes = [_alone(seed, journal, quiet=json)] if count == 1 else _many(seed, count, workers, quiet=json)
    broken = [outcome for outcome in outcomes if outcome["broken"]]
    whole = [outcome for outcome in outcomes if not outcome["broken"]]
    told: dict[str, Any] = {"histories": count, "broken": [outcome["broken"] for outcome in broken]}
    told |= {key: sum(outcome[key] for outcome in whole) for key in SUMS}
    told["faults"] = {
        name: sum(outcome["faults"].get(name, 0) for outcome in whole) for name in sorted({n for o in whole for n in o["faults"]})
    }
    told["seconds"] = round(time.monotonic() - began, 1)
    if json:
        print(js.dumps(told))
    else:
        _show(told, broken)
    raise typer.Exit(1 if broken else 0)


def one(seed: int) -> dict[str, Any]:
    """One history, in whichever process."""
    from serving import simulation

    logging.disable(logging.CRITICAL)
    try:
        return msgspec.to_builtins(simulation.simulate(seed)) | {"broken": ""}
    except simulation.Broken as error:
        return {"seed": seed, "broken": str(error)}


def _many(seed: int, count: int, workers: int, *, quiet: bool) -> list[dict[str, Any]]:
    with ProcessPoolExecutor(workers or os.cpu_count() or 1, mp_context=multiprocessing.get_context("spawn")) as pool:
        made = pool.map(one, range(seed, seed + count), chunksize=max(1, min(8, count // 8)))
        return list(track(made, "histories", total=count, console=err, disable=quiet, transient=True))


def _alone(seed: int, journal: Path | None, *, quiet: bool) -> dict[str, Any]:
    """One history, its log shown and its journals kept where asked."""
    from serving import simulation

    if quiet:
        return one(seed)
    logging.basicConfig(level=logging.WARNING, format="  %(name)s: %(message)s")
    out.print(f"seed {seed}: {escape(msgspec.json.encode(simulation.drawn(seed)).decode())}", soft_wrap=True)
    try:
        return msgspec.to_builtins(simulation.simulate(seed, journal or Path())) | {"broken": ""}
    except simulation.Broken as error:
        return {"seed": seed, "broken": str(error)}


def _show(told: dict[str, Any], broken: list[dict[str, Any]]) -> None:
    histories = "history" if told["histories"] == 1 else "histories"
    out.print(
        f"{told['histories']:,} {histories} in {told['seconds']} s: {told['n_frames']:,} frames, {told['n_orders']:,} orders, "
        f"{told['n_fills']:,} fills, {told['n_restarts']:,} kills of the process"
    )
    out.print("faults: " + (", ".join(f"{name} {n:,}" for name, n in told["faults"].items()) or "none"))
    for outcome in broken[:20]:
        out.print(f"[red]broken[/red] {escape(outcome['broken'])}   (again: scalp sim --seed {outcome['seed']})", soft_wrap=True)
    if not broken:
        out.print("no order sent twice, no fill lost, exposure within limits, ledger and venue agree")
