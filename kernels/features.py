"""The feature set: every column of `feat_market__1s_inputs` as a spec, and the one place where each is defined.

A spec names what it is made from, so the build is: add whatever has all its inputs, until nothing is missing. Levels are in quote
currency and base units (or contracts), shares and ratios are without unit, `_bps` is basis points of the middle.
"""

import hashlib
import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

import polars as pl

from kernels import indicators as ind
from kernels.seconds import CARRY_S

FORM = 1  # rises when a definition changes without its name, parameters or warm-up changing
BPS = 1e4
PLAIN = ("close", "mid", "bid", "ask", "top_age_s")  # beside the features: prices to trade and to compare at, and how old the top is
c = pl.col


@dataclass(frozen=True, slots=True)
class Feature:
    """One column. After `warm_up` rows of an unbroken run it has a value wherever its inputs have; `model` marks the model's inputs."""

    name: str
    unit: str
    inputs: tuple[str, ...]
    batch: pl.Expr = field(repr=False, compare=False)
    about: str
    warm_up: int = 0
    params: dict[str, float] = field(default_factory=dict)
    model: bool = False


def ratio(name: str, unit: str, inputs: tuple[str, ...], batch: pl.Expr, about: str, warm_up: int = 0, **params: float) -> Feature:
    """A model input: free of scale, so that one model serves any price and size."""
    return Feature(name, unit, inputs, batch, about, warm_up, params, model=True)


def sma(window: int) -> Feature:
    total = ind.exact_sum(c("close_units"), window)
    about = f"plain average of the last {window} closes"
    return Feature(f"sma_{window}", "quote", ("close_units",), total / (c("price_unit") * window), about, window - 1, {"window": window})


def sma_rel(window: int) -> Feature:
    return ratio(
        f"sma_{window}_rel",
        "",
        ("close", f"sma_{window}"),
        c("close") / c(f"sma_{window}") - 1,
        "close over its average, less 1",
        window - 1,
    )


def returns(window: int, of: str, name: str) -> Feature:
    return ratio(f"{name}_{window}", "ln", (of,), ind.window_sum(c(of), window), f"log return over {window} s", window, window=window)


RET, MID = c("ret_1"), c("mid")
SIGNED, TRADED = c("buy_units") - c("sell_units"), c("buy_units") + c("sell_units")
BAND = ind.window_std(c("close"), 20, ddof=0)
WIDTH = c("bollinger_upper") - c("bollinger_lower")
SHARE = "-1 to 1"

PRICE = (
    ratio("ret_1", "ln", ("close_units",), ind.log_return(c("close_units")), "log return of the close over 1 s", 1),
    returns(5, "ret_1", "ret"),
    returns(20, "ret_1", "ret"),
    sma(5),
    sma(20),
    sma_rel(5),
    sma_rel(20),
    ratio("vol_20", "ln", ("ret_1",), ind.window_std(RET, 20, ddof=1),
        "standard deviation of the last 20 one-second returns (sample)", 20, window=20),
    ratio("rsi_14", "0 to 100", ("close",), ind.rsi(c("close"), 14), "relative strength index (Wilder 1978)", 14, window=14),
    Feature("macd", "quote", ("close",), ind.macd(c("close"), 12, 26),
        "fast less slow exponential average (Appel 1979)", 25, {"fast": 12, "slow": 26}),
    Feature("macd_signal", "quote", ("macd",), ind.ema(c("macd"), 9), "exponential average of macd", 33, {"signal": 9}),
    Feature("macd_hist", "quote", ("macd", "macd_signal"), c("macd") - c("macd_signal"), "macd less its signal", 33),
    ratio("macd_hist_bps", "bps", ("macd_hist", "close"), c("macd_hist") / c("close") * BPS, "macd histogram over the close", 33),
    Feature("bollinger_upper", "quote", ("sma_20", "close"), c("sma_20") + 2 * BAND,
        "average of 20 plus 2 standard deviations (population; Bollinger 2001)", 19, {"window": 20, "width": 2}),
    Feature("bollinger_lower", "quote", ("sma_20", "close"), c("sma_20") - 2 * BAND,
        "average of 20 less 2 standard deviations (population; Bollinger 2001)", 19, {"window": 20, "width": 2}),
    ratio("bollinger_position", "", ("close", "sma_20", "bollinger_upper", "bollinger_lower"),
        ind.signed_share(2 * (c("close") - c("sma_20")), WIDTH),
        "close between the bands: -1 at the lower, 1 at the upper; 0 where they meet", 19),
    ratio("regime", "0 to 5", ("vol_20", "sma_5", "sma_20", "close"), ind.regime(c("vol_20"), c("sma_5"), c("sma_20"), c("close"), 60),
        "3 x (vol_20 above its median of 60 s) + trend (0 down, 1 none, 2 up: averages 5 and 20 further apart than vol_20)",
        79, window=60),
    Feature("hour", "h", ("ts_event",), c("ts_event").dt.hour().cast(pl.Float64), "hour of the close, UTC"),
    Feature("minute", "min", ("ts_event",), c("ts_event").dt.minute().cast(pl.Float64), "minute of the close, UTC"),
)  # fmt: skip

