"""The clean tables around one day: its own rows, the tail of the day before and the head of the day after, at one scale."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

import polars as pl

from core.market import NS
from core.store import Part, Store, StoreError, inputs_of
from core.tables import table
from kernels.seconds import Scale, at_scale

TAIL_S = HEAD_S = 3600  # longer than any window and any carried value together, and than a recurrence remembers
DAY = timedelta(days=1)
DAY_NS = 86_400 * NS
INSTRUMENTS = "clean_market__instruments"


@dataclass(frozen=True, slots=True)
class Span:
    """One instrument's clean day and what adjoins it."""

    store: Store
    venue: str
    symbol: str
    day: date

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
        """Rows of a clean table of the day, with an hour of the days beside it as far as `days` has them, in order of the parts."""
        frames = []
        event = pl.col("ts_event")
        for n in days:
            part = self.part(noun, n)
            if not self.store.exists(part):
                continue
            frame = self.store.scan(part)
            if n < 0:
                frame = frame.filter(event >= instant(self.start - TAIL_S * NS))
            elif n > 0:
                frame = frame.filter(event < instant(self.start + DAY_NS + HEAD_S * NS))
            decimals = self.instrument(n)
            same = (decimals["price_decimals"], decimals["size_decimals"]) == (scale.price_decimals, scale.size_decimals)
            frames.append(frame if same else at_scale(frame, part.table, scale))
        return pl.concat(frames) if frames else pl.LazyFrame(schema=dict(table(self.part(noun).table).columns))


def instant(ns: int) -> pl.Expr:
    return pl.lit(ns, pl.Int64).cast(pl.Datetime("ns", "UTC"))
