"""Depth rows of a day, batch by batch, into books: what waits for a snapshot is kept, what cannot be known is said to be unknown.

Diffs before the first snapshot wait and are applied after it, where newer; they are known from the snapshot's receipt on. After a
sequence break (or a crossed book) rows are unknown, at their own time, until the next snapshot, which the newest of them then continue.
A snapshot that comes while the book is known changes nothing, but is kept: the book restarts from it should a break follow.
"""

from dataclasses import dataclass, field, replace

import numpy as np
import polars as pl
import pyarrow as pa

from kernels.book import APPLIED, CROSSED, NONE, SUPERSEDED, Applied, Book, Chain, Ints, Rows, Side, advance, spans

WAITING = 20_000  # diffs kept for a snapshot to come: minutes of the busiest feed, and a snapshot is seconds old at most
ARRIVAL = ("at_recv", "at_source", "at_row")
SIDES = (("bid_prices", "bid_sizes"), ("ask_prices", "ask_sizes"))
TOP = ("bid", "bid_size", "ask", "ask_size")

NO_CHAIN = Chain()


@dataclass(frozen=True, slots=True)
class State:
    book: Book
    waiting: pl.DataFrame | None = None
    broken: bool = False  # the book was known and is not: waiting rows have been told already
    chain: Chain = NO_CHAIN
    spare: pl.DataFrame | None = None  # the newest snapshot superseded so far by a known book
    cut: bool = False  # more waited than is kept
    n_snapshots: int = 0
    n_crossed: int = 0
    n_too_old: int = 0  # snapshots older than what was kept for them

    @property
    def n_breaks(self) -> int:
        return self.chain.n_breaks


@dataclass(frozen=True, slots=True)
class Outcome:
    """`rows`: applied and unknown ones with `known`, top and best levels; `superseded` and `crossed`: the rows as they came."""

    rows: list[pl.DataFrame] = field(default_factory=list)
    superseded: list[pl.DataFrame] = field(default_factory=list)
    crossed: list[pl.DataFrame] = field(default_factory=list)


def init(book: Book, chain: Chain | None = None) -> State:
    """The state to start from: `chain` is where the diffs of the day before ended, its breaks not counted again."""
    return State(book, chain=(chain or Chain(book.last_id, book.awaits_first))._replace(n_breaks=0))


def ids(column: pl.Series) -> Ints:
    """The values, `NONE` where there is none; never to be written to."""
    n_absent = column.null_count()
    if n_absent == len(column):
        found = np.full(len(column), NONE, np.int64)
    else:
        found = (column.fill_null(NONE) if n_absent else column).to_numpy().astype(np.int64, copy=False)
    found.flags.writeable = False
    return found


def as_they_are(values: pa.Array) -> Ints:
    """The values without a copy of them, never to be written to."""
    found = values.to_numpy(zero_copy_only=False).astype(np.int64, copy=False)
    found.flags.writeable = False
    return found


def side(frame: pl.DataFrame, prices: str, sizes: str) -> Side:
    """The levels of list columns as flat arrays."""
    lists = [frame[name].rechunk().to_arrow() for name in (prices, sizes)]
    flat = [as_they_are(one.values) for one in lists]
    offsets = [as_they_are(one.offsets) for one in lists]
    if not np.array_equal(offsets[0], offsets[1]):
        raise ValueError(f"{prices} and {sizes} differ in length")
    return Side(offsets[0], flat[0], flat[1])


def rows_of(frame: pl.DataFrame) -> Rows:
    marks = np.array(frame["is_snapshot"].to_numpy())
    return Rows(
        marks, ids(frame["first_id"]), ids(frame["update_id"]), ids(frame["prev_id"]), side(frame, *SIDES[0]), side(frame, *SIDES[1])
    )


def step(state: State, rows: pl.DataFrame, *, keep: int, replaces: bool = False) -> tuple[State, Outcome]:
    """Fold one batch in: depth rows in arrival order, none refused or twice, with `emit`, `known_at` and the `at_…` columns.

    Rows whose `emit` is false change the book and are not told. `replaces`: see `kernels.book.advance`.
    """
    out, todo = Outcome(), rows
    if state.chain.last_id != NONE:
        state = _chained(state, rows)
    while todo.height:
        if not state.book.known and not replaces:
            first = (todo["is_snapshot"].arg_max() or 0) if todo["is_snapshot"].any() else todo.height
            state = _wait(state, todo[:first], out)
            if first == todo.height:
                break
            todo = _with_waiting(state, todo[first:])
            state = _started(state, todo)
        applied = advance(state.book, rows_of(todo), keep=keep, replaces=replaces)
        state = _tell(state, todo[: applied.n], applied, out)
        lost = applied.broken or not (applied.book.known or replaces)
        state = replace(state, book=applied.book, broken=lost)
        todo = todo[applied.n :]
        if lost:
            if state.spare is not None and state.spare["update_id"][0] >= applied.book.last_id:
                todo = pl.concat([state.spare, todo])
            state = replace(state, spare=None)
    if replaces and state.book.known:
        state = replace(state, chain=Chain(state.book.last_id, awaits_first=True))
    return state, out


