"""The rows of a foreign table, its columns already named as ours, as raw-shaped rows of whole numbers, one `Mapped` per instrument.

Nothing is dropped: a row without a time, price, size or symbol, or whose numbers are no decimals, comes back as refused with
its reason, so that rows in = rows out + refused.
"""

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa
from msgspec import Struct

from core.market import SYMBOL, VENUE
from core.tables import TS
from kernels.decimals import decimals_for, scale
from kernels.mappings import BOOK_LISTS, MappingError

EARLIEST, LATEST = 1_230_768_000 * 10**9, 4_102_444_800 * 10**9  # 2009-01-01, 2100-01-01
TEXT = 2_000  # characters of a refused row that are kept
BUYS = ("buy", "b", "bid", "long", "buyer", "true")
SELLS = ("sell", "s", "ask", "short", "seller", "false")


class Mapped(Struct, frozen=True):
    """The rows of one instrument: `rows` as core.tables.RAW[noun] without source and decimals, `refused` likewise.

    `offset_ns` is the median of ts_event - ts_recv, None where no row has both.
    """

    noun: str
    venue: str
    symbol: str
    rows: pl.DataFrame
    refused: pl.DataFrame
    price_decimals: int
    size_decimals: int
    offset_ns: int | None


def times(column: pl.Series) -> pl.Series:
    """A column of times as int64 ns since 1970: Datetime of any unit, or numbers whose unit is told from the digits of their median."""
    if column.dtype == pl.Datetime:
        return column.cast(pl.Datetime("ns")).to_physical()
    middle = column.cast(pl.Float64).abs().median()
    size = float(middle) if isinstance(middle, int | float) else 0.0
    unit = next((ns for below, ns in ((1e11, 10**9), (1e14, 10**6), (1e17, 10**3)) if size < below), 1)
    if column.dtype.is_integer():
        return column.cast(pl.Int64, strict=False).clip(-LATEST // unit, LATEST // unit) * unit  # clipped is absurd, not overflown
    finest = min(unit, 10**3)  # a float of seconds holds microseconds, no more
    return (column.cast(pl.Float64) * (unit // finest)).round().cast(pl.Int64, strict=False) * finest


def sides(column: pl.Series) -> pl.Series:
    """The aggressor's sign: 1 buy, -1 sell, 0 unknown. A flag means that the buyer was the aggressor; a number has the sign."""
    if column.dtype == pl.Boolean:
        found = column.cast(pl.Int8) * 2 - 1
    elif column.dtype.is_numeric():
        found = column.sign().cast(pl.Int8)
    else:
        lower = column.cast(pl.String).str.strip_chars().str.to_lowercase()
        found = lower.is_in(BUYS).cast(pl.Int8) - lower.is_in(SELLS).cast(pl.Int8)
    return found.fill_null(0)


def typed(frame: pl.DataFrame, noun: str, off_grid_share: float) -> list[Mapped]:
    """What `select` gave, collected, as raw rows per instrument, in order of (venue, symbol).

    Of `off_grid_share` of the numbers of an instrument more decimals than of the others are refused. Raises `MappingError` where no
    row has an instrument or a receive time.
    """
    frame = frame.with_columns(pl.Series(name, times(frame[name])) for name in ("ts_event", "ts_recv"))
    frame = frame.with_columns(reason=first_reason(frame, noun))
    known = pl.col("reason").is_null() | (pl.col("reason") != "no symbol")
    counts = frame.filter(known).group_by("venue", "symbol").len().sort("len", "venue", "symbol")
    if not len(frame):
        return []
    if not len(counts):
        raise MappingError("no row has a venue and a symbol that can be ours")
    main = counts.row(-1)
    in_range = pl.col("ts_recv").is_between(EARLIEST, LATEST)
    if not frame.select(in_range.any()).item():
        raise MappingError("no row has a receive time from 2009 to 2099")
    frame = frame.with_columns(
        shown_recv=pl.when(in_range).then("ts_recv").forward_fill().backward_fill(),
        **{name: pl.when(known).then(name).otherwise(pl.lit(value)) for name, value in zip(("venue", "symbol"), main[:2], strict=True)},
    )
    groups = frame.partition_by("venue", "symbol", as_dict=True, maintain_order=True)
    return [one(str(of[0]), str(of[1]), group, noun, off_grid_share) for of, group in sorted(groups.items())]


def first_reason(frame: pl.DataFrame, noun: str) -> pl.Series:
    """Why a row cannot be typed, null where nothing is wrong so far."""
    recv, event = pl.col("ts_recv"), pl.col("ts_event")
    checks = {
        "no symbol": ~pl.col("venue").str.contains(f"^(?:{VENUE.pattern})$").fill_null(False)
        | ~pl.col("symbol").str.contains(f"^(?:{SYMBOL.pattern})$").fill_null(False),
        "no receive time": recv.is_null(),
        "absurd receive time": ~recv.is_between(EARLIEST, LATEST),
        "absurd exchange time": ~event.is_between(EARLIEST, LATEST).fill_null(True),
    }
    if noun == "trades":
        checks |= {f"no {name}": pl.col(name).is_null() for name in ("price", "size")}
    else:
        for side in ("bid", "ask"):
            lists = [pl.col(f"{side}_{what}") for what in ("prices", "sizes")]
            checks[f"no {side}s"] = pl.any_horizontal(column.is_null() for column in lists)
            checks[f"{side} prices and sizes do not match"] = ~pl.col(f"{side}s_match")
            checks[f"empty number among {side}s"] = pl.any_horizontal(
                column.list.eval(pl.element().is_null()).list.any() for column in lists
            )
    return frame.select(reason=pl.coalesce(pl.when(mask).then(pl.lit(reason)) for reason, mask in checks.items()))["reason"]


def one(venue: str, symbol: str, frame: pl.DataFrame, noun: str, off_grid_share: float) -> Mapped:
    """The rows of one instrument, scaled."""
    sound = frame.filter(pl.col("reason").is_null())
    prices, sizes = (("price",), ("size",)) if noun == "trades" else (BOOK_LISTS[::2], BOOK_LISTS[1::2])
    bad = np.zeros(len(sound), bool)
    scaled: dict[str, pl.Series] = {}
    decimals = []
    for names in (prices, sizes):
        values = {name: flat(sound[name]) for name in names}
        decimals.append(decimals_for(np.concatenate(list(values.values())), off_grid_share))
        for name in names:
            units, exact = scale(values[name], decimals[-1])
            if noun == "trades":
                bad |= ~exact
                scaled[name] = pl.Series(name, units)
            else:
                lengths = sound[name].list.len().cast(pl.Int64).to_numpy()
                bad |= np.bincount(np.repeat(np.arange(len(sound)), lengths)[~exact], minlength=len(sound)) > 0
                scaled[name] = nested(name, units, lengths)
    rows = shaped(sound.with_columns(scaled.values()), noun).filter(pl.Series(~bad))
    refused = pl.concat(
        [frame.filter(pl.col("reason").is_not_null()), sound.filter(pl.Series(bad)).with_columns(reason=pl.lit("off the grid"))]
    )
    median = sound.select((pl.col("ts_event") - pl.col("ts_recv")).median()).item()
    offset = None if median is None else int(median)
    return Mapped(noun, venue, symbol, rows, shown(refused.sort("row")), decimals[0], decimals[1], offset)


def flat(column: pl.Series) -> npt.NDArray[np.float64]:
    """A column's numbers, or those of its lists one after the other, as float64."""
    if column.dtype == pl.Float64:
        return column.to_numpy()
    return column.rechunk().to_arrow().flatten().to_numpy(zero_copy_only=False).astype(np.float64, copy=False)


def nested(name: str, units: npt.NDArray[np.int64], lengths: npt.NDArray[np.int64]) -> pl.Series:
    """Lists of the given lengths, cut from `units` one after the other."""
    ends = np.concatenate([[0], np.cumsum(lengths)])
    return pl.Series(name, pa.LargeListArray.from_arrays(pa.array(ends, pa.int64()), pa.array(units)), dtype=pl.List(pl.Int64))


def shaped(frame: pl.DataFrame, noun: str) -> pl.DataFrame:
    """The raw table's own columns: a book row is a whole book, so it is a snapshot and chains to nothing."""
    clock = [pl.col(name).cast(pl.Datetime("ns")).dt.replace_time_zone("UTC").alias(name) for name in ("ts_recv", "ts_event")]
    identity = "trade_id" if noun == "trades" else "update_id"
    ids = pl.col(identity).cast(pl.Int64, strict=False) if identity in frame.columns else pl.lit(None, pl.Int64)
    if noun == "trades":
        side = sides(frame["side"]) if "side" in frame.columns else pl.lit(0, pl.Int8)
        return frame.select(*clock, ids.alias(identity), "price", "size", side=side, order_kind=pl.lit(None, pl.String), row="row")
    none = pl.lit(None, pl.Int64)
    return frame.select(*clock, pl.lit(True).alias("is_snapshot"), ids.alias(identity), *BOOK_LISTS, "row", first_id=none, prev_id=none)


def shown(frame: pl.DataFrame) -> pl.DataFrame:
    """Refused rows: when, why, and the row as received, as JSON."""
    received = [name for name in frame.columns if name not in ("reason", "row", "shown_recv", "bids_match", "asks_match")]
    text = pl.struct(received).struct.json_encode().str.head(TEXT)
    return frame.select(ts_recv=pl.col("shown_recv").cast(TS), reason="reason", text=text, row="row")
