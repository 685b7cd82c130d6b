"""The best bid and ask, fused from quotes and book by update id, in order of arrival.

An older id never moves the top, equal ids agree, and while the book is unknown quotes still move it. The top is unknown only while
the book is and no quote has come. Every row moves the top or confirms it at a newer id, so its age is the time since the last row:
`age_ns`, null in the first row of a day.
"""

from typing import NamedTuple

import numpy as np
import polars as pl
from numba import njit

from kernels.book import NONE
from kernels.rebuild import ARRIVAL, TOP, ids


class Fused(NamedTuple):
    """Which event each row of the top is: its place among the quotes or the books, and whether it knows the top."""

    from_book: np.ndarray  # bool
    place: np.ndarray
    known: np.ndarray  # bool


@njit(cache=True, nogil=True)
def _book_first(quote, book):
    """Whether a book row came before a quote, both [recv, source, row]: the file's order within a file, the clock's between files."""
    if quote[1] == book[1]:
        return book[2] < quote[2]
    return book[0] < quote[0] or (book[0] == quote[0] and book[1] < quote[1])


@njit(cache=True, nogil=True)
def _fuse(quote_at, quote_id, book_at, book_id, book_known, top_id, known, from_book, index, is_known):
    n, i, j, quoted = 0, 0, 0, False
    while i < len(quote_id) or j < len(book_id):
        books = i == len(quote_id) or (j < len(book_id) and _book_first(quote_at[i], book_at[j]))
        this = book_id[j] if books else quote_id[i]
        if books and not book_known[j]:
            if known and not quoted:  # nobody knows the top any more
                known = False
                from_book[n], index[n], is_known[n] = True, j, False
                n += 1
        elif this == NONE or this > top_id:
            top_id, known = max(top_id, this), True
            from_book[n], index[n], is_known[n] = books, j if books else i, True
            n += 1
        quoted = quoted or not books
        if books:
            j += 1
        else:
            i += 1
    return n


def fuse(
    quote_at: np.ndarray, quote_id: np.ndarray, book_at: np.ndarray, book_id: np.ndarray, book_known: np.ndarray, *, last_id: int = NONE
) -> Fused:
    """Fuse quotes and book rows, each in arrival order; `…_at` are int64 [n, 3] (recv, source, row), ids `NONE` where there is none.

    `last_id` is the id at which a book known from before stands.
    """
    room = len(quote_id) + len(book_id)
    from_book, index, known = np.empty(room, np.bool_), np.empty(room, np.int64), np.empty(room, np.bool_)
    n = _fuse(quote_at, quote_id, book_at, book_id, book_known, last_id, last_id != NONE, from_book, index, known)
    return Fused(from_book[:n], index[:n], known[:n])


def arrival(frame: pl.DataFrame) -> np.ndarray:
    """[n, 3]: the `at_…` columns."""
    found = np.empty((frame.height, len(ARRIVAL)), np.int64)
    for n, name in enumerate(ARRIVAL):
        found[:, n] = frame[name].to_physical().to_numpy()
    return found


COLUMNS = ("ts_event", "known_at", "ts_estimated", "update_id", *TOP)


def top(quotes: pl.DataFrame, books: pl.DataFrame, *, last_id: int = NONE) -> pl.DataFrame:
    """The fused top of frames with `COLUMNS` and `at_…` (books with `known`), each in arrival order; `age_ns` is of the top replaced."""
    known = np.array(books["known"].to_numpy(), dtype=np.bool_)
    quote_ids, book_ids = ids(quotes["update_id"]), ids(books["update_id"])
    fused = fuse(arrival(quotes), quote_ids, arrival(books), book_ids, known, last_id=last_id)
    place = fused.place + fused.from_book * quotes.height
    columns = {}
    for name in COLUMNS:
        kind = quotes.schema[name]
        both = [ids(one[name]) if kind == pl.Int64 else np.array(one[name].to_physical().to_numpy()) for one in (quotes, books)]
        values = np.concatenate(both)[place]
        column = pl.Series(values, dtype=kind if kind != pl.Datetime else pl.Int64).cast(kind)
        absent = ~fused.known if name in TOP else np.zeros(0)
        if kind == pl.Int64 and (absent.any() or NONE in values):
            column = column.set(pl.Series((values == NONE) | (absent if len(absent) else False)), None)
        columns[name] = column
    age = pl.col("known_at").to_physical().diff().clip(lower_bound=0)  # files whose clocks disagree may run back
    return pl.DataFrame(columns).with_columns(age_ns=age, from_book=pl.Series(fused.from_book))
