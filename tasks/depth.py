"""Depth rows of a day's pieces, merged in order of arrival and handed on batch by batch: the levels are never all in memory."""

import contextlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import polars as pl
import pyarrow.parquet as pq

from core.store import Store
from core.tables import RAW
from kernels import quality as checks
from kernels.clean import LIST, limit, on_day, rescaled
from kernels.levels import ABSURD, BAD_PRICE, BAD_SIZE, fingerprints, level_faults
from kernels.rebuild import SIDES, side
from tasks.pieces import MARGIN_NS, NS, Piece

BATCH = 16_384
REASONS = {BAD_PRICE: checks.NOT_POSITIVE, BAD_SIZE: checks.NEGATIVE, ABSURD: checks.ABSURD}
LEVELS = [c for c, t in RAW["depth"].columns.items() if t == LIST]
LIGHT = ("ts_recv", "ts_event", "is_snapshot", "first_id", "update_id", "prev_id", "row")


class Cursor:
    """Reads the levels of a piece from its row `first` on, so many rows at a time."""

    def __init__(self, file: Any, first: int) -> None:
        parquet = pq.ParquetFile(file)
        ends = np.cumsum([parquet.metadata.row_group(n).num_rows for n in range(parquet.num_row_groups)])
        group = int(np.searchsorted(ends, first, side="right"))
        self.batches = parquet.iter_batches(BATCH, row_groups=range(group, len(ends)), columns=LEVELS, use_threads=False)
        self.rest = pl.DataFrame()
        self.take(first - (int(ends[group - 1]) if group else 0))

    def take(self, n: int) -> pl.DataFrame:
        while self.rest.height < n:
            more = pl.DataFrame(next(self.batches))
            self.rest = pl.concat([self.rest, more]) if self.rest.height else more
        taken, self.rest = self.rest[:n], self.rest[n:]
        return taken


def index_of(
    store: Store, pieces: list[Piece], sources: dict[tuple[str, str], int], start: int, *, quality: Any, before: bool
) -> pl.DataFrame:
    """What can be said of each depth row without its levels, in order of arrival, from each piece's first row that counts to its last.

    `mine`: filed on the day. `context`: a diff from just before it (wanted where `before`), that a snapshot may need. `reason`: why it
    is refused. `piece`, `place`: which piece, and the row in it from 0. `replaces` (one value): there is no diff at all.
    """
    found, replaces = [], True
    for number, piece in enumerate(pieces):
        light = piece.scan(store).select(*LIGHT, "ts_given", "ts_estimated", "skew", "slack", "at_recv")
        event = pl.col("ts_event").to_physical()
        context = (event < start) & (event >= start - MARGIN_NS) & ~pl.col("is_snapshot") & before
        rows = (
            light.with_row_index("place")
            .with_columns(
                piece=pl.lit(number, dtype=pl.Int32),
                source=pl.lit(sources[piece.source], dtype=pl.UInt16),
                mine=on_day(start),
                context=context,
            )
            .with_columns(counts=pl.col("mine") | pl.col("context"))
            .collect()
        )
        counts = np.flatnonzero(rows["counts"].to_numpy())
        if len(counts):
            replaces = replaces and bool(rows["is_snapshot"][: counts[-1] + 1].all())
            found.append(rows[counts[0] : counts[-1] + 1])
    if not found:
        return pl.DataFrame()
    index = found[0] if len(found) == 1 else pl.concat(found).sort("at_recv", "source", "row", maintain_order=True)
    reasons = {
        checks.CLOCK: checks.clock_skewed(int(quality.max_clock_skew_s * NS)),
        checks.LATE: checks.out_of_order(int(quality.out_of_order_s * NS)),
        checks.NO_ID: pl.col("update_id").is_null() & ~pl.col("is_snapshot"),
    }
    whole = bool(index["counts"].all())
    counted = index if whole else index.filter("counts")
    judged = counted.select(checks.first_reason(reasons).alias("reason"), twice=checks.duplicate_diffs(counted))
    if not whole:
        place = pl.Series(np.cumsum(index["counts"].to_numpy()) - 1)
        judged = judged[place.clip(lower_bound=0)]
    return index.hstack(judged).with_columns(replaces=pl.lit(replaces))


def batches(
    store: Store, pieces: list[Piece], index: pl.DataFrame, decimals: tuple[int, int], *, quality: Any
) -> Iterator[tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]]:
    """Batches of (good rows, repeated rows, refused rows with `reason`), in order of arrival. Good rows carry `emit`."""
    replaces = bool(index["replaces"][0])
    prices, sizes = limit(quality.max_price, decimals[0]), limit(quality.max_size, decimals[1])
    scale = {c: pl.lit(n, pl.Int8) for c, n in zip(("price_decimals", "size_decimals"), decimals, strict=True)}
    recent = pl.DataFrame()
    with contextlib.ExitStack() as opened:
        cursors: dict[int, Cursor] = {}
        for at in range(0, index.height, BATCH):
            rows = _rows(store, pieces, index[at : at + BATCH], cursors, opened, decimals)
            if not rows.height:
                continue
            levels = side(rows, *SIDES[0]), side(rows, *SIDES[1])
            faults = level_faults(*levels, max_price=prices, max_size=sizes)
            twice, reason = rows["twice"], rows["reason"]
            if faults.any():
                told = pl.Series(faults).replace_strict(REASONS, default=None, return_dtype=pl.String)
                reason = rows.select(pl.coalesce("reason", told))["reason"]
            if replaces:
                same = rows.select("ts_given", "ts_recv", "update_id", levels=pl.Series(fingerprints(*levels)))
                both = pl.concat([recent, same]) if recent.height else same
                twice = twice | ~_first(both)[recent.height :]
                recent = both.tail(BATCH)
            rows = rows.with_columns(twice=twice, reason=reason, emit=pl.col("mine"), **scale)
            if reason.null_count() == rows.height and not twice.any():
                yield rows, rows[:0], rows[:0]
                continue
            good = ~pl.col("twice") & pl.col("reason").is_null()
            mine = pl.col("mine")
            yield (
                rows.filter(good),
                rows.filter(mine & pl.col("twice")),
                rows.filter(mine & ~pl.col("twice") & pl.col("reason").is_not_null()),
            )


def _first(frame: pl.DataFrame) -> pl.Series:
    return frame.to_struct("same").is_first_distinct()


def _rows(
    store: Store,
    pieces: list[Piece],
    index: pl.DataFrame,
    cursors: dict[int, Cursor],
    opened: contextlib.ExitStack,
    decimals: tuple[int, int],
) -> pl.DataFrame:
    """The rows of this stretch of the index that count, with their levels."""
    found = []
    of = index["piece"].to_numpy()
    for number, n in enumerate(np.bincount(of)):
        if not n:
            continue
        if number not in cursors:
            file = opened.enter_context(store.fs.open(store.path(pieces[number].part), "rb"))
            cursors[number] = Cursor(file, int(index["place"][int(np.argmax(of == number))]))
        own = pieces[number].facts["price_decimals"], pieces[number].facts["size_decimals"]
        taken = cursors[number].take(int(n))
        found.append(taken if own == decimals else rescaled(taken.lazy(), RAW["depth"], own=own, to=decimals).select(LEVELS).collect())
    levels = pl.concat(found)
    if len(found) > 1:
        order = np.lexsort((index["place"].to_numpy(), of))
        levels = levels[np.argsort(order)]
    rows = index.hstack(levels)
    return rows if rows["counts"].all() else rows.filter("counts")
