"""Positions are the sum of fills, money is neither made nor lost, and losses are counted from where the day and the peak began."""

from fractions import Fraction
from math import isnan, nan
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from core.market import NS, Instrument, Side
from core.orders import Fill, Listing
from kernels import holdings
from kernels.holdings import DAY_NS
from tests.kernels.risk_cases import LISTINGS, MID, NOW, account

SPOT, FUTURES = "SPOT", "BTCUSDT"


def fill(trade_id: int, side: Side, size: int, price: int = MID, **changed: Any) -> Fill:
    told: dict[str, Any] = {
        "order_id": "sc1-1", "symbol": FUTURES, "trade_id": trade_id, "side": side, "price": price, "size": size, "maker": True,
        "fee": 0, "fee_asset": "USDT", "ts_event": NOW,
    }  # fmt: skip
    return Fill(**(told | changed))


fills = st.lists(
    st.tuples(st.sampled_from(Side), st.integers(1, 5_000), st.integers(90_000, 110_000), st.integers(-(10**6), 10**8)), max_size=30
)


@given(fills, st.sampled_from([SPOT, FUTURES]), st.sampled_from(["USDT", "SPOT"]), st.integers(80_000, 120_000))
@settings(deadline=None, max_examples=200)
def test_money_is_what_was_paid_and_what_is_held(rows: Any, symbol: str, fee_asset: str, bid: int):
    held = holdings.init(LISTINGS, 0.0, NOW)
    cash, owned = Fraction(0), Fraction(0)
    for n, (side, size, price, fee) in enumerate(rows):
        assert holdings.apply(held, fill(n, side, size, price, symbol=symbol, fee=fee, fee_asset=fee_asset))
        cash -= Fraction(side.sign * size * price, 10**5)
        owned += Fraction(side.sign * size, 10**3)
        if fee_asset == "USDT":
            cash -= Fraction(fee, 10**8)
        elif symbol == SPOT:
            owned -= Fraction(fee, 10**8)
        else:  # on futures, in an asset that is neither: the taker's rate
            cash -= Fraction(size * price * 5, 10**5 * 10_000)
    position = held.positions[symbol]
    holdings.mark(held, symbol, bid, bid + 3, NOW)
    assert Fraction(position.owned, 10**8) == owned
    assert abs(position.size) == abs(owned) * 1000 // 1
    worth = owned * Fraction(2 * bid + 3, 200)
    assert holdings.equity_now(held) == pytest.approx(float(cash + worth), abs=1e-6)
    # The division of an average leaves its remainder with what is held.
    assert Fraction(position.realised - position.cost, 10**10) - Fraction(position.fees, 10**10) == cash
    if not position.owned:
        assert position.cost == 0
        assert isnan(position.average_price)


def test_a_fill_seen_twice_is_seen_once():
    held = account()
    assert holdings.apply(held, fill(7, Side.BUY, 100))
    assert not holdings.apply(held, fill(7, Side.BUY, 100))
    assert held.positions[FUTURES].size == 100


def test_average_price_and_realised_follow_the_textbook():
    held = account()
    for n, (side, size, price) in enumerate([(Side.BUY, 100, 100_000), (Side.BUY, 300, 104_000), (Side.SELL, 200, 105_000)]):
        holdings.apply(held, fill(n, side, size, price))
    position = held.positions[FUTURES]
    assert position.average_price == 1030.0
    assert position.realised_pnl == pytest.approx(0.2 * 20)
    assert position.unrealised_pnl == pytest.approx(0.2 * (1000 - 1030))
    holdings.apply(held, fill(9, Side.SELL, 500, 105_000))
    assert (position.size, position.average_price) == (-300, 1050.0)
    assert position.realised_pnl == pytest.approx(0.4 * 20)


def test_a_fee_in_the_base_asset_comes_off_what_can_be_sold():
    held = account()
    holdings.apply(held, fill(1, Side.BUY, 1_000, symbol=SPOT, fee=10**5, fee_asset=SPOT))
    position = held.positions[SPOT]
    assert (position.size, position.fees_paid) == (999, 1.0)
    assert holdings.settle(held, NOW) == 10_000 - 1.0


def test_fees_in_another_asset_count_at_the_takers_rate_and_are_kept():
    held = account()
    holdings.apply(held, fill(1, Side.BUY, 1_000, fee=123, fee_asset="BNB"))
    assert held.positions[FUTURES].fees_paid == 0.5
    assert held.other_fees == {"BNB": 123}


def test_a_contract_of_many_units_multiplies_the_notional_and_not_the_fee():
    instrument = Instrument(
        venue="test", symbol="C", price_decimals=2, size_decimals=0, tick_size=0.01, lot_size=1, contract_multiplier=0.01, quote="USDT"
    )
    held = holdings.init({"C": Listing(instrument=instrument, tick=1, lot=1, min_size=1, max_size=9, max_leverage=5)}, 0.0, NOW)
    holdings.mark(held, "C", MID - 1, MID + 1, NOW)
    holdings.apply(held, fill(1, Side.BUY, 5, MID - 10_000, symbol="C", fee=10**8))
    assert holdings.settle(held, NOW) == pytest.approx(5 * 0.01 * 100 - 1)
    with pytest.raises(ValueError, match="base asset"):
        holdings.init({"C": Listing(instrument=replace(instrument, inverse=True), tick=1, lot=1, min_size=1, max_size=9)}, 0.0, NOW)


