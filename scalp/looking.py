"""Looking at the data: SQL, the calendar of what is there, the list of features. Nothing here changes anything."""

import json as jsonlib
import sys
from datetime import datetime
from importlib import import_module
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer
from rich.markup import escape

from scalp.console import err, out

if TYPE_CHECKING:
    from core.store import Store

LIMIT = 50  # rows on a terminal
FAILED, USAGE = 1, 2
SETS = {"second": "kernels.features", "trade": "kernels.trade_features"}  # grain -> the module of its features


def sql(
    query: Annotated[
        str, typer.Argument(help="One SELECT over the lake's tables; `SHOW TABLES` lists them. `-` reads it from standard input.")
    ],
    *,
    as_json: Annotated[bool, typer.Option("--json", help="All rows, one JSON object a line.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="All rows, comma-separated.")] = False,
    limit: Annotated[int | None, typer.Option("--limit", "-n", min=1, help=f"At most so many rows; {LIMIT} on a terminal table.")] = None,
    memory: Annotated[str, typer.Option("--memory", help="What the query may use.")] = "1GB",
    threads: Annotated[int, typer.Option("--threads", min=1)] = 2,
) -> None:
    """Ask the lake a question in SQL; read-only.

    Times are UTC; `price` is an exact integer in units of 10^-price_decimals and `price_float` the number.

    \b
    scalp sql "SHOW TABLES"
    scalp sql "SELECT venue, symbol, day, count(*) FROM clean_market__trades GROUP BY ALL ORDER BY ALL"
    scalp sql --csv "SELECT ts_event, close_float, volume_float FROM clean_market__1s_bars WHERE day = '2026-01-05'" > bars.csv
    """
    from core.queries import QueryError, ask
    from scalp import tell

    if as_json and as_csv:
        _fail("--json and --csv exclude each other", USAGE)
    store = _store()
    text = sys.stdin.read() if query == "-" else query
    try:
        if as_json or as_csv:
            tell.rows(store, text, limit=limit, csv=as_csv, threads=threads, memory=memory)
            return
        answer = ask(store, text, limit=limit or LIMIT, threads=threads, memory=memory)
    except QueryError as error:
        _fail(str(error), FAILED)
    except BrokenPipeError:
        sys.stderr.close()  # `| head` has had enough
        raise typer.Exit(0) from None
    tell.table(answer)
    if not store.tables():
        out.print("The lake is empty: [bold]scalp run[/bold] fills it (or [bold]scalp ingest[/bold] alone).")


def coverage(
    *,
    venue: Annotated[str, typer.Option("--venue", help="One venue; `*` matches any letters.")] = "*",
    symbol: Annotated[str, typer.Option("--symbol", help="One symbol; `*` matches any letters.")] = "*",
    start: Annotated[datetime | None, typer.Option("--from", formats=["%Y-%m-%d"], help="First day.")] = None,
    end: Annotated[datetime | None, typer.Option("--to", formats=["%Y-%m-%d"], help="Last day.")] = None,
    table: Annotated[list[str] | None, typer.Option("--table", help="One table; may be given several times.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="The same as JSON.")] = False,
) -> None:
    """A calendar of the lake per table, venue and symbol: rows, missing days, quarantined rows, gaps, how well the book is known.

    \b
    scalp coverage
    scalp coverage --venue binance-usdm --symbol BTCUSDT --from 2024-08-01 --to 2024-08-31
    scalp coverage --table clean_market__trades --json
    """
    from core.coverage import cells, lines
    from core.views import known
    from scalp import tell

    store = _store()
    if start and end and start > end:
        _fail(f"--from {start:%Y-%m-%d} is after --to {end:%Y-%m-%d}", USAGE)
    if strange := [name for name in table or [] if name not in known(store)]:
        _fail(f"no table {strange[0]}; there are {', '.join(known(store))}", USAGE)
    first, last = (moment.date() if moment else None for moment in (start, end))
    found = lines(cells(store, table or None, venue=venue, symbol=symbol, start=first, end=last))
    if as_json:
        print(jsonlib.dumps(tell.coverage_json(found), indent=1))
    elif found:
        tell.calendar(found)
    elif store.tables():
        out.print("No part matches; [bold]scalp coverage[/bold] alone shows all there is.")
    else:
        out.print("The lake is empty: [bold]scalp run[/bold] fills it (or [bold]scalp ingest[/bold] alone).")


def feature_list(json: bool = False, grain: str = "second") -> int:
    """Print every feature of a grain, or of both: name, unit, inputs, parameters, warm-up, and what it is. Returns the exit code."""
    from scalp import tell

    words = ("name", "unit", "inputs", "params", "warm_up", "about")
    told: list[dict[str, Any]] = []
    for name in SETS if grain == "both" else (grain,):
        of = import_module(SETS[name])
        rows = [{word: getattr(spec, word) for word in words} for spec in of.SPECS]
        if not json:
            tell.features(rows, of.feature_set_hash(), f"{name}s")
        told.append({"grain": name, "feature_set_hash": of.feature_set_hash(), "features": rows})
    if json:
        print(jsonlib.dumps(told if grain == "both" else told[0], indent=1))
    return 0


def _store() -> "Store":
    from core import settings
    from core.store import Store

    try:
        return Store(settings.load().lake)
    except settings.SettingsError as error:
        _fail(str(error), USAGE)


def _fail(message: str, code: int) -> NoReturn:
    err.print(f"[red]error:[/red] {escape(message)}")
    raise typer.Exit(code)
