"""Risk approves what is within every limit, and tells by a code why it refuses anything else."""

from math import inf, nan
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from core.events import Approved, Mode
from core.live_settings import Limits as Settings
from core.market import NS
from core.orders import Kind, Purpose, Status, Tif
from kernels import holdings, risk, risk_orders
from kernels.risk import Clock, Code, Limits, Quote
from tests.kernels.risk_cases import MID, NOW, QUOTE, account, code, listing, open_orders, order, sell, verdict

LOST = account()
LOST.day_first = LOST.capital + 200
FALLEN = account()
FALLEN.peak = FALLEN.capital + 300
UNLUCKY = account()
UNLUCKY.loss_streak = 20
NEAR = account(BTCUSDT=10)
NEAR.positions["BTCUSDT"].liquidation = MID * 0.95
UNSEEN = account(ETHUSDT=10)
UNSEEN.positions["ETHUSDT"].marked = NOW - 3 * NS
HALTED_MARKET = account()
HALTED_MARKET.positions["BTCUSDT"].listing = listing("BTCUSDT", status="BREAK")
COARSE = account()
COARSE.positions["BTCUSDT"].listing = listing("BTCUSDT", tick=7, lot=16)


def unknown() -> Any:
    orders = open_orders(order("sc1-9", price=MID - 100, size=10))
    risk_orders.stands(orders, "sc1-9", Status.UNKNOWN)
    return orders


def many(n: int, ts: int = NOW - 10 * NS) -> Any:
    return open_orders(*(order(f"sc2-{i}", size=5, price=MID - 10 - i) for i in range(n)), ts=ts)


