"""Which column of a foreign trade or book table is which of ours: checked, then selected under our names.

lazy table -> check (the columns are there, of a type that fits) -> select -> kernels.mappings_rows.typed
"""

import re
from collections.abc import Mapping
from typing import Literal

import polars as pl
from msgspec import Struct

FIELD = re.compile(r"\{([^{}]+)\}")
CONSTANT = "="  # `=BTC-USD` is that symbol; `symbol` is the column of that name; `{base}-{quote}` is made of two

TIMES, NUMBERS, LEVELS, IDS, WORDS, SIDES = (
    "a time or a number",
    "a number",
    "a list of numbers",
    "an integer or text",
    "text",
    "text or a flag",
)
KINDS = {
    "ts_event": TIMES, "ts_recv": TIMES, "price": NUMBERS, "size": NUMBERS, "side": SIDES, "trade_id": IDS, "update_id": IDS,
    "bid_prices": LEVELS, "bid_sizes": LEVELS, "ask_prices": LEVELS, "ask_sizes": LEVELS,
}  # fmt: skip
BOOK_LISTS = ("bid_prices", "bid_sizes", "ask_prices", "ask_sizes")


class MappingError(ValueError):
    """A table that does not have what the mapping says; the message names the column."""


class Columns(Struct, frozen=True, kw_only=True):
    """Which column is which: `names` from ours (the keys of `KINDS` that the noun has) to theirs.

    `venue` and `symbol` are patterns: `{column}` is filled from the row, a leading `=` marks a constant, and a plain word is a
    constant venue or the column of the symbol. `venue_names`, `symbol_names` rename what comes out.
    """

    noun: Literal["trades", "depth"]
    names: Mapping[str, str]
    venue: str
    symbol: str
    venue_names: Mapping[str, str] = {}
    symbol_names: Mapping[str, str] = {}

    def pattern_columns(self) -> list[str]:
        return [*FIELD.findall(self.venue), *FIELD.findall(symbol_pattern(self.symbol))]


def symbol_pattern(symbol: str) -> str:
    return symbol if "{" in symbol or symbol.startswith(CONSTANT) else "{" + symbol + "}"


def check(schema: Mapping[str, pl.DataType], columns: Columns) -> None:
    """Raise `MappingError` unless every mapped column is there with a type that fits."""
    wanted = {theirs: KINDS[ours] for ours, theirs in columns.names.items()} | dict.fromkeys(columns.pattern_columns(), WORDS)
    for theirs, kind in wanted.items():
        if theirs not in schema:
            raise MappingError(f"column {theirs!r} is missing; there are {', '.join(schema)}")
        if not fits(schema[theirs], kind):
            raise MappingError(f"column {theirs!r} is {schema[theirs]}, not {kind}")


def fits(dtype: pl.DataType, kind: str) -> bool:
    text = isinstance(dtype, pl.String | pl.Categorical | pl.Enum)
    match kind:
        case "a time or a number":
            return dtype == pl.Datetime or (dtype.is_numeric() and not dtype.is_decimal())
        case "a list of numbers":
            inner = getattr(dtype, "inner", None)
            return isinstance(dtype, pl.List | pl.Array) and inner is not None and inner.is_numeric()
        case "a number":
            return dtype.is_numeric()
        case "an integer or text":
            return dtype.is_integer() or text
        case "text or a flag":
            return text or dtype == pl.Boolean or dtype.is_signed_integer()
        case _:
            return text or dtype.is_integer()


def select(table: pl.LazyFrame, columns: Columns, keep_levels: int) -> pl.LazyFrame:
    """The mapped columns under our names, `row` from 1, and of level lists the best `keep_levels`, with their true lengths compared."""
    schema = table.collect_schema()
    check(schema, columns)
    picked: list[pl.Expr] = [pl.col("row")]
    for ours, theirs in columns.names.items():
        column = pl.col(theirs)
        if KINDS[ours] == LEVELS:
            column = (
                (column.arr.to_list() if isinstance(schema[theirs], pl.Array) else column).cast(pl.List(pl.Float64)).list.head(keep_levels)
            )
        elif KINDS[ours] == NUMBERS:
            column = column.cast(pl.Float64)
        picked.append(column.alias(ours))
    if columns.noun == "depth":
        for side in ("bid", "ask"):
            lengths = [
                pl.col(columns.names[f"{side}_{what}"]).list.len()
                if not isinstance(schema[columns.names[f"{side}_{what}"]], pl.Array)
                else pl.col(columns.names[f"{side}_{what}"]).arr.to_list().list.len()
                for what in ("prices", "sizes")
            ]
            picked.append((lengths[0] == lengths[1]).alias(f"{side}s_match"))
    named = {"venue": (columns.venue.removeprefix(CONSTANT), columns.venue_names)}
    named["symbol"] = (symbol_pattern(columns.symbol).removeprefix(CONSTANT), columns.symbol_names)
    for name, (pattern, names) in named.items():
        fields = FIELD.findall(pattern)
        value = pl.format(FIELD.sub("{}", pattern), *(pl.col(f).cast(pl.String) for f in fields)) if fields else pl.lit(pattern)
        picked.append((value.replace(dict(names)) if names else value).alias(name))
    return table.with_row_index("row", offset=1).select(picked)
