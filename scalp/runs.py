"""`scalp runs`: what ran, how it ended, and what differs between two runs; from the runs' folders, with or without a server."""

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from scalp.console import counted, out
from scalp.failures import OK, UsageError, guarded

if TYPE_CHECKING:
    from core.run_records import RunRecord

app = typer.Typer(
    help="What ran and how it ended: the list, one run's page, two runs compared.",
    epilog="Examples: scalp runs;  scalp runs show failed;  scalp runs diff train~1 train",
    context_settings={"help_option_names": ["-h", "--help"]},
)
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
Which = Annotated[
    str, typer.Argument(help="The run's id, its beginning or end, `latest`, `failed` or a flow's name; with ~1 the one before.")
]
FAILED = "failed"
COLOURS = {"completed": "green", "failed": "red", "crashed": "red", "cancelled": "yellow", "running": "cyan"}


@app.callback(invoke_without_command=True)
def listed(
    context: typer.Context,
    flow: Annotated[str, typer.Option("--flow", help="Only runs of this flow.")] = "",
    failed: Annotated[bool, typer.Option("--failed", help="Only runs that failed or crashed.")] = False,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="At most so many, newest first.")] = 20,
    json: Json = False,
) -> None:
    """List the runs, newest first: id, flow, state, when, how long, what they changed, why they failed."""
    if context.invoked_subcommand is None:
        raise typer.Exit(guarded(lambda: _list(flow, failed, limit, as_json=json)))


@app.command(epilog="Examples: scalp runs show latest;  scalp runs show 9f3a --json")
def show(run: Which = "latest", json: Json = False) -> None:
    """The page of a run: cause, next command, what it read and wrote, parameters, code, metrics."""
    raise typer.Exit(guarded(lambda: _show(run, as_json=json)))


@app.command(epilog="Examples: scalp runs diff 9f3a latest;  scalp runs diff train~1 train")
def diff(a: Which, b: Which, json: Json = False) -> None:
    """Only what differs between two runs: inputs, code, parameters, settings, outputs, metrics."""
    raise typer.Exit(guarded(lambda: _diff(a, b, as_json=json)))


def _list(flow: str, failed: bool, limit: int, *, as_json: bool) -> int:
    from core import run_records, settings

    config = settings.load()
    records = [run_records.seen(record) for record in run_records.every(config.data_dir)]
    rows = [_row(record) for record in records]
    rows += _only_on_server(config.data_dir, {record.flow_run_id for record in records})
    rows.sort(key=lambda row: row["began"], reverse=True)
    rows = [row for row in rows if (not flow or row["flow"] == flow) and (not failed or row["state"] in ("failed", "crashed"))][:limit]
    if as_json:
        print(json.dumps(rows, indent=1))
        return OK
    if not rows:
        out.print(
            "No run yet: [bold]scalp run[/bold] makes one." if not records else "No run like that; [bold]scalp runs[/bold] lists all."
        )
        return OK
    wide = {key: max([len(key), *(len(row[key]) for row in rows)]) for key in ("run", "flow", "state")}
    out.print(f"[bold]{'run':{wide['run']}}  {'flow':{wide['flow']}}  {'state':{wide['state']}}  {'began, UTC':16}  {'took':>12}[/bold]")
    for row in rows:
        state = f"[{COLOURS.get(row['state'], 'dim')}]{row['state']:{wide['state']}}[/]"
        began, took = row["began"][:16].replace("T", " "), _took(row["took_s"])
        out.print(f"{escape(row['run']):{wide['run']}}  {row['flow']:{wide['flow']}}  {state}  {began:16}  {took:>12}", soft_wrap=True)
        if row["told"]:
            out.print(f"  [dim]{escape(row['told'])}[/dim]", soft_wrap=True)
    return OK


def _row(record: "RunRecord") -> dict[str, Any]:
    did = f"wrote {counted(len(record.wrote), 'part')}" if record.wrote else "made something new" if record.changed else "nothing new"
    return {
        "run": record.run_id,
        "flow": record.flow,
        "state": record.state,
        "began": record.started,
        "took_s": record.seconds,
        "changed": record.changed,
        "told": record.cause or ("" if record.state == "running" else did),
        "next": record.next,
    }


def _only_on_server(data_dir: Path, known: set[str]) -> list[dict[str, Any]]:
    """Runs that never came to our code, and those that wait, where a server runs that can be asked."""
    from core import orchestrator, prefect_runs, stack

    running = stack.running(data_dir)
    if running is None or not running.prefect_url:
        return []
    import httpx

    try:
        found = prefect_runs.flow_runs(running.prefect_url, f"{orchestrator.USER}:{orchestrator.password(data_dir)}")
    except (httpx.HTTPError, ValueError):
        return []  # the folders tell all that ran; the server's part of the table shows itself in scalp status
    return [
        {
            "run": one.name,
            "flow": one.flow,
            "state": one.state.lower(),
            "began": one.started or one.expected,
            "took_s": None,
            "changed": False,
            "told": " ".join(one.message.split())[:200],
            "next": "",
        }
        for one in found
        if one.id not in known
    ]


def _took(seconds: float | None) -> str:
    if seconds is None:
        return ""
    return f"{seconds:.1f} s" if seconds < 60 else f"{int(seconds // 60)} min {int(seconds % 60):02d} s"


def _found(asked: str) -> tuple["RunRecord", Path]:
    from core import run_ids, run_records, settings

    config = settings.load()
    records = {record.run_id: run_records.seen(record) for record in run_records.every(config.data_dir)}
    named = {FAILED: [run_id for run_id, record in records.items() if record.state in ("failed", "crashed")]}
    for run_id, record in records.items():
        named.setdefault(record.flow, []).append(run_id)
    try:
        run_id = run_ids.meant(asked, list(records), named)
    except run_ids.UnknownRun as error:
        raise UsageError(str(error)) from None
    return records[run_id], config.data_dir / "runs" / run_id


def _show(asked: str, *, as_json: bool) -> int:
    import msgspec

    from core import run_page

    record, folder = _found(asked)
    if as_json:
        print(json.dumps(msgspec.to_builtins(record), indent=1))
        return OK
    text = re.sub(
        r"!\[([^\]]*)\]\(data:[^)]*\)", rf"(plot: \1, in {folder / run_page.FILE})", run_page.page(record, run_page.stage_pages(folder))
    )
    if not out.is_terminal:
        print(text, end="")
        return OK
    from rich.markdown import Markdown

    out.print(Markdown(text))
    return OK


def _diff(a: str, b: str, *, as_json: bool) -> int:
    from core.run_diff import differences

    one, other = (_found(asked)[0] for asked in (a, b))
    found = differences(one, other)
    if as_json:
        print(json.dumps({"a": one.run_id, "b": other.run_id} | {kind: [d._asdict() for d in of] for kind, of in found.items()}, indent=1))
        return OK
    if not found:
        out.print(f"{one.run_id} and {other.run_id} differ in nothing but their times.")
        return OK
    for kind, of in found.items():
        table = Table(title=kind, title_justify="left", title_style="bold", box=None, header_style="dim", pad_edge=False)
        table.add_column("what")
        table.add_column(one.run_id)
        table.add_column(other.run_id)
        for difference in of:
            table.add_row(
                escape(difference.what), *(escape(_value(v, short=kind in ("read", "wrote"))) for v in (difference.a, difference.b))
            )
        out.print(table)
        out.print()
    return OK


def _value(value: Any, *, short: bool) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:,.6g}"
    return str(value)[:12] if short else str(value)
