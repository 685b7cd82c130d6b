"""Which days the features stage builds, and what the stage has to say when they are built."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from typing import Any

from core.runs import Stage
from core.store import Part, Store
from kernels.features import WARM_UP, feature_set_hash, names
from tasks import memory
from tasks.features import INPUTS, LABELS
from tasks.span import DAY

Days = dict[tuple[str, str], list[date]]


def days_of(parts: Iterable[Part]) -> Days:
    """The days of these parts, in order, by instrument."""
    found: dict[tuple[str, str], set[date]] = {}
    for part in parts:
        found.setdefault((part.venue, part.symbol), set()).add(part.day)
    return {instrument: sorted(days) for instrument, days in sorted(found.items())}


def with_neighbours(store: Store, days: Days, table: str = INPUTS) -> Days:
    """The same days and those next to them that `table` has already: a new day closes the last bar of the one and feeds the windows of
    the other."""
    return {
        (venue, symbol): sorted(
            {*of, *(d for day in of for d in (day - DAY, day + DAY) if store.exists(Part(table, venue, symbol, d)))}
        )
        for (venue, symbol), of in days.items()
    }  # fmt: skip


def stage(days: Days, facts: Sequence[Mapping[str, Any]], *, seconds: float) -> Stage:
    """The result of the stage over these days; `facts` are those of `check_features`, each with `changed` and `seconds`.

    A day without a complete row is a warning; if no day has one, `ValueError` names the first and says why.
    """
    asked = {(venue, symbol, day.isoformat()) for (venue, symbol), of in days.items() for day in of}
    mine = [dict(f) for f in facts if (f["venue"], f["symbol"], f["day"]) in asked]
    warnings = [f"{f['venue']}/{f['symbol']} {f['day']}: {reason(f)}" for f in mine if not f["complete_rows"]]
    if warnings and len(warnings) == len(mine):
        raise ValueError("no day has a complete row of features to train on: " + "; ".join(warnings))
    parts = [Part(table, f["venue"], f["symbol"], date.fromisoformat(f["day"])) for f in mine for table in (INPUTS, LABELS)]
    cost = memory.spent(sum(f["rows"] for f in mine if f["changed"]), seconds)
    return Stage(
        name="features",
        changed=any(f["changed"] for f in facts),
        seconds=seconds,
        parts=parts,
        warnings=warnings,
        facts={"days": mine, "features": list(names()), "feature_set_hash": feature_set_hash(), **cost},
    )


def reason(of: Mapping[str, Any]) -> str:
    """Why a day has no complete row."""
    if not of["rows"]:
        return "no second of data"
    if of["rows"] <= WARM_UP:
        return f"{of['rows']} seconds of data, fewer than the longest warm-up ({WARM_UP}); record more, or ingest the day before too"
    return f"no second of {of['rows']} has every model input ({of['bars']} bars, {of['gaps']} gaps); is there a book or a ticker for it?"
