"""Where every row went: per day while it is built, and per file once all its days are."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl
import polars.selectors as cs
from prefect import task
from prefect.cache_policies import NO_CACHE

from core.store import Store
from core.tables import table
from tasks.raw import pieces_of

CLEAN, DUPLICATE, QUARANTINED = "clean", "duplicate", "quarantined"
WAYS = (CLEAN, DUPLICATE, QUARANTINED)
ROWS = "quarantine_market__rows"


class AccountError(RuntimeError):
    """Rows went missing or were counted twice; the message names the file and the figures."""


class Account:
    """The rows of one day by source: clean, duplicate, or quarantined with a reason."""

    def __init__(self, sources: Sequence[tuple[str, str]]) -> None:
        self.sources = sources
        self.ways = [Counter[str]() for _ in sources]
        self.reasons = [Counter[str]() for _ in sources]
        self.refused: list[pl.DataFrame] = []

    def count(self, rows: pl.DataFrame, way: str) -> None:
        if not rows.height:
            return
        if len(self.sources) == 1:
            self.ways[0][way] += rows.height
            return
        for source, n in enumerate(np.bincount(rows["source"].to_numpy())):
            if n:
                self.ways[source][way] += int(n)

    def refuse(self, rows: pl.DataFrame, of: str, columns: Iterable[str]) -> None:
        """Quarantine rows that have a `reason`; without a `text` they are kept as JSON of `columns`."""
        if not rows.height:
            return
        self.count(rows, QUARANTINED)
        for source, reason, n in rows.group_by("source", "reason").len().iter_rows():
            self.reasons[source][reason] += n
        if "text" not in rows.columns:
            exact = [pl.col("ts_given").alias("ts_event"), *(pl.col(c) for c in columns if c not in ("ts_event", "source"))]
            exact = rows.select(exact).with_columns(cs.datetime().to_physical())  # exact: Python's times end at microseconds
            text = [json.dumps(row) for row in exact.iter_rows(named=True)]
            rows = rows.with_columns(text=pl.Series(text, dtype=pl.String))
        uris = {n: uri for n, (uri, _) in enumerate(self.sources)}
        shape = table(ROWS).columns
        self.refused.append(
            rows.with_columns(
                ts_event="ts_given",
                of=pl.lit(of),
                uri=pl.col("source").cast(pl.Int64).replace_strict(uris, return_dtype=pl.String),
            ).select(pl.col(c).cast(t) for c, t in shape.items())
        )

    def rows(self) -> pl.DataFrame:
        """The quarantine table."""
        empty = pl.DataFrame(schema=dict(table(ROWS).columns))
        return pl.concat([empty, *self.refused]).sort("source", "row", maintain_order=True)

    def facts(self) -> dict[str, Any]:
        """`sources` (in order of the `source` column), `accounting` by SHA-256, `by_reason`."""
        ways = [{way: found[way] for way in WAYS} for found in self.ways]
        named = [{"uri": uri, "sha256": sha} for uri, sha in self.sources]
        sources = [name | way | {"by_reason": dict(r)} for name, way, r in zip(named, ways, self.reasons, strict=True)]
        by_sha = {sha: way for (_, sha), way in zip(self.sources, ways, strict=True)}
        return {"sources": sources, "accounting": by_sha, "by_reason": dict(sum(self.reasons, Counter()))}


def accounts(store: Store, receipts: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """For each receipt (facts as `tasks.raw.write_pieces` returns them) what became of its rows: clean, duplicate, quarantined, by_reason.

    Raises `AccountError` where rows read differ from the sum.
    """
    instruments = {(p.venue, p.symbol) for receipt in receipts for p in pieces_of(receipt)}
    found: dict[str, Counter[str]] = {}
    reasons: dict[str, Counter[str]] = {}
    for venue, symbol in sorted(instruments):
        for part in store.parts(ROWS, venue, symbol):
            lineage = store.lineage(part)
            for source in lineage.facts["sources"] if lineage else ():
                found.setdefault(source["sha256"], Counter()).update({way: source[way] for way in WAYS})
                reasons.setdefault(source["sha256"], Counter()).update(source["by_reason"])
    closed, wrong = [], []
    for receipt in receipts:
        sha, n = receipt["sha256"], receipt["n_rows"]
        ways = found.get(sha, Counter())
        if n != ways.total():
            parts = " + ".join(f"{ways[way]:,} {way}" for way in WAYS)
            wrong.append(f"{receipt['uri']}: {n:,} rows read, but {parts} = {ways.total():,}")
        closed.append({"uri": receipt["uri"], **{way: ways[way] for way in WAYS}, "by_reason": dict(reasons.get(sha, Counter()))})
    if wrong:
        raise AccountError("the accounts do not close: " + "; ".join(wrong))
    return closed


@task(task_run_name="close accounts", cache_policy=NO_CACHE)
def close_accounts(store: Store, receipts: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """See `accounts`."""
    return accounts(store, receipts)
