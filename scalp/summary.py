"""The end of a run on the terminal: a line per stage, the verdict in plain words, where the report is, how to go on."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.markup import escape
from rich.table import Table

from core.runs import Stage
from scalp.console import counted, out


def show(stages: Mapping[str, Stage], failure: str | None, report: Path | None, took: str) -> None:
    """Print what each stage did; `failure` is the line that ended the run, if any."""
    generated = any(s.facts.get("generated") for s in stages.values())
    table = Table(title="GENERATED MARKET: not real data" if generated else None, title_style="bold yellow", box=None, pad_edge=False)
    for title in ("stage", "", "took", "result"):
        table.add_column(title, header_style="bold")
    for name, stage in stages.items():
        state = "[green]done[/green]" if stage.changed else "[dim]unchanged[/dim]"
        table.add_row(name, state, f"{stage.seconds:.1f} s", escape(LINES[name](stage.facts)))
    out.print()
    if stages:
        out.print(table)
    for name, stage in stages.items():
        for warning in stage.warnings:
            out.print(f"[yellow]![/yellow] {name}: {escape(warning)}", soft_wrap=True)
    if failure:
        out.print(f"\n[bold red]failed[/bold red] after {took}: {escape(failure)}", soft_wrap=True)
    else:
        quiet = bool(stages) and not any(s.changed for s in stages.values())
        out.print(f"\n[bold green]done[/bold green] in {took}" + ("; nothing was new, so no work was done" if quiet else ""))
    if report:
        out.print(f"report: {report}", soft_wrap=True)
    if not failure and report:
        out.print(
            '\nGo on with: scalp coverage;  scalp sql "SHOW TABLES";  scalp up (run history);  scalp run --help (your own data)',
            soft_wrap=True,
        )


def ingest(facts: Mapping[str, Any]) -> str:
    files, days = facts.get("files", []), facts.get("days", [])
    rows = sum(f.get("rows") or 0 for f in files)
    compared, different = (sum(d.get(k) or 0 for d in days) for k in ("compared", "different"))
    quarantined = sum(f.get("quarantined") or 0 for f in files)
    book = f", {compared:,} tickers compared with the book: {different:,} differ" if compared else ""
    clean, duplicate = (sum(f.get(k) or 0 for f in files) for k in ("clean", "duplicate"))
    made = ", ".join(
        f"{sum(d.get(k) or 0 for d in days):,} {k}" for k in ("trades", "quotes", "book", "marks") if any(d.get(k) for d in days)
    )
    closed = f"{rows:,} rows = {clean:,} clean + {duplicate:,} duplicate + {quarantined:,} quarantined"
    return f"{counted(len(files), 'file')}, {closed}; {counted(len(days), 'clean day')}: {made}{book}"


def features(facts: Mapping[str, Any]) -> str:
    days, n = facts.get("days", []), len(facts.get("features", []))
    rows, of = sum(d["rows"] for d in days), "trades" if facts.get("grain") == "trade" else "seconds"
    told = f"{rows:,} {of}, {sum(d['complete_rows'] for d in days):,} complete, {n} features"
    pace = f", {facts['rows_per_second']:,.0f} trades a second" if of == "trades" and facts.get("rows_per_second") else ""
    return told + pace + (f"; {features(facts['trade'])}" if "trade" in facts else "")


def train(facts: Mapping[str, Any]) -> str:
    model = (facts.get("scores") or {}).get("model") or {}
    n, net = model.get("n_trades") or 0, model.get("mean_net_bps")
    scored = f"{counted(n, 'trade')}, {net:+.2f} bps each after cost: " if n and net is not None else "no trades: "
    return f"model {facts['version_id']}, {counted(facts['epochs'], 'epoch')}; {scored}{facts['verdict']}"


def deploy(facts: Mapping[str, Any]) -> str:
    latency = facts.get("latency_ms") or {}
    p50 = f", p50 {latency['p50']:.2f} ms" if "p50" in latency else ""
    return f"version {facts.get('version')} as {facts.get('alias')} by {facts.get('served_by')}{p50}: {facts.get('reason')}"


def benchmark(facts: Mapping[str, Any]) -> str:
    rows = facts.get("rows", [])
    slower = [r["name"] for r in rows if r.get("regressed")]
    if not any(r.get("median_before") is not None for r in rows):
        return f"{len(rows)} measured; nothing before to compare with"
    return f"{len(rows)} measured" + (f", worse than before: {', '.join(slower)}" if slower else ", none worse than before")


LINES = {"ingest": ingest, "features": features, "train": train, "deploy": deploy, "benchmark": benchmark}
