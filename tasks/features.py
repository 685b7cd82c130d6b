"""One clean day of one instrument becomes bars, model inputs and labels.

    clean_market__{trades,quotes,book,top,instruments} -> clean_market__1s_bars -> feat_market__1s_inputs, feat_market__1s_labels

Facts of the stage: days (venue symbol day bars rows complete_rows gaps late_trades labels{down,flat,up} changed seconds), features,
model_inputs, feature_set_hash.
"""

import contextlib
import functools
import time
from collections.abc import Iterator, Sequence
from datetime import date
from typing import Any

import numpy as np
import polars as pl
from prefect import task
from prefect.cache_policies import NO_CACHE

from core.freshness import Freshness, joined
from core.market import NS
from core.settings import Bars, Labels, Quality, SettingsError
from core.store import Part, Store, StoreError
from core.tables import TS
from kernels import bars as seconds_of
from kernels import book_features as books
from kernels import features as feats
from kernels import labels as outcomes
from kernels.seconds import Scale, seconds
from tasks.clean import recoverable
from tasks.damage import blaming
from tasks.span import DAY_NS, HEAD_S, INSTRUMENTS, TAIL_S, Recipe, Span

BARS, INPUTS, LABELS = "clean_market__1s_bars", "feat_market__1s_inputs", "feat_market__1s_labels"
EVENTS = ("trades", "quotes", "book")  # what tells the time
FORM = {BARS: 1, INPUTS: 1, LABELS: 1}  # rises when the rows of a table change for the same inputs and parameters
NAMES = ("down", "flat", "up")
AGAIN: dict[str, Any] = {"retries": 2, "retry_delay_seconds": [1, 3], "retry_condition_fn": recoverable, "cache_policy": NO_CACHE}


def bars_of(span: Span, rules: Bars) -> Recipe:
    """What the day's bars are made of now."""
    return Recipe(span.part(BARS), span.inputs((*EVENTS, INSTRUMENTS), (0, 1)), {"form": FORM[BARS], "lateness_ms": rules.lateness_ms})


def inputs_of_seconds(span: Span, rules: Bars, quality: Quality) -> Recipe:
    """What the features of the day's seconds are made of now."""
    params = {"lateness_ms": rules.lateness_ms, "gap_s": quality.gap_s, "feature_set_hash": feats.feature_set_hash()}
    inputs = span.inputs((*EVENTS, "top", INSTRUMENTS)) | span.inputs((BARS,), (0,))
    return Recipe(span.part(INPUTS), inputs, {"form": FORM[INPUTS], **params})


def labels_of(span: Span, rules: Labels, quality: Quality) -> Recipe:
    """What the day's labels are made of now. Raises `SettingsError` for a horizon of over half an hour."""
    part = span.part(LABELS)
    if rules.horizon_s + rules.order_latency_ms / 1000 > HEAD_S / 2:
        raise SettingsError(f"labels look at most {HEAD_S // 2} s ahead, not {rules.horizon_s} s")
    inputs = span.inputs(("top", INSTRUMENTS)) | span.inputs((INPUTS,), (0,))
    return Recipe(part, inputs, {"form": FORM[LABELS], "gap_s": quality.gap_s, **rules.model_dump()})


def seconds_fresh(store: Store, venue: str, symbol: str, day: date, *, bars: Bars, quality: Quality, labels: Labels) -> Freshness:
    """Whether the day's bars, features and labels are what `build_bars`, `build_inputs` and `build_labels` would make."""
    span = Span(store, venue, symbol, day)
    recipes = bars_of(span, bars), inputs_of_seconds(span, bars, quality), labels_of(span, labels, quality)
    return joined({recipe.part.table: recipe.freshness(store) for recipe in recipes})


@contextlib.contextmanager
def naming(part: Part) -> Iterator[None]:
    """Let what is wrong with the data name the part it was to become."""
    try:
        yield
    except (pl.exceptions.PolarsError, ArithmeticError, LookupError, ValueError) as error:
        raise ValueError(f"{part}: {error}") from error


def ns(of_s: float) -> int:
    return round(of_s * NS)


def feed_of(span: Span, trades: pl.LazyFrame, rules: Bars, gap: int, days: tuple[int, ...]) -> seconds_of.Feed:
    scale = span.scale(days)
    others = (span.rows(noun, scale, days) for noun in EVENTS if noun != "trades")
    return seconds_of.feed(trades, *others, lateness=rules.lateness_ms * 1_000_000, gap=gap)


