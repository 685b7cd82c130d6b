"""What a partition of a table is called, and what it remembers of how it was made."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

import msgspec

from core.market import SYMBOL, VENUE
from core.tables import SCHEMA_VERSION

FILE = "part.parquet"
PIECE = re.compile(r"[a-z0-9]+-[a-z0-9]+")
TABLE = re.compile(r"_?[a-z0-9]+(_[a-z0-9]+)*__[a-z0-9_]+")


@dataclass(frozen=True, slots=True, order=True)
class Part:
    """One partition of one table: what a task returns instead of a frame.

    A raw day may come from several files: each is a `piece` of its own, so files are ingested, healed and retired alone.
    """

    table: str
    venue: str
    symbol: str
    day: date
    piece: str = ""

    def __post_init__(self) -> None:
        # Each becomes a folder, and may come from a URL.
        if not TABLE.fullmatch(self.table):
            raise ValueError(f"not a table: {self.table!r}")
        if not VENUE.fullmatch(self.venue):
            raise ValueError(f"not a venue: {self.venue!r}")
        if not SYMBOL.fullmatch(self.symbol):
            raise ValueError(f"not a symbol: {self.symbol!r}")
        if self.piece and not PIECE.fullmatch(self.piece):
            raise ValueError(f"not a piece: {self.piece!r}")

    def __str__(self) -> str:
        return f"{self.table} {self.venue}/{self.symbol} {self.day}" + (f" {self.piece}" if self.piece else "")

    @property
    def folder(self) -> str:
        return f"{self.table}/venue={self.venue}/symbol={self.symbol}/day={self.day}"

    @property
    def file(self) -> str:
        return f"part-{self.piece}.parquet" if self.piece else FILE

    def of(self, table: str) -> "Part":
        """The same venue, symbol and day of another table."""
        return replace(self, table=table, piece="")


NAMED = re.compile(r"(?P<table>\S+) (?P<venue>[^\s/]+)/(?P<symbol>\S+) (?P<day>\d{4}-\d\d-\d\d)(?: (?P<piece>\S+))?")


def part_named(text: str) -> Part | None:
    """The part that is called so (`str` of it), or None where the text names something else, a file for instance."""
    if not (found := NAMED.fullmatch(text)):
        return None
    try:
        return Part(found["table"], found["venue"], found["symbol"], date.fromisoformat(found["day"]), found["piece"] or "")
    except ValueError:
        return None


class Lineage(msgspec.Struct, frozen=True, kw_only=True):
    """What a part is and what it was made from; kept in the Parquet footer."""

    schema_version: int = SCHEMA_VERSION
    rows: int = 0
    content: str = ""  # SHA-256 of the encoded columns
    inputs: dict[str, str] = {}  # name of each input -> its content hash
    code: str = ""  # version of the code that made it
    params: dict[str, Any] = {}  # whatever changes the result
    facts: dict[str, Any] = {}  # what is worth knowing without reading the rows: accounting, ranges, decimals


def told(parts: Iterable[Part], limit: int = 3) -> str:
    """The symbols and days of some parts in a few words, for names of runs."""
    of = sorted({f"{part.symbol} {part.day}" for part in parts})
    return ", ".join(of[:limit]) + (f" and {len(of) - limit} more" if len(of) > limit else "")
