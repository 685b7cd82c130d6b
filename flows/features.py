"""Features: clean days become one-second bars, model inputs and labels.

clean_market__* -> clean_market__1s_bars -> feat_market__1s_inputs, feat_market__1s_labels
"""

import time
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

from prefect import flow
from prefect.runtime import flow_run
from prefect.task_runners import ThreadPoolTaskRunner

from core import machine, runs, settings
from core.parts import told
from core.store import Part, Store
from tasks.feature_days import clean_parts, days_of, stage, with_neighbours
from tasks.features import build_bars, build_inputs, build_labels, check_features
from tasks.pages import publish

RUNNER: Any = ThreadPoolTaskRunner(max_workers=2)  # symbols side by side; Polars has threads of its own


def run_name() -> str:
    return f"features of {told(flow_run.parameters.get('parts') or ())}".removesuffix(" of ")


@flow(flow_run_name=run_name, validate_parameters=False, task_runner=RUNNER)
async def features(
    parts: Sequence[Part] | None,
    run_folder: Path,
    venue: str = "*",
    symbols: Sequence[str] = (),
    start: date | None = None,
    end: date | None = None,
) -> runs.Stage:
    """Build the days of `parts`; without parts, the clean days there are of this venue and these symbols, from `start` to `end`.

    Symbols are built side by side, the days of each in order. The result is kept in `run_folder`.
    """
    began, config = time.monotonic(), settings.load()
    store = Store(config.lake, code=machine.code_version())
    days = days_of(parts if parts is not None else clean_parts(store, venue=venue, symbols=symbols, start=start, end=end))
    rules, quality = config.labels, config.quality
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
    made = stage(days, facts, seconds=time.monotonic() - began)
    runs.save(run_folder, made)
    await publish(made, store)
    return made
