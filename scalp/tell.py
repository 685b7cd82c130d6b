"""Answers as a person or a program reads them: tables that fit the terminal, JSON lines, CSV, the calendar."""

import calendar as months
import csv as csvlib
import json
import sys
from collections.abc import Iterable
from datetime import date
from itertools import groupby
from typing import Any

import polars as pl
from rich.markup import escape
from rich.table import Table

from core.coverage import Cell, Line
from core.queries import Answer, stream
from core.store import Store
from scalp.console import out

SHADES = "░▒▓█"
WIDE = 44  # letters of one value on a terminal


def rows(store: Store, query: str, *, limit: int | None, csv: bool, threads: int, memory: str) -> None:
    """Write all rows of an answer to standard output as they come."""
    writer, left = csvlib.writer(sys.stdout, lineterminator="\n"), limit
    for i, frame in enumerate(stream(store, query, threads=threads, memory=memory)):
        if csv and not i:
            writer.writerow(frame.columns)
        shown = plain(frame if left is None else frame.head(left))
        for row in shown.iter_rows():
            if csv:
                writer.writerow(["" if v is None else json.dumps(v, default=str) if isinstance(v, list | dict) else v for v in row])
            else:
                print(json.dumps(dict(zip(shown.columns, row, strict=True)), default=number, allow_nan=False))
        if left is not None and (left := left - shown.height) <= 0:
            break
    sys.stdout.flush()


def plain(frame: pl.DataFrame) -> pl.DataFrame:
    """Times as ISO text to the nanosecond (UTC), not-a-number as null."""
    return frame.with_columns(
        *(pl.col(c).dt.strftime("%Y-%m-%dT%H:%M:%S%.9fZ") for c, t in frame.schema.items() if isinstance(t, pl.Datetime)),
        *(pl.when(pl.col(c).is_finite()).then(pl.col(c)) for c, t in frame.schema.items() if t in (pl.Float32, pl.Float64)),
    )


def number(value: Any) -> int | float | str:
    """What JSON has no type for: a wide integer stays one, anything else becomes text."""
    return int(value) if hasattr(value, "as_integer_ratio") and value == value.to_integral_value() else str(value)


def table(answer: Answer) -> None:
    """Print an answer; columns that do not fit the terminal are named below it, a single wide row stands upright."""
    frame = answer.frame
    if frame.columns == ["explain_key", "explain_value"]:
        for plan in frame["explain_value"]:
            out.print(escape(plan), soft_wrap=True)
        return
    texts = {c: [short(v) for v in plain(frame)[c].to_list()] for c in frame.columns}
    widths = {c: max([len(c), *(max(map(len, v.split("\n"))) for v in texts[c])]) for c in frame.columns}
    room, fit = out.width, []
    for column in frame.columns:
        room -= widths[column] + 2
        if room < 0 and fit:
            break
        fit.append(column)
    if frame.height == 1 and len(fit) < frame.width:
        upright = Table(box=None, show_header=False)
        for column in frame.columns:
            upright.add_row(f"[dim]{escape(column)}[/dim]", escape(texts[column][0]))
        out.print(upright)
        return
    shown = Table(box=None, header_style="bold", pad_edge=False)
    for column in fit:
        shown.add_column(escape(column), justify="right" if frame.schema[column].is_numeric() else "left", no_wrap=len(fit) > 1)
    for row in zip(*(texts[c] for c in fit), strict=True):
        shown.add_row(*map(escape, row))
    out.print(shown)
    if left := frame.columns[len(fit) :]:
        out.print(f"[dim]{len(left)} more columns: {escape(', '.join(left))} (name those you want, or --json, --csv)[/dim]")
    many = (
        f"the first {frame.height:,} rows; there are more (--limit)" if answer.more else f"{frame.height:,} row{'s' * (frame.height != 1)}"
    )
    out.print(f"[dim]{many}[/dim]")


def short(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.10g}"
    text = str(value) if not isinstance(value, list | dict) else json.dumps(value, default=str)
    if isinstance(value, str) and value.endswith("Z"):
        text = value.replace("T", " ").replace(".000000000Z", "").removesuffix("Z")
    return text if len(text) <= WIDE or "\n" in text else text[: WIDE - 1] + "…"


def calendar(found: list[Line]) -> None:
    """Print a calendar per instrument, a sign a day and a block a month, and each table's sums."""
    for (venue, symbol), some in groupby(found, key=lambda line: (line.venue, line.symbol)):
        lines = list(some)
        out.print(f"\n[bold]{escape(venue)} {escape(symbol)}[/bold]")
        with_days = sorted({(c.day.year, c.day.month) for line in lines for c in line.days})
        for i, (year, month) in enumerate(with_days):
            if i and (away := _between(with_days[i - 1], (year, month))):
                out.print(f"  [red]× no day in {away} month{'s' * (away > 1)}[/red]")
            out.print(_month(lines, year, month))
        out.print(_sums(lines))
    missing = sum(len(line.missing) for line in found)
    broken = [c for line in found for c in line.days if c.error]
    out.print(f"\n[dim]{SHADES} rows, beside the fullest day; yellow: some quarantined   × no part   ! unreadable[/dim]")
    if missing:
        out.print(f"{missing:,} missing days between first and last; [bold]--json[/bold] lists them.")
    for cell in broken:
        out.print(f"[red]![/red] {escape(cell.error)}", soft_wrap=True)


