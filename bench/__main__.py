"""`python -m bench [names] [--json]`: ours beside the peers, on this machine, now."""

import argparse
import importlib
import json
import sys
import time
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from bench.harness import BenchError
from bench.runner import run

NAMES = ("features", "ingest", "feed", "portfolio", "indicators", "streaming", "fills", "inference", "scale", "migration")


def shown(value: float | None) -> str:
    """Four figures, with k, M or G."""
    if value is None:
        return "-"
    for limit, letter in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if abs(value) >= limit:
            return f"{value / (1e3 if letter == 'k' else limit):,.3g} {letter}"
    return f"{value:.3g}" if abs(value) < 100 else f"{value:,.0f}"


def asked_for(row: dict[str, Any]) -> str:
    said = [
        f"≥ {row['target']:g}x" if row["target"] else "",
        f"≥ {row['share_target']:.0%} of limit" if row["share_target"] else "",
        f"≤ {shown(row['at_most'])}" if row["at_most"] else "",
        f"≥ {shown(row['at_least'])}" if row["at_least"] else "",
    ]
    return ", ".join(filter(None, said)) or "-"


def table(rows: list[dict[str, Any]]) -> Table:
    made = Table(title="Ours beside the best peer, same input, same run", title_justify="left")
    for head in ("benchmark", "unit"):
        made.add_column(head)
    for head in ("ours", "± %", "peer", "best peer", "ratio", "asked", "of limit", "MB", "peer MB", "first s"):
        made.add_column(head, justify="left" if head == "best peer" else "right")
    made.add_column("met")
    for r in rows:
        ratio = "-" if r["ratio"] is None else f"{r['ratio']:.3g}x"
        share = "-" if r["limit_share"] is None else f"{r['limit_share']:.0%}"
        met = {None: "", True: "[green]yes[/green]", False: "[red]no[/red]"}[r["met"]]
        spread = "-" if r["spread"] is None else f"{r['spread'] * 100:.0f}"
        made.add_row(
            r["name"], r["unit"], shown(r["ours"]), spread, shown(r["peer_value"]), r["peer"] or "-", ratio, asked_for(r), share,
            shown(r["peak_mb"]), shown(r["peer_peak_mb"]), shown(r["first_s"]), met,
        )  # fmt: skip
    return made


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench", description="Ours beside the peers, on this machine, now.")
    parser.add_argument("names", nargs="*", metavar="name", help=f"which: {', '.join(NAMES)}; all where none is named")
    parser.add_argument("--json", action="store_true", help="the rows as a JSON list, on standard output")
    parser.add_argument("--rounds", type=int, help="how often the variants take turns")
    parser.add_argument("--size", type=int, help="rows of the large inputs, in place of each benchmark's own")
    asked = parser.parse_args()
    out, err = Console(width=None if sys.stdout.isatty() else 190), Console(stderr=True)
    unknown = [n for n in asked.names if n not in NAMES]
    if unknown:
        err.print(f"there is no benchmark {unknown[0]!r}; there are {', '.join(NAMES)}")
        return 2
    rows, failed, begun = [], [], time.monotonic()
    with err.status("") as status:
        for name in asked.names or NAMES:
            if not (Path(__file__).parent / f"{name}.py").exists():
                continue
            try:
                module = importlib.import_module(f"bench.{name}")
                rows += (
                    module.take(status.update)
                    if hasattr(module, "take")
                    else run(module.BENCH, status.update, rounds=asked.rounds, large=asked.size)
                )
            except BenchError as error:
                failed.append(name)
                err.print(f"[red]{name}:[/red] {error}", markup=True, highlight=False)
    if asked.json:
        print(json.dumps(rows))
    else:
        out.print(table(rows))
        out.print(f"{len(rows)} rows in {time.monotonic() - begun:.0f} s" + (f"; failed: {', '.join(failed)}" if failed else ""))
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
