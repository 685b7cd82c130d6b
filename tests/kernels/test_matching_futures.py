"""Positions, margin, reduce-only and conditional orders, countdown, funding and liquidation at a simulated futures venue."""

import pytest
from msgspec.structs import replace

from core.market import Side
from core.orders import Status
from kernels.matching import Matching
from kernels.matching_words import AccountUpdate, Execution, Kind, New, OrderUpdate, Placed, Refusal, VenueOrder, Working
from tests.kernels.matching_market import ASK, BID, SYMBOL, futures, levels, listing, placed, refused, started

BUY, SELL = Side.BUY, Side.SELL
UNIT = 10**8  # money of one USDT: 8 decimals hold every notional of this symbol
NOTIONAL = 1_000  # money of a price unit times a size unit


def position(venue: Matching):
    return venue.positions()[0]


def status(venue: Matching, client_id: str) -> tuple[Status, int, str]:
    order = venue.order(SYMBOL, client_id=client_id)
    assert isinstance(order, VenueOrder)
    return order.status, order.filled, order.why


def test_a_position_has_its_average_price_and_realises_what_it_closes():
    venue = futures()
    placed(venue, "a", BUY, 500)
    assert (position(venue).size, position(venue).entry_price) == (500, (400 * ASK + 100 * (ASK + 10)) / 500 / 100)
    fills = placed(venue, "c", SELL, 200).fills
    gone = (400 * ASK + 100 * (ASK + 10)) * 200 // 500
    assert [f.realised for f in fills] == [(200 * BID - gone) * NOTIONAL]
    wallet = venue.balances()[0].wallet
    fees = sum(f.fee for f in venue.my_trades(SYMBOL))
    assert wallet == 100_000 * UNIT + position(venue).realised - fees


def test_an_order_larger_than_the_position_turns_it_over():
    venue = futures()
    placed(venue, "a", BUY, 100)
    placed(venue, "b", SELL, 300)
    assert (position(venue).size, position(venue).entry_price) == (-200, BID / 100)


def test_margin_is_for_the_worst_side_and_refuses_what_is_beyond():
    venue = futures(quote_balance=1_000, leverage=10)
    placed(venue, "a", BUY, 200, BID)
    assert venue.balances()[0].locked == 200 * BID * NOTIONAL // 10
    placed(venue, "b", SELL, 200, ASK)  # the other side needs hardly more
    assert venue.balances()[0].locked == 200 * ASK * NOTIONAL // 10
    assert refused(venue, "c", BUY, 200, BID) == -2019
    venue.cancel_all(venue.now, SYMBOL)
    assert venue.balances()[0].locked == 0


def test_leverage_changes_the_margin_within_what_is_listed():
    venue = futures(quote_balance=1_000)
    assert refused(venue, "a", BUY, 200) == -2019
    assert [venue.set_leverage(5, SYMBOL, n) is None for n in (0, 21, 20)] == [False, False, True]
    placed(venue, "a", BUY, 200)
    assert isinstance(venue.set_leverage(6, SYMBOL, 1), Refusal)


def test_reduce_only_takes_off_no_more_than_there_is():
    venue = futures()
    placed(venue, "open", BUY, 100)
    assert refused(venue, "wrong", BUY, 50, reduce_only=True) == -2022
    order = placed(venue, "all", SELL, 300, reduce_only=True).order
    assert (order.status, order.filled, position(venue).size) == (Status.FILLED, 100, 0)


def test_two_reduce_only_orders_filled_by_one_trade_do_not_turn_the_position_over():
    venue = futures()
    placed(venue, "open", BUY, 100)
    placed(venue, "x", SELL, 80, ASK + 100, reduce_only=True)
    placed(venue, "y", SELL, 80, ASK + 200, reduce_only=True)
    placed(venue, "z", SELL, 80, ASK + 300, reduce_only=True)
    venue.trade(9, SYMBOL, 1, ASK + 250, 1)
    assert position(venue).size == 0
    assert [status(venue, name) for name in "xyz"] == [
        (Status.FILLED, 80, ""),
        (Status.EXPIRED, 20, "reduce only"),
        (Status.EXPIRED, 0, "reduce only"),
    ]
    assert venue.open_orders() == []


def test_a_stop_closes_the_position_when_a_trade_reaches_it():
    venue = futures()
    placed(venue, "open", BUY, 300)
    stop = placed(venue, "stop", SELL, 0, kind=Kind.STOP_MARKET, stop_price=BID - 1_000, close_position=True).order
    assert (stop.status, stop.ts_working) == (Status.NEW, 0)
    venue.trade(8, SYMBOL, -1, BID - 990, 1)
    assert status(venue, "stop")[0] is Status.NEW
    venue.taken()
    venue.trade(9, SYMBOL, -1, BID - 1_000, 1)
    assert status(venue, "stop") == (Status.FILLED, 300, "")
    assert position(venue).size == 0
    told = [u.execution for u in venue.taken() if isinstance(u, OrderUpdate)]
    assert told == [Execution.TRIGGERED, Execution.TRADE]


