"""Which plots each stage has: from a stage's facts and the lake to figures with a caption."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING

import polars as pl

from core import machine
from core.runs import Stage
from core.store import Part, Store, StoreError
from kernels.features import SPECS
from tasks import plots, plots_bench, plots_market
from tasks.plots_market import BARS, INPUTS, TRADES

if TYPE_CHECKING:
    from matplotlib.figure import Figure

log = logging.getLogger("scalp")

MAX_INSTRUMENTS = 6
BENCH = "out_bench__runs"


@dataclass(frozen=True, slots=True)
class Plot:
    """A figure drawn once: `svg` for the report's page, `figure` to make a PNG of."""

    name: str
    figure: "Figure"
    caption: str = ""

    @property
    def svg(self) -> str:
        return plots.svg(self.figure, self.name)


Drawer = Callable[[Stage, Store], Sequence[Plot]]


def draw(stage: Stage, store: Store) -> tuple[list[Plot], list[str]]:
    """All plots of a stage, and why some are missing: a part that cannot be read costs its plot, not the page."""
    made, missing = [], []
    for drawer in DRAWERS[stage.name]:
        try:
            made += drawer(stage, store)
        except (StoreError, OSError, pl.exceptions.PolarsError, ArithmeticError, ValueError, KeyError, TypeError) as error:
            log.warning("%s: the plot of %s is left out: %s", stage.name, drawer.__name__, error)
            missing.append(f"the plot of {drawer.__name__} is left out: {error}")
    return made, missing


def prices(stage: Stage, store: Store) -> list[Plot]:
    """Price and coverage, a plot an instrument, of the days the stage names."""
    days = stage.facts.get("days") or []
    # The trades themselves where the bars were not made yet.
    parts = sorted(
        part
        for d in days
        for part in store.parts(BARS, d["venue"], d["symbol"], d["day"]) or store.parts(TRADES, d["venue"], d["symbol"], d["day"])
    )

    def instrument(part: Part) -> tuple[str, str]:
        return part.venue, part.symbol

    made = []
    for (venue, symbol), some in groupby(sorted(parts, key=instrument), key=instrument):
        if len(made) == MAX_INSTRUMENTS:
            break
        figure = plots_market.price(plots_market.prices(store, list(some)), f"{venue} {symbol}")
        made.append(Plot(f"price-{venue}-{symbol}", figure, "Price and trades a second. Shaded: no trade for over a minute."))
    return made


def distributions(stage: Stage, store: Store) -> list[Plot]:
    """How each feature is distributed."""
    names = list(stage.facts.get("features") or [])
    days = stage.facts.get("days") or []
    parts = sorted({part for d in days for part in store.parts(INPUTS, d["venue"], d["symbol"], d["day"])})
    if not names or not parts:
        return []
    rows, nulls = plots_market.feature_rows(store, parts, names)
    caption = "Every feature between its 0.5 % and 99.5 % quantiles; beside the name the share of seconds in which it is null."
    return [Plot("distributions", plots_market.distributions(rows, nulls, {spec.name: spec.unit for spec in SPECS}), caption)]


def curves(stage: Stage, store: Store) -> list[Plot]:
    if not stage.facts.get("curves"):
        return []
    caption = "Loss: of direction, volatility and confidence together. Dashed: the epoch of the lowest validation loss, which is kept."
    return [Plot("curves", plots.curves(stage.facts["curves"]), caption)]


def calibration(stage: Stage, store: Store) -> list[Plot]:
    if not stage.facts.get("calibration"):
        return []
    caption = "Test windows in ten groups of like confidence. On the dashed line it is as often right as it says."
    return [Plot("calibration", plots.calibration(stage.facts["calibration"], stage.facts.get("calibration_error")), caption)]


def equity(stage: Stage, store: Store) -> list[Plot]:
    if not stage.facts.get("equity"):
        return []
    return [
        Plot(
            "equity",
            plots.equity(stage.facts["equity"]),
            "Fees and spread are paid. The line at zero is not to trade at all, which is a baseline too.",
        )
    ]


def latency(stage: Stage, store: Store) -> list[Plot]:
    figure = plots_bench.latency(stage.facts.get("rows") or [])
    return [Plot("latency", figure)] if figure else []


def ahead(stage: Stage, store: Store) -> list[Plot]:
    figure = plots_bench.ahead(stage.facts.get("rows") or [])
    return [Plot("ahead", figure)] if figure else []


def history(stage: Stage, store: Store) -> list[Plot]:
    """Each measurement over the runs kept in the lake, oldest first."""
    parts = store.parts(BENCH)[-60:]
    if not parts:
        return []
    columns = ("ts_event", "name", "unit", "value", "regressed")
    here = pl.col("machine") == machine.machine()
    rows = pl.concat([store.scan(part).filter(here).select(columns).collect() for part in parts]).sort("ts_event")
    runs: dict[tuple[str, str], list[tuple[float, bool]]] = {}
    for _, name, unit, value, regressed in rows.iter_rows():
        runs.setdefault((name, unit), []).append((value, bool(regressed)))
    figure = plots_bench.history({name: values[-40:] for name, values in runs.items()})
    return [Plot("history", figure, "Each measurement over the last runs, oldest first; a large point is a regression.")] if figure else []


DRAWERS: dict[str, tuple[Drawer, ...]] = {
    "ingest": (prices,),
    "features": (distributions,),
    "train": (curves, equity, calibration),
    "deploy": (),
    "benchmark": (ahead, latency, history),
}