def test_equity_is_not_a_number_where_something_is_held_that_was_never_quoted():
    held = holdings.init(LISTINGS, 100.0, NOW)
    holdings.apply(held, fill(1, Side.BUY, 100))
    assert isnan(holdings.settle(held, NOW))
    assert (held.peak, held.day_first) == (100.0, 100.0)
    assert holdings.unseen(held, NOW, 2 * NS) == FUTURES
    holdings.mark(held, FUTURES, MID - 1, MID + 1, NOW)
    assert holdings.settle(held, NOW) == 100.0
    holdings.mark(held, FUTURES, 0, MID + 1, NOW + NS)
    assert holdings.settle(held, NOW + NS) == 100.0
    assert holdings.unseen(held, NOW + 3 * NS, 2 * NS) == FUTURES


def test_the_day_begins_at_midnight_utc_with_the_first_equity_known():
    held = account(BTCUSDT=1_000)
    midnight = (NOW // DAY_NS + 1) * DAY_NS
    holdings.mark(held, FUTURES, MID + 999, MID + 1_001, midnight - 1)
    assert holdings.settle(held, midnight - 1) == 10_010.0
    assert (held.day_first, held.peak) == (10_000.0, 10_010.0)
    held.positions[FUTURES].pnl = nan
    holdings.settle(held, midnight)
    assert isnan(held.day_first)
    holdings.mark(held, FUTURES, MID - 1, MID + 1, midnight + 1)
    holdings.settle(held, midnight + 1)
    assert (held.day_first, held.peak) == (10_000.0, 10_010.0)
    holdings.settle(held, midnight - 1)
    assert held.day == midnight // DAY_NS  # days do not go back


@pytest.mark.parametrize(
    ("trips", "streak"),
    [([-1, -1, -1], 3), ([-1, -1, 1], 0), ([-1, 1, -1], 1), ([-1, 0], 0)],
    ids=["three lost", "won at last", "lost again", "nothing lost"],
)
def test_round_trips_lost_one_after_another(trips: list[int], streak: int):
    held = account()
    for n, made in enumerate(trips):
        holdings.apply(held, fill(3 * n, Side.SELL, 100))
        holdings.apply(held, fill(3 * n + 1, Side.BUY, 60, MID - made))
        holdings.apply(held, fill(3 * n + 2, Side.BUY, 40, MID - made))
    assert held.loss_streak == streak


def test_money_of_no_named_position_counts_at_the_largest():
    held = account()
    assert holdings.largest(held) == next(iter(held.positions))
    holdings.apply(held, fill(1, Side.BUY, 5))
    holdings.apply(held, fill(2, Side.SELL, 9, symbol=SPOT))
    assert holdings.largest(held) == SPOT


def test_fees_and_funding_make_a_round_trip_lose():
    held = account()
    holdings.apply(held, fill(1, Side.BUY, 100, fee=10**6))
    holdings.fund(held, FUTURES, 0.02)
    holdings.apply(held, fill(2, Side.SELL, 200, fee=10**5))
    assert held.loss_streak == 0
    holdings.fund(held, FUTURES, -0.02)
    holdings.apply(held, fill(3, Side.BUY, 100))
    assert held.loss_streak == 1
    with pytest.raises(ValueError, match="not a number"):
        holdings.fund(held, FUTURES, nan)


def test_what_the_venue_says_we_hold_is_right_and_makes_no_money():
    held = account(BTCUSDT=500)
    equity = holdings.settle(held, NOW)
    holdings.adopt(held, FUTURES, -200, MID, liquidation=130_000.0)
    position = held.positions[FUTURES]
    assert (position.size, position.liquidation, holdings.settle(held, NOW)) == (-200, 130_000.0, equity)
    with pytest.raises(ValueError, match="cannot be taken over"):
        holdings.adopt(held, FUTURES, 5, nan)


def test_a_worker_goes_on_where_the_one_before_it_ended():
    held = account()
    holdings.resume(held, day=held.day, day_first=10_150.0, peak=10_200.0, loss_streak=3)
    assert (held.day_first, held.peak, held.loss_streak) == (10_150.0, 10_200.0, 3)
    holdings.resume(held, day=held.day - 1, day_first=9_000.0, peak=nan, loss_streak=0)
    assert (held.day_first, held.peak) == (10_150.0, 10_200.0)


@pytest.mark.parametrize("wrong", [{"size": 0}, {"price": 0}], ids=["no size", "no price"])
def test_a_fill_of_nothing_is_a_surprise(wrong: dict[str, int]):
    with pytest.raises(ValueError, match="a size and a price"):
        holdings.apply(account(), replace(fill(1, Side.BUY, 100), **wrong))
