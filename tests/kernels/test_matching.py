"""What becomes of orders at a simulated spot venue, case by case."""

import pytest

from core.market import Side
from core.orders import Status, Tif
from kernels.matching import Matching
from kernels.matching_words import AccountUpdate, Execution, Kind, New, OrderUpdate, Refusal, Stp, VenueOrder, text
from tests.kernels.matching_market import ASK, BID, POST_ONLY, SYMBOL, funds, futures, levels, listing, new, placed, refused, spot, started

BUY, SELL = Side.BUY, Side.SELL


def told(venue) -> list[tuple[str, Execution, Status]]:
    return [(u.order.client_id, u.execution, u.order.status) for u in venue.taken() if isinstance(u, OrderUpdate)]


def test_a_resting_order_locks_its_funds_and_a_cancel_gives_them_back():
    venue = spot()
    placed(venue, "a", BUY, 1_000, BID)
    assert funds(venue, "USDT") == (70_000 * 10**8, 30_000 * 10**8)
    cancelled = venue.cancel(9, SYMBOL, client_id="a")
    assert isinstance(cancelled, VenueOrder) and cancelled.status is Status.CANCELLED
    assert funds(venue, "USDT") == (100_000 * 10**8, 0)
    assert told(venue) == [("a", Execution.NEW, Status.NEW), ("a", Execution.CANCELED, Status.CANCELLED)]


def test_a_market_order_takes_level_by_level_and_pays_the_fee_from_what_it_gets():
    venue = spot()
    answer = placed(venue, "m", BUY, 500)
    assert [(f.price, f.size, f.maker, f.fee, f.fee_asset) for f in answer.fills] == [
        (ASK, 400, False, 20_000, "BTC"),
        (ASK + 10, 100, False, 5_000, "BTC"),
    ]
    assert answer.order.status is Status.FILLED and answer.order.notional == 400 * ASK + 100 * (ASK + 10)
    assert funds(venue, "BTC")[0] == 250_000_000 - 25_000
    assert funds(venue, "USDT")[0] == 100_000 * 10**8 - answer.order.notional * 1_000


def test_a_resting_order_waits_for_its_queue_and_fills_in_parts():
    venue = spot()
    placed(venue, "a", BUY, 100, BID)
    venue.trade(5, SYMBOL, -1, BID, 500)
    assert venue.my_trades(SYMBOL) == []
    venue.trade(6, SYMBOL, -1, BID, 60)
    venue.trade(7, SYMBOL, -1, BID, 60)
    assert [(f.size, f.maker, f.fee, f.ts_event) for f in venue.my_trades(SYMBOL)] == [(60, True, 1_200, 6), (40, True, 800, 7)]
    assert told(venue)[1:] == [("a", Execution.TRADE, Status.PARTIAL), ("a", Execution.TRADE, Status.FILLED)]


def test_the_optimistic_queue_has_nobody_ahead():
    venue = spot(queue="optimistic")
    placed(venue, "a", BUY, 100, BID)
    venue.trade(5, SYMBOL, -1, BID, 1)
    assert [f.size for f in venue.my_trades(SYMBOL)] == [1]


def test_post_only_that_would_take_is_refused_or_expires_by_setting():
    assert refused(spot(), "a", BUY, 100, ASK, tif=POST_ONLY) == -2010
    assert refused(futures(), "a", BUY, 100, ASK, tif=POST_ONLY) == -5022
    venue = futures(post_only="expire")
    assert placed(venue, "a", BUY, 100, ASK, tif=POST_ONLY).order.status is Status.EXPIRED
    assert told(venue)[-1] == ("a", Execution.EXPIRED, Status.EXPIRED)


def test_post_only_does_not_take_from_an_order_of_our_own():
    venue = spot()
    placed(venue, "a", BUY, 100, BID + 20)
    assert refused(venue, "b", SELL, 100, BID + 20, tif=POST_ONLY) == -2010


def test_an_immediate_order_expires_with_what_it_did_not_get():
    venue = spot()
    assert placed(venue, "a", BUY, 10, BID, tif=Tif.IOC).order.status is Status.EXPIRED
    part = placed(venue, "b", BUY, 900, ASK, tif=Tif.IOC).order
    assert (part.status, part.filled) == (Status.EXPIRED, 400)
    assert funds(venue, "USDT")[1] == 0


