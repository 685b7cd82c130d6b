"""Stored features and labels as arrays, and the windows in them as indices: no window is ever copied until it is asked for."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from core.market import GENERATED, NS
from core.store import Part, Store
from kernels import baselines, features, splits
from kernels.scores import Outcomes

INPUTS, LABELS = "feat_market__1s_inputs", "feat_market__1s_labels"
USUALLY = 0.5  # of the rows on which the commonest input has a value: below, an input is left out

Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Windows:
    """All rows of some parts, and one entry per window that ends at a label, in order of `outcomes.decided_at`.

    `rows` is float32 [R, F] (NaN where null) and `ends` indexes it; a window is rows `end - window + 1 … end`.
    """

    names: tuple[str, ...]
    left_out: tuple[str, ...]  # model inputs that hardly ever have a value here
    feature_set_hash: str  # of `names`
    window: int
    rows: NDArray[np.float32]
    ends: Ints
    ts_event: Ints  # of the last row, ns
    window_start: Ints  # when the first row was known, ns
    outcomes: Outcomes
    volatility: NDArray[np.float64]  # realised over the label's horizon, as a fraction of price
    last_sign: Ints
    n_rows: int
    generated: bool

    def batch(self, entries: Ints) -> NDArray[np.float32]:
        """[n, window, F] of these entries."""
        view = np.lib.stride_tricks.sliding_window_view(self.rows, self.window, axis=0)  # [R - window + 1, F, window]
        return np.ascontiguousarray(view[self.ends[entries] - self.window + 1].transpose(0, 2, 1))


@dataclass(frozen=True, slots=True)
class Day:
    """One instrument's day of both tables."""

    rows: NDArray[np.float32]
    complete: NDArray[np.bool_]
    segment: Ints
    ts_event: Ints
    known_at: Ints
    price: NDArray[np.float64]
    labels: pl.DataFrame  # with `row`, the position of its `ts_event` in the day


def check_feature_set(store: Store, part: Part) -> None:
    """Raise `ValueError` where a part was built by other definitions than those there are now."""
    lineage = store.lineage(part)
    found = (lineage.facts.get("feature_set_hash") or lineage.params.get("feature_set_hash")) if lineage else None
    if found is not None and found != features.feature_set_hash():
        raise ValueError(f"{part}: built with another feature set ({found}, now {features.feature_set_hash()}); build the features again")


def chosen_names(store: Store, parts: Sequence[Part]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The model inputs these parts can feed, and those they cannot: without a value on most rows that others have one on.

    One input that is hardly ever there would cost all the windows in which it is missing.
    """
    wanted = features.model_inputs()
    counts = dict.fromkeys(wanted, 0)
    for part in parts:
        frame = store.scan(part)
        there = [name for name in wanted if name in frame.collect_schema()]
        for name, n in frame.select(pl.col(there).count()).collect().row(0, named=True).items():
            counts[name] += n
    enough = USUALLY * max(counts.values())
    names = features.model_inputs([name for name, n in counts.items() if n and n >= enough])
    return names, tuple(name for name in wanted if name not in names)


def read_day(store: Store, part: Part, names: Sequence[str]) -> Day:
    """One day of features and labels. Rows are in order of `ts_event`; the price is the middle, else the close."""
    frame = store.scan(part).sort("ts_event").collect()
    rows = frame.select(pl.col(n).cast(pl.Float32) for n in names).to_numpy()
    price = pl.coalesce("mid", "close") if "mid" in frame.columns else pl.col("close")
    ts_event = frame["ts_event"].to_physical().to_numpy()
    labels = (
        store.scan(part.of(LABELS))
        .drop_nulls(["direction", "ret_long", "ret_short", "volatility", "known_at"])
        .collect()
        .join(frame.select("ts_event").with_row_index("row"), on="ts_event", how="inner", maintain_order="right")
    )
    return Day(
        rows=np.ascontiguousarray(rows),
        complete=np.isfinite(rows).min(axis=1, initial=True),
        segment=frame["segment"].cast(pl.Int64).fill_null(-1).to_numpy(),
        ts_event=ts_event,
        known_at=frame.select(pl.coalesce("known_at", "ts_event").dt.epoch("ns").alias("ns"))["ns"].to_numpy(),
        price=frame.select(price.cast(pl.Float64).alias("price"))["price"].fill_null(float("nan")).to_numpy(),
        labels=labels,
    )


def read(store: Store, parts: Sequence[Part], *, window: int) -> Windows:
    """The windows of these parts (of the inputs table; the labels stand beside), in order of time over all instruments.

    Raises `ValueError` that names the part that was built with another feature set, or where there is nothing to read.
    """
    parts = sorted({p.of(INPUTS) for p in parts if p.table in (INPUTS, LABELS)})
    if not parts:
        raise ValueError(f"nothing to train on: no part of {INPUTS} was given")
    for part in parts:
        check_feature_set(store, part)
    names, left_out = chosen_names(store, parts)
    if not names:
        raise ValueError(f"nothing to train on: no model input has a value in {', '.join(map(str, parts))}")
    instruments = sorted({(p.venue, p.symbol) for p in parts})
    columns: dict[str, list[NDArray[Any]]] = {}
    blocks: list[NDArray[np.float32]] = []
    offset = 0
    for part in parts:
        day = read_day(store, part, names)
        ends = splits.window_ends(day.complete, day.segment, day.ts_event, window=window, every=NS)
        labels = day.labels.filter(pl.col("row").is_in(ends.tolist()))
        at = labels["row"].cast(pl.Int64).to_numpy()
        made = {
            "ends": at + offset,
            "ts_event": day.ts_event[at],
            "window_start": day.known_at[at - window + 1],
            "decided_at": day.known_at[at],
            "known_at": labels["known_at"].to_physical().to_numpy(),
            "instrument": np.full(len(at), instruments.index((part.venue, part.symbol))),
            "direction": labels["direction"].cast(pl.Int64).to_numpy() + 1,
            "gross_long": labels["gross_long"].to_numpy(),
            "gross_short": labels["gross_short"].to_numpy(),
            "net_long": labels["ret_long"].to_numpy(),
            "net_short": labels["ret_short"].to_numpy(),
            "volatility": labels["volatility"].to_numpy(),
            "last_sign": baselines.last_sign(day.price, at, window=window),
        }
        for name, column in made.items():
            columns.setdefault(name, []).append(column)
        blocks.append(day.rows)
        offset += len(day.rows)
    joined = {name: np.concatenate(found) for name, found in columns.items()}
    order = np.argsort(joined["decided_at"], kind="stable")
    joined = {name: column[order] for name, column in joined.items()}
    return Windows(
        names=names,
        left_out=left_out,
        feature_set_hash=features.feature_set_hash(names),
        window=window,
        rows=np.concatenate(blocks),
        outcomes=Outcomes(**{name: joined.pop(name) for name in Outcomes._fields}),
        n_rows=offset,
        generated=any(p.venue == GENERATED for p in parts),
        **joined,
    )