FLOW = (
    Feature("volume", "base", ("volume_units", "size_unit"), c("volume_units") / c("size_unit"), "traded size of the second"),
    Feature("volume_avg_5", "base", ("volume_units", "size_unit"), ind.exact_sum(c("volume_units"), 5) / (c("size_unit") * 5),
        "average size a second, last 5 s", 4, {"window": 5}),
    Feature("volume_sum_60", "base", ("volume_units", "size_unit"), ind.exact_sum(c("volume_units"), 60) / c("size_unit"),
        "traded size of the last 60 s", 59, {"window": 60}),
    ratio("volume_ratio", "", ("volume_avg_5", "volume_sum_60"), ind.signed_share(60 * c("volume_avg_5"), c("volume_sum_60")),
        "average size a second of 5 s over that of 60 s (0 where nothing traded)", 59),
    Feature("signed_flow", "base", ("buy_units", "sell_units", "size_unit"), SIGNED / c("size_unit"),
        "size of the buyers' trades less that of the sellers'"),
    ratio("flow_share_1", SHARE, ("buy_units", "sell_units"), ind.signed_share(SIGNED, TRADED),
        "signed trade flow over all trade flow, 1 s"),
    ratio("flow_share_20", SHARE, ("buy_units", "sell_units"), ind.signed_share(ind.exact_sum(SIGNED, 20), ind.exact_sum(TRADED, 20)),
        "signed trade flow over all trade flow, 20 s", 19, window=20),
    ratio("effective_spread_bps", "bps", ("effective_spread",), c("effective_spread").forward_fill(CARRY_S).over("segment") * BPS,
        "twice the trades' distance from the middle known before them, by size; carried over seconds without trades (Harris 2003, ch. 21)"),
)  # fmt: skip

TOP = (
    ratio("quoted_spread_bps", "bps", ("bid", "ask", "mid"), (c("ask") - c("bid")) / MID * BPS, "ask less bid over the middle"),
    Feature("microprice", "quote", ("bid", "ask", "bid_size", "ask_size"),
        (c("bid") * c("ask_size") + c("ask") * c("bid_size")) / (c("bid_size") + c("ask_size")),
        "middle weighted by the size opposite (Gatheral & Oomen 2010; Stoikov 2018, the weighted mid)"),
    ratio("microprice_bps", "bps", ("microprice", "mid"), (c("microprice") / MID - 1) * BPS, "microprice over the middle, less 1"),
    ratio("imbalance_1", SHARE, ("bid_size", "ask_size"), ind.signed_share(c("bid_size") - c("ask_size"), c("bid_size") + c("ask_size")),
        "(bid size - ask size) / their sum, best level", 0, levels=1),
    Feature("ofi", "base", ("ofi_units", "size_unit"), c("ofi_units") / c("size_unit"),
        "order-flow imbalance of the second, best level (Cont, Kukanov & Stoikov 2014)"),
    ratio("ofi_share_1", SHARE, ("ofi_units", "ofi_abs_units"), ind.signed_share(c("ofi_units"), c("ofi_abs_units")),
        "order-flow imbalance over all order flow, 1 s"),
    ratio("ofi_share_5", SHARE, ("ofi_units", "ofi_abs_units"),
        ind.signed_share(ind.exact_sum(c("ofi_units"), 5), ind.exact_sum(c("ofi_abs_units"), 5)),
        "order-flow imbalance over all order flow, 5 s", 4, window=5),
    ratio("mid_ret_1", "ln", ("mid",), ind.log_return(MID), "log return of the middle over 1 s", 1),
    returns(5, "mid_ret_1", "mid_ret"),
    ratio("realised_vol_60", "ln", ("mid_ret_1",), ind.window_sum(c("mid_ret_1") ** 2, 60).sqrt(),
        "root of the summed squares of the last 60 one-second returns of the middle (Andersen & Bollerslev 1998)", 60, window=60),
)  # fmt: skip


