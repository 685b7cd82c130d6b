"""The live market says of every second what the batch build says of it, and stops where a decision is due."""

import numpy as np
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from core.market import NS
from kernels import features
from kernels.book import NONE
from kernels.frames_live_scan import BOOK, KIND
from kernels.live_market import BROKEN, CROSSED, SECOND, TOP, Best, LiveMarket

from .live_streams import OFFSET, START, SYMBOL, Event, batch, built, followed, lived, stream

NAMES = ("open", "high", "low", "close", "volume", "buy_volume", "sell_volume", "n_trades", "notional")


@given(st.integers(0, 2**32), st.sampled_from([40, 300, 700]), st.booleans())
@settings(deadline=None, max_examples=50)
def test_a_second_closed_live_is_the_row_of_the_batch_build(seed: int, n: int, spot: bool):
    events = stream(seed, n, spot=spot)
    closed, _ = lived(events)
    wanted, bars = built(events)
    rows = {row["ts_event"]: row for row in bars.with_columns(bars["ts_event"].to_physical()).iter_rows(named=True)}
    # Before the first snapshot the two tell the first second differently: live by the first event, batch by the first that it applies.
    assume(closed and wanted["ts_event"].to_physical()[0] == closed[0].ts_bar)
    n = len(closed)
    assert (wanted["known_at"].to_physical()[n:] > events[-1].recv).all(), "the last ones are closed by the end of the data"
    for name, live in (("ts_event", "ts_bar"), ("known_at", "known_at")):
        assert wanted[name].to_physical()[:n].to_list() == [getattr(one, live) for one in closed]
    assert wanted["segment"].fill_null(-1)[:n].to_list() == [one.segment for one in closed]
    assert wanted["close_units"].fill_null(-1)[:n].to_list() == [one.close_units for one in closed]
    plain = np.array([[getattr(one, name) for name in features.PLAIN] for one in closed])
    np.testing.assert_array_equal(plain, wanted.select(features.PLAIN)[:n].fill_null(np.nan).to_numpy())
    made = np.array([one.features for one in closed])
    np.testing.assert_allclose(made, wanted.select(features.names())[:n].fill_null(np.nan).to_numpy(), rtol=1e-9, atol=1e-12)
    for one in closed:
        row = rows.get(one.ts_bar)
        found = (one.open, one.high, one.low, one.last, one.volume, one.buy_volume, one.sell_volume, one.n_trades, one.notional)
        assert found == (tuple(row[name] for name in NAMES) if row else (0,) * 9)


def test_a_close_is_carried_for_half_an_hour_and_no_longer():
    trade = Event("trade", START, START + OFFSET, (1, 1, 1), (10_000, 5, 1))
    quotes = [Event("quote", START + n * NS, START + OFFSET + n * NS, (n, NONE, 0), (9_990, 5, 10_001, 5)) for n in range(1, 1_810)]
    events = [trade, *quotes]
    (closed, _), (wanted, _) = lived(events), built(events)
    carried = [one.close_units for one in closed]
    assert carried == wanted["close_units"].fill_null(-1)[: len(closed)].to_list()
    assert (carried.count(10_000), carried[-1]) == (1_801, -1)


SPOT = Event("diff", START, START)


def quote(n: int, bid: int, ask: int, update: int) -> Event:
    return Event("quote", START + n, 0, (update, NONE, 0), (bid, 3, ask, 4))


def known(market: LiveMarket, at: int = START) -> None:
    assert market.snapshot(SYMBOL, at, 10, np.array([[100, 99], [1, 2]]), np.array([[102, 103], [3, 4]]))


def told(market: LiveMarket, *events: Event) -> list[int]:
    return followed(market, *batch(list(events)), events[-1].recv, [])


def test_it_stops_once_where_the_top_leaves_its_bounds():
    market = LiveMarket({SYMBOL: (2, 3)})
    known(market)
    market.watch(SYMBOL, 99, 101, 102, 104)
    assert told(market, quote(1, 101, 102, 11)) == []
    assert told(market, quote(2, 98, 102, 12), quote(2, 97, 102, 13)) == [TOP]
    assert market.top(SYMBOL) == Best(97, 3, 102, 4, START + 2, 13)
    assert told(market, quote(3, 90, 104, 12)) == [], "an older id"
    assert market.top(SYMBOL).bid == 97


