"""`scalp bench`: what this machine measures, beside the peers where asked, as one table."""

import json
import time
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from core import runs
from core.benches import missing, named
from core.runs import Stage
from scalp.console import counted, err, out, seconds
from scalp.failures import FAILED, OK, UsageError, guarded
from scalp.running import attempt

WIDE, ROOMY = 150, ("±", "MB", "first")
UNSEEN = 190  # columns where nobody looks: a file, a pipe


def bench(names: Sequence[str], *, peers: bool, as_json: bool) -> int:
    """Measure, keep, compare with the last runs. Naming benchmarks asks for the peers, and for nothing else."""

    def verb() -> int:
        began = time.perf_counter()
        beside = peers or bool(names)
        if unknown := [name for name in names if name not in named()]:
            raise UsageError(f"there is no benchmark {unknown[0]}; there are {', '.join(named())}")
        if beside and (reason := missing()):
            raise UsageError(reason)
        now, failure = attempt("scalp bench", lambda _: flow(names, beside), as_json=as_json)
        stage = runs.load(now.run_folder).get("benchmark")
        facts: dict[str, Any] = stage.facts if stage else {}
        rows = facts.get("rows") or []
        if as_json:
            print(json.dumps([{"ours": row["value"], **row} for row in rows]))
        elif rows:
            shown_on = out if out.is_terminal else Console(width=UNSEEN, highlight=False)
            shown_on.print(table(rows, width=shown_on.width, spread=of_median))
            out.print(f"{facts['machine']}\n{facts['versions']}", style="dim", soft_wrap=True)
        for warning in stage.warnings if stage else ():
            err.print(f"[yellow]![/yellow] {escape(warning)}", soft_wrap=True)
        if failure:
            err.print(f"[bold red]failed[/bold red] after {seconds(began)}: {escape(failure)}", soft_wrap=True)
        elif not as_json:
            out.print(verdict(rows, seconds(began)), soft_wrap=True)
        return FAILED if failure or facts.get("failed") else OK

    return guarded(verb)


async def flow(names: Sequence[str], beside: bool) -> Stage:
    from flows.benchmark import benchmark

    return await benchmark(peers=beside, names=tuple(names))


def verdict(rows: Sequence[Mapping[str, Any]], took: str) -> str:
    """One line: how many rows, how many targets are met, what has become worse."""
    asked = [row for row in rows if row["met"] is not None]
    met = f"; {sum(row['met'] for row in asked)} of {len(asked)} targets met" if asked else ""
    slow = [row["name"] for row in rows if row["regressed"]]
    worse = f"; [red]worse than the last runs: {', '.join(slow)}[/red]" if slow else "; none worse than the last runs"
    return f"{counted(len(rows), 'row')} in {took}{met}{worse}\nkept in out_bench__runs; [bold]scalp sql[/bold] reads it"


def of_median(row: Mapping[str, Any]) -> float | None:
    return row["spread"] / row["value"] if row["spread"] is not None and row["value"] else None


def table(rows: Sequence[Mapping[str, Any]], *, width: int, spread: Any = lambda row: row["spread"], ours: str = "value") -> Table:
    """Ours beside the best peer; `spread` says how far the middle half of the passes lie apart, as a share of the median.

    Where there is little room, spread, memory and first pass are left out.
    """
    wide = width >= WIDE
    made = Table(box=None, pad_edge=False, header_style="bold")
    made.add_column("measured", overflow="fold", min_width=24)
    heads = ("ours", "±", "best peer", "", "ratio", "asked", "of limit", "MB", "first", "")
    for head in heads if wide else (h for h in heads if h not in ROOMY):
        made.add_column(head, justify="left" if not head else "right", overflow="fold")
    for row in rows:
        apart = spread(row)
        mark = {None: "", True: "[green]met[/green]", False: "[red]missed[/red]"}[row["met"]]
        cells = {
            "ours": f"{shown(row[ours])} {row['unit']}",
            "±": "" if apart is None else f"{apart:.0%}",
            "best peer": shown(row["peer_value"]),
            "peer": escape(row["peer"] or ""),
            "ratio": "" if row["ratio"] is None else f"{row['ratio']:.3g}x",
            "asked": asked_for(row),
            "of limit": "" if row["limit_share"] is None else f"{row['limit_share']:.0%}",
            "MB": shown(row["peak_mb"]),
            "first": "" if row["first_s"] is None else f"{row['first_s']:.2g} s",
            "met": mark + (" [red]worse[/red]" if row.get("regressed") else ""),
        }
        made.add_row(escape(row["name"]), *(cell for head, cell in cells.items() if wide or head not in ROOMY))
    return made


def shown(value: float | None) -> str:
    """Three figures, with k, M or G from ten thousand on."""
    if value is None:
        return ""
    for limit, of, letter in ((1e9, 1e9, "G"), (1e6, 1e6, "M"), (1e4, 1e3, "k")):
        if abs(value) >= limit:
            return f"{value / of:,.3g} {letter}"
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:,.0f}"


def asked_for(row: Mapping[str, Any]) -> str:
    said = (
        f">= {row['target']:g}x" if row["target"] else "",
        f">= {row['share_target']:.0%} of limit" if row["share_target"] else "",
        f"<= {shown(row['at_most'])}" if row["at_most"] else "",
        f">= {shown(row['at_least'])}" if row["at_least"] else "",
    )
    return ", ".join(filter(None, said))