def depth(side: str) -> tuple[Feature, ...]:
    """Of one side, over its best 20 levels."""
    total, levels, vwap = f"{side}_total", f"{side}_levels", f"{side}_vwap"
    of = {"levels": 20.0}
    middle = (c("book_bid") + c("book_ask")) * 0.5
    return (
        Feature(f"{side}_volume_20", "base", (total,), c(total), f"size on the best 20 {side} levels", 0, of),
        Feature(f"{side}_volume_avg_20", "base", (total, levels), c(total) / c(levels), "the same, a level there is", 0, of),
        Feature(f"{side}_vwap_20", "quote", (vwap,), c(vwap), f"price of the best 20 {side} levels, weighted by size", 0, of),
        ratio(f"{side}_depth_bps", "bps", (vwap, "book_bid", "book_ask"), (c(vwap) / middle - 1) * BPS,
            "that price over the middle of the book, less 1", 0, **of),
    )  # fmt: skip


def imbalance(levels: int, bid: str, ask: str) -> Feature:
    share = ind.signed_share(c(bid) - c(ask), c(bid) + c(ask))
    return ratio(
        f"imbalance_{levels}", SHARE, (bid, ask), share, f"(bid size - ask size) / their sum, best {levels} levels", 0, levels=levels
    )


BOOK = (
    *depth("bid"),
    *depth("ask"),
    Feature("bid_ask_ratio_20", "", ("bid_total", "ask_total"), c("bid_total") / c("ask_total"),
        "bid size over ask size, best 20 levels", 0, {"levels": 20}),
    imbalance(5, "bid_total_5", "ask_total_5"),
    imbalance(20, "bid_total", "ask_total"),
)  # fmt: skip

SPECS: tuple[Feature, ...] = (*PRICE, *FLOW, *TOP, *BOOK)
WARM_UP = max(f.warm_up for f in SPECS)


def names() -> tuple[str, ...]:
    """All features, in the order of their columns."""
    return tuple(f.name for f in SPECS)


def model_inputs(available: Collection[str] | None = None) -> tuple[str, ...]:
    """The features a model is fed, in order: those free of scale and of the calendar, as far as they are `available`.

    `available` are the features there is data for (`available` of the training days): where no book was recorded, a model does without
    the book, and says so by its feature set's hash. None: all.
    """
    return tuple(f.name for f in SPECS if f.model and (available is None or f.name in available))


def available(known: Mapping[str, int], longest_run: int) -> tuple[str, ...]:
    """The features there is data for, told from how many rows `known` has of each.

    One without a value counts as missing only if the longest unbroken run outlasts its warm-up: else there is just too little data.
    """
    return tuple(f.name for f in SPECS if known[f.name] or longest_run <= f.warm_up)


def feature_set_hash(of: Iterable[str] | None = None) -> str:
    """16 hex digits over the definitions of these features (None: all), in their order. An unknown name raises `KeyError`."""
    by_name = {f.name: f for f in SPECS}
    chosen = SPECS if of is None else [by_name[name] for name in of]
    told = [FORM, [[f.name, f.unit, f.inputs, sorted(f.params.items()), f.warm_up] for f in chosen]]
    return hashlib.sha256(json.dumps(told).encode()).hexdigest()[:16]


def features(seconds: pl.LazyFrame) -> pl.LazyFrame:
    """Add every feature to a dense grid of seconds that has the columns no spec makes; float64, null where it has no value.

    Raises `ValueError` that names the features whose inputs are not there.
    """
    have = set(seconds.collect_schema().names())
    left = list(SPECS)
    while left:
        ready = [f for f in left if have.issuperset(f.inputs)]
        if not ready:
            raise ValueError("no inputs for " + ", ".join(f.name for f in left))
        seconds = seconds.with_columns(f.batch.cast(pl.Float64).alias(f.name) for f in ready)
        have |= {f.name for f in ready}
        left = [f for f in left if f.name not in have]
    # Away is null in every column; and a division by nothing has no value: never infinity, never NaN.
    stands = c("segment").is_not_null()
    return seconds.with_columns(pl.when(stands & c(name).is_finite()).then(c(name)).alias(name) for name in names())