def test_a_diff_that_lacks_makes_the_book_unknown_until_its_snapshot_and_what_waited_follows_it():
    market = LiveMarket({SYMBOL: (2, 3)})
    known(market)
    more = SPOT._replace(ids=(12, 11, NONE), bids=((101, 7), (99, 0)))
    lost = SPOT._replace(ids=(16, 15, NONE), bids=((100, 8),), asks=((102, 0),))
    after = SPOT._replace(ids=(17, 17, NONE), asks=((105, 1),))
    assert told(market, more, lost, after) == [BROKEN]
    assert market.stale(SYMBOL)
    assert market.book(SYMBOL, 5)[0].size == 0
    assert market.top(SYMBOL).bid == 0, "no quote tells it"
    assert not market.snapshot(SYMBOL, START + 5, 13, np.array([[95], [1]]), np.array([[106], [1]])), "diffs between them lack"
    assert market.top(SYMBOL).bid == 0
    assert market.snapshot(SYMBOL, START + 9, 14, np.array([[95], [1]]), np.array([[102, 106], [9, 1]]))
    bids, asks = market.book(SYMBOL, 5)
    assert (bids.T.tolist(), asks.T.tolist()) == ([[100, 8], [95, 1]], [[105, 1], [106, 1]])
    assert market.top(SYMBOL) == Best(100, 8, 105, 1, START + 9, 17)


def test_diffs_that_came_before_the_first_snapshot_wait_for_it():
    market = LiveMarket({SYMBOL: (2, 3)})
    old = SPOT._replace(ids=(9, 8, NONE), bids=((101, 7),))
    new = SPOT._replace(ids=(11, 10, NONE), bids=((100, 0),))
    assert told(market, old, new) == []
    known(market, START + 1)
    assert market.book(SYMBOL, 1)[0].T.tolist() == [[99, 2]]


def test_a_crossed_book_is_unknown():
    market = LiveMarket({SYMBOL: (2, 3)})
    known(market)
    assert told(market, SPOT._replace(ids=(11, 11, NONE), bids=((103, 7),))) == [CROSSED]
    assert market.stale(SYMBOL)


def test_a_book_that_outgrows_its_room_gets_more():
    market = LiveMarket({SYMBOL: (2, 3), "BUSDT": (1, 1)})
    known(market)
    bids = tuple((price, 1) for price in range(90, 0, -1)) + tuple((price, 1) for price in range(-1, -9_000, -1))
    told(market, SPOT._replace(ids=(11, 11, NONE), bids=bids))
    assert market.book(SYMBOL, 10_000)[0].shape[1] == 2 + len(bids)
    assert market.stale("BUSDT")


def test_lost_frames_make_one_book_unknown_and_leave_the_other():
    market = LiveMarket({SYMBOL: (2, 3), "BUSDT": (1, 1)})
    known(market)
    market.snapshot("BUSDT", START, 3, np.array([[5], [1]]), np.array([[6], [1]]))
    market.overflowed([SYMBOL])
    assert (market.stale(SYMBOL), market.stale("BUSDT")) == (True, False)
    known(market, START + 7)
    assert not market.stale(SYMBOL)


def test_after_a_break_of_the_feed_ids_may_begin_anew():
    market = LiveMarket({SYMBOL: (2, 3)})
    known(market)
    told(market, quote(1, 101, 102, 500))
    market.disconnected([SYMBOL])
    assert market.top(SYMBOL).bid == 101
    told(market, quote(2, 97, 98, 3))
    assert market.top(SYMBOL) == Best(97, 3, 98, 4, START + 2, 3)
    assert market.heard(SYMBOL) == START + 2


def test_a_whole_book_replaces_the_one_before():
    market = LiveMarket({SYMBOL: (2, 3)})
    for update, bid in ((5, 100), (6, 90), (6, 80)):
        rows, levels = batch([SPOT._replace(ids=(update, update, NONE), bids=((bid, 2),), asks=((110, 3),))])
        rows[:, KIND] = BOOK
        assert followed(market, rows, levels, START + update, []) == []
    assert market.book(SYMBOL, 5)[0].T.tolist() == [[90, 2]]
    assert market.top(SYMBOL) == Best(90, 2, 110, 3, START + 6, 6)


def test_every_symbol_closes_its_own_second():
    market, found = LiveMarket({SYMBOL: (2, 3), "BUSDT": (2, 3)}), []
    events = [Event("trade", START + n * NS, START + n * NS, (n, n, n), (10_000 + n, 5, 1)) for n in (1, 2, 3)]
    for one in events:
        rows = np.concatenate([batch([one], code)[0] for code in (0, 1)])
        assert followed(market, rows, np.empty((2, 0), np.int64), one.recv, found) in ([], [SECOND, SECOND])
    assert [(one.symbol, one.close_units) for one in found] == [(s, p) for p in (10_001, 10_002) for s in (SYMBOL, "BUSDT")]


def test_a_trade_told_twice_counts_once_and_one_that_comes_late_is_left_out():
    late = Event("trade", START + 3 * NS, START, (4, 4, 4), (10_000, 9, 1))
    first, second, third = (Event("trade", START + n * NS, START + n * NS, (n, n, n), (10_000, 5, 1)) for n in (1, 2, 3))
    market, found = LiveMarket({SYMBOL: (2, 3)}), []
    for one in (first, second, second, third, late._replace(recv=late.recv + 1)):
        followed(market, *batch([one]), one.recv, found)
    assert [one.volume for one in found] == [5, 5]
    assert market.late_trades(SYMBOL) == 1
