"""Every table of the lake: its columns, their types, and which integers carry a scale.

A column marked `PRICE` or `SIZE` is int64 in units of 10^-decimals; the decimals stand in the row (`price_decimals`,
`size_decimals`, constant per part) and in the part's footer. Views and `Store.scan(..., floats=True)` add `<name>_float`.
"""

from dataclasses import dataclass, field

import polars as pl

SCHEMA_VERSION = 1
TS = pl.Datetime("ns", "UTC")
PRICE, SIZE = "price", "size"


@dataclass(frozen=True, slots=True)
class Table:
    """`columns` maps a name to its type; `scales` names the integer columns that carry `PRICE` or `SIZE` decimals."""

    name: str
    about: str
    columns: dict[str, pl.DataType | type[pl.DataType]]
    scales: dict[str, str] = field(default_factory=dict)
    clock: str = "ts_event"  # the column whose UTC day is the part's day
    open_ended: bool = False  # further columns may follow (features)


DECIMALS = {"price_decimals": pl.Int8, "size_decimals": pl.Int8}
ORIGIN = {"source": pl.UInt16, "row": pl.UInt32}  # which of the part's `sources`, and the line or row in it (from 1)
LEVELS = {"bid_prices": pl.List(pl.Int64), "bid_sizes": pl.List(pl.Int64), "ask_prices": pl.List(pl.Int64), "ask_sizes": pl.List(pl.Int64)}
LEVEL_SCALES = {"bid_prices": PRICE, "bid_sizes": SIZE, "ask_prices": PRICE, "ask_sizes": SIZE}
TOP = {"bid": pl.Int64, "bid_size": pl.Int64, "ask": pl.Int64, "ask_size": pl.Int64}
TOP_SCALES = {"bid": PRICE, "bid_size": SIZE, "ask": PRICE, "ask_size": SIZE}

RAW = {
    "trades": Table(
        "trades",
        "trades as received; `ts_event` null where the venue gives none; `side` is the aggressor's sign, 0 unknown",
        {
            "ts_recv": TS, "ts_event": TS, "trade_id": pl.Int64, "price": pl.Int64, "size": pl.Int64, "side": pl.Int8,
            "order_kind": pl.String, **ORIGIN, **DECIMALS,
        },
        {"price": PRICE, "size": SIZE},
        clock="ts_recv",
    ),
    "quotes": Table(
        "quotes",
        "best bid and ask as received",
        {"ts_recv": TS, "ts_event": TS, "update_id": pl.Int64, **TOP, **ORIGIN, **DECIMALS},
        TOP_SCALES,
        clock="ts_recv",
    ),
    "depth": Table(
        "depth",
        "book snapshots and diffs as received; size 0 removes a level; `first_id`, `prev_id` null where the venue gives none",
        {
            "ts_recv": TS, "ts_event": TS, "is_snapshot": pl.Boolean, "first_id": pl.Int64, "update_id": pl.Int64, "prev_id": pl.Int64,
            **LEVELS, **ORIGIN, **DECIMALS,
        },
        LEVEL_SCALES,
        clock="ts_recv",
    ),
    "marks": Table(
        "marks",
        "mark and index price and funding as received (units of 10^-8 of quote currency; rate as a fraction)",
        {
            "ts_recv": TS, "ts_event": TS, "mark_e8": pl.Int64, "index_e8": pl.Int64, "settle_e8": pl.Int64, "funding_rate": pl.Float64,
            "ts_funding": TS, **ORIGIN,
        },
        clock="ts_recv",
    ),
    "refused": Table(
        "refused",
        "lines and rows that could not be typed, as received",
        {"ts_recv": TS, "reason": pl.String, "text": pl.String, **ORIGIN},
        clock="ts_recv",
    ),
}  # fmt: skip

RAW["files"] = Table(
    "files",
    "one row per source file, written when all its pieces are: the receipt that makes a second ingest no work",
    {
        "uri": pl.String,
        "sha256": pl.String,
        "n_bytes": pl.Int64,
        "n_rows": pl.Int64,
        "n_refused": pl.Int64,
        "complete": pl.Boolean,
        "error": pl.String,
    },
    clock="",
)

