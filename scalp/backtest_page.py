"""The page of a backtest: one HTML file with both queue assumptions side by side, equity, drawdown, fills, position and markouts."""

import re
from datetime import UTC, datetime
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import numpy as np
from jinja2 import Environment
from markupsafe import Markup

from core import machine
from scalp.backtesting import rows
from tasks import plots
from tasks.plots import BLUE, GREEN, INK, ORANGE, RED

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from serving.backtest import Setup, Tried
    from serving.backtest_tape import Market
    from serving.backtest_watch import Summary

POINTS = 2_000  # of a line
COLORS = {"pessimistic": BLUE, "optimistic": ORANGE}


def page(setup: "Setup", market: "Market", tried: "list[Tried]", told: "list[Summary]") -> str:
    """HTML that stands by itself."""
    quote = setup.listing.instrument.quote
    style = re.search(r"<style>\n(.*?)</style>", files("tasks").joinpath("report.html.jinja").read_text(), re.DOTALL)
    drawn = [
        ("equity", equity(tried, setup.wanted.capital, quote), "Valued at the middle once a second; below, what was lost from the peak."),
        ("market", fills(tried[0], setup), "The middle, our fills and our position, with the pessimistic queue."),
        ("markouts", markouts(told), "Mean of all fills, weighted by notional. Below 0 the market went against us after we traded."),
    ]
    first, last = tried[0].watched.samples[0].ts, tried[0].watched.samples[-1].ts
    low, high = sorted((told[0].pnl, told[1].pnl))
    least, most = sorted((told[0].fees, told[1].fees))
    verdict = (
        f"{setup.wanted.strategy} made between {low:+,.2f} and {high:+,.2f} {quote} with {setup.wanted.capital:,.0f} {quote}, "
        f"after {least:,.2f} to {most:,.2f} {quote} of fees."
    )
    reasons = [
        (one.queue, what, why, f"{n:,}")
        for one in told
        for what, many in (("refused by risk", one.refused), ("rejected by the venue", one.rejected), ("incident", one.incidents))
        for why, n in sorted(many.items(), key=lambda item: -item[1])
    ] + [(one.queue, "mode", mode, "1") for one in told for mode in one.modes]
    environment = Environment(autoescape=True)
    return environment.from_string(files("scalp").joinpath("backtest.html.jinja").read_text()).render(
        title=f"Backtest of {setup.symbol}",
        subtitle=f"{market.venue}, {market.source}, {_time(first)} to {_time(last)} UTC",
        style=Markup(style.group(1) if style else ""),
        generated=market.generated,
        failed=[f"{one.queue}: {task} ended: {why}" for one in told for task, why in one.failed.items()],
        verdict=verdict,
        told=told,
        rows=rows(told),
        funding="" if setup.listing.spot else " and without funding",
        drawn=[(Markup(plots.svg(figure, f"backtest-{name}")), caption) for name, figure, caption in drawn],
        reasons=reasons,
        made=_made(setup, market, tried),
    )


def _made(setup: "Setup", market: "Market", tried: "list[Tried]") -> list[tuple[str, str]]:
    wanted, of, latency = setup.wanted, setup.listing.instrument, setup.latency
    models = ", ".join(f"{m.facts.version} ({m.facts.alias})" for m in wanted.models) or "none: the indicator rule alone"
    return [
        ("source", market.source),
        ("strategy", f"{wanted.strategy} {wanted.params or ''}"),
        ("model", models),
        ("plan", f"{tried[0].plan.hash}"),
        ("fees", f"{of.maker_bps:g} bps maker, {of.taker_bps:g} bps taker"),
        ("latency", f"feed {latency.feed / 1e6:g} ms, entry {latency.entry / 1e6:g} ms, response {latency.response / 1e6:g} ms"),
        ("grid", f"tick {of.tick_size:g}, lot {of.lot_size:g} (told from the data)"),
        ("frames", f"{tried[0].n_frames:,}"),
        ("code", machine.code_version()),
        ("machine", machine.machine()),
    ]


