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

BATCH = 8_192
REASONS = {BAD_PRICE: checks.NOT_POSITIVE, BAD_SIZE: checks.NEGATIVE, ABSURD: checks.ABSURD}
LIGHT = ("ts_recv", "ts_event", "is_snapshot", "first_id", "update_id", "prev_id", "row")


class Cursor:
    """Reads a piece from its first row on, so many rows at a time."""

    def __init__(self, file: Any) -> None:
        self.batches = pq.ParquetFile(file).iter_batches(BATCH)
        self.rest = pl.DataFrame()

    def take(self, n: int) -> pl.DataFrame:
        while self.rest.height < n:
            more = pl.DataFrame(next(self.batches))
            self.rest = pl.concat([self.rest, more]) if self.rest.height else more
        taken, self.rest = self.rest[:n], self.rest[n:]
        return taken


def index_of(
    store: Store, pieces: list[Piece], sources: dict[tuple[str, str], int], start: int, *, quality: Any, before: bool
) -> pl.DataFrame:
    """What can be said of each depth row without its levels, in order of arrival, up to the last row of each piece that counts.

    `mine`: filed on the day. `context`: a diff from just before it (wanted where `before`), that a snapshot may need. `reason`: why it
    is refused. `piece`, `place`: which piece, and the row in it from 0. `replaces` (one value): there is no diff at all.
    """
    found = []
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
        last = rows["place"].filter(rows["counts"]).max()
        if last is not None:
            found.append(rows[: int(last) + 1])  # type: ignore[arg-type]
    if not found:
        return pl.DataFrame()
    index = pl.concat(found).sort("at_recv", "source", "row", maintain_order=True)
    index = index.with_columns(replaces=pl.col("is_snapshot").all())
    tolerated = int(quality.out_of_order_s * NS)
    counted = index.filter("counts")
    judged = counted.select(
        "piece",
        "place",
        twice=checks.duplicate_diffs(counted),
        reason=checks.first_reason(
            {
                checks.CLOCK: checks.clock_skewed(int(quality.max_clock_skew_s * NS)),
                checks.LATE: checks.out_of_order(tolerated),
                checks.NO_ID: pl.col("update_id").is_null() & ~pl.col("is_snapshot"),
            }
        ),
    )
    return index.join(judged, on=["piece", "place"], how="left", maintain_order="left")


def batches(
    store: Store, pieces: list[Piece], index: pl.DataFrame, decimals: tuple[int, int], *, quality: Any
) -> Iterator[tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]]:
    """Batches of (good rows, repeated rows, refused rows with `reason`), in order of arrival. Good rows carry `emit`."""
    replaces = bool(index["replaces"][0])
    prices, sizes = limit(quality.max_price, decimals[0]), limit(quality.max_size, decimals[1])
    recent = pl.DataFrame()
    with contextlib.ExitStack() as opened:
        cursors: dict[int, Cursor] = {}
        for at in range(0, index.height, BATCH):
            rows = _rows(store, pieces, index[at : at + BATCH], cursors, opened, decimals)
            if not rows.height:
                continue
            levels = side(rows, *SIDES[0]), side(rows, *SIDES[1])
            faults = level_faults(*levels, max_price=prices, max_size=sizes)
            told = pl.Series(faults).replace_strict(REASONS, default=None, return_dtype=pl.String)
            twice = rows["twice"]
            if replaces:
                same = rows.select("ts_given", "ts_recv", "update_id", levels=pl.Series(fingerprints(*levels)))
                both = pl.concat([recent, same]) if recent.height else same
                twice = twice | ~_first(both)[recent.height :]
                recent = both.tail(BATCH)
            rows = rows.with_columns(twice=twice, reason=pl.coalesce("reason", told), emit=pl.col("mine"))
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
    shape = RAW["depth"]
    lists = [c for c, t in shape.columns.items() if t == LIST]
    found = []
    for number, n in index.group_by("piece").len().sort("piece").iter_rows():
        if number not in cursors:
            file = opened.enter_context(store.fs.open(store.path(pieces[number].part), "rb"))
            cursors[number] = Cursor(file)
        own = pieces[number].facts["price_decimals"], pieces[number].facts["size_decimals"]
        taken = rescaled(cursors[number].take(n).select(lists).lazy(), shape, own=own, to=decimals)
        found.append(taken.collect())
    levels = pl.concat(found)
    if len(found) > 1:
        order = np.lexsort((index["place"].to_numpy(), index["piece"].to_numpy()))
        levels = levels[np.argsort(order)]
    return pl.concat([index, levels], how="horizontal").filter("counts")
