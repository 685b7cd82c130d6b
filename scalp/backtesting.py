"""`scalp replay --recording` and `--from`: the backtest in a terminal, and its page."""

import logging
import time
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
from rich.markup import escape
from rich.table import Table

from scalp.console import err, out
from scalp.failures import FAILED, OK, UsageError

if TYPE_CHECKING:
    from core.settings import Settings
    from serving.backtest import Setup
    from serving.backtest_tape import Market
    from serving.backtest_watch import Summary

GENERATED_FROM = 1_767_225_600_000_000_000  # 2026-01-01 00:00 UTC
MODEL_NS = 2_000_000  # an answer in this process takes about so long (docs/performance.md)
ROWS = (
    ("result", "pnl", ",.2f"), ("fees", "fees", ",.2f"), ("largest drawdown", "max_drawdown", ",.2f"), ("turnover", "turnover", ",.0f"),
    ("signals", "n_signals", ",d"), ("orders", "n_orders", ",d"), ("orders that filled", "n_filled", ",d"), ("fills", "n_fills", ",d"),
    ("maker share", "maker_share", ".1%"), ("refused by risk", "n_refused", ",d"), ("rejected by the venue", "n_rejected", ",d"),
    ("position at the end", "position", "g"),
)  # fmt: skip


class Source(NamedTuple):
    """What was asked for: one of a recording, days of the lake, minutes of the generated market."""

    recording: Path | None
    start: datetime | None
    end: datetime | None
    generated: float
    venue: str
    symbol: str


def run(config: "Settings", source: Source, strategy: str, page: Path | None, as_json: bool) -> int:
    """Returns the exit code. Raises `UsageError`, `OSError`."""
    from serving import backtest
    from serving.backtest_tape import TapeError
    from serving.backtest_watch import summary

    logging.getLogger("serving").addHandler(logging.NullHandler())  # what a worker logs is in the result
    began = time.perf_counter()
    try:
        market = market_of(config, source)
        setup = setup_of(config, market, strategy)
        tried = []
        for queue in backtest.QUEUES:
            with err.status(f"{queue}: compiling the engine") as status:
                since = time.perf_counter()

                def told(n: int, queue: str = queue, since: float = since) -> None:
                    status.update(f"{queue}: {n:,} frames, {n / (time.perf_counter() - since):,.0f}/s")

                tried.append(backtest.run(setup, queue, progress=told))
    except TapeError as error:
        raise UsageError(str(error)) from error
    except LookupError as error:
        raise UsageError(str(error).strip("'\"")) from error
    took = time.perf_counter() - began
    capital = setup.wanted.capital
    told_of = [summary(one.watched, queue=one.queue, n_frames=one.n_frames, failed=one.failed, capital=capital) for one in tried]
    if page is not None:
        from scalp import backtest_page

        page.parent.mkdir(parents=True, exist_ok=True)
        page.write_text(backtest_page.page(setup, market, tried, told_of))
    if as_json:
        facts: dict[str, Any] = {"venue": market.venue, "symbol": setup.symbol, "source": market.source, "strategy": setup.wanted.strategy}
        facts |= {"seconds": took, "plan_hash": tried[0].plan.hash, "page": str(page) if page is not None else None}
        print(msgspec.json.encode(facts | {one.queue: one for one in told_of}).decode())
    else:
        show(setup, market, told_of, took, page)
    return FAILED if any(one.failed for one in told_of) else OK


def market_of(config: "Settings", source: Source) -> "Market":
    """Raises `UsageError`, `TapeError`."""
    from core.store import Store
    from serving import backtest_tape
    from serving.venue_process import markets
    from serving.venue_tape import FEES

    fees, symbol = {**FEES, **config.fees.by_venue}, source.symbol
    if sum(map(bool, (source.recording, source.start, source.generated))) != 1:
        raise UsageError("--recording, --from and --generated are three sources: give one")
    if source.recording is not None:
        return backtest_tape.of_recording(source.recording, symbol, fees)
    if source.generated:
        made = {market.symbol: market for market in markets(config.generator)}
        if symbol and symbol not in made:
            raise UsageError(f"the generator makes {', '.join(made)}, not {symbol}")
        market = made[symbol] if symbol else next(iter(made.values()))
        return backtest_tape.of_generator(market, config.venue.seed, GENERATED_FROM, source.generated, fees)
    first = source.start
    assert first is not None
    last = source.end or first
    if last < first:
        raise UsageError(f"--from {first:%Y-%m-%d} is after --to {last:%Y-%m-%d}")
    if not symbol:
        raise UsageError("the lake has many symbols: say which with --symbol (scalp coverage lists them)")
    return backtest_tape.of_lake(Store(config.lake), source.venue, symbol, first.date(), last.date(), fees)


