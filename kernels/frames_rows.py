"""Columns of the raw tables from batches of frames: nulls where the venue gave nothing, lists for book levels."""

import numpy as np
import polars as pl
import pyarrow as pa

from core.tables import TS
from kernels.decimals import Ints
from kernels.frames_batch import Batch


def clocks(batch: Batch) -> dict[str, pl.Series]:
    return {
        "ts_recv": pl.Series(batch.recv).cast(TS),
        "ts_event": absent(batch.event, 0).cast(TS),
        "row": pl.Series(batch.row).cast(pl.UInt32),
    }


def trades(batch: Batch, prices: Ints, sizes: Ints, words: pl.Series) -> pl.DataFrame:
    """`m` says the buyer was the maker: the aggressor sold. `words` are the order kinds there are."""
    side = np.where(batch.ints[1] != 0, -1, 1).astype(np.int8)
    kinds = words.gather(pl.Series(batch.ints[2]))
    return pl.DataFrame(
        clocks(batch) | {"trade_id": batch.ints[0], "price": prices[0], "size": sizes[0], "side": side, "order_kind": kinds}
    )


def quotes(batch: Batch, prices: Ints, sizes: Ints) -> pl.DataFrame:
    columns = {"bid": prices[0], "bid_size": sizes[0], "ask": prices[1], "ask_size": sizes[1]}
    return pl.DataFrame(clocks(batch) | {"update_id": batch.ints[0]} | columns)


def absent(values: Ints, sign: int) -> pl.Series:
    """The values as a column, null where they are `sign`."""
    given = pl.Series(values)
    away = values == sign
    return given.scatter(np.flatnonzero(away), None) if away.any() else given


def ragged(counts: Ints, values: Ints) -> pl.Series:
    """A column of lists: the next `counts[i]` of the values in row i."""
    offsets = np.concatenate([[0], np.cumsum(counts)])
    made = pl.from_arrow(pa.LargeListArray.from_arrays(pa.array(offsets, pa.int64()), pa.array(values)))
    if not isinstance(made, pl.Series):
        raise TypeError("a list array is one column")
    return made