def _chained(state: State, rows: pl.DataFrame) -> State:
    marks, diffs = rows["is_snapshot"], rows.select("first_id", "update_id", "prev_id")
    if marks.any():
        diffs = diffs.filter(~marks)
    return replace(state, chain=state.chain.on(*map(ids, diffs.iter_columns())))


def _started(state: State, rows: pl.DataFrame) -> State:
    """The state as a snapshot heads `rows` and what waited follows it: the first of all starts the chain of the diffs."""
    at, n_waiting = int(ids(rows["update_id"][:1])[0]), 0 if state.waiting is None else state.waiting.height
    first = [int(ids(rows[c][1:2])[0]) for c in ("first_id", "update_id", "prev_id")] if n_waiting else []
    too_old = state.cut and bool(first) and not spans(at, *first)
    if state.chain.last_id == NONE and at != NONE:
        # What was cut is not what the venue did not send: the chain starts at the first diff kept.
        state = replace(state, chain=Chain(first[1]) if too_old else Chain(at, awaits_first=True))
        state = _chained(state, rows)
    return replace(state, waiting=None, cut=False, n_too_old=state.n_too_old + too_old)


def finish(state: State) -> Outcome:
    """The rows that waited in vain, as unknown."""
    out = Outcome()
    if state.waiting is not None:
        _unknown(state.waiting, out)
    return out


def _wait(state: State, rows: pl.DataFrame, out: Outcome) -> State:
    rows = rows.with_columns(known_at="ts_recv")
    if state.broken:
        _unknown(rows, out)
        rows = rows.with_columns(emit=False)
    waiting = rows if state.waiting is None else pl.concat([state.waiting, rows])
    if waiting.height > WAITING:
        _unknown(waiting[:-WAITING], out)
        waiting, state = waiting[-WAITING:], replace(state, cut=True)
    return replace(state, waiting=waiting)


def _with_waiting(state: State, rows: pl.DataFrame) -> pl.DataFrame:
    """The snapshot that heads `rows`, then what waited for it as if it came with it, then the rest."""
    snapshot = rows[:1]
    if state.waiting is None or not state.waiting.height:
        return rows
    late = state.waiting.with_columns(pl.lit(snapshot[c][0], dtype=snapshot.schema[c]).alias(c) for c in ("known_at", *ARRIVAL))
    return pl.concat([snapshot, late, rows[1:]])


def _unknown(rows: pl.DataFrame, out: Outcome) -> None:
    told = rows.filter("emit")
    if told.height:
        lists = (pl.lit(None, dtype=pl.List(pl.Int64)).alias(c) for names in SIDES for c in names)
        tops = (pl.lit(None, dtype=pl.Int64).alias(c) for c in TOP)
        out.rows.append(told.with_columns(*lists, *tops, known=pl.lit(False)))


def _tell(state: State, rows: pl.DataFrame, applied: Applied, out: Outcome) -> State:
    """Sort what became of `rows` into the outcome; returns the state with its snapshots counted, and the newest left over kept."""
    codes = applied.codes
    snapshots = np.array(rows["is_snapshot"].to_numpy())
    emit = np.array(rows["emit"].to_numpy())
    good = codes == APPLIED
    for code, kept in ((SUPERSEDED, out.superseded), (CROSSED, out.crossed)):
        if (codes == code).any():
            kept.append(rows.filter(pl.Series((codes == code) & emit)))
    lists = {}
    for (prices, sizes), levels in zip(SIDES, (applied.bids, applied.asks), strict=True):
        offsets = pa.array(levels.offsets)
        lists[prices] = pl.from_arrow(pa.LargeListArray.from_arrays(offsets, pa.array(levels.prices)))
        lists[sizes] = pl.from_arrow(pa.LargeListArray.from_arrays(offsets, pa.array(levels.sizes)))
    tops = {c: pl.Series(values) for c, values in zip(TOP, np.ascontiguousarray(applied.tops.T), strict=True)}
    tops = {c: of if (applied.tops[:, j] != 0).all() else of.set(of == 0, None) for j, (c, of) in enumerate(tops.items())}
    made = rows.with_columns(**lists, **tops, known=pl.lit(True))
    told = made if good.all() and emit.all() else made.filter(pl.Series(good & emit))
    if told.height:
        out.rows.append(told)
    spare, left = state.spare, snapshots & (codes == SUPERSEDED) & (ids(rows["update_id"]) != NONE)
    if left.any():
        over = rows.filter(pl.Series(left)).with_columns(emit=pl.lit(False))
        spare = (over if spare is None else pl.concat([spare, over])).sort("update_id", maintain_order=True)[-1:]
    n_crossed = state.n_crossed + int((codes == CROSSED).sum())
    return replace(state, spare=spare, n_crossed=n_crossed, n_snapshots=state.n_snapshots + int((good & snapshots).sum()))
