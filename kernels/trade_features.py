"""The trade-grain feature set: windows over the last trades, with the quotes known before each, on exact ticks and lots.

`build` makes them of whole columns in one compiled pass; `trade_step` makes the same bits one trade at a time.
"""

import hashlib
import json
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from kernels import trade_chunk, trade_step
from kernels import trade_formulas as f
from kernels.book_features import Tops
from kernels.trade_chunk import BLOCK, N_CARRIED

FORM = 1  # rises when a definition changes without its name, parameters or warm-up changing
COMPARED = f.COMPARED


class Trades(NamedTuple):
    """Trades [n] in the venue's order. Times in ns; prices and sizes in units; side 1 buyer, -1 seller, 0 unknown.

    Windows and recurrences start afresh where `segment` changes; -1: the feed was away, the row has no features.
    """

    ts_event: NDArray[np.int64]
    known_at: NDArray[np.int64]
    price: NDArray[np.int64]
    size: NDArray[np.int64]
    side: NDArray[np.int8]
    segment: NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class TradeFeature:
    """One column. It has a value from the trade number `warm_up` (from 0) of a segment on, where its inputs have one."""

    name: str
    unit: str
    inputs: tuple[str, ...]
    about: str
    warm_up: int = 0
    params: dict[str, float] = field(default_factory=dict)


def _window(name: str, unit: str, inputs: tuple[str, ...], about: str, window: int, **params: float) -> TradeFeature:
    return TradeFeature(name, unit, inputs, about, window - 1, {"window": window, **params})


TOP = ("bid", "ask", "bid_size", "ask_size")
BAND = ("sma_20", "std_20")
FLOW = ("side", "size")
SPECS: tuple[TradeFeature, ...] = (
    TradeFeature("mid", "quote", ("bid", "ask"), "middle of the last top known before the trade"),
    TradeFeature("spread_bps", "bps", ("bid", "ask"), "ask less bid over the middle"),
    TradeFeature("microprice", "quote", TOP,
        "middle weighted by the size opposite (Gatheral & Oomen 2010; Stoikov 2018, the weighted mid)"),
    TradeFeature("imbalance", "-1 to 1", ("bid_size", "ask_size"), "(bid size - ask size) / their sum, best level; 0 where both are 0"),
    TradeFeature("effective_spread_bps", "bps", ("price", "bid", "ask"),
        "twice the trade's distance from the middle known before it, over that middle (Harris 2003, ch. 21)"),
    TradeFeature("ret_1", "ln", ("price",), "log return since the trade before", 1, {"window": 1}),
    TradeFeature("ret_20", "ln", ("price",), "log return over 20 trades", 20, {"window": 20}),
    _window("sma_20", "quote", ("price",), "plain average of the last 20 prices", 20),
    _window("std_20", "quote", ("price",), "standard deviation of the last 20 prices (population)", 20, ddof=0),
    _window("bollinger_upper_20", "quote", BAND, "average of 20 plus 2 standard deviations (Bollinger 2001)", 20, width=2),
    _window("bollinger_lower_20", "quote", BAND, "average of 20 less 2 standard deviations (Bollinger 2001)", 20, width=2),
    _window("ema_12", "quote", ("price",), "exponential average, weight 2 / 13, seeded with the plain average of the first 12", 12),
    _window("ema_26", "quote", ("price",), "exponential average, weight 2 / 27, seeded with the plain average of the first 26", 26),
    TradeFeature("macd", "quote", ("ema_12", "ema_26"), "ema_12 less ema_26 (Appel 1979)", 25, {"fast": 12, "slow": 26}),
    TradeFeature("macd_signal", "quote", ("macd",),
        "exponential average of macd, weight 2 / 10, seeded with the plain average of its first 9", 33, {"signal": 9}),
    TradeFeature("rsi_14", "0 to 100", ("price",),
        "relative strength index, seeded with the plain average of the first 14 changes (Wilder 1978); 0 where nothing moved",
        14, {"window": 14}),
    _window("vwap_20", "quote", ("price", "size"), "average of the last 20 prices, weighted by size", 20),
    TradeFeature("top_age_s", "s", ("known_at",), "how long before the trade its top had become known"),
    _window("flow_share_20", "-1 to 1", FLOW, "size of buyers' less sellers' trades over all, last 20", 20),
    TradeFeature("seconds_20", "s", ("ts_event",), "time since the trade 20 ago", 20, {"window": 20}),
    TradeFeature("ret_100", "ln", ("price",), "log return over 100 trades", 100, {"window": 100}),
    _window("vol_100_bps", "bps", ("price",), "standard deviation of the last 100 prices (population) over their average", 100, ddof=0),
    _window("flow_share_100", "-1 to 1", FLOW, "size of buyers' less sellers' trades over all, last 100", 100),
    _window("buy_share_100", "0 to 1", ("side",), "how many of the last 100 trades were buyers'", 100),
    _window("volume_sum_100", "base", ("size",), "traded size of the last 100", 100),
    _window("range_position_100", "-1 to 1", ("price",),
        "price between the lowest (-1) and the highest (1) of the last 100; 0 where they meet", 100),
)  # fmt: skip
WARM_UP = max(s.warm_up for s in SPECS)