MARKET: dict[str, Any] = {"kind": Kind.MARKET, "price": 0}
REFUSED: dict[str, tuple[Code, Any, dict[str, Any]]] = {
    "a limit that is nan": (Code.NOT_A_NUMBER, order(), {"limits": Limits(max_order=nan)}),
    "a limit that is infinite": (Code.NOT_A_NUMBER, order(), {"limits": Limits(max_net=inf)}),
    "something that raises": (Code.EXCEPTION, order(), {"quote": None}),
    "text for a quote": (Code.EXCEPTION, order(), {"quote": Quote("1", "2", NOW)}),  # type: ignore
    "the clock jumped": (Code.CLOCK_JUMP, order(), {"clock": Clock(now=NOW, trusted_from=NOW + 1)}),
    "decided long ago": (Code.CLOCK_JUMP, order(ts=NOW - 6 * NS), {}),
    "decided later than now": (Code.CLOCK_JUMP, order(ts=NOW + 6 * NS), {}),
    "a clock that is nan": (Code.CLOCK_JUMP, order(), {"clock": Clock(now=nan)}),  # type: ignore
    "a symbol that is not listed": (Code.UNLISTED, order(symbol="DOGEUSDT"), {}),
    "a market that is closed": (Code.NOT_TRADING, order(), {"held": HALTED_MARKET}),
    "no id": (Code.ORDER_ID, order(""), {}),
    "an id too long": (Code.ORDER_ID, order("x" * 37), {}),
    "post only at the market": (Code.KIND, order(kind=Kind.MARKET, price=0, tif=Tif.GTX), {}),
    "no side": (Code.KIND, order(side=None), {}),
    "no size": (Code.SIZE, order(size=0), {}),
    "less than no size": (Code.SIZE, order(size=-5), {}),
    "a size that is nan": (Code.SIZE, order(size=nan), {}),
    "a size that is no whole number": (Code.SIZE, order(size=1_000.0), {}),
    "a size off the lot": (Code.LOT, order(price=MID - MID % 7), {"held": COARSE}),
    "a price that is nan": (Code.PRICE, order(price=nan), {}),
    "no price": (Code.PRICE, order(price=0), {}),
    "a market order with a price": (Code.PRICE, order(kind=Kind.MARKET), {}),
    "a price off the tick": (Code.TICK, order(size=992), {"held": COARSE}),
    "halted": (Code.MODE_HALTED, order(), {"mode": Mode.HALTED}),
    "halted, and an exit": (Code.MODE_HALTED, sell(purpose=Purpose.EXIT), {"mode": Mode.HALTED, "held": account(BTCUSDT=1_000)}),
    "halted, and a flatten that opens": (Code.MODE_HALTED, sell(purpose=Purpose.FLATTEN), {"mode": Mode.HALTED}),
    "a mode that is none": (Code.MODE_HALTED, order(), {"mode": "whatever"}),
    "reducing, and an entry": (Code.MODE_REDUCING, order(), {"mode": Mode.REDUCING}),
    "reducing, and a turn": (Code.MODE_REDUCING, sell(), {"mode": Mode.REDUCING, "held": account(BTCUSDT=999)}),
    "no quote": (Code.QUOTE_UNKNOWN, order(), {"quote": Quote(0, 0, NOW)}),
    "a crossed quote": (Code.QUOTE_UNKNOWN, order(), {"quote": Quote(MID, MID - 1, NOW)}),
    "a quote that is nan": (Code.QUOTE_UNKNOWN, order(), {"quote": Quote(nan, nan, NOW)}),  # type: ignore
    "an old quote": (Code.QUOTE_STALE, order(), {"quote": Quote(MID - 1, MID + 1, NOW - 2 * NS - 1)}),
    "a quote of tomorrow": (Code.QUOTE_STALE, order(), {"quote": Quote(MID - 1, MID + 1, NOW + NS)}),
    "far above": (Code.PRICE_BAND, order(price=MID * 102 // 100), {}),
    "far below": (Code.PRICE_BAND, order(price=MID * 98 // 100), {}),
    "the venue's own band": (Code.PRICE_BAND, order(price=MID * 111 // 100), {"limits": Limits(price_band=0.5)}),
    "at the market of a wide spread": (Code.PRICE_BAND, order(**MARKET), {"quote": Quote(MID // 2, MID, NOW)}),
    "too small for the venue": (Code.MIN_NOTIONAL, order(size=4), {}),
    "reduce-only with nothing held": (Code.NOT_REDUCING, order(reduce_only=True), {}),
    "reduce-only of more than is held": (Code.NOT_REDUCING, sell(reduce_only=True), {"held": account(BTCUSDT=999)}),
    "spot sold short": (Code.SPOT_SHORT, sell(symbol="SPOT"), {"held": account(SPOT=999)}),
    "an id that is open": (Code.DUPLICATE_ID, order("sc1-9", price=MID - 9), {"orders": open_orders(order("sc1-9"))}),
    "the same order again": (Code.DUPLICATE_INTENT, order(), {"orders": open_orders(order("sc1-9"))}),
    "a buy at our own sell": (Code.SELF_TRADE, order(), {"orders": open_orders(sell("sc1-9"))}),
    "a market sell onto our own buy": (Code.SELF_TRADE, sell(**MARKET), {"orders": open_orders(order("sc1-9", price=MID - 9))}),
    "too many a second": (Code.ORDER_RATE, order(), {"orders": many(10, NOW - NS + 1)}),
    "too many open": (Code.OPEN_ORDERS, order(), {"orders": many(8)}),
    "one whose fate is unknown": (Code.UNKNOWN_ORDER, order(), {"orders": unknown()}),
    "something held that nobody quotes": (Code.EQUITY_UNKNOWN, order(), {"held": UNSEEN}),
    "equity that is nan": (Code.EQUITY_UNKNOWN, order(), {"held": replace(account(), capital=nan)}),
    "the day's loss reached": (Code.DAILY_LOSS, order(), {"held": LOST}),
    "drawdown reached": (Code.DRAWDOWN, order(), {"held": FALLEN}),
    "a streak of losses": (Code.LOSS_STREAK, order(), {"held": UNLUCKY}),
    "one order too large": (Code.ORDER_NOTIONAL, order(size=2_001), {}),
    "one market order too large": (Code.ORDER_NOTIONAL, order(size=1_990, **MARKET), {}),
    "a position too large": (Code.POSITION_NOTIONAL, order(), {"held": account(BTCUSDT=4_001)}),
    "too much of everything": (Code.GROSS_NOTIONAL, order(), {"held": account(BTCUSDT=3_000, ETHUSDT=-6_100)}),
    "too much of one side": (Code.NET_NOTIONAL, order(), {"held": account(ETHUSDT=3_000), "limits": Limits(max_net=3_900.0)}),
    "too much for its capital": (Code.LEVERAGE, order(), {"held": account(400.0), "limits": Limits(max_leverage=2.0)}),
    "spot beyond its capital": (Code.LEVERAGE, order(symbol="SPOT"), {"held": account(900.0)}),
    "no capital left": (Code.LEVERAGE, order(), {"held": account(-1.0)}),
    "too near to liquidation": (Code.LIQUIDATION, order(), {"held": account(900.0), "limits": Limits(min_liquidation_distance=0.9)}),
    "as near as the venue says": (Code.LIQUIDATION, order(), {"held": NEAR}),
}  # fmt: skip


@pytest.mark.parametrize(("why", "asked", "given"), REFUSED.values(), ids=REFUSED)
def test_each_reason_refuses(why: Code, asked: Any, given: dict[str, Any]):
    assert code(asked, **given) == why


def test_every_code_has_a_case_and_a_place_in_the_docs():
    assert {row[0] for row in REFUSED.values()} == set(Code)
    page = (Path(__file__).parents[2] / "docs" / "risk.md").read_text()
    assert not [each for each in Code if f"`{each}`" not in page]


JUNK: list[Any] = [nan, inf, -inf, None, "5", 1.5, -1, 10**400, object()]


@given(st.sampled_from(["symbol", "side", "size", "price", "kind", "tif", "ts", "order_id"]), st.sampled_from(JUNK))
@settings(deadline=None, max_examples=100)
def test_an_order_of_junk_is_refused_and_never_raises(field: str, junk: Any):
    if (field, junk) != ("order_id", "5"):
        assert code(order(**{field: junk}) if field != "order_id" else order(junk))


@given(st.sampled_from(["bid", "ask", "ts"]), st.sampled_from(Limits._fields), st.sampled_from(JUNK[:4]), st.booleans())
@settings(deadline=None, max_examples=100)
def test_a_quote_or_a_limit_of_junk_refuses_and_never_raises(of_quote: str, of_limits: str, junk: Any, in_quote: bool):
    quote = QUOTE._replace(**{of_quote: junk}) if in_quote else QUOTE
    limits = Limits() if in_quote else Limits()._replace(**{of_limits: junk})
    assert code(order(), quote=quote, limits=limits)


def test_an_order_within_all_limits_is_approved_as_it_is():
    asked = order()
    assert verdict(asked) == Approved(ts=NOW, order=asked)


def test_the_limit_itself_is_allowed():
    assert not code(order(size=2_000))
    assert not code(order(), held=account(BTCUSDT=4_000))


def test_a_manual_order_takes_the_same_path():
    assert code(order(size=2_001, purpose=Purpose.MANUAL)) == Code.ORDER_NOTIONAL


@pytest.mark.parametrize("status", [Status.INTENT, Status.SENT, Status.UNKNOWN, Status.NEW, Status.PARTIAL])
def test_all_that_may_still_fill_counts(status: Status):
    orders = open_orders(order("sc1-8", symbol="ETHUSDT", size=4_001, price=MID - 5))
    risk_orders.stands(orders, "sc1-8", status)
    limits = Limits(max_gross=5_000.0)
    assert code(order(), orders=orders, limits=limits) == Code.GROSS_NOTIONAL
    risk_orders.stands(orders, "sc1-8", Status.CANCELLED)
    assert not code(order(), orders=orders, limits=limits)


def test_an_equal_intent_waits_as_long_as_is_set():
    orders = open_orders(order("sc1-9"), ts=NOW - NS)
    risk_orders.stands(orders, "sc1-9", Status.FILLED)
    assert not code(order(), orders=orders)
    assert code(order(), orders=orders, limits=Limits(duplicate_s=1.5)) == Code.DUPLICATE_INTENT
    assert not code(order(), orders=orders, limits=Limits(duplicate_s=1.0))


@pytest.mark.parametrize("held", [LOST, FALLEN, UNLUCKY, replace(account(), capital=nan)], ids=["loss", "drawdown", "streak", "nan"])
def test_there_is_always_a_way_out(held: Any):
    holdings.adopt(held, "BTCUSDT", 9_000, MID)
    asked = sell(size=9_000, reduce_only=True, purpose=Purpose.STOP)
    assert not code(asked, held=held)
    assert not code(asked, held=held, mode=Mode.REDUCING)
    assert not code(replace(asked, purpose=Purpose.FLATTEN), held=held, mode=Mode.HALTED)


def test_what_seems_to_reduce_does_not_beside_orders_that_could_turn_it():
    held, orders = account(BTCUSDT=1_000), open_orders(sell("sc1-9", size=1_000, price=MID + 5))
    asked = sell(reduce_only=True)
    assert not risk.reduces(asked, held.positions["BTCUSDT"], orders)
    assert code(asked, held=held, orders=orders, mode=Mode.REDUCING) == Code.MODE_REDUCING
    orders = open_orders(sell("sc1-9", size=1_000, price=MID + 5, reduce_only=True))
    assert not code(asked, held=held, orders=orders, mode=Mode.REDUCING)


def test_on_spot_two_exits_do_not_sell_the_same_thing():
    held, orders = account(SPOT=1_000), open_orders(sell("sc1-9", symbol="SPOT", size=600, price=MID + 5, reduce_only=True))
    assert code(sell(symbol="SPOT", size=500, reduce_only=True), held=held, orders=orders) == Code.SPOT_SHORT
    assert not code(sell(symbol="SPOT", size=400, reduce_only=True), held=held, orders=orders)


def test_limits_are_those_of_the_settings():
    assert risk.pack(Settings().model_dump()) == Limits()
    with pytest.raises(ValueError, match="max_order"):
        risk.pack({"max_order": nan})
