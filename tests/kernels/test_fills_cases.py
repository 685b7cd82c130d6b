"""What a venue does with one order, case by case, fed and asked event by event as a live loop does."""

import numpy as np
import pytest

from kernels import fills, fills_arrivals, fills_events, fills_latency, fills_venue
from kernels.fills_book import BUY, CLEAR, DEPTH, SELL, TRADE
from kernels.fills_queue import LOG
from kernels.fills_venue import (
    CANCELLED,
    EXPIRED,
    FILLED,
    GTC,
    GTX,
    IOC,
    LIMIT,
    MAKER,
    MARKET,
    NEW,
    ORDER,
    PARTIAL,
    PRICE,
    REJECTED,
    REST,
    SIZE,
    STATUS,
)  # fmt: skip


class Live:
    """A venue with bids 5 at 100 and 7 at 99, asks 4 at 102 and 6 at 103."""

    def __init__(self, **rules) -> None:
        self.rules = fills.Rules(90, 20, **rules)
        self.state, self.read, self.ts = fills_venue.venue(self.rules, room=4), 0, 0
        for side, price, size in ((BUY, 100, 5), (BUY, 99, 7), (SELL, 102, 4), (SELL, 103, 6)):
            self.event(DEPTH, side, price, size)

    def event(self, kind: int, side: int, price: int, size: int) -> list[tuple[int, ...]]:
        self.ts += 1
        fills_venue.step(self.state, self.rules, self.ts, kind, side, price, size)
        return self.reports()

    def place(self, order: int, side: int, price: int, size: int, kind: int = LIMIT, tif: int = GTC) -> list[tuple[int, ...]]:
        self.ts += 1
        fills_arrivals.place(self.state, self.rules, self.ts, order, side, price, size, kind, tif)
        return self.reports()

    def cancel(self, order: int) -> list[tuple[int, ...]]:
        self.ts += 1
        fills_arrivals.cancel(self.state, self.rules, self.ts, order)
        return self.reports()

    def reports(self) -> list[tuple[int, ...]]:
        """(order, status, price, size, left, maker) of what is new."""
        new = fills_venue.drained(self.state, self.read)
        self.read += len(new)
        return [tuple(int(r[i]) for i in (ORDER, STATUS, PRICE, SIZE, REST, MAKER)) for r in new]


@pytest.mark.parametrize(
    ("order", "reports"),
    [
        ((BUY, 101, 3, LIMIT, GTX), [(NEW, 101, 0, 3, 0)]),
        ((BUY, 102, 3, LIMIT, GTX), [(EXPIRED, 102, 0, 3, 0)]),
        ((BUY, 105, 9, LIMIT, GTC), [(FILLED, 102, 9, 0, 0)]),
        ((SELL, 95, 9, LIMIT, IOC), [(FILLED, 100, 9, 0, 0)]),
        ((SELL, 101, 9, LIMIT, IOC), [(EXPIRED, 101, 0, 9, 0)]),
        ((SELL, 0, 9, MARKET, GTC), [(FILLED, 100, 9, 0, 0)]),
        ((BUY, 100, 0, LIMIT, GTC), [(REJECTED, 100, 0, 0, 0)]),
        ((BUY, 80, 1, LIMIT, GTC), [(REJECTED, 80, 0, 1, 0)]),
    ],
    ids=["rests", "post only would take", "takes the best", "immediate takes", "immediate would rest", "market", "no size", "outside"],
)
def test_an_order_arrives(order, reports):
    assert [r[1:] for r in Live().place(1, *order)] == reports


@pytest.mark.parametrize(
    ("order", "reports"),
    [
        ((BUY, 102, 6, LIMIT, IOC), [(PARTIAL, 102, 4, 2, 0), (EXPIRED, 0, 0, 2, 0)]),
        ((BUY, 102, 6, LIMIT, GTC), [(PARTIAL, 102, 4, 2, 0), (FILLED, 102, 2, 0, 0)]),
        ((BUY, 103, 6, LIMIT, GTC), [(PARTIAL, 102, 4, 2, 0), (FILLED, 103, 2, 0, 0)]),
        ((BUY, 0, 20, MARKET, GTC), [(PARTIAL, 102, 4, 16, 0), (PARTIAL, 103, 6, 10, 0), (EXPIRED, 0, 0, 10, 0)]),
    ],
    ids=["immediate", "its rest at its limit", "two levels", "market sweeps the book"],
)
def test_an_order_takes_in_parts(order, reports):
    assert [r[1:] for r in Live(partial=True).place(1, *order)] == reports


