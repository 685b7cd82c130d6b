"""Features: clean days become one-second bars, model inputs and labels, or the features of their trades.

clean_market__* -> clean_market__1s_bars -> feat_market__1s_inputs, feat_market__1s_labels
clean_market__* -> feat_market__trade_inputs
"""

import os
import time
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

from prefect import flow
from prefect.runtime import flow_run

from core import asking, machine, runs, settings
from core.asking import Grain
from core.parts import told
from core.store import Part, Store
from flows.compute import BySettings
from tasks.asked import parts_asked, today
from tasks.feature_days import Days, days_of, stage, with_neighbours
from tasks.features import build_bars, build_inputs, build_labels, check_features
from tasks.hooks import HOOKS
from tasks.pages import publish
from tasks.run_record import run_of
from tasks.span import INSTRUMENTS
from tasks.trade_features import INPUTS, beside, build_trade_inputs, trade_stage

WORKERS = 2  # symbols side by side; Polars has threads of its own
RUNNER: Any = BySettings(WORKERS)


def asked_name() -> str:
    return f"features of {asking.named(flow_run.parameters)}"


def parts_name() -> str:
    return f"features of {told(flow_run.parameters['parts'])}"


@flow(name="features", flow_run_name=asked_name, task_runner=RUNNER, **HOOKS)
async def features(
    venue: str = "*",
    symbols: tuple[str, ...] = (),
    start: date | None = None,
    end: date | None = None,
    grain: Grain = Grain.SECOND,
) -> runs.Stage:
    """Bars, model inputs and labels of the clean days there are. A day that is up to date is not built again.

    Args:
        venue: Only this venue, such as binance-usdm; * for all.
        symbols: Only these symbols, such as BTCUSDT; none for all.
        start: The first day (UTC); None for the first there is.
        end: The last day (UTC), included; None for the last there is.
        grain: A row for every second (with bars and labels), for every trade, or both.
    """
    asking.span(start, end, today())  # said at once, also where the run has to wait for another
    asked: dict[str, Any] = {"venue": venue, "symbols": symbols, "start": start, "end": end}
    async with run_of("features", asked | {"grain": grain}) as folder:
        store = Store(settings.load().lake)
        return await build(folder, parts_asked(store, INSTRUMENTS, hint="scalp ingest makes it", **asked), grain)


@flow(name="features", flow_run_name=parts_name, task_runner=RUNNER, validate_parameters=False, **HOOKS)
async def features_of(parts: Sequence[Part]) -> runs.Stage:
    """The features of every second of these parts' days: a stage of a larger run."""
    async with run_of("features", {"parts": [str(part) for part in parts]}) as folder:
        return await build(folder, parts, Grain.SECOND)


async def build(folder: Path, parts: Sequence[Part], grain: Grain) -> runs.Stage:
    """Build the days of `parts`; the result is kept in the run's `folder`."""
    config = settings.load()
    store = Store(config.lake, code=machine.code_version())
    days = days_of(parts)
    if grain == Grain.TRADE:
        made = of_trades(store, days, config)
        runs.save(folder, made)
        return made
    made = of_seconds(store, days, config)
    if grain == Grain.BOTH:
        made = beside(made, of_trades(store, days, config))
    runs.save(folder, made)
    await publish(made, store)
    return made


def of_seconds(store: Store, days: Days, config: settings.Settings) -> runs.Stage:
    """Bars, inputs and labels of a second; symbols side by side, the days of each in order."""
    began, rules, quality = time.monotonic(), config.labels, config.quality
    runs_of_days: list[tuple[Any, ...]] = []
    for (at, symbol), of in with_neighbours(store, days).items():
        before: list[Any] = []
        # Prefect's overloads of `submit` forget `wait_for`.
        for day in of:
            bars = build_bars.submit(store, at, symbol, day, rules=config.bars, wait_for=before)  # pyright: ignore[reportCallIssue]
            inputs = build_inputs.submit(store, at, symbol, day, rules=config.bars, quality=quality, wait_for=[bars])  # pyright: ignore[reportCallIssue]
            outcome = build_labels.submit(store, at, symbol, day, rules=rules, quality=quality, wait_for=[inputs])  # pyright: ignore[reportCallIssue]
            checked = check_features.submit(store, at, symbol, day, built=[bars, inputs, outcome])
            before = [checked]
            runs_of_days.append((bars, inputs, outcome, checked))
    facts = [[run.result() for run in of_day][-1] for of_day in runs_of_days]  # the first that failed tells what went wrong
    return stage(days, facts, seconds=time.monotonic() - began)


def of_trades(store: Store, days: Days, config: settings.Settings) -> runs.Stage:
    """Features of every trade; symbols and days side by side, and the cores that leaves share each of them."""
    began = time.monotonic()
    all_days = [(at, symbol, day) for (at, symbol), of in with_neighbours(store, days, INPUTS).items() for day in of]
    threads = max((os.cpu_count() or 1) // min(WORKERS, max(len(all_days), 1)), 1)
    built = [build_trade_inputs.submit(store, *of_day, quality=config.quality, threads=threads) for of_day in all_days]
    return trade_stage([run.result() for run in built], days, seconds=time.monotonic() - began)
