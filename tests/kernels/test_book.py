"""The array book does what a plain dictionary would, and never claims to know more than the venue's sequence numbers allow."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernels.book import APPLIED, BROKEN, CROSSED, NONE, SUPERSEDED, Book, Rows, Side, advance
from kernels.book_sides import SMALL, change
from kernels.levels import ABSURD, BAD_PRICE, BAD_SIZE, GOOD, fingerprints, level_faults

KEEP = 3


def sided(lists: list[list[tuple[int, int]]]) -> Side:
    offsets = np.cumsum([0, *(len(levels) for levels in lists)]).astype(np.int64)
    flat = np.array([level for levels in lists for level in levels], dtype=np.int64).reshape(-1, 2)
    return Side(offsets, flat[:, 0].copy(), flat[:, 1].copy())


def rows(*given_rows: tuple) -> Rows:
    """Each: (is snapshot, first, update, prev, bids, asks)."""
    marks, first, update, prev, bids, asks = zip(*given_rows, strict=True)
    ids = (np.array(column, dtype=np.int64) for column in (first, update, prev))
    return Rows(np.array(marks), *ids, sided(list(bids)), sided(list(asks)))


class Plain:
    """Binance's published rules on dictionaries."""

    def __init__(self) -> None:
        self.bids: dict[int, int] = {}
        self.asks: dict[int, int] = {}
        self.last, self.first = NONE, True

    def take(self, row: tuple) -> int:
        snapshot, first, update, prev, bids, asks = row
        if snapshot:
            self.bids, self.asks, self.first = {}, {}, True
        else:
            spot = prev == NONE
            if update <= self.last if spot else update < self.last:
                return SUPERSEDED
            at = self.last + 1 if spot else self.last
            if (first if spot else prev) != at and not (self.first and first <= at <= update):
                return BROKEN
            self.first = False
        for side, changes in ((self.bids, bids), (self.asks, asks)):
            for price, size in changes:
                if size:
                    side[price] = size
                else:
                    side.pop(price, None)
        self.last = update
        return CROSSED if self.bids and self.asks and max(self.bids) > min(self.asks) else APPLIED

    def top(self) -> list[tuple[int, int]]:
        return [(p, self.bids[p]) for p in sorted(self.bids, reverse=True)[:KEEP]] + [(p, self.asks[p]) for p in sorted(self.asks)[:KEEP]]


def levels(low: int, high: int, smallest: int = 0) -> st.SearchStrategy[list[tuple[int, int]]]:
    return st.lists(st.tuples(st.integers(low, high), st.integers(smallest, 4)), max_size=6, unique_by=lambda level: level[0])


@st.composite
def feeds(draw: st.DrawFn) -> list[tuple]:
    """A snapshot and diffs after it, of either market, mostly in sequence."""
    futures, last = draw(st.booleans()), 100
    asks = draw(levels(20, 32, 1))
    feed = [(True, NONE, last, NONE, sorted(draw(levels(8, 21, 1)), reverse=True), sorted(asks))]
    for n in range(draw(st.integers(0, 12))):
        slip = draw(st.sampled_from([0, 0, 0, 0, 0, 0, 1, -1, -3]))
        first = last + (0 if futures and not n else 1) + slip
        update = first + draw(st.integers(0, 3))
        feed.append((False, first, update, last + slip if futures else NONE, draw(levels(8, 21)), draw(levels(19, 32))))
        last = max(last, update)
    return feed


@given(feeds())
@settings(deadline=None, max_examples=200)
def test_the_book_is_a_dictionary_with_the_venues_rules(feed: list[tuple]):
    applied = advance(Book(), rows(*feed), keep=KEEP)
    plain = Plain()
    for i, row in enumerate(feed):
        code = plain.take(row)
        if code == BROKEN:
            assert (applied.n, applied.broken, applied.book.known) == (i, True, False)
            return
        assert applied.codes[i] == code
        if code == CROSSED:
            assert (applied.n, applied.broken, applied.book.known) == (i + 1, False, False)
            return
        if code == APPLIED:
            got = [
                (int(p), int(s))
                for side in (applied.bids, applied.asks)
                for p, s in zip(*(v[side.offsets[i] : side.offsets[i + 1]] for v in (side.prices, side.sizes)), strict=True)
            ]
            assert got == plain.top()
    book = applied.book
    assert (applied.n, book.known, book.last_id) == (len(feed), True, plain.last)
    assert dict(zip(book.bid_prices.tolist(), book.bid_sizes.tolist(), strict=True)) == plain.bids
    assert book.bid_prices.tolist() == sorted(plain.bids)
    assert book.ask_prices.tolist() == sorted(plain.asks, reverse=True)


