"""The clean tables around one day: its own rows, the tail of the day before and the head of the day after, at one scale."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any, NamedTuple

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from core.freshness import Freshness
from core.market import NS
from core.store import Part, Store, StoreError, inputs_of
from core.tables import table
from kernels.book_features import LEVELS
from kernels.seconds import Scale, at_scale

TAIL_S = HEAD_S = 3600  # longer than any window and any carried value together, and than a recurrence remembers
STRETCH = 32_768  # rows of the book that are in memory with their levels at a time
DAY = timedelta(days=1)
DAY_NS = 86_400 * NS
INSTRUMENTS = "clean_market__instruments"


class Recipe(NamedTuple):
    """A part as it would be made now."""

    part: Part
    inputs: dict[str, str]  # name -> content
    params: dict[str, Any]

    def freshness(self, store: Store) -> Freshness:
        return store.freshness(self.part, inputs=self.inputs, params=self.params)


@dataclass(frozen=True, slots=True)
class Span:
    """One instrument's clean day and what adjoins it."""

    store: Store
    venue: str
    symbol: str
    day: date
    tail_s: int = TAIL_S  # how much of the day before belongs to it

    @property
    def start(self) -> int:
        """Midnight at which the day begins, ns."""
        return int(datetime(self.day.year, self.day.month, self.day.day, tzinfo=UTC).timestamp()) * NS

    def part(self, noun: str, days: int = 0) -> Part:
        return Part(noun if "__" in noun else f"clean_market__{noun}", self.venue, self.symbol, self.day + days * DAY)

    def parts(self, nouns: tuple[str, ...], days: tuple[int, ...] = (-1, 0, 1)) -> list[Part]:
        """Those that are there; `days` counts from the day itself."""
        return [part for noun in nouns for n in days if self.store.exists(part := self.part(noun, n))]

    def inputs(self, nouns: tuple[str, ...], days: tuple[int, ...] = (-1, 0, 1)) -> dict[str, str]:
        """Name and content hash of those that are there, for a part's lineage."""
        return inputs_of(self.store, self.parts(nouns, days))

    def instrument(self, days: int = 0) -> dict[str, object]:
        """The day's row of `clean_market__instruments`. A day without one raises `StoreError`."""
        part = self.part(INSTRUMENTS, days)
        if not self.store.exists(part):
            raise StoreError(f"{part}: missing; ingest the day first")
        return self.store.scan(part).collect().row(0, named=True)

    def scale(self, days: tuple[int, ...] = (-1, 0, 1)) -> Scale:
        """The finest decimals of these days: all their integers can be brought to it without loss."""
        rows = [self.instrument(n) for n in days if n == 0 or self.store.exists(self.part(INSTRUMENTS, n))]
        return Scale(*(max(int(str(row[f"{kind}_decimals"])) for row in rows) for kind in ("price", "size")))

    def rows(self, noun: str, scale: Scale, days: tuple[int, ...] = (-1, 0, 1)) -> pl.LazyFrame:
        """Rows of a clean table of the day, with `tail_s` of the day before and an hour of the day after as far as `days` has them, in
        order of the parts."""
        frames = []
        event = pl.col("ts_event")
        for n in days:
            part = self.part(noun, n)
            if not self.store.exists(part):
                continue
            frame = self.store.scan(part)
            if n < 0:
                frame = frame.filter(event >= instant(self.start - self.tail_s * NS))
            elif n > 0:
                frame = frame.filter(event < instant(self.start + DAY_NS + HEAD_S * NS))
            decimals = self.instrument(n)
            same = (decimals["price_decimals"], decimals["size_decimals"]) == (scale.price_decimals, scale.size_decimals)
            frames.append(frame if same else at_scale(frame, part.table, scale))
        return pl.concat(frames) if frames else pl.LazyFrame(schema=dict(table(self.part(noun).table).columns))

    def levels(self, scale: Scale, wanted: NDArray[np.bool_], days: tuple[int, ...] = (-1, 0, 1)) -> pl.DataFrame:
        """Of the rows that `rows("book", scale, days)` has, the levels of those `wanted`, in order: read a stretch at a time."""
        found, at = [], 0
        for n in days:
            part = self.part("book", n)
            if not self.store.exists(part):
                continue
            event = self.store.scan(part).select(pl.col("ts_event").to_physical()).collect().to_series().to_numpy()
            low, high = self.start - self.tail_s * NS, self.start + DAY_NS + HEAD_S * NS
            here = np.flatnonzero(event >= low if n < 0 else event < high if n > 0 else np.ones(len(event), np.bool_))
            chosen = np.zeros(len(event), np.bool_)
            chosen[here[wanted[at : at + len(here)]]] = True
            at += len(here)
            lists = self.chosen(part, chosen)
            decimals = {c: pl.lit(self.instrument(n)[c], pl.Int8) for c in ("price_decimals", "size_decimals")}
            found.append(at_scale(lists.with_columns(**decimals).lazy(), part.table, scale).select(LEVELS).collect())
        return pl.concat(found)

    def chosen(self, part: Part, rows: NDArray[np.bool_]) -> pl.DataFrame:
        found, at = [pl.DataFrame(schema=dict.fromkeys(LEVELS, pl.List(pl.Int64)))], 0
        with self.store.fs.open(self.store.path(part), "rb") as file:
            for batch in pq.ParquetFile(file).iter_batches(STRETCH, columns=list(LEVELS), use_threads=False):
                places = np.flatnonzero(rows[at : at + len(batch)])
                at += len(batch)
                if len(places):
                    found.append(pl.DataFrame(batch.take(pa.array(places))))
        return pl.concat(found)


def instant(ns: int) -> pl.Expr:
    return pl.lit(ns, pl.Int64).cast(pl.Datetime("ns", "UTC"))
