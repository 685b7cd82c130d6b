"""Depth rows become books as they come: what is not known waits, says so, and is counted once."""

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernels import rebuild
from kernels.book import Book

KEEP = 3
LEVELS = pl.List(pl.Int64)


def frame(*given_rows: tuple) -> pl.DataFrame:
    """Depth rows as the clean stage hands them on, received at 1, 2, 3 ..."""
    made = [
        {
            "is_snapshot": s, "first_id": f, "update_id": u, "prev_id": p,
            "bid_prices": [x for x, _ in b], "bid_sizes": [x for _, x in b],
            "ask_prices": [x for x, _ in a], "ask_sizes": [x for _, x in a],
            "ts_recv": n, "known_at": n, "at_recv": n, "at_source": 0, "at_row": n, "emit": True,
        }
        for n, (s, f, u, p, b, a) in enumerate(given_rows, 1)
    ]  # fmt: skip
    ids = dict.fromkeys(("first_id", "update_id", "prev_id"), pl.Int64)
    lists = dict.fromkeys(("bid_prices", "bid_sizes", "ask_prices", "ask_sizes"), LEVELS)
    return pl.DataFrame(made, schema_overrides=ids | lists)


def diff(first: int, last: int, bid: int = 10, size: int = 1) -> tuple:
    return (False, first, last, None, [(bid, size)], [])


def run(feed: pl.DataFrame, *, by: int = 100) -> tuple[rebuild.State, pl.DataFrame, int]:
    state, told, superseded = rebuild.init(Book()), [], 0
    for at in range(0, feed.height, by):
        state, out = rebuild.step(state, feed[at : at + by], keep=KEEP)
        told += out.rows
        superseded += sum(rows.height for rows in out.superseded)
    told += rebuild.finish(state).rows
    return state, pl.concat(told, how="diagonal"), superseded


@pytest.mark.parametrize("by", [1, 2, 100])
def test_diffs_before_the_snapshot_wait_for_it(by: int):
    feed = frame(diff(90, 95), diff(96, 102), diff(103, 104), (True, None, 100, None, [(9, 1)], [(12, 1)]), diff(105, 106))
    state, told, superseded = run(feed, by=by)
    assert superseded == 1
    assert told["update_id"].to_list() == [100, 102, 104, 106]
    assert told["known_at"].to_list() == [4, 4, 4, 5], "known from the snapshot's receipt on"
    assert told["known"].all()
    assert (state.n_breaks, state.n_snapshots) == (0, 1)


@pytest.mark.parametrize("by", [1, 3, 100])
def test_after_a_break_the_book_is_unknown_until_the_next_snapshot(by: int):
    feed = frame(
        (True, None, 100, None, [(9, 1)], [(12, 1)]), diff(101, 102), diff(104, 105), diff(106, 107),
        (True, None, 106, None, [(8, 1)], [(12, 1)]), diff(108, 109),
    )  # fmt: skip
    state, told, _ = run(feed, by=by)
    assert told["update_id"].to_list() == [100, 102, 105, 107, 106, 109]
    assert told["known"].to_list() == [True, True, False, False, True, True]
    assert told["bid_prices"].to_list()[2:] == [None, None, [8], [10, 8]], "the diff that came before the snapshot is in the book after it"
    assert (state.n_breaks, state.n_snapshots) == (1, 2)


def whole(update: int, bid: int = 9) -> tuple:
    return (True, None, update, None, [(bid, 1)], [(12, 1)])


@pytest.mark.parametrize("by", [1, 2, 100])
def test_a_snapshot_ahead_of_the_diffs_of_a_known_book_changes_nothing(by: int):
    state, told, superseded = run(frame(whole(100), diff(101, 102), whole(106, bid=8), diff(103, 104), diff(105, 107)), by=by)
    assert told["update_id"].to_list() == [100, 102, 104, 107]
    assert told["bid_prices"].to_list()[-1] == [10, 9]
    assert (superseded, state.n_snapshots, state.n_breaks) == (1, 1, 0)


