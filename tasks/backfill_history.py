"""What partitions took before, from which a backfill's estimate is made: footers, models, and the outcomes of earlier backfills."""

from collections.abc import Iterable, Iterator
from datetime import date
from pathlib import Path

from core.backfills import Kind, Partition, Past
from core.store import Lineage, Part, Store, StoreError
from tasks import trade_features
from tasks.accounts import ROWS
from tasks.backfill import kept
from tasks.features import BARS, INPUTS, LABELS
from tasks.train import versions

NEWEST = 20  # partitions of a kind, and runs, that are looked at

TABLES = {Kind.CLEAN: (ROWS,), Kind.FEATURES: (BARS, INPUTS, LABELS), Kind.TRADES: (trade_features.INPUTS,)}


def past(store: Store, data_dir: Path, kinds: Iterable[Kind], venue: str, symbols: Iterable[str]) -> Iterator[Past]:
    """The newest partitions of these kinds, and those of these symbols, with what they took. What does not say it is left out."""
    for kind in kinds:
        if kind is Kind.RAW:
            yield from of_raw(data_dir)
        elif kind is Kind.MODEL:
            yield from of_models(data_dir)
        else:
            first, *_ = TABLES[kind]
            own = [part for symbol in symbols for part in store.parts(first, venue, symbol)[-NEWEST:]]
            for part in own or sorted(store.parts(first), key=lambda part: part.day)[-NEWEST:]:
                yield from of_part(store, kind, part)


def of_part(store: Store, kind: Kind, part: Part) -> Iterator[Past]:
    found = [lineage for table in TABLES[kind] if (lineage := readable(store, part.of(table)))]
    if kind is Kind.CLEAN:
        costs = [(day["seconds"], day["trades"] + day["quotes"] + day["book"]) for one in found if "seconds" in (day := one.facts["day"])]
    else:
        costs = [(one.facts["seconds"], one.rows) for one in found if "seconds" in one.facts]
    if len(costs) == len(TABLES[kind]):
        seconds, rows = (sum(of) for of in zip(*costs, strict=True))
        yield Past(Partition(kind, part.venue, part.symbol, part.day), seconds, rows)


def readable(store: Store, part: Part) -> Lineage | None:
    try:
        return store.lineage(part)
    except StoreError:
        return None


def of_models(data_dir: Path) -> Iterator[Past]:
    for facts in list(versions(data_dir / "models"))[:NEWEST]:
        # Named by its folder: a model's own days are of no matter here.
        yield Past(Partition(Kind.MODEL, "", facts["version_id"], date.min), facts["seconds"], facts["n_windows"])


def of_raw(data_dir: Path) -> Iterator[Past]:
    for folder in sorted((data_dir / "runs").glob("*"), reverse=True)[:NEWEST]:
        for outcome in kept(folder):
            if outcome.partition.kind is Kind.RAW and outcome.changed:
                yield Past(outcome.partition, outcome.seconds, outcome.rows)