def names() -> tuple[str, ...]:
    """All features, in the order of their columns: the seventeen that are compared with peers first."""
    return tuple(s.name for s in SPECS)


def feature_set_hash(of: Iterable[str] | None = None) -> str:
    """16 hex digits over the definitions of these features (None: all), in their order. An unknown name raises `KeyError`."""
    by_name = {s.name: s for s in SPECS}
    chosen = SPECS if of is None else [by_name[name] for name in of]
    told = [FORM, [[s.name, s.unit, s.inputs, sorted(s.params.items()), s.warm_up] for s in chosen]]
    return hashlib.sha256(json.dumps(told).encode()).hexdigest()[:16]


def trades(frame: pl.DataFrame) -> Trades:
    """Columns of a frame as arrays over the same memory. Raises where that is not possible: nulls, several chunks, other types."""
    physical = (frame[name].to_physical() for name in Trades._fields)
    return Trades(*(column.to_numpy(allow_copy=False) for column in physical))


def build(
    trades: Trades,
    tops: Tops,
    *,
    price_decimals: int,
    size_decimals: int,
    max_age: int,
    names: Sequence[str] | None = None,
    out: NDArray[np.float64] | None = None,
    threads: int = 1,
) -> NDArray[np.float64]:
    """Features of one symbol's trades: float64 [len(names), n], in the order of `names` (None: all), NaN where there is no value.

    A trade sees the last top known strictly before it, unless that is older than `max_age` (ns) or lacks a side. `out` is written to and
    returned if given. The result is the same, bit for bit, for any number of threads. Raises `KeyError` for an unknown name,
    `OverflowError` where sums would not be exact.
    """
    places = f.chosen(names)
    n = len(trades.price)
    out = np.empty((int(places.max()) + 1, n)) if out is None else out
    if out.shape != (int(places.max()) + 1, n) or out.dtype != np.float64 or not out.flags.c_contiguous:
        raise ValueError(f"out must be float64 [{int(places.max()) + 1}, {n}] in C order, not {out.dtype} {list(out.shape)}")
    rows, quotes = tuple(map(f.read_only, trades)), tuple(map(f.read_only, tops))
    n_blocks = -(-n // BLOCK)
    ends = np.empty((n_blocks, N_CARRIED))
    of = {"price_decimals": price_decimals, "size_decimals": size_decimals, "max_age": max_age}
    borders = [min(n, n_blocks * k // threads * BLOCK) for k in range(threads + 1)]
    spans = [(lo, hi) for lo, hi in pairwise(borders) if lo < hi]

    def run(span: tuple[int, int]) -> NDArray[np.float64]:
        return trade_chunk.chunk(*span, rows, quotes, trade_step.state(**of), places, out, ends)

    if len(spans) < 2:
        guesses = [run(span) for span in spans]
    else:
        with ThreadPoolExecutor(len(spans)) as pool:
            guesses = list(pool.map(run, spans))
    for (lo, hi), guess in zip(spans, guesses, strict=True):
        if lo and not np.isnan(guess[0]) and not np.array_equal(guess, ends[lo // BLOCK - 1]):
            trade_chunk.mend(lo, hi, rows, 10.0**price_decimals, ends[lo // BLOCK - 1], places, out, ends)
    return out
