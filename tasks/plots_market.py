"""Figures of the data: price and coverage of an instrument, distributions of the features; read thinned, day by day.

A figure shows at most about two thousand points however many seconds there are: of each bucket of time its lowest and
highest price are kept, so no spike is lost.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from core.store import Part, Store
from tasks.plots import BLUE, FAINT, INK, ORANGE, RED, clock, figure, nothing

if TYPE_CHECKING:
    from matplotlib.figure import Figure

POINTS = 2000
SAMPLE = 20_000  # feature rows, over all days
BARS = "clean_market__1s_bars"
TRADES = "clean_market__trades"
INPUTS = "feat_market__1s_inputs"
COLUMNS = 6  # of small multiples
CELL = 0.86, 0.64  # width and height of a histogram in its cell


@dataclass(frozen=True, slots=True)
class Prices:
    """`line`: ts_event and close (null where the line breaks); `counts`: ts_event and n_trades per bucket of `bucket_s` seconds."""

    line: pl.DataFrame
    counts: pl.DataFrame
    bucket_s: float


def prices(store: Store, parts: Sequence[Part], points: int = POINTS) -> Prices:
    """Bars (or trades) of one instrument thinned to about `points` prices; over a minute (and two buckets) of silence breaks the line."""
    days = sorted(part for part in parts if part.table in (BARS, TRADES))
    each = max(40, points // (2 * max(1, len(days))))
    found = []
    for day in days:
        bars = _seconds(store, day)
        if not bars.height:
            continue
        first, last = (int(v) for v in bars["ts_event"].to_physical().to_numpy()[[0, -1]])
        width = max(1_000_000_000, -(-(last - first + 1) // each))
        found.append((width, bars.with_columns(bucket=(pl.col("ts_event").to_physical() - first) // width + first // width)))
    if not found:
        empty = pl.DataFrame(schema={"ts_event": pl.Datetime("ns", "UTC"), "close": pl.Float64, "n_trades": pl.Int64})
        return Prices(empty.select("ts_event", "close"), empty.select("ts_event", "n_trades"), 1.0)
    width = max(w for w, _ in found)
    lines, counts = [], []
    for _, bars in found:
        for pick in (pl.col("close").arg_min(), pl.col("close").arg_max()):
            lines.append(bars.group_by("bucket").agg(pl.col("ts_event", "close").get(pick)).select("ts_event", "close"))
        counts.append(bars.group_by("bucket").agg(pl.col("ts_event").min(), pl.col("n_trades").sum()).select("ts_event", "n_trades"))
    line = pl.concat(lines).unique().sort("ts_event")
    pause = pl.duration(seconds=60 + 2 * width / 1e9)
    breaks = line.filter(pl.col("ts_event").diff() > pause).select(
        pl.col("ts_event") - pl.duration(nanoseconds=1), close=pl.lit(None, pl.Float64)
    )
    return Prices(pl.concat([line, breaks]).sort("ts_event"), pl.concat(counts).sort("ts_event"), width / 1e9)


def _seconds(store: Store, part: Part) -> pl.DataFrame:
    rows = store.scan(part, floats=True)
    if part.table == BARS:
        return rows.select("ts_event", "n_trades", close="close_float").collect()
    second = pl.col("ts_event").dt.truncate("1s")
    return rows.group_by(second).agg(n_trades=pl.len().cast(pl.Int64), close=pl.col("price_float").last()).sort("ts_event").collect()


def price(found: Prices, title: str) -> "Figure":
    """Price above, trades a second below, on one clock; where neither is drawn there is no data."""
    made, (above, below) = figure(2, 1, height=3.6, sharex=True, gridspec_kw={"height_ratios": (3, 1)})
    if not found.line.height:
        nothing(above, "no trades")
        nothing(below, "")
        return made
    above.plot(found.line["ts_event"].to_numpy(), found.line["close"].to_numpy(), color=BLUE, linewidth=1.0)
    times, rate = found.counts["ts_event"].to_numpy(), found.counts["n_trades"].to_numpy() / found.bucket_s
    below.vlines(times, 0, rate, color=ORANGE, linewidth=max(0.4, min(2.0, 500 / len(times))))
    for gap in _away(found.line):
        for ax in (above, below):
            ax.axvspan(*gap, color=RED, alpha=0.12, linewidth=0)
    above.set_title(title)
    above.set_ylabel("price")
    above.ticklabel_format(axis="y", useOffset=False, style="plain")
    below.set_ylabel("trades / s")
    below.set_ylim(bottom=0)
    clock(below)
    return made


def _away(line: pl.DataFrame) -> list[tuple[np.datetime64, np.datetime64]]:
    times, holes = line["ts_event"].to_numpy(), line["close"].is_null().to_numpy()
    return [(times[i - 1], times[i + 1]) for i in np.flatnonzero(holes) if 0 < i < len(times) - 1]


def feature_rows(store: Store, parts: Sequence[Part], names: Sequence[str], sample: int = SAMPLE) -> tuple[pl.DataFrame, dict[str, float]]:
    """An evenly strided sample of feature rows over all days (all features float64), and each feature's share of nulls."""
    days = sorted(part for part in parts if part.table == INPUTS)
    frames, nulls, n = [], dict.fromkeys(names, 0), 0
    for day in days:
        rows = store.scan(day)
        there = [name for name in names if name in rows.collect_schema()]
        frame = rows.select(pl.col(there).cast(pl.Float64)).collect()
        n += frame.height
        counted = frame.null_count()
        for name in names:
            nulls[name] += counted[name][0] if name in there else frame.height
        frames.append(frame.gather_every(max(1, -(-frame.height * len(days) // sample))))
    rows = pl.concat(frames, how="diagonal") if frames else pl.DataFrame(schema=dict.fromkeys(names, pl.Float64))
    return rows, {name: nulls[name] / n if n else 1.0 for name in names}


def distributions(rows: pl.DataFrame, nulls: dict[str, float], units: dict[str, str] | None = None) -> "Figure":
    """Small multiples: one histogram a feature, between its 0.5 % and 99.5 % quantiles; share of nulls beside the name.

    All stand in one pair of axes, a cell each: fifty axes of their own take seconds to lay out.
    """
    names, units = list(nulls), units or {}
    lines = max(1, -(-len(names) // COLUMNS))
    made, ax = figure(height=1.15 * lines)
    ax.set_axis_off()
    ax.set_xlim(-0.02, COLUMNS - 0.12)
    ax.set_ylim(-lines + 0.95, 1.0)
    for i, name in enumerate(names):
        left, bottom = i % COLUMNS, -(i // COLUMNS)
        right = left + CELL[0]
        title = name + (f"  ({nulls[name]:.0%} null)" if nulls[name] >= 0.005 else "")
        ax.text(left, bottom + 0.82, title, fontsize=7.5, fontweight="bold" if nulls[name] == 1 else "normal")
        ax.plot([left, right], [bottom + 0.14] * 2, color=FAINT, linewidth=0.8)
        values = rows[name].drop_nulls().to_numpy() if name in rows.columns else np.array([])
        values = values[np.isfinite(values)]
        low, high = np.quantile(values, [0.005, 0.995]) if len(values) else (0.0, 0.0)
        if low == high:
            said = f"always {low:.4g}" if len(values) else "all null"
            ax.text(left + CELL[0] / 2, bottom + 0.4, said, ha="center", fontsize=8)
            continue
        counts, edges = np.histogram(values, bins=min(40, max(8, int(np.sqrt(len(values))))), range=(low, high))
        x = left + CELL[0] * (edges - low) / (high - low)
        ax.stairs(bottom + 0.14 + CELL[1] * counts / counts.max(), x, baseline=bottom + 0.14, fill=True, color=BLUE, alpha=0.8)
        if low < 0 < high:
            ax.plot([left - CELL[0] * low / (high - low)] * 2, [bottom + 0.14, bottom + 0.14 + CELL[1]], color=INK, linewidth=0.6)
        ends = (left, f"{low:.3g}", "left"), (left + CELL[0] / 2, units.get(name, ""), "center"), (right, f"{high:.3g}", "right")
        for at, text, side in ends:
            ax.text(at, bottom + 0.1, text, ha=side, va="top", fontsize=6.5)
    return made