def equity(tried: "list[Tried]", capital: float, quote: str) -> "Figure":
    """Result over time, and the distance from its peak."""
    made, (above, below) = plots.figure(2, 1, height=4.2, sharex=True, gridspec_kw={"height_ratios": (2, 1)})
    above.axhline(0, color=INK, linewidth=0.8)
    for one in tried:
        ts, values = _line([(s.ts, s.equity - capital) for s in one.watched.samples])
        above.step(ts, values, where="post", label=one.queue, color=COLORS[one.queue])
        peak = np.fmax.accumulate(np.fmax(values, 0.0))
        below.step(ts, values - peak, where="post", color=COLORS[one.queue])
    above.set_title("Result after fees")
    above.set_ylabel(quote)
    above.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=2)
    below.set_ylabel(f"drawdown, {quote}")
    plots.clock(below)
    return made


def fills(tried: "Tried", setup: "Setup") -> "Figure":
    """The middle with fills on it; the position below."""
    made, (above, below) = plots.figure(2, 1, height=4.2, sharex=True, gridspec_kw={"height_ratios": (3, 1)})
    ts, middle = _line([(s.ts, s.middle) for s in tried.watched.samples])
    above.plot(ts, middle, color=INK, linewidth=0.9, alpha=0.7)
    for sign, name, color, mark in ((1, "bought", GREEN, "^"), (-1, "sold", RED, "v")):
        for maker, style in ((True, color), (False, "none")):
            some = [seen.fill for seen in tried.watched.fills if seen.fill.side.sign == sign and seen.fill.maker is maker]
            if some:
                at = np.array([fill.ts_event for fill in some], "datetime64[ns]")
                prices = [fill.price / setup.listing.price_unit for fill in some]
                label = f"{name}, {'maker' if maker else 'taker'}"
                above.scatter(at, prices, marker=mark, s=26, facecolors=style, edgecolors=color, linewidths=1.0, label=label, zorder=3)
    above.set_title("Fills, pessimistic queue")
    above.set_ylabel(f"price, {setup.listing.instrument.quote}")
    above.ticklabel_format(axis="y", useOffset=False, style="plain")
    if tried.watched.fills:
        above.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=4)
    ts, size = _line([(s.ts, s.size) for s in tried.watched.samples])
    below.fill_between(ts, size, step="post", color=BLUE, alpha=0.5, linewidth=0)
    below.axhline(0, color=INK, linewidth=0.8)
    below.set_ylabel(setup.listing.instrument.base or "position")
    plots.clock(below)
    return made


def markouts(told: "list[Summary]") -> "Figure":
    """Bars by seconds after the fill, both queues."""
    made, ax = plots.figure(width=6.4, height=2.8)
    names = list(told[0].markouts_bps)
    if not any(one.n_fills for one in told):
        plots.nothing(ax, "nothing was filled")
        return made
    wide = 0.36
    for k, one in enumerate(told):
        values = [np.nan if (value := one.markouts_bps[name]) is None else value for name in names]
        ax.bar(np.arange(len(names)) + (k - 0.5) * wide, values, wide, color=COLORS[one.queue], label=one.queue)
    ax.axhline(0, color=INK, linewidth=0.8)
    ax.set_xticks(np.arange(len(names)), [f"{name} s" for name in names])
    ax.set_title("Markouts")
    ax.set_ylabel("bps")
    ax.set_xlabel("after the fill")
    ax.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=2)
    return made


def _line(points: list[tuple[int, float]]) -> tuple[Any, Any]:
    """Times and values; of a long line the last of each of `POINTS` stretches."""
    ts, values = np.array([t for t, _ in points], "datetime64[ns]"), np.array([v for _, v in points], float)
    if len(ts) > POINTS:
        keep = np.unique(np.linspace(0, len(ts) - 1, POINTS).round().astype(int))
        ts, values = ts[keep], values[keep]
    return ts, values


def _time(ts: int) -> str:
    return f"{datetime.fromtimestamp(ts // 10**9, UTC):%Y-%m-%d %H:%M:%S}"
