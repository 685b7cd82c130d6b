"""One clean day of one instrument becomes the features of its trades, each with the top of the book that was known when it came.

    clean_market__{trades,quotes,book,top,instruments} -> feat_market__trade_inputs

Facts of the stage: grain, generated, days (venue symbol day rows complete_rows gaps known changed seconds), features, feature_set_hash.
"""

import logging
import time
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

import numpy as np
from prefect import task

from core.market import GENERATED
from core.runs import Stage
from core.settings import Quality
from core.store import Part, Store
from kernels import trade_features as feats
from tasks import memory, trade_tape
from tasks.damage import blaming
from tasks.features import AGAIN, EVENTS, naming
from tasks.span import INSTRUMENTS, Recipe, Span
from tasks.trade_tape import INPUTS

FORM = 1  # rises when the rows change for the same inputs and parameters

log = logging.getLogger("scalp")


def trade_inputs_of(span: Span, quality: Quality) -> Recipe:
    """What the features of the day's trades are made of now."""
    size = {"tail": trade_tape.TAIL, "block": trade_tape.BLOCK}
    params = {"form": FORM, "gap_s": quality.gap_s, **size, "feature_set_hash": feats.feature_set_hash()}
    return Recipe(span.part(INPUTS), span.inputs((*EVENTS, "top", INSTRUMENTS)), params)


def make_trade_inputs(store: Store, venue: str, symbol: str, day: date, *, quality: Quality, threads: int = 1) -> dict[str, Any]:
    """Features of every trade of the day, unless they are there already; returns the facts of the day.

    Windows reach into the day before; the tops that the last trades see may stand in the day after. A day without trades is an empty
    part. `threads` share a block. Raises `StoreError` for an unreadable part or a full disk, and `ValueError` that names the part for
    data whose sums would not be exact.
    """
    began, span = time.monotonic(), Span(store, venue, symbol, day)
    of = {"venue": venue, "symbol": symbol, "day": day.isoformat()}
    part, inputs, params = recipe = trade_inputs_of(span, quality)
    if recipe.freshness(store).fresh and (made := store.lineage(part)):
        return of | made.facts | {"changed": False, "seconds": 0.0}
    with naming(part), blaming(store, inputs):
        tail = trade_tape.tail_s(store, span.part("trades", -1), span.start, quality.gap_s)
    schema = trade_tape.schema_of_rows()
    known, complete, segment = np.zeros(len(feats.SPECS), np.int64), 0, 0
    with naming(part), blaming(store, inputs), store.writing(part, inputs=inputs, params=params, schema=schema) as sink:
        for block in trade_tape.read(Span(store, venue, symbol, day, tail), quality).blocks(schema, threads):
            sink.add(block.rows)
            known += [block.rows.num_rows - block.rows[name].null_count for name in feats.names()]
            complete, segment = complete + block.complete, block.rows["segment"][-1].as_py()
        sink.facts.update(
            rows=sink.rows,
            complete_rows=complete,
            gaps=segment,
            known=dict(zip(feats.names(), known.tolist(), strict=True)),
            feature_set_hash=feats.feature_set_hash(),
            seconds=round(time.monotonic() - began, 3),
        )
    seconds = time.monotonic() - began
    log.info("%s %s %s: features of %s trades, %.1f s", venue, symbol, day, f"{sink.rows:,}", seconds)
    return of | sink.facts | {"changed": True, "seconds": round(seconds, 3)}


build_trade_inputs = task(name="build_trade_inputs", task_run_name="trade features {symbol} {day}", **AGAIN)(make_trade_inputs)


def trade_stage(facts: Sequence[Mapping[str, Any]], asked: Mapping[tuple[str, str], Sequence[date]], *, seconds: float) -> Stage:
    """The result of the stage over the days `asked` for; `facts` are those of `build_trade_inputs`.

    A day in which some feature has no value at all is a warning that says why.
    """
    wanted = {(venue, symbol, day.isoformat()) for (venue, symbol), days in asked.items() for day in days}
    mine = [dict(f) for f in facts if (f["venue"], f["symbol"], f["day"]) in wanted]
    cost = memory.spent(sum(f["rows"] for f in facts if f["changed"]), seconds)
    return Stage(
        name="features",
        changed=any(f["changed"] for f in facts),
        seconds=seconds,
        parts=[Part(INPUTS, f["venue"], f["symbol"], date.fromisoformat(f["day"])) for f in mine],
        warnings=[f"{f['venue']}/{f['symbol']} {f['day']}: {said}" for f in mine if (said := lacking(f))],
        facts={
            "grain": "trade",
            "generated": any(f["venue"] == GENERATED for f in mine),
            "days": mine,
            "features": list(feats.names()),
            "feature_set_hash": feats.feature_set_hash(),
            **cost,
        },
    )


def lacking(of: Mapping[str, Any]) -> str:
    """Why features of a day are missing; empty where each has some value."""
    none = [name for name, n in of["known"].items() if not n]
    if not of["rows"]:
        return "no trade"
    if none and of["rows"] <= feats.WARM_UP:
        return f"{of['rows']} trades, of which the longest warm-up takes {feats.WARM_UP}; record more, or ingest the day before too"
    return f"no value of {', '.join(none[:4])}{' …' if none[4:] else ''}; is there a book or a ticker for it?" if none else ""


def beside(second: Stage, trade: Stage) -> Stage:
    """Both grains as one stage: the facts of the seconds, with those of the trades under `trade`."""
    return Stage(
        name="features",
        changed=second.changed or trade.changed,
        seconds=second.seconds + trade.seconds,
        parts=[*second.parts, *trade.parts],
        warnings=[*second.warnings, *trade.warnings],
        facts=second.facts | {"trade": trade.facts},
    )