def _between(before: tuple[int, int], after: tuple[int, int]) -> int:
    return (after[0] - before[0]) * 12 + after[1] - before[1] - 1


def _month(lines: list[Line], year: int, month: int) -> Table:
    inside = [c.day.day for line in lines for c in line.days if (c.day.year, c.day.month) == (year, month)]
    first = min(inside)
    last = min(max(*inside, first + 6), months.monthrange(year, month)[1])
    ruler = ""
    for day in range(first, last + 1):
        if (day == first or day % 5 == 0) and len(ruler) <= day - first:
            ruler = ruler.ljust(day - first) + str(day)
    made = Table(box=None, header_style="dim", padding=(0, 1))
    made.add_column(f"{year}-{month:02d}", no_wrap=True, width=max(len(line.table) for line in lines))
    made.add_column(ruler, no_wrap=True)
    made.add_column("rows", justify="right", no_wrap=True)
    for line in lines:
        days = {c.day.day: c for c in line.days if (c.day.year, c.day.month) == (year, month)}
        missing = {d.day for d in line.missing if (d.year, d.month) == (year, month)}
        most = max((c.rows for c in line.days), default=0)
        strip = "".join(_sign(days.get(d), d in missing, most) for d in range(first, last + 1))
        made.add_row(escape(line.table), strip, f"{sum(c.rows for c in days.values()):,}")
    return made


def _sums(lines: list[Line]) -> Table:
    made = Table(box=None, header_style="dim", padding=(0, 1))
    made.add_column("in all", no_wrap=True, width=max(len(line.table) for line in lines))
    for title in ("days", "missing", "rows", "quarantined", "gaps", "book"):
        made.add_column(title, justify="right", no_wrap=True)
    for line in lines:
        shares = [c.book_known_share for c in line.days if c.book_known_share is not None]
        made.add_row(
            escape(line.table),
            str(len(line.days)),
            f"[red]{len(line.missing)}[/red]" if line.missing else "0",
            f"{line.rows:,}",
            _total(c.quarantined for c in line.days),
            _total(c.feed_gaps for c in line.days),
            f"{sum(shares) / len(shares):.1%}" if shares else "",
        )
    return made


def _sign(cell: Cell | None, missing: bool, most: int) -> str:
    if cell is None:
        return "[red]×[/red]" if missing else "[dim]·[/dim]"
    if cell.error:
        return "[bold red]![/bold red]"
    shade = SHADES[(cell.rows * 4 - 1) // most] if cell.rows else "0"
    return f"[yellow]{shade}[/yellow]" if cell.quarantined else shade


def _total(values: Iterable[int | None]) -> str:
    known = [v for v in values if v is not None]
    return f"{sum(known):,}" if known else ""


def coverage_json(found: list[Line]) -> list[dict[str, Any]]:
    """Lines as JSON values."""

    def day(cell: Cell) -> dict[str, Any]:
        names = ("rows", "pieces", "quarantined", "feed_gaps", "book_known_share", "error")
        return {"day": str(cell.day)} | {name: value for name in names if (value := getattr(cell, name)) not in (None, "")}

    def span(days: list[date]) -> list[str]:
        return [str(d) for d in days]

    return [
        {
            "table": x.table,
            "venue": x.venue,
            "symbol": x.symbol,
            "rows": x.rows,
            "days": [day(c) for c in x.days],
            "missing": span(x.missing),
        }
        for x in found
    ]


def features(rows: list[dict[str, Any]], set_hash: str, warm_up: str) -> None:
    """Print the features of the set: what each is, and what it is made from; their warm-up is in `warm_up`."""
    shown = Table(box=None, header_style="bold", pad_edge=False)
    for title in ("feature", "unit"):
        shown.add_column(title, no_wrap=True)
    shown.add_column("warm-up", justify="right", no_wrap=True)
    shown.add_column("what it is, and what it is made from")
    for row in rows:
        params = "".join(f", {name}={value}" for name, value in row["params"].items())
        made_from = f"[dim]from {escape(', '.join(row['inputs']) + params)}[/dim]"
        shown.add_row(escape(row["name"]), escape(row["unit"]), f"{row['warm_up']}", f"{escape(row['about'])}\n{made_from}")
    out.print(shown)
    out.print(f"[dim]{len(rows)} features; feature set {escape(set_hash[:12])}; warm-up in {warm_up}[/dim]")
