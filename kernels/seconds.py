"""The dense grid of seconds that features are made from: each second's trades, and the top and book known at its close."""

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from core.market import NS
from core.tables import PRICE, table
from kernels.book_features import LEVEL_COLUMNS, NOTHING, Tops, TopSeconds

CARRY_S = 1800  # a close (and an effective spread) is carried over at most so many seconds without a trade
TRADED = {"volume": "volume_units", "buy_volume": "buy_units", "sell_volume": "sell_units"}


@dataclass(frozen=True, slots=True)
class Scale:
    """Decimals of the integers; a `_unit` is what to divide them by."""

    price_decimals: int
    size_decimals: int

    @property
    def price_unit(self) -> float:
        return 10.0**self.price_decimals

    @property
    def size_unit(self) -> float:
        return 10.0**self.size_decimals


def at_scale(frame: pl.LazyFrame, name: str, scale: Scale) -> pl.LazyFrame:
    """The rows of table `name` with their integers at `scale`, which is as fine as theirs or finer."""

    def finer(column: str, kind: str) -> pl.Expr:
        decimals = scale.price_decimals if kind == PRICE else scale.size_decimals
        by = pl.lit(10, pl.Int64).pow(pl.lit(decimals, pl.Int64) - pl.col(f"{kind}_decimals").cast(pl.Int64))
        return pl.col(column) * by

    shape = table(name)
    have = frame.collect_schema().names()
    scaled = [finer(column, kind) for column, kind in shape.scales.items() if column in have]
    return frame.with_columns(scaled).with_columns(
        price_decimals=pl.lit(scale.price_decimals, pl.Int8), size_decimals=pl.lit(scale.size_decimals, pl.Int8)
    )


def seconds(
    grid: pl.DataFrame,
    bars: pl.LazyFrame,
    tops: Tops,
    at: TopSeconds,
    spread: NDArray[np.float64],
    levels: NDArray[np.float64],
    scale: Scale,
) -> pl.LazyFrame:
    """The grid's rows [s] with everything that features are made from; null where the feed was away.

    `bars` (at `scale`) are joined by their close; a second without one has volume 0 and carries the close of its segment. `levels`
    [s, 10] are `LEVEL_COLUMNS` of the book that holds at each close, in units, NaN where none does.
    """
    there = pl.col("segment").is_not_null()
    nothing = at.row == NOTHING
    row = np.maximum(at.row, 0)
    known = grid["known_at"].to_physical().to_numpy()

    def held(values: NDArray[np.int64], unit: float) -> pl.Series:
        found = values[row] / unit if len(values) else np.full(len(row), np.nan)
        return pl.Series(np.where(nothing, np.nan, found), nan_to_null=True)

    def flow(values: NDArray[np.int64]) -> pl.Series:
        return pl.select(pl.when(pl.Series(~nothing)).then(pl.Series(values))).to_series()

    heard = tops.known_at[row] if len(tops.known_at) else known
    top = pl.DataFrame(
        {
            "bid": held(tops.bid, scale.price_unit),
            "ask": held(tops.ask, scale.price_unit),
            "mid": held(tops.bid + tops.ask, 2 * scale.price_unit),
            "bid_size": held(tops.bid_size, scale.size_unit),
            "ask_size": held(tops.ask_size, scale.size_unit),
            "top_age_s": pl.Series(np.where(nothing, np.nan, (known - heard) / NS), nan_to_null=True),
            "ofi_units": flow(at.ofi),
            "ofi_abs_units": flow(at.ofi_abs),
            "effective_spread": pl.Series(spread, nan_to_null=True),
            # Whole columns: Polars divides by a single value by way of its reciprocal, which is off by one in the last place.
            "price_unit": np.full(len(row), scale.price_unit),
            "size_unit": np.full(len(row), scale.size_unit),
        }
    )
    book = pl.DataFrame({name: pl.Series(levels[:, k] / unit_of(name, scale), nan_to_null=True) for k, name in enumerate(LEVEL_COLUMNS)})
    traded = bars.select("ts_event", "close", *TRADED).rename({"close": "close_units", **TRADED})
    everything = pl.concat([grid, top, book], how="horizontal").lazy().join(traded, on="ts_event", how="left", maintain_order="left")
    columns = [*(name for name in top.columns if not name.endswith("_unit")), *book.columns, "close_units"]
    return (
        everything.with_columns(pl.when(there).then(pl.col(name)).alias(name) for name in columns)
        .with_columns(pl.when(there).then(pl.col(name).fill_null(0)).alias(name) for name in TRADED.values())
        .with_columns(pl.col("close_units").forward_fill(CARRY_S).over("segment"))
        .with_columns(close=pl.col("close_units") / pl.col("price_unit"))
    )


def unit_of(level_column: str, scale: Scale) -> float:
    """What to divide one of `LEVEL_COLUMNS` by."""
    if level_column.endswith("_levels"):
        return 1.0
    return scale.size_unit if "total" in level_column else scale.price_unit