def setup_of(config: "Settings", market: "Market", strategy: str) -> "Setup":
    """What the settings say a worker would be, on this market."""
    from core.inference import in_process
    from scalp.live_wanted import wanted_of
    from serving.backtest import Setup
    from serving.deployed import deployed
    from serving.simulated import Latency

    models = deployed(config.data_dir, "none" if config.model.use == "none" else "in-process", "in-process", lambda _: None)
    wanted = msgspec.structs.replace(wanted_of(config, "backtest/one", models), symbols=(market.listing.instrument.symbol,))
    if strategy:
        params = dict(config.strategy.params) if strategy == config.strategy.name else {}
        wanted = msgspec.structs.replace(wanted, strategy=strategy, params=params)
    knobs, ms = config.venue, 1e6
    latency = Latency(feed=round(knobs.feed_ms * ms), entry=round(knobs.order_ms * ms), response=round(knobs.response_ms * ms))
    return Setup(
        venue=market.venue, listing=market.listing, tape=market.frames, begin=market.begin, wanted=wanted, latency=latency,
        balance=knobs.quote_balance, leverage=round(config.limits.max_leverage), model_ns=MODEL_NS,
        ask={model.facts.version: in_process(model.folder) for model in models},
    )  # fmt: skip


def show(setup: "Setup", market: "Market", told: "list[Summary]", took: float, page: Path | None) -> None:
    wanted, latency = setup.wanted, setup.latency
    models = ", ".join(f"{m.facts.version} ({m.facts.alias})" for m in wanted.models) or "none, the rule alone"
    out.print(f"[bold]{escape(setup.symbol)}[/bold] of {escape(market.venue)}, {escape(market.source)}", soft_wrap=True)
    out.print(f"  strategy {escape(wanted.strategy)}, model {escape(models)}, capital {wanted.capital:,.0f}", soft_wrap=True)
    of = setup.listing.instrument
    out.print(
        f"  fees {of.maker_bps:g} / {of.taker_bps:g} bps (maker / taker), latency {latency.feed / 1e6:g} ms feed, "
        f"{latency.entry / 1e6:g} ms entry, {latency.response / 1e6:g} ms response",
        soft_wrap=True,
    )
    if market.generated:
        out.print("  [yellow]![/yellow] a generated market holds a documented signal: its results say nothing of a real one")
    table = Table(box=None, pad_edge=False, show_edge=False)
    table.add_column("")
    for one in told:
        table.add_column(one.queue, justify="right")
    for name, cells in rows(told):
        table.add_row(name, *cells)
    out.print(table)
    for one in told:
        for what, many in (("refused", one.refused), ("rejected", one.rejected), ("incident", one.incidents)):
            for why, n in sorted(many.items(), key=lambda item: -item[1])[:5]:
                out.print(f"  {one.queue}: {what} {n:,} times: {escape(why)}", soft_wrap=True)
        for line in (*one.modes, *(f"{task} ended: {why}" for task, why in one.failed.items())):
            out.print(f"  [yellow]![/yellow] {one.queue}: {escape(line)}", soft_wrap=True)
    n = sum(one.n_frames for one in told)
    out.print(
        f"  {n:,} frames in {took:.1f} s ({n / took:,.0f}/s)" + (f"; page {escape(str(page))}" if page is not None else ""), soft_wrap=True
    )


def rows(told: "list[Summary]") -> list[tuple[str, list[str]]]:
    """Name and a cell of each run."""
    made = [(name, [format(getattr(one, field), form) for one in told]) for name, field, form in ROWS]
    made = [(name, ["-" if cell == "nan%" else cell for cell in cells]) for name, cells in made]
    for horizon in told[0].markouts_bps:
        cells = [one.markouts_bps[horizon] for one in told]
        made.append((f"markout {horizon} s, bps", ["-" if cell is None else f"{cell:+.2f}" for cell in cells]))
    return made
