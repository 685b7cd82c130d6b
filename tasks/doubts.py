"""Why the book of a day is not known throughout, or not to be trusted: in words, each reason by its own name."""

from collections.abc import Iterator

import polars as pl

from kernels.book import NONE
from kernels.rebuild import WAITING
from tasks.books import End, Rebuilt
from tasks.pieces import MARGIN_NS


def doubts(books: Rebuilt, before: End | None, end: int) -> list[str]:
    """What to say of a day that ends at `end` (ns) and that started from `before`."""
    found = list(_losses(books))
    rows = books.rows
    if not found and rows.height and not rows["known"].any():
        found.append(_unknown(rows, before, end))
    if books.facts["different"]:
        found.append(f"{books.facts['different']} of {books.facts['compared']} quotes differ from the rebuilt book")
    return found


def _losses(books: Rebuilt) -> Iterator[str]:
    state, share = books.state, f"the book is known for {books.facts['known_share']:.1%} of its rows"
    if state.n_breaks:
        yield f"{state.n_breaks} sequence breaks, {share}"
    if state.n_crossed and books.facts["known_share"] < 1:
        yield f"{state.n_crossed} crossed books, {share}"
    if state.n_too_old:
        yield f"{state.n_too_old} snapshots are older than the {WAITING:,} diffs kept for them, {share}"


def _unknown(rows: pl.DataFrame, before: End | None, end: int) -> str:
    """Why no row of a day without a snapshot is known."""
    if before is not None and not before.book.known and before.chain.last_id != NONE:
        return "the book was lost the day before and no snapshot has come since"
    if int(rows["ts_event"].to_physical().min()) >= end - MARGIN_NS:  # type: ignore[arg-type]
        return "its diffs, all of the last seconds before midnight, wait for a snapshot of the next day"
    return "no snapshot, the book stays unknown"