@given(feeds(), st.integers(1, 12))
@settings(deadline=None, max_examples=50)
def test_a_feed_cut_in_two_gives_the_same_book(feed: list[tuple], cut: int):
    whole = advance(Book(), rows(*feed), keep=KEEP)
    if whole.n < len(feed) or cut >= len(feed):
        return
    head = advance(Book(), rows(*feed[:cut]), keep=KEEP)
    tail = advance(head.book, rows(*feed[cut:]), keep=KEEP)
    assert np.array_equal(np.concatenate([head.tops, tail.tops]), whole.tops)
    assert tail.book.bid_prices.tolist() == whole.book.bid_prices.tolist()


@given(
    st.dictionaries(st.integers(1, 400), st.integers(1, 9), min_size=SMALL, max_size=200),
    st.lists(st.tuples(st.integers(1, 400), st.integers(0, 2)), min_size=1, max_size=60),
    st.sampled_from(["rising", "falling", "as they come"]),
    st.sampled_from([1, -1]),
)
@settings(deadline=None, max_examples=200)
def test_a_row_changes_a_deep_side_as_it_would_a_dictionary(side: dict[int, int], row: list[tuple[int, int]], order: str, sign: int):
    if order != "as they come":
        row = sorted(dict(row).items(), reverse=order == "falling")
    prices, sizes = (np.zeros(len(side) + len(row), np.int64) for _ in range(2))
    prices[: len(side)] = sorted(side, key=lambda price: sign * price)
    sizes[: len(side)] = [side[price] for price in prices[: len(side)].tolist()]
    new_prices, new_sizes, *room = np.array([*zip(*row, strict=True)] + [[0] * len(row)] * 2, dtype=np.int64)
    n = change(prices, sizes, len(side), new_prices, new_sizes, 0, len(row), sign, *room)
    for price, size in row:
        side[price] = size
    wanted = sorted(((p, s) for p, s in side.items() if s), key=lambda level: sign * level[0])
    assert [*zip(prices[:n].tolist(), sizes[:n].tolist(), strict=True)] == wanted


SNAPSHOT = (True, NONE, 100, NONE, [(10, 1)], [(12, 1)])


@pytest.mark.parametrize(
    ("row", "code"),
    [
        ((False, 101, 103, NONE, [(11, 2)], []), APPLIED),
        ((False, 95, 100, NONE, [(11, 2)], []), SUPERSEDED),
        ((False, 102, 103, NONE, [(11, 2)], []), BROKEN),
        ((False, 90, 100, 89, [(11, 2)], []), APPLIED),
        ((False, 90, 99, 89, [(11, 2)], []), SUPERSEDED),
        ((False, 101, 103, 100, [(11, 2)], []), APPLIED),
        ((False, 102, 103, 101, [(11, 2)], []), BROKEN),
        ((True, NONE, 100, NONE, [(11, 2)], [(12, 1)]), SUPERSEDED),
        ((True, NONE, 101, NONE, [(11, 2)], [(12, 1)]), SUPERSEDED),
        ((False, 101, 103, NONE, [(13, 2)], []), CROSSED),
        ((False, 101, 103, NONE, [(12, 2)], []), APPLIED),
    ],
    ids=[
        "spot continues", "spot superseded", "spot gap", "futures spans the id", "futures superseded", "futures continues",
        "futures gap", "same snapshot", "newer snapshot while known", "crossed", "locked is kept",
    ],
)  # fmt: skip
def test_what_becomes_of_the_row_after_a_snapshot(row: tuple, code: int):
    applied = advance(Book(), rows(SNAPSHOT, row), keep=KEEP)
    assert (BROKEN if applied.broken else applied.codes[1]) == code
    assert applied.book.known == (code in (APPLIED, SUPERSEDED))


def test_a_source_of_whole_books_passes_over_a_crossed_one():
    books = [(True, NONE, NONE, NONE, [(p, 1)], [(12, 1)]) for p in (10, 13, 11)]
    applied = advance(Book(), rows(*books), keep=KEEP, replaces=True)
    assert applied.codes.tolist() == [APPLIED, CROSSED, APPLIED]
    assert applied.book.known
    assert applied.bids.offsets.tolist() == [0, 1, 1, 2]


def test_levels_are_told_apart_and_faults_found():
    bids = sided([[(10, 1)], [(10, 1)], [(10, 2)], [(0, 1)], [(10, -1)], [(10, 10**9)]])
    asks = sided([[(12, 1)]] * 6)
    assert level_faults(bids, asks, max_price=100, max_size=100).tolist() == [GOOD, GOOD, GOOD, BAD_PRICE, BAD_SIZE, ABSURD]
    prints = fingerprints(bids, asks)
    assert prints[0] == prints[1]
    assert len(set(prints.tolist())) == 5
