"""Which raw pieces a clean day is made of, and their rows on one clock, in one scale, in order of arrival."""

import functools
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

import polars as pl

from core.market import NS
from core.store import Part, Store
from core.tables import RAW, TS, raw_table, table
from kernels.clean import DAY_NS, rescaled, timed
from kernels.quality import one_source

NOUNS = ("trades", "quotes", "depth", "marks", "refused")
MARGIN_NS = 5 * NS  # how far a quote may lie from the diff of the same id, over midnight
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def start_of(day: date) -> int:
    """Midnight in which the UTC day begins, ns since the epoch."""
    return (day.toordinal() - EPOCH.toordinal()) * DAY_NS


def day_of(ts: int) -> date:
    return (EPOCH + timedelta(days=ts // DAY_NS)).date()


@dataclass(frozen=True, slots=True)
class Piece:
    """A raw piece with its footer. `low` and `high` bound the times its rows are filed by."""

    part: Part
    content: str
    facts: dict[str, Any]
    skew_ns: int

    @property
    def noun(self) -> str:
        return self.part.table.partition("__")[2]

    @property
    def source(self) -> tuple[str, str]:
        return self.facts["uri"], self.facts["sha256"]

    @property
    def offset(self) -> int:
        return self.facts["offset_ns"] or 0

    @property
    def low(self) -> int:
        given = self.facts["ts_event_min"]
        estimated = self.facts["ts_recv_min"] + self.offset
        return estimated if given is None else min(estimated, max(given, estimated - self.skew_ns))

    @property
    def high(self) -> int:
        given = self.facts["ts_event_max"]
        estimated = self.facts["ts_recv_max"] + self.offset
        return estimated if given is None else max(estimated, min(given, estimated + self.skew_ns))

    def scan(self, store: Store) -> pl.LazyFrame:
        """The rows with the columns of `kernels.clean.timed`."""
        rows = store.scan(self.part)
        if "ts_event" not in RAW[self.noun].columns:
            rows = rows.with_columns(ts_event=pl.lit(None, dtype=TS))
        return timed(rows, self.offset, self.skew_ns)


def pieces_of(store: Store, venue: str, symbol: str, skew_s: float, recv_days: Iterable[date] | None = None) -> list[Piece]:
    """All pieces of an instrument that have rows, or those of the given days of receipt, in order of receipt."""
    found = []
    for noun in NOUNS:
        name = raw_table(venue, noun)
        days = ["*"] if recv_days is None else sorted({d.isoformat() for d in recv_days})
        for part in (p for day in days for p in store.parts(name, venue, symbol, day)):
            lineage = store.lineage(part)
            if lineage is not None and lineage.rows:
                found.append(Piece(part, lineage.content, lineage.facts, int(skew_s * NS)))
    return sorted(found, key=lambda p: (p.facts["ts_recv_min"], p.part))


def pieces_near(store: Store, venue: str, symbol: str, day: date, skew_s: float) -> list[Piece]:
    """The pieces with rows that may be filed on `day`, or within `MARGIN_NS` of it."""
    start = start_of(day)
    found = pieces_of(store, venue, symbol, skew_s)  # of all days of receipt: a clock may be wrong by days
    return [p for p in found if p.low < start + DAY_NS + MARGIN_NS and p.high >= start - MARGIN_NS]


def days_of(
    store: Store, venue: str, symbol: str, skew_s: float, recv_days: Iterable[date] | None = None, known: Iterable[date] = ()
) -> list[date]:
    """The UTC days of exchange time that have raw rows, in order; of all pieces, or of those received on `recv_days`.

    Rows are read only where a footer does not tell; nothing of days that are `known` to have some.
    """
    days: set[date] = set(known)
    for piece in pieces_of(store, venue, symbol, skew_s, recv_days):
        first, last = day_of(piece.low), day_of(piece.high)
        if first == last:
            days.add(first)
        elif not {first, last} <= days or (last - first).days > 1:
            filed = piece.scan(store).select((pl.col("ts_event").to_physical() // DAY_NS).unique()).collect().to_series()
            days.update(day_of(int(n) * DAY_NS) for n in filed)
    return sorted(days)


def decimals_of(pieces: Iterable[Piece], *before: tuple[int, int]) -> tuple[int, int]:
    """The finest price and size decimals of the pieces that have them, and of `before`."""
    scaled = [p for p in pieces if "price_decimals" in RAW[p.noun].columns]
    pairs = [(p.facts["price_decimals"], p.facts["size_decimals"]) for p in scaled]
    return max([d for d, _ in (*pairs, *before)], default=0), max([d for _, d in (*pairs, *before)], default=0)


def rows_between(
    store: Store, pieces: list[Piece], noun: str, sources: dict[tuple[str, str], int], decimals: tuple[int, int], low: int, high: int
) -> pl.DataFrame:
    """Rows of a noun filed in [low, high), in order of arrival, with `source` and the `at_…` columns."""
    shape = table(raw_table("any", noun))
    frames = []
    for piece in pieces:
        if piece.noun != noun or piece.high < low or piece.low >= high:
            continue
        rows = piece.scan(store).with_columns(source=pl.lit(sources[piece.source], dtype=pl.UInt16))
        if piece.low < low or piece.high >= high:
            event = pl.col("ts_event").to_physical()
            rows = rows.filter((event >= low) & (event < high))
        frames.append(in_scale(rows, piece, shape, decimals))
    if not frames:
        return no_rows(noun)
    return arrived(pl.concat(frames).with_columns(at_source="source", at_row="row").collect())


@functools.cache
def no_rows(noun: str) -> pl.DataFrame:
    """What `rows_between` gives where there is none."""
    empty = pl.LazyFrame(schema=dict(RAW[noun].columns))
    if "ts_event" not in RAW[noun].columns:
        empty = empty.with_columns(ts_event=pl.lit(None, dtype=TS))
    return timed(empty, 0, 0).with_columns(at_source="source", at_row="row").collect()


def arrived(rows: pl.DataFrame) -> pl.DataFrame:
    """The rows in order of arrival, in which those of one piece are already, and mostly those of several."""
    recv, row = rows["at_recv"].to_numpy(), rows["at_row"].to_numpy()
    if one_source(rows) and bool(((recv[1:] > recv[:-1]) | ((recv[1:] == recv[:-1]) & (row[1:] > row[:-1]))).all()):
        return rows
    return rows.sort("at_recv", "at_source", "at_row", maintain_order=True)


def in_scale(rows: pl.LazyFrame, piece: Piece, shape: Any, decimals: tuple[int, int]) -> pl.LazyFrame:
    if not shape.scales:
        return rows
    own = piece.facts["price_decimals"], piece.facts["size_decimals"]
    return rescaled(rows, shape, own=own, to=decimals)