def test_the_queue_ahead_trades_first():
    live = Live()
    live.place(1, BUY, 100, 2)
    assert live.event(TRADE, SELL, 100, 5) == []  # the five that were there
    assert live.event(TRADE, SELL, 100, 1) == [(1, FILLED, 100, 2, 0, 1)]


def test_a_shrinking_level_brings_no_order_forward_unless_it_is_smaller_than_what_was_ahead():
    live = Live()
    live.place(1, BUY, 100, 2)
    live.event(DEPTH, BUY, 100, 9)
    live.event(DEPTH, BUY, 100, 3)
    assert live.event(TRADE, SELL, 100, 3) == []
    assert live.event(TRADE, SELL, 100, 1) == [(1, FILLED, 100, 2, 0, 1)]


def test_by_probability_a_shrinking_level_brings_an_order_forward():
    live = Live(model=LOG)
    live.place(1, BUY, 99, 2)
    live.event(DEPTH, BUY, 99, 14)
    live.event(DEPTH, BUY, 99, 7)  # some of what is gone was ahead
    assert live.event(TRADE, SELL, 99, 5) == [(1, FILLED, 99, 2, 0, 1)]


@pytest.mark.parametrize(
    "event",
    [(TRADE, SELL, 100, 1), (DEPTH, SELL, 101, 1), (DEPTH, SELL, 100, 1)],
    ids=["a trade through it", "the other best reaches it", "the other best passes it"],
)
def test_a_price_gone_through_fills_whole(event):
    live = Live()
    live.place(1, BUY, 101, 2)
    assert live.event(*event) == [(1, FILLED, 101, 2, 0, 1)]


def test_a_trade_that_reaches_in_part_fills_in_part():
    live = Live(partial=True)
    live.place(1, SELL, 102, 5)
    assert live.event(TRADE, BUY, 102, 6) == [(1, PARTIAL, 102, 2, 3, 1)]
    assert live.cancel(1) == [(1, CANCELLED, 102, 0, 3, 0)]


def test_cancels_and_what_cannot_be():
    live = Live()
    live.place(1, BUY, 98, 2)
    assert live.place(1, BUY, 97, 2)[0][1] == REJECTED  # its id rests
    assert live.cancel(1) == [(1, CANCELLED, 98, 0, 2, 0)]
    assert live.cancel(1)[0][1] == REJECTED
    for order in range(2, 6):
        assert live.place(order, BUY, 98, 2)[0][1] == NEW
    assert live.place(6, BUY, 98, 2)[0][1] == REJECTED  # no room


def test_a_cleared_side_has_nothing_to_take():
    live = Live()
    live.event(CLEAR, SELL, 102, 0)
    assert live.place(1, BUY, 0, 1, MARKET)[0][1:3] == (FILLED, 103)
    live.event(CLEAR, SELL, 110, 0)
    assert live.place(2, BUY, 0, 1, MARKET)[0][1] == EXPIRED


def test_measured_latencies_are_interpolated():
    rows, at = np.array([[0, 10, 15], [100, 130, 145]]), np.zeros(2, np.int64)
    asked = [fills_latency.entry(ts, 7, rows, at, 0) for ts in (-5, 0, 50, 100, 900)]
    assert asked == [10, 10, 20, 30, 30]
    assert [fills_latency.response(ts, 7, rows, at, 1) for ts in (0, 70, 130)] == [5, 10, 15]
    assert fills_latency.entry(50, 7, rows[:0], at, 0) == 7


def test_events_out_of_order_are_refused():
    events = fills_events.made([2, 1], [3, 5], DEPTH, BUY, [100, 101], 1)
    assert events["price"].tolist() == [101, 100]
    assert fills_events.feed(events).order.tolist() == [1, 0]
    with pytest.raises(fills_events.FeedError, match="not in order"):
        fills_events.feed(events[::-1].copy())
    for column, value in (("size", -1), ("kind", 9), ("side", 2)):
        wrong = events.copy()
        wrong[column] = value
        with pytest.raises(fills_events.FeedError):
            fills_events.feed(wrong)


def test_a_clock_that_was_behind_is_moved():
    moved = fills_events.settled(np.array([100, 200]), np.array([40, 180]), least=5)
    assert moved.tolist() == [105, 245]
    assert fills_events.settled(np.array([100]), np.array([120]), least=5).tolist() == [120]


def test_rules_without_sense_are_refused():
    with pytest.raises(ValueError, match="below 0"):
        fills.run(fills.Rules(0, 10, entry_ns=-1))
    with pytest.raises(ValueError, match="rising"):
        fills.run(fills.Rules(0, 10), latencies=np.array([[5, 4, 6]]))
