"""The fused top is the newest of what quotes and book say, whichever came first."""

import numpy as np
import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from kernels.book import NONE
from kernels.rebuild import TOP
from kernels.top import fuse, top


def plain(events: list[tuple[bool, int, bool]], last: int) -> list[tuple[bool, int, bool]]:
    """(from book, place among its kind, known) of each row of the top; events are (is book, id, known) in order of arrival."""
    newest, known, quoted, places, told = last, last != NONE, False, {True: 0, False: 0}, []
    for is_book, update, is_known in events:
        place = places[is_book]
        places[is_book] += 1
        if is_book and not is_known:
            if known and not quoted:
                known = False
                told.append((True, place, False))
        elif update == NONE or update > newest:
            newest, known = max(newest, update), True
            told.append((is_book, place, True))
        quoted = quoted or not is_book
    return told


@given(st.lists(st.tuples(st.booleans(), st.integers(1, 30), st.booleans()), max_size=30), st.sampled_from([NONE, 5]))
@settings(deadline=None, max_examples=100)
def test_fusing_arrays_is_following_the_rule(events: list[tuple[bool, int, bool]], last: int):
    def of(book: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        mine = [(n, update, known) for n, (is_book, update, known) in enumerate(events) if is_book == book]
        at = np.array([[7, 0, n] for n, _, _ in mine], dtype=np.int64).reshape(-1, 3)
        return at, np.array([u for _, u, _ in mine], dtype=np.int64), np.array([k for _, _, k in mine], dtype=np.bool_)

    quotes, books = of(False), of(True)
    fused = fuse(quotes[0], quotes[1], *books, last_id=last)
    assert list(zip(fused.from_book.tolist(), fused.place.tolist(), fused.known.tolist(), strict=True)) == plain(events, last)


def events(rows: list[dict]) -> pl.DataFrame:
    ids = {"update_id": pl.Int64, **dict.fromkeys(TOP, pl.Int64)}
    shared = [
        {"ts_event": r["at_recv"], "known_at": r["at_recv"], "ts_estimated": False, "at_source": 0, "at_row": r["at_recv"]} | r
        for r in rows
    ]
    return pl.DataFrame(shared, schema_overrides=ids)


def quote(at: int, update: int, bid: int) -> dict:
    return {"at_recv": at, "update_id": update, "bid": bid, "bid_size": 1, "ask": bid + 2, "ask_size": 1}


def test_an_older_id_never_moves_the_top_and_an_unknown_book_leaves_it_to_the_quotes():
    quotes = events([quote(2, 11, 100), quote(4, 12, 101), quote(6, 20, 103)])
    unknown = dict.fromkeys(TOP)
    books = events(
        [
            quote(1, 10, 99) | {"known": True},
            quote(3, 15, 102) | {"known": True},
            {"at_recv": 5, "update_id": 18, "known": False} | unknown,
        ]
    )
    made = top(quotes, books)
    assert made["update_id"].to_list() == [10, 11, 15, 20]
    assert made["bid"].to_list() == [99, 100, 102, 103]
    assert made["from_book"].to_list() == [True, False, True, False]
    assert made["age_ns"].to_list() == [None, 1, 1, 3], "how long the top before had stood"


def test_without_quotes_an_unknown_book_is_an_unknown_top():
    lost = {"at_recv": 2, "update_id": 12, "known": False} | dict.fromkeys(TOP)
    made = top(events([quote(1, 1, 1)])[:0], events([quote(1, 10, 99) | {"known": True}, lost, lost | {"at_recv": 3}]))
    assert made["bid"].to_list() == [99, None]
