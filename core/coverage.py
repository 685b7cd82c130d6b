"""What the lake holds, day by day, read from footers alone: rows, pieces, quarantined rows, gaps, how well the book is known."""

from collections.abc import Iterable, Sequence
from datetime import date, timedelta
from typing import Any

import msgspec

from core.store import Store, StoreError
from core.views import is_known

QUARANTINE = "quarantine_market__rows"


class Cell(msgspec.Struct, frozen=True, kw_only=True):
    """One day of one table of one instrument. `error` is set where a part of it cannot be read."""

    table: str
    venue: str
    symbol: str
    day: date
    rows: int = 0
    pieces: int = 1
    quarantined: int | None = None  # rows of that instrument and day that were refused; None where no clean build has said
    feed_gaps: int | None = None  # spells in which the feed was away
    book_known_share: float | None = None
    error: str = ""


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """One table of one instrument: its days in order, and the days between first and last that have no part."""

    table: str
    venue: str
    symbol: str
    days: list[Cell]
    missing: list[date]

    @property
    def rows(self) -> int:
        return sum(cell.rows for cell in self.days)


def cells(
    store: Store,
    tables: Sequence[str] | None = None,
    *,
    venue: str = "*",
    symbol: str = "*",
    start: date | None = None,
    end: date | None = None,
) -> list[Cell]:
    """A cell for each day that has a part, in order of table, venue, symbol and day. `start` and `end` are inclusive."""
    found: dict[tuple[str, str, str, date], dict[str, Any]] = {}
    names = [name for name in store.tables() if is_known(name)] if tables is None else [*tables]
    for name in names:
        for part in store.parts(name, venue, symbol):
            if (start and part.day < start) or (end and part.day > end):
                continue
            cell = found.setdefault((part.table, part.venue, part.symbol, part.day), {"pieces": 0})
            cell["pieces"] += 1
            try:
                lineage = store.lineage(part)
            except StoreError as error:
                cell["error"] = str(error)
                continue
            if lineage is None:  # retired since it was listed
                continue
            cell["rows"] = cell.get("rows", 0) + lineage.rows
            facts = lineage.facts
            if isinstance(share := facts.get("known_share"), int | float):
                cell["book_known_share"] = float(share)
            if isinstance(gaps := facts.get("feed_gaps", facts.get("gaps")), int | list):
                cell["feed_gaps"] = gaps if isinstance(gaps, int) else len(gaps)
    refused = {key[1:]: cell.get("rows", 0) for key, cell in found.items() if key[0] == QUARANTINE}
    for key, cell in found.items():
        if key[0].startswith("clean_") and key[1:] in refused:
            cell["quarantined"] = refused[key[1:]]
    return [Cell(table=k[0], venue=k[1], symbol=k[2], day=k[3], **v) for k, v in sorted(found.items())]


def lines(found: Iterable[Cell]) -> list[Line]:
    """Cells gathered by table and instrument, each with its missing days."""
    by: dict[tuple[str, str, str], list[Cell]] = {}
    for cell in found:
        by.setdefault((cell.venue, cell.symbol, cell.table), []).append(cell)
    made = []
    for (venue, symbol, table), days in sorted(by.items(), key=lambda item: (item[0][0], item[0][1], order(item[0][2]))):
        there = {cell.day for cell in days}
        span = (max(there) - min(there)).days + 1
        missing = [day for n in range(span) if (day := min(there) + timedelta(days=n)) not in there]
        made.append(Line(table=table, venue=venue, symbol=symbol, days=sorted(days, key=lambda cell: cell.day), missing=missing))
    return made


def order(table: str) -> tuple[int, str]:
    """Tables in the order data passes them."""
    layers = ("raw_", "clean_", "quarantine_", "feat_", "out_")
    return next((i for i, layer in enumerate(layers) if table.startswith(layer)), len(layers)), table