def traded(span: Span, scale: Scale, days: tuple[int, ...]) -> pl.LazyFrame:
    """The trades of these days, read once for all that is made from them."""
    columns = ("ts_event", "ts_recv", "price", "size", "side", "price_decimals", "size_decimals")
    return span.rows("trades", scale, days).select(columns).collect().rechunk().lazy()


def make_bars(store: Store, venue: str, symbol: str, day: date, *, rules: Bars) -> float:
    """One-second bars of the day; returns the seconds it took, 0 if it was up to date.

    The head of the day after closes the last of them.
    """
    began, span = time.monotonic(), Span(store, venue, symbol, day)
    part, inputs, params = recipe = bars_of(span, rules)
    if recipe.freshness(store).fresh:
        return 0.0
    with naming(part), blaming(store, inputs):
        trades = traded(span, span.scale((0,)), (0,))
        after = span.rows("trades", span.scale((0, 1)), (1,)).select("ts_event", "ts_recv")
        feed = feed_of(span, pl.concat([trades.select("ts_event", "ts_recv"), after]), rules, NS, (0, 1))
        made, n_late = seconds_of.bars(trades, feed)
        facts = {"bars": made.height, "trades": int(made["n_trades"].sum()), "late_trades": n_late}
    store.write(part, made, inputs=inputs, params=params, facts=facts | {"seconds": round(time.monotonic() - began, 3)})
    return time.monotonic() - began


def make_inputs(store: Store, venue: str, symbol: str, day: date, *, rules: Bars, quality: Quality) -> float:
    """Features of every second of the day; returns the seconds it took, 0 if it was up to date.

    Windows reach into the day before.
    """
    began, span = time.monotonic(), Span(store, venue, symbol, day)
    part, inputs, params = recipe = inputs_of_seconds(span, rules, quality)
    if recipe.freshness(store).fresh:
        return 0.0
    with naming(part), blaming(store, inputs):
        made = cut(feats.features(day_of_seconds(span, rules, quality)).collect(), span.start)
    known = {name: int(made[name].count()) for name in feats.names()}
    away = made["segment"].is_null()
    runs = made.filter(~away).group_by("segment").len()["len"].max()
    model = feats.model_inputs(feats.available(known, int(str(runs or 0))))
    facts = {
        "rows": made.height,
        "complete_rows": made.select(pl.all_horizontal(pl.col(model).is_not_null()).sum()).item() if model else 0,
        "gaps": int((away & ~away.shift(1, fill_value=False)).sum()),
        "known": known,
        "model_inputs": list(model),
        "feature_set_hash": feats.feature_set_hash(),
        "seconds": round(time.monotonic() - began, 3),
    }
    store.write(part, made, inputs=inputs, params=params, facts=facts)
    return time.monotonic() - began