@pytest.mark.parametrize("by", [1, 2, 100])
@pytest.mark.parametrize(
    ("at", "known", "superseded"),
    [(110, [True, True, True], 2), (103, [True, True, False, False], 1), (101, [True, True, False, False], 1)],
    ids=["ahead of the break", "neither is continued", "older than the book"],
)
def test_after_a_break_the_book_restarts_from_a_snapshot_it_had_no_need_of(at: int, known: list, superseded: int, by: int):
    feed = frame(whole(100), diff(101, 102), whole(at, bid=8), diff(106, 107), diff(108 if at < 110 else 109, 112))
    state, told, n = run(feed, by=by)
    assert (told["known"].to_list(), n, state.n_breaks) == (known, superseded, 1 if at < 110 else 2)
    if at == 110:
        assert told["bid_prices"].to_list()[-1] == [10, 8]


@st.composite
def chains(draw: st.DrawFn) -> list[tuple]:
    """Diffs of either market, some lost, with snapshots of any id among them."""
    futures, last, feed = draw(st.booleans()), 100, []
    for _ in range(draw(st.integers(1, 14))):
        kind = draw(st.sampled_from(["diff"] * 4 + ["lost", "snapshot"]))
        if kind == "snapshot":
            feed.append(whole(last + draw(st.integers(-4, 4))))
            continue
        width = draw(st.integers(1, 3))
        if kind == "diff":
            feed.append((False, last + 1, last + width, last if futures else None, [(9, 1)], []))
        last += width
    return feed


@given(chains().filter(len), st.sampled_from([1, 3, 100]))
@settings(deadline=None, max_examples=100)
def test_breaks_are_counted_once_each_by_the_diffs_received_after_a_first_snapshot(feed: list[tuple], by: int):
    last, first, breaks = None, True, 0
    start = next((n for n, row in enumerate(feed) if row[0]), len(feed))
    for snapshot, begin, update, prev, *_ in feed[start : start + 1] + feed[:start] + feed[start + 1 :]:
        if snapshot or last is None:
            last = update if last is None and snapshot else last
            continue
        if update < last or (prev is None and update == last):
            continue
        at = last if prev is not None else last + 1
        breaks += (begin if prev is None else prev) != at and not (first and begin <= at <= update)
        last, first = update, False
    state, told, superseded = run(frame(*feed), by=by)
    assert state.n_breaks == breaks
    assert told.height + superseded == len(feed)


@pytest.mark.parametrize(("at", "breaks", "too_old"), [(104, 0, 1), (106, 0, 0)], ids=["older than what is kept", "young enough"])
def test_diffs_cut_for_want_of_room_are_no_sequence_break(at: int, breaks: int, too_old: int, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(rebuild, "WAITING", 3)
    state, told, _ = run(frame(*(diff(n, n) for n in range(101, 110)), whole(at), diff(110, 110)), by=2)
    assert (state.n_breaks, state.n_too_old) == (breaks, too_old)
    assert told["known"].to_list()[-1] is (too_old == 0)


def test_without_a_snapshot_nothing_is_known_and_nothing_lost():
    feed = frame(*(diff(n, n) for n in range(1, 8)))
    state, told, superseded = run(feed, by=2)
    assert (told.height, superseded, state.n_breaks) == (7, 0, 0)
    assert not told["known"].any()
    assert told["bid_prices"].null_count() == 7


def test_a_crossed_book_is_handed_back_and_unknown_from_then_on():
    feed = frame((True, None, 100, None, [(9, 1)], [(12, 1)]), diff(101, 101, bid=13), diff(102, 102))
    state, out = rebuild.step(rebuild.init(Book()), feed, keep=KEEP)
    assert [rows["update_id"].to_list() for rows in out.crossed] == [[101]]
    told = pl.concat(out.rows, how="diagonal")
    assert told["known"].to_list() == [True, False]
    assert not state.book.known
