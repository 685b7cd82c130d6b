"""Frames in the shape of their table: its columns, its types, and floats beside the scaled integers."""

from typing import Any

import polars as pl
import pyarrow as pa

from core.tables import table


def arrow_schema(name: str) -> pa.Schema:
    """The Arrow schema of a table without open-ended columns."""
    return pl.DataFrame(schema=table(name).columns).to_arrow(compat_level=pl.CompatLevel.oldest()).schema


def conform(frame: pl.DataFrame, name: str) -> pl.DataFrame:
    """The frame with the table's columns, in its order and types; other columns only where the table is open-ended."""
    shape = table(name)
    if [*frame.schema.items()] == [*shape.columns.items()]:
        return frame
    if missing := [c for c in shape.columns if c not in frame.columns]:
        raise ValueError(f"{name} lacks {', '.join(missing)}")
    extra = [c for c in frame.columns if c not in shape.columns]
    if extra and not shape.open_ended:
        raise ValueError(f"{name} has no {', '.join(extra)}")
    return frame.select(*(pl.col(c).cast(t) for c, t in shape.columns.items()), *extra)


def with_floats(frame: pl.LazyFrame, name: str) -> pl.LazyFrame:
    """Add `<name>_float` beside each scaled integer column of the table."""

    def scaled(column: str, kind: str, dtype: Any) -> pl.Expr:
        by = 10.0 ** pl.col(f"{kind}_decimals").cast(pl.Float64)
        value = pl.col(column).cast(pl.List(pl.Float64)) if dtype == pl.List(pl.Int64) else pl.col(column).cast(pl.Float64)
        return (value / by).alias(f"{column}_float")

    shape = table(name)
    return frame.with_columns(scaled(c, k, shape.columns[c]) for c, k in shape.scales.items())
