"""A day's trades with what their features need of the days beside it, and the features a block at a time, ready to be written.

A block is made while the one before it is written. Blocks are built in memory that each thread keeps from day to day: its pages are
touched once.
"""

import math
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

from core.market import NS
from core.settings import Bars, Quality
from core.shapes import arrow_schema
from core.store import Part, Store
from core.tables import TS, table
from kernels import book_features as books
from kernels import trade_features as feats
from kernels.seconds import Scale
from tasks.features import feed_of, ns
from tasks.span import Span

INPUTS = "feat_market__trade_inputs"
# Trades read in before the first, so that no window forgets at midnight. A window is full after the longest warm-up. A recurrence of
# period n keeps 1 - 2/(n + 1) (an average) or 1 - 1/n (RSI) of what it holds with each trade: 4,096 trades later nothing a float64
# can tell is left of what it began with, though the price stood still for hundreds of them (26 and 14 are the longest periods).
TAIL = feats.WARM_UP + 4_096
BLOCK = 1 << 18  # trades with their features in memory at a time, and rows of a group in the part
MARGIN_S = 60  # of tops and silences before the first of those trades, beside the age a top may have

kept = threading.local()


class Block(NamedTuple):
    rows: pa.Table  # of the day's own trades; its features may be overwritten as soon as the next block is asked for
    complete: int  # rows in which every feature has a value


@dataclass(frozen=True, slots=True)
class Tape:
    """Trades in order, with `n_before` of the day before ahead of the day's own, and the tops around them."""

    rows: pl.DataFrame  # the plain columns of the table; segments are counted from the first trade that is read
    trades: feats.Trades
    tops: books.Tops
    n_before: int
    scale: Scale
    max_age: int

    def blocks(self, schema: pa.Schema, threads: int) -> Iterator[Block]:
        """The day's own rows with their features, in order. Raises `OverflowError` where the kernel does."""
        rooms = room(min(self.rows.height, BLOCK + TAIL))
        firsts = range(self.n_before, self.rows.height, BLOCK)
        with ThreadPoolExecutor(1) as ahead:
            coming = None
            for k, first in enumerate(firsts):
                made = coming or ahead.submit(self.block, first, rooms[0], schema, threads)
                block = made.result()
                coming = ahead.submit(self.block, first + BLOCK, rooms[(k + 1) % 2], schema, threads) if k + 1 < len(firsts) else None
                yield block

    def block(self, first: int, values: NDArray[np.float64], schema: pa.Schema, threads: int) -> Block:
        """The block that begins with trade number `first`, built in `values`.

        It is made from `TAIL` trades more than it holds, and where it begins does not depend on what comes after it.
        """
        last, start = min(first + BLOCK, self.rows.height), max(first - TAIL, 0)
        trades = feats.Trades._make(column[start:last] for column in self.trades)
        low = max(int(np.searchsorted(self.tops.known_at, trades.known_at[0] - self.max_age)) - 1, 0)
        high = int(np.searchsorted(self.tops.known_at, trades.known_at[-1], side="right"))
        made = feats.build(
            trades,
            books.Tops._make(column[low:high] for column in self.tops),
            price_decimals=self.scale.price_decimals,
            size_decimals=self.scale.size_decimals,
            max_age=self.max_age,
            out=values[: len(feats.SPECS) * (last - start)].reshape(-1, last - start),
            threads=threads,
        )[:, first - start :]
        own = pl.col("segment") - int(self.trades.segment[self.n_before])
        plain = self.rows[first:last].with_columns(own).to_arrow(compat_level=pl.CompatLevel.oldest())
        rows = pa.Table.from_arrays([*plain.columns, *(pa.array(column, from_pandas=True) for column in made)], schema=schema)
        return Block(rows, int(np.count_nonzero(~np.isnan(made.sum(axis=0)))))


def schema_of_rows() -> pa.Schema:
    """The table's own columns and a float64 for each feature."""
    return pa.schema([*arrow_schema(INPUTS), *(pa.field(name, pa.float64()) for name in feats.names())])


def room(n: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Two stretches of memory of this thread, each for the features of at least n trades; not cleared."""
    size = len(feats.SPECS) * n
    if len(getattr(kept, "rooms", ((), ()))[0]) < size:
        kept.rooms = (np.empty(size), np.empty(size))
    return kept.rooms


def tail_s(store: Store, before: Part, start: int, gap_s: float) -> int:
    """How many seconds before midnight (`start`) the last `TAIL` trades of the day before, and the tops they may see, begin."""
    reach = 0
    if store.exists(before):
        stamps = store.scan(before).select(pl.col("ts_event").to_physical()).tail(TAIL).collect().to_series().to_numpy()
        reach = start - int(stamps.min()) if len(stamps) else 0
    return math.ceil(reach / NS + gap_s) + MARGIN_S


def read(span: Span, quality: Quality) -> Tape:
    """The day's trades, those of the day before that `span.tail_s` reaches, and the tops and silences around them.

    A row is made of the trades up to its own, so `known_at` is the receipt of the last of them and never falls. What follows a silence
    of the feed (as the one-second features tell it: no row of any table received for `gap_s`) begins anew. That the feed is silent is
    not known before it ends, so unlike a second, which a silence may end in, no trade is away.
    """
    scale, gap = span.scale(), ns(quality.gap_s)
    columns = ("ts_event", "ts_recv", "trade_id", "price", "size", "side", "price_decimals", "size_decimals")
    frame = span.rows("trades", scale, (-1, 0)).select(columns).collect().rechunk()
    after = span.rows("trades", scale, (1,)).select("ts_event", "ts_recv")
    feed = feed_of(span, pl.concat([frame.lazy().select("ts_event", "ts_recv"), after]), Bars(), gap, (-1, 0, 1))
    known_at = np.maximum.accumulate(frame["ts_recv"].to_physical().to_numpy())
    frame = frame.with_columns(
        pl.col("side").fill_null(0),
        known_at=pl.Series(known_at, dtype=pl.Int64).cast(TS),
        segment=pl.Series(np.searchsorted(feed.gap_ends, known_at, side="right").astype(np.int32)),
    ).select(*table(INPUTS).columns)
    n_before = int(np.count_nonzero(frame["ts_event"].to_physical().to_numpy() < span.start))
    return Tape(frame, feats.trades(frame), books.tops(span.rows("top", scale)), n_before, scale, gap)
