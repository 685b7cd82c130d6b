"""The pieces of one source file while they are written: typed rows in, one part per table, instrument and day out."""

import contextlib
import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from core.store import Part, Sink, Store
from core.tables import RAW, TS, raw_table

DAY_NS = 86_400_000_000_000
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
CLOCKS = ("ts_event", "ts_recv")


class Source(NamedTuple):
    """A file rows come from: its absolute address, the SHA-256 of its bytes (64 hex digits), and how many they are."""

    uri: str
    sha256: str
    n_bytes: int

    @property
    def address(self) -> str:
        """Eight hex digits that stand for the address, whatever the bytes."""
        return hashlib.sha256(self.uri.encode()).hexdigest()[:8]

    @property
    def piece(self) -> str:
        return f"{self.address}-{self.sha256[:12]}"


@dataclass(frozen=True, slots=True)
class About:
    """What a file says of one instrument. `offset_ns` is the median of ts_event - ts_recv over its rows with an exchange time."""

    price_decimals: int
    size_decimals: int
    offset_ns: int | None = None
    frames: Mapping[str, int] = field(default_factory=dict)


class Rows(NamedTuple):
    """Some rows of one instrument for one raw table; `noun` is a key of `core.tables.RAW` but `files`.

    The frame has that table's columns; `source` and the decimals may be left out and are filled in. `ts_recv` is never null.
    """

    noun: str
    venue: str
    symbol: str
    frame: pl.DataFrame

    @property
    def of(self) -> tuple[str, str, str]:
        return self.noun, self.venue, self.symbol


class Written:
    """The pieces of one file so far, and the counts their receipt will state."""

    def __init__(
        self,
        store: Store,
        source: Source,
        about: Mapping[tuple[str, str], About],
        params: Mapping[str, Any],
        *,
        complete: bool,
        generated: bool,
    ) -> None:
        self.store, self.source, self.about, self.params = store, source, about, params
        self.known = {"uri": source.uri, "sha256": source.sha256, "complete": complete, "generated": generated}
        self.pieces: list[Part] = []
        self.new: list[Part] = []  # those of the pieces that were not there before
        self.rows: Counter[tuple[str, str]] = Counter()
        self.by_reason: Counter[str] = Counter()

    def run(self, batches: Iterator[Rows]) -> None:
        """Write all batches of one (noun, venue, symbol): a piece a day, all appearing together at the end."""
        with contextlib.ExitStack() as open_pieces:
            sinks: dict[date, Sink] = {}
            for noun, venue, symbol, frame in batches:
                if noun == "refused":
                    self.by_reason.update(frame["reason"].to_list())
                self.rows[venue, symbol] += len(frame)
                for day, some in by_day(self.filled(noun, venue, symbol, frame)):
                    if day not in sinks:
                        part = Part(raw_table(venue, noun), venue, symbol, day, self.source.piece)
                        inputs = {self.source.uri: self.source.sha256}
                        sinks[day] = open_pieces.enter_context(self.store.writing(part, inputs=inputs, params=self.params))
                        sinks[day].facts.update(self.known | instrument_facts(self.about[venue, symbol]))
                        self.pieces.append(part)
                        if not self.store.exists(part):
                            self.new.append(part)
                    sinks[day].add(some)
                    widen(sinks[day].facts, some)

    def filled(self, noun: str, venue: str, symbol: str, frame: pl.DataFrame) -> pl.DataFrame:
        """The frame in the table's columns and order, with `source` and the decimals."""
        about = self.about[venue, symbol]
        given = {"source": 0, "price_decimals": about.price_decimals, "size_decimals": about.size_decimals}
        shape = RAW[noun].columns
        missing = [name for name in shape if name not in frame.columns]
        if unknown := [name for name in missing if name not in given]:
            raise ValueError(f"rows for {raw_table(venue, noun)} lack {', '.join(unknown)}")
        known = {name: pl.lit(given[name], dtype=shape[name]).alias(name) for name in missing}
        return frame.select(known[name] if name in known else pl.col(name).cast(dtype) for name, dtype in shape.items())

    def facts(self, error: str | None, frames: Mapping[str, int]) -> dict[str, Any]:
        main = max(self.rows, key=lambda instrument: (self.rows[instrument], instrument), default=None)
        offset = self.about[main].offset_ns if main else None
        return self.known | {
            "error": error,
            "n_rows": self.rows.total(),
            "n_refused": self.by_reason.total(),
            "by_reason": dict(self.by_reason),
            "pieces": [[part.table, part.venue, part.symbol, part.day.isoformat(), part.piece] for part in sorted(self.pieces)],
            "instruments": [list(instrument) for instrument in sorted(self.rows)],
            "main": list(main) if main else None,
            "days": sorted({part.day.isoformat() for part in self.pieces}),
            "frames": dict(frames),
            "clock_offset_ms": None if offset is None else round(offset / 1e6, 3),
        }


def instrument_facts(about: About) -> dict[str, Any]:
    """What a piece states of its instrument; the ranges of its clocks are widened as rows are added."""
    return {
        "price_decimals": about.price_decimals,
        "size_decimals": about.size_decimals,
        "offset_ns": about.offset_ns,
        "frames": dict(about.frames),
    } | {f"{clock}_{end}": None for clock in CLOCKS for end in ("min", "max")}


def widen(facts: dict[str, Any], frame: pl.DataFrame) -> None:
    """Let the ranges of both clocks reach over these rows too."""
    clocks = [clock for clock in CLOCKS if clock in frame.columns]
    times = pl.col(clocks).to_physical()
    found = frame.select(times.min().name.suffix("_min"), times.max().name.suffix("_max")).row(0, named=True)
    for name, value in found.items():
        if value is not None:
            before, choose = facts[name], min if name.endswith("_min") else max
            facts[name] = value if before is None else choose(before, value)


def by_day(frame: pl.DataFrame) -> Iterator[tuple[date, pl.DataFrame]]:
    """The rows of each UTC day of `ts_recv`, in their order."""
    if not len(frame):
        return
    time = frame["ts_recv"].cast(TS).to_physical()
    first, last = (int(end) // DAY_NS for end in np.array([time.min(), time.max()], np.int64))
    day = time // DAY_NS if first < last else None
    for which in [first] if day is None else day.unique().sort().to_list():
        yield (EPOCH + timedelta(days=which)).date(), (frame if day is None else frame.filter(day == which))
