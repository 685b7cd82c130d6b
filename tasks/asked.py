"""What a flow was asked for, as what is stored: parts, or a trained model. What is not there is refused by its name."""

import json
from collections.abc import Sequence
from datetime import UTC, date, datetime
from pathlib import Path

from core import asking
from core.asking import ANY, BadParameter
from core.runs import Stage
from core.store import Part, Store


def today() -> date:
    """The day it is now, UTC, as all our days are."""
    return datetime.now(UTC).date()


def parts_asked(
    store: Store,
    table: str,
    *,
    hint: str,
    venue: str = ANY,
    symbols: Sequence[str] = (),
    start: date | None = None,
    end: date | None = None,
) -> list[Part]:
    """The parts of `table` that are meant, in order; all venues, symbols and days where they are not named.

    Raises `BadParameter` for what has no part at all; `hint` says what would make some.
    """
    asking.span(start, end, today())
    by_symbol = [store.parts(table, venue, symbol) for symbol in symbols or (ANY,)]
    if not all(by_symbol):
        asking.instruments(venue, symbols, {(p.venue, p.symbol) for p in store.parts(table)}, hint)
    there = sorted({part for parts in by_symbol for part in parts})
    if not there:
        raise BadParameter("venue", f"there is no {table} yet; {hint}")
    found = [p for p in there if (start is None or p.day >= start) and (end is None or p.day <= end)]
    if not found:
        first, last = min(p.day for p in there), max(p.day for p in there)
        named = "start" if start is not None and start > last else "end"
        raise BadParameter(named, f"no day of {table} lies from {start or first} to {end or last}; there are days from {first} to {last}")
    return found


def model_asked(data_dir: Path, version_id: str = "") -> Stage:
    """The stage result kept with a trained model; the newest where no version is named. Raises `BadParameter`."""
    done = sorted((data_dir / "models").glob("*/train.json"), key=lambda p: p.stat().st_mtime)
    if not done:
        raise BadParameter("version_id", "there is no trained model yet; scalp run or scalp train makes one")
    if version_id:
        asking.one_of("version_id", version_id, (p.parent.name for p in done))
    chosen = next(p for p in reversed(done) if version_id in ("", p.parent.name))
    return Stage(name="train", changed=False, facts=json.loads(chosen.read_bytes()) | {"folder": str(chosen.parent)})