def test_a_take_profit_can_wait_for_the_mark_price():
    venue = futures()
    placed(venue, "open", SELL, 300)
    placed(venue, "tp", BUY, 300, kind=Kind.TAKE_PROFIT_MARKET, stop_price=BID - 500, working=Working.MARK, reduce_only=True)
    venue.trade(8, SYMBOL, -1, BID - 600, 1)
    assert status(venue, "tp")[0] is Status.NEW
    venue.mark(9, SYMBOL, BID - 500)
    assert status(venue, "tp")[0] is Status.FILLED


def test_a_stop_with_nothing_left_to_close_expires_and_one_that_would_go_off_now_is_refused():
    venue = futures()
    venue.trade(2, SYMBOL, 1, ASK, 1)
    placed(venue, "stop", SELL, 10, kind=Kind.STOP_MARKET, stop_price=BID - 500, reduce_only=True)
    assert refused(venue, "late", SELL, 10, kind=Kind.STOP_MARKET, stop_price=ASK + 500, reduce_only=True) == -2021
    venue.trade(9, SYMBOL, -1, BID - 500, 1)
    assert status(venue, "stop") == (Status.EXPIRED, 0, "reduce only")


def test_the_countdown_cancels_at_its_own_time_unless_it_is_renewed():
    venue = futures()
    placed(venue, "a", BUY, 100, BID)
    placed(venue, "s", SELL, 10, kind=Kind.STOP_MARKET, stop_price=BID - 500)
    ms = 1_000_000
    venue.countdown(10 * ms, SYMBOL, 100)
    venue.countdown(60 * ms, SYMBOL, 100)
    venue.advance(159 * ms)
    assert len(venue.open_orders()) == 2
    venue.taken()
    venue.trade(300 * ms, SYMBOL, -1, BID - 10, 10_000)  # would have filled it
    assert [(u.ts, u.order.client_id, u.order.why) for u in venue.taken() if isinstance(u, OrderUpdate)] == [
        (160 * ms, "a", "countdown"),  # what waits for a price stays: it protects where nobody else does
    ]
    placed(venue, "b", BUY, 100, BID - 100)
    venue.countdown(301 * ms, SYMBOL, 100)
    venue.countdown(302 * ms, SYMBOL, 0)
    venue.advance(10**12)
    assert [o.client_id for o in venue.open_orders()] == ["s", "b"]
    venue.cancel_all(10**12, SYMBOL, conditional=False)
    assert [o.client_id for o in venue.open_orders()] == ["s"]


def test_funding_is_paid_by_longs_at_the_mark_price():
    venue = futures()
    placed(venue, "a", BUY, 100)
    venue.mark(5, SYMBOL, BID)
    before = venue.balances()[0].wallet
    venue.taken()
    venue.funding(6, SYMBOL, 10_000)  # 0.01 %
    amount = -100 * BID * NOTIONAL // 10_000
    assert venue.balances()[0].wallet == before + amount
    assert [(u.reason, u.amount) for u in venue.taken() if isinstance(u, AccountUpdate)] == [("FUNDING_FEE", amount)]


def test_a_position_is_liquidated_at_its_stated_price():
    venue = futures(quote_balance=1_000, leverage=20)
    placed(venue, "a", BUY, 400)
    placed(venue, "b", BUY, 1, BID - 1_000)
    stated = round(position(venue).liquidation_price * 100)
    assert BID * 0.9 < stated < BID
    venue.mark(5, SYMBOL, stated + 2)
    assert position(venue).size == 400
    venue.mark(6, SYMBOL, stated - 2)
    assert (position(venue).size, venue.open_orders()) == (0, [])
    assert venue.all_orders(SYMBOL)[-1].client_id.startswith("autoclose-")


def test_the_liquidation_price_of_a_short_is_above():
    venue = futures(quote_balance=1_000, leverage=20)
    placed(venue, "a", SELL, 400)
    stated = round(position(venue).liquidation_price * 100)
    venue.mark(5, SYMBOL, stated - 2)
    assert position(venue).size == -400
    venue.mark(6, SYMBOL, stated + 2)
    assert position(venue).size == 0


def test_positions_of_one_wallet_back_each_other():
    both = {name: listing(name, leverage=20.0, maintenance=0.005) for name in (SYMBOL, "ETHUSDT")}
    venue = started(Matching(both, kind="usdm", quote_balance=1_000, leverage=20))
    venue.snapshot(2, "ETHUSDT", levels((200_000, 10_000)), levels((200_010, 10_000)))
    placed(venue, "a", BUY, 300)
    alone = position(venue).liquidation_price
    answer = venue.place(6, New(client_id="e", symbol="ETHUSDT", side=BUY, kind=Kind.MARKET, size=2_000))
    assert isinstance(answer, Placed)
    venue.mark(7, "ETHUSDT", 220_000)
    assert position(venue).liquidation_price < alone


def test_what_cannot_be_matched_is_named_at_the_start():
    one = listing()
    for wrong in ({"inverse": True}, {"contract_multiplier": 100.0}, {"base": ""}):
        with pytest.raises(ValueError, match=SYMBOL):
            Matching({SYMBOL: replace(one, instrument=replace(one.instrument, **wrong))}, kind="usdm")
