"""`scalp backfill`: what is missing or stale in a range of days, shown and made again."""

import os
import time
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any

import typer

from core.backfills import Only, Stage


class Grain(StrEnum):
    """`core.asking.Grain`, without what that needs."""

    SECOND = "second"
    TRADE = "trade"
    BOTH = "both"


SHOWN = 30  # rows of a table on the terminal


def backfill(
    stage: Annotated[Stage, typer.Argument(help="Up to where: clean days, features, or one model over all of the days.")],
    start: Annotated[datetime, typer.Option("--from", formats=["%Y-%m-%d"], help="The first day (UTC).", show_default=False)],
    end: Annotated[
        datetime | None, typer.Option("--to", formats=["%Y-%m-%d"], help="The last day, included. Default: the first.", show_default=False)
    ] = None,
    venue: Annotated[
        str, typer.Option(help="Of which venue; days of the generated market that are not there are generated.")
    ] = "generated",
    symbol: Annotated[list[str] | None, typer.Option(help="Of which symbols; all there are without.", show_default=False)] = None,
    only: Annotated[Only, typer.Option(help="What is not there, what is there but stale, or both.")] = Only.ALL,
    grain: Annotated[Grain, typer.Option(help="For features: a row for every second, for every trade, or both.")] = Grain.SECOND,
    upstream: Annotated[bool, typer.Option(help="What the stage is made of as well, first.")] = True,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the plan and make nothing.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Make what is missing or stale in these days, and only that; run it again after whatever ended it."""
    from core import asking
    from scalp.failures import guarded

    days = {"start": start.date(), "end": (end or start).date()}
    asked = {
        "stage": stage,
        "venue": venue,
        "symbols": tuple(symbol or ()),
        **days,
        "only": only,
        "grain": asking.Grain(grain),
        "upstream": upstream,
    }
    raise typer.Exit(guarded(lambda: verb(asked, dry_run=dry_run, as_json=json)))


def verb(asked: dict[str, Any], *, dry_run: bool, as_json: bool) -> int:
    """The plan from what is there, at once; then, if there is anything to make, the flow, which plans again when it is its turn."""
    from core import orchestrator, settings
    from core.store import Store
    from scalp.console import err, progress, seconds
    from scalp.failures import OK
    from scalp.sources import typed

    config, began = settings.load(), time.perf_counter()
    home = orchestrator.home(config.data_dir)
    there = next(folder for folder in (home, *home.absolute().parents) if folder.exists())  # a plan writes nothing
    os.environ.update(orchestrator.QUIET | {"PREFECT_HOME": str(there)})  # the tasks import Prefect, which has no server yet
    from tasks.backfill_plan import planned
    from tasks.backfill_survey import Wanted
    from tasks.backfill_told import summed

    with progress(console=err), typed():
        of = planned(Store(config.lake), config, Wanted(**asked))
    plan = summed(of, [], time.perf_counter() - began)
    if not as_json:
        show_plan(plan.facts)
    if dry_run or not of.steps:
        return told(plan.facts, None, seconds(began), as_json=as_json, ended=OK)
    return run(asked, began, as_json=as_json)


def run(asked: dict[str, Any], began: float, *, as_json: bool) -> int:
    """The flow in a session; what became of every partition is in its run's folder."""
    import msgspec

    from core.runs import Stage as Result
    from scalp.console import seconds
    from scalp.failures import FAILED, OK
    from scalp.running import attempt
    from scalp.session import Session

    async def flow(_: Session) -> Any:
        from prefect.context import refresh_global_settings_context

        from flows.backfill import backfill as of

        refresh_global_settings_context()  # Prefect was imported for the plan, before it was known where its server is
        return await of(**asked)  # pyright: ignore[reportGeneralTypeIssues]

    now, failure = attempt("scalp backfill", flow, as_json=as_json)
    kept = now.run_folder / "backfill.json"
    stage = msgspec.json.decode(kept.read_bytes(), type=Result) if kept.exists() else None
    facts = stage.facts | {"warnings": stage.warnings} if stage else {}
    return told({"run_id": now.run_id} | facts, failure, seconds(began), as_json=as_json, ended=FAILED if failure else OK)


def told(facts: dict[str, Any], failure: str | None, took: str, *, as_json: bool, ended: int) -> int:
    """Print how it ended."""
    import json

    from rich.markup import escape

    from scalp.console import counted, out

    if as_json:
        print(json.dumps(facts | {"failed_because": failure}, default=str))
        return ended
    if "run_id" in facts and "made" in facts:
        table = rows_table([{"partition": one["partition"], "cause": one["cause"]} for one in (*facts["failed"], *facts["held"])])
        if table.row_count:
            out.print(table)
        for warning in facts["warnings"][:SHOWN]:
            out.print(f"[yellow]![/yellow] {escape(warning)}", soft_wrap=True)
        made, rows = len(facts["made"]), sum(one["rows"] for one in facts["made"])
        out.print(f"{counted(made, 'partition')} made ({rows:,} rows), {facts['unchanged']:,} fresh after all, {facts['fresh']:,} fresh")
    if failure:
        out.print(f"[bold red]failed[/bold red] after {took}: {escape(failure)}", soft_wrap=True)
    elif "run_id" in facts:
        out.print(f"[bold green]done[/bold green] in {took}")
    return ended


def show_plan(facts: dict[str, Any]) -> None:
    from rich.markup import escape

    from scalp.console import out

    if facts["plan"]:
        out.print(rows_table(facts["plan"]))
    for line in facts["absent"]:
        out.print(f"[yellow]![/yellow] {escape(line)}", soft_wrap=True)
    out.print(facts["headline"], soft_wrap=True)


def rows_table(rows: list[dict[str, str]]) -> Any:
    """Rows with the same columns as a table, the first of them."""
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for name in rows[0] if rows else ():
        table.add_column(name, header_style="bold", overflow="fold")
    for row in rows[:SHOWN]:
        table.add_row(*(escape(value) for value in row.values()))
    if len(rows) > SHOWN:
        table.add_row(f"[dim]and {len(rows) - SHOWN:,} more[/dim]")
    return table