def test_a_market_order_can_be_given_by_the_money_to_spend():
    venue = spot()
    order = placed(venue, "a", BUY, 0, quote_size=(ASK * 400 + (ASK + 10) * 5 + 7) * 1_000).order
    assert (order.size, order.filled, order.status) == (405, 405, Status.FILLED)
    assert refused(venue, "b", BUY, 0, quote_size=(ASK // 2) * 1_000) == -1013


@pytest.mark.parametrize(
    ("asked", "on_spot", "on_futures"),
    [
        (new("a" * 37, BUY, 100, BID), -1100, -4015),
        (new("a b", BUY, 100, BID), -1100, -1100),
        (new("a", BUY, 100, BID + 1), -1013, -4014),
        (new("a", BUY, 0, BID), -1013, -4003),
        (new("a", BUY, 10**7 + 1, BID), -1013, -4005),
        (new("a", BUY, 100, BID * 2), -1013, -4016),
        (new("a", BUY, 100, BID // 20 * 10), -1013, -4024),
        (new("a", BUY, 5_000_000, BID), -2010, -2019),
        (new("a", BUY, 100, kind=Kind.LIMIT), -1013, -4001),
        (new("a", BUY, 100, BID, reduce_only=True), -1106, -2022),
    ],
    ids=[
        "id too long",
        "id with a blank",
        "off tick",
        "no size",
        "too large",
        "too high",
        "too low",
        "too dear",
        "no price",
        "reduces nothing",
    ],
)
def test_what_the_venue_refuses_changes_nothing(asked, on_spot, on_futures):
    for venue, code in ((spot(), on_spot), (futures(), on_futures)):
        before = venue.balances()
        answer = venue.place(2, asked)
        assert isinstance(answer, Refusal) and answer.code == code
        assert (venue.balances(), venue.open_orders(), venue.taken()) == (before, [], [])


def test_small_notional_is_refused_except_where_it_reduces():
    one = {SYMBOL: listing(min_notional=100.0, leverage=20.0)}
    for venue, code in ((Matching(one, kind="spot"), -1013), (Matching(one, kind="usdm"), -4164)):
        started(venue)
        assert refused(venue, "a", BUY, 3, BID) == code
    venue = started(Matching(one, kind="usdm"))
    placed(venue, "b", BUY, 10)
    assert placed(venue, "c", SELL, 3, reduce_only=True).order.status is Status.FILLED


def test_symbols_and_orders_that_are_not_there_have_codes():
    venue = spot()
    answers = [
        venue.place(2, New(client_id="a", symbol="NONE", side=BUY, size=1)),
        venue.order(SYMBOL, client_id="x"),
        venue.cancel(3, SYMBOL, venue_id=77),
        venue.cancel_all(4, SYMBOL),
        venue.countdown(5, SYMBOL, 1_000),
    ]
    assert [a.code for a in answers if isinstance(a, Refusal)] == [-1121, -2013, -2011, -2011, -1002]


def test_client_ids_are_unique_among_open_orders_only():
    for venue, code in ((spot(), -2010), (futures(), -4116)):
        first = placed(venue, "same", BUY, 100, BID).order
        assert refused(venue, "same", BUY, 200, BID) == code
        venue.cancel(venue.now, SYMBOL, client_id="same")
        second = placed(venue, "same", BUY, 200, BID).order
        found = venue.order(SYMBOL, client_id="same")
        assert isinstance(found, VenueOrder) and found.venue_id == second.venue_id != first.venue_id
        assert [o.size for o in venue.all_orders(SYMBOL)] == [100, 200]


@pytest.mark.parametrize(
    ("stp", "maker", "taker"),
    [
        (Stp.EXPIRE_MAKER, Status.EXPIRED, Status.NEW),
        (Stp.EXPIRE_TAKER, Status.NEW, Status.EXPIRED),
        (Stp.EXPIRE_BOTH, Status.EXPIRED, Status.EXPIRED),
        (Stp.NONE, Status.NEW, Status.NEW),
    ],
)
def test_our_orders_do_not_trade_with_each_other(stp: Stp, maker: Status, taker: Status):
    venue = spot()
    placed(venue, "maker", BUY, 100, BID + 30)
    placed(venue, "taker", SELL, 100, BID + 20, stp=stp)
    found = [venue.order(SYMBOL, client_id=name) for name in ("maker", "taker")]
    assert [o.status for o in found if isinstance(o, VenueOrder)] == [maker, taker]


def test_an_order_of_ours_behind_enough_of_the_market_is_not_touched():
    venue = spot()
    placed(venue, "maker", BUY, 100, BID)
    assert placed(venue, "taker", SELL, 400, BID).order.status is Status.FILLED
    assert [o.client_id for o in venue.open_orders()] == ["maker"]


def test_updates_tell_the_account_after_each_fill_and_are_taken_once():
    venue = spot()
    placed(venue, "a", SELL, 100)
    updates = venue.taken()
    assert [type(u) for u in updates] == [OrderUpdate, OrderUpdate, AccountUpdate]
    assert isinstance(updates[2], AccountUpdate) and [m.asset for m in updates[2].balances] == ["BTC", "USDT"]
    assert venue.taken() == []


def test_trades_and_orders_are_paged_by_id_and_time():
    venue = spot()
    for n in range(5):
        placed(venue, f"o{n}", BUY, 1 + n)
    assert [f.size for f in venue.my_trades(SYMBOL, from_id=2, limit=2)] == [2, 3]
    assert [f.size for f in venue.my_trades(SYMBOL, limit=2)] == [4, 5]
    assert [f.size for f in venue.my_trades(SYMBOL, since=4, until=5)] == [3, 4]
    assert [o.size for o in venue.all_orders(SYMBOL, from_id=4)] == [4, 5]
    assert [f.size for f in venue.my_trades(SYMBOL, venue_id=3)] == [3]


def test_money_is_written_as_venues_do():
    assert [text(u, 10) for u in (10**10, -1, -(10**2), 0)] == ["1.00000000", "0.00000000", "-0.00000001", "0.00000000"]
    assert (text(5, 3, 5), text(1_999, 3, 0)) == ("0.00500", "1")


def test_a_snapshot_takes_away_what_it_does_not_have():
    venue = spot()
    venue.snapshot(3, SYMBOL, levels((BID - 10, 5)), levels((ASK + 10, 6)))
    assert venue.top(SYMBOL) == (BID - 10, 5, ASK + 10, 6)


def test_the_venue_remembers_the_latest_closed_orders_and_all_open_ones():
    venue = spot()
    venue.orders.keep = 3
    placed(venue, "open", BUY, 10, BID)
    for n in range(20):
        placed(venue, f"o{n}", BUY, 1)
    kept = [order.client_id for order in venue.all_orders(SYMBOL)]
    assert kept[0] == "open" and kept[-3:] == ["o17", "o18", "o19"] and len(kept) <= 8
    assert len(venue.my_trades(SYMBOL)) <= 6 and venue.my_trades(SYMBOL)[-1].trade_id == 20
    assert isinstance(venue.order(SYMBOL, client_id="o1"), Refusal)