def day_of_seconds(span: Span, rules: Bars, quality: Quality) -> pl.LazyFrame:
    """What features are made from, for the day's seconds and the hour before them."""
    scale, gap = span.scale(), ns(quality.gap_s)
    trades = traded(span, scale, (-1, 0, 1))
    feed = feed_of(span, trades, rules, gap, (-1, 0, 1))
    first = max(span.start - TAIL_S * NS + NS, feed.first_close)
    grid = seconds_of.grid(feed, first, min(span.start + DAY_NS, feed.last_close))
    closed_at = grid["known_at"].to_physical().to_numpy()
    tops = books.tops(span.rows("top", scale))
    at = pl.col("ts_event").to_physical()
    of_trades = trades.select(pl.col("ts_recv").to_physical(), "price", "size", second=at // NS + 1 - first // NS).collect()
    ts_recv, price, size, second = (column.to_numpy() for column in of_trades)
    spread = books.effective_spread(ts_recv, price, size, second, closed_at, tops, max_age=gap)
    before = seconds_of.bars(trades.filter(at < span.start), feed).bars
    bars = pl.concat([before.lazy(), span.rows(BARS, scale, (0,))])
    levels = books.levels_at(span.rows("book", scale), closed_at, max_age=gap, read=functools.partial(span.levels, scale))
    return seconds(grid, bars, tops, books.top_seconds(tops, closed_at, max_age=gap), spread, levels, scale)


def cut(made: pl.DataFrame, start: int) -> pl.DataFrame:
    """The rows of the day that starts at `start`, without the seconds before its first and after its last unbroken run."""
    own = made.filter(pl.col("ts_event").to_physical() > start).select("ts_event", "known_at", "segment", *feats.PLAIN, *feats.names())
    there = own["segment"].is_not_null().arg_true()
    if there.is_empty():
        return own.clear()
    own = own[int(there[0]) : int(there[-1]) + 1]
    return own.with_columns(pl.col("segment") - pl.col("segment").min())


def make_labels(store: Store, venue: str, symbol: str, day: date, *, rules: Labels, quality: Quality) -> float:
    """Outcomes of an order at each second of the day; returns the seconds it took, 0 if it was up to date.

    Raises `SettingsError` for a horizon of over half an hour: no more of the day after is read.
    """
    began, span = time.monotonic(), Span(store, venue, symbol, day)
    part, inputs, params = recipe = labels_of(span, rules, quality)
    if recipe.freshness(store).fresh:
        return 0.0
    with naming(part), blaming(store, inputs):
        asked = store.scan(span.part(INPUTS)).filter(pl.col("segment").is_not_null()).select("ts_event", "known_at").collect()
        barriers = outcomes.Barriers(
            horizon=ns(rules.horizon_s),
            latency=round(rules.order_latency_ms * 1e6),
            take_profit=rules.take_profit_bps / 1e4,
            stop_loss=rules.stop_loss_bps / 1e4,
            fee=float(str(span.instrument()["taker_bps"])) / 1e4,
            max_age=ns(quality.gap_s),
        )
        tops = books.tops(span.rows("top", span.scale()))
        found = outcomes.labels(tops.known_at, tops.bid, tops.ask, asked["known_at"].to_physical().to_numpy(), barriers)
    made = asked.select(
        "ts_event",
        ts_entry=pl.Series(found.ts_entry).cast(TS),
        known_at=pl.Series(found.ts_entry + barriers.horizon).cast(TS),
        direction=pl.Series(found.direction, dtype=pl.Int8),
        ret_long=pl.Series(found.net_long),
        ret_short=pl.Series(found.net_short),
        gross_long=pl.Series(found.gross_long),
        gross_short=pl.Series(found.gross_short),
        volatility=pl.Series(found.volatility),
    ).filter(pl.Series(found.settled))
    counts = np.bincount(made["direction"].to_numpy() + 1, minlength=3)
    facts = {name: int(n) for name, n in zip(NAMES, counts, strict=True)} | {"seconds": round(time.monotonic() - began, 3)}
    store.write(part, made, inputs=inputs, params=params, facts=facts)
    return time.monotonic() - began


build_bars = task(name="build_bars", task_run_name="bars {symbol} {day}", **AGAIN)(make_bars)
build_inputs = task(name="build_inputs", task_run_name="features {symbol} {day}", **AGAIN)(make_inputs)
build_labels = task(name="build_labels", task_run_name="labels {symbol} {day}", **AGAIN)(make_labels)


def facts_of(store: Store, venue: str, symbol: str, day: date, *, built: Sequence[float] = ()) -> dict[str, Any]:
    """What the day's parts say of themselves: the facts of one day of the stage. A part that is not there raises `StoreError`.

    `built` are the seconds that building them took, 0 for those that were up to date.
    """
    span = Span(store, venue, symbol, day)
    facts: dict[str, dict[str, Any]] = {}
    for name in (BARS, INPUTS, LABELS):
        lineage = store.lineage(span.part(name))
        if lineage is None:
            raise StoreError(f"{span.part(name)}: missing")
        facts[name] = lineage.facts
    return {
        "venue": venue,
        "symbol": symbol,
        "day": day.isoformat(),
        "bars": facts[BARS]["bars"],
        "late_trades": facts[BARS]["late_trades"],
        **{key: facts[INPUTS][key] for key in ("rows", "complete_rows", "gaps", "model_inputs")},
        "labels": {name: facts[LABELS][name] for name in NAMES},
        "changed": any(built),
        "seconds": round(sum(built), 3),
    }


check_features = task(name="check_features", task_run_name="check {symbol} {day}", cache_policy=NO_CACHE)(facts_of)