CLEAN = {
    "clean_market__trades": Table(
        "clean_market__trades",
        "market trades, de-duplicated and in order",
        {
            "ts_event": TS, "ts_recv": TS, "trade_id": pl.Int64, "price": pl.Int64, "size": pl.Int64, "side": pl.Int8,
            "side_inferred": pl.Boolean, **ORIGIN, **DECIMALS,
        },
        {"price": PRICE, "size": SIZE},
    ),
    "clean_market__quotes": Table(
        "clean_market__quotes",
        "the venue's own best bid and ask; `ts_estimated`: the venue sent no time; `locked`: bid = ask",
        {
            "ts_event": TS, "ts_recv": TS, "ts_estimated": pl.Boolean, "update_id": pl.Int64, **TOP, "locked": pl.Boolean,
            **ORIGIN, **DECIMALS,
        },
        TOP_SCALES,
    ),
    "clean_market__book": Table(
        "clean_market__book",
        "one row per applied diff or snapshot, best 20 levels a side; lists are null while the book is unknown",
        {
            "ts_event": TS, "ts_recv": TS, "known_at": TS, "ts_estimated": pl.Boolean, "update_id": pl.Int64, "is_snapshot": pl.Boolean,
            "known": pl.Boolean, "locked": pl.Boolean, **LEVELS, **ORIGIN, **DECIMALS,
        },
        LEVEL_SCALES,
    ),
    "clean_market__top": Table(
        "clean_market__top",
        "best bid and ask fused from quotes and book by update id, in order of `known_at`, null while neither is known; `age_ns`: how"
        " long the row before had stood when this one moved or confirmed it",
        {
            "ts_event": TS, "known_at": TS, "age_ns": pl.Int64, "ts_estimated": pl.Boolean, "update_id": pl.Int64, **TOP,
            "from_book": pl.Boolean, **DECIMALS,
        },
        TOP_SCALES,
    ),
    "clean_market__book_end": Table(
        "clean_market__book_end",
        "the whole book at the end of the day: the state in which the next day starts (side 1 bid, -1 ask)",
        {"side": pl.Int8, "price": pl.Int64, "size": pl.Int64, "update_id": pl.Int64, **DECIMALS},
        {"price": PRICE, "size": SIZE},
        clock="",
    ),
    "clean_market__marks": Table(
        "clean_market__marks",
        "mark and index price and funding, de-duplicated and in order",
        {
            "ts_event": TS, "ts_recv": TS, "mark_e8": pl.Int64, "index_e8": pl.Int64, "settle_e8": pl.Int64, "funding_rate": pl.Float64,
            "ts_funding": TS, **ORIGIN,
        },
    ),
    "clean_market__instruments": Table(
        "clean_market__instruments",
        "what (venue, symbol) meant on that day",
        {
            "venue": pl.String, "symbol": pl.String, "day": pl.Date, **DECIMALS, "tick_size": pl.Float64, "lot_size": pl.Float64,
            "contract_multiplier": pl.Float64, "inverse": pl.Boolean, "base": pl.String, "quote": pl.String, "settlement": pl.String,
            "fee_tier": pl.String, "maker_bps": pl.Float64, "taker_bps": pl.Float64,
        },
        clock="",
    ),
    "clean_market__1s_bars": Table(
        "clean_market__1s_bars",
        "seconds with a trade, stamped with their close; `notional` is the sum of price x size in quote (or contract) units",
        {
            "ts_event": TS, "known_at": TS, "open": pl.Int64, "high": pl.Int64, "low": pl.Int64, "close": pl.Int64, "volume": pl.Int64,
            "buy_volume": pl.Int64, "sell_volume": pl.Int64, "notional": pl.Int64, "n_trades": pl.Int64, "n_late": pl.Int64, **DECIMALS,
        },
        {"open": PRICE, "high": PRICE, "low": PRICE, "close": PRICE, "volume": SIZE, "buy_volume": SIZE, "sell_volume": SIZE},
    ),
    "quarantine_market__rows": Table(
        "quarantine_market__rows",
        "every refused row, with its reason and where it stood",
        {"ts_event": TS, "ts_recv": TS, "of": pl.String, "reason": pl.String, "uri": pl.String, "text": pl.String, **ORIGIN},
        clock="",
    ),
    "feat_market__1s_inputs": Table(
        "feat_market__1s_inputs",
        "model inputs on a dense one-second grid, stamped with the close; null where the feed was away or a window is not full",
        {"ts_event": TS, "known_at": TS, "segment": pl.Int32},
        open_ended=True,
    ),
    "feat_market__trade_inputs": Table(
        "feat_market__trade_inputs",
        "features of every trade, over the trades up to it and the top known when it was received; `segment` counts the feed's silences"
        " of the day; null where a window is not full or no top is known",
        {
            "ts_event": TS, "known_at": TS, "segment": pl.Int32, "trade_id": pl.Int64, "price": pl.Int64, "size": pl.Int64, "side": pl.Int8,
            **DECIMALS,
        },
        {"price": PRICE, "size": SIZE},
        open_ended=True,
    ),
    "feat_market__1s_labels": Table(
        "feat_market__1s_labels",
        "triple-barrier outcome of an order sent at `ts_entry`, net of fees; `known_at` is when the outcome was settled",
        {
            "ts_event": TS, "ts_entry": TS, "known_at": TS, "direction": pl.Int8, "ret_long": pl.Float64, "ret_short": pl.Float64,
            "gross_long": pl.Float64, "gross_short": pl.Float64, "volatility": pl.Float64,
        },
    ),
    "out_bench__runs": Table(
        "out_bench__runs",
        "every measured speed, with machine and versions",
        {
            "ts_event": TS, "run_id": pl.String, "name": pl.String, "unit": pl.String, "value": pl.Float64, "spread": pl.Float64,
            "median_before": pl.Float64, "higher_is_better": pl.Boolean, "regressed": pl.Boolean,
            "machine": pl.String, "versions": pl.String,
            "peer": pl.String, "peer_value": pl.Float64, "ratio": pl.Float64, "target": pl.Float64, "limit": pl.String,
            "limit_share": pl.Float64, "at_most": pl.Float64, "at_least": pl.Float64, "share_target": pl.Float64,
            "peak_mb": pl.Float64, "peer_peak_mb": pl.Float64, "first_s": pl.Float64, "met": pl.Boolean,
        },
    ),
}  # fmt: skip


def family(venue: str) -> str:
    """The venue's raw tables: `binance-usdm` and `binance-spot` share `raw_binance__…`."""
    return venue.split("-", maxsplit=1)[0]


def raw_table(venue: str, noun: str) -> str:
    return f"raw_{family(venue)}__{noun}"


def table(name: str) -> Table:
    """The table called `name`. Raises `KeyError` with the names there are."""
    if name in CLEAN:
        return CLEAN[name]
    layer, _, noun = name.partition("__")
    if layer.startswith("raw_") and noun in RAW:
        return RAW[noun]
    raise KeyError(f"no table {name!r}; there are raw_<family>__{{{','.join(RAW)}}}, {', '.join(CLEAN)}")
