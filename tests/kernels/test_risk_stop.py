"""A stop that waits at the venue takes the path of every order, and counts as what can only close."""

from typing import Any

import pytest

from core.events import Mode
from core.orders import Kind, Order, Purpose, Tif
from kernels import risk_orders
from kernels.risk import Code
from kernels.risk_exposure import worst_now
from tests.kernels.risk_cases import MID, NOW, account, code, open_orders, order, sell

HELD = account(BTCUSDT=1_000)


def stop(**changed: Any) -> Order:
    plain = {"kind": Kind.STOP, "price": 0, "stop_price": MID - 2_000, "reduce_only": True, "purpose": Purpose.VENUE_STOP}
    return sell(**(plain | changed))


def test_it_may_wait_outside_of_the_price_band_and_while_only_reducing():
    assert code(stop(), held=HELD) == ""
    assert code(stop(), held=HELD, mode=Mode.REDUCING) == ""
    assert code(stop(), held=HELD, mode=Mode.HALTED) == Code.MODE_HALTED


@pytest.mark.parametrize(
    ("asked", "why"),
    [
        (stop(reduce_only=False), Code.KIND),
        (stop(tif=Tif.GTX), Code.KIND),
        (stop(price=MID), Code.PRICE),
        (stop(stop_price=0), Code.PRICE),
        (stop(stop_price=MID + 10), Code.PRICE),
        (stop(size=1_001), Code.NOT_REDUCING),
    ],
)
def test_what_is_no_stop_behind_a_position_is_refused(asked: Order, why: Code):
    assert code(asked, held=HELD) == why


def test_it_stands_in_nobodys_way():
    standing = stop(order_id="sc1-8")
    orders = open_orders(standing)
    before = worst_now(HELD.positions["BTCUSDT"], "BTCUSDT", risk_orders.init())
    assert worst_now(HELD.positions["BTCUSDT"], "BTCUSDT", orders).gross == before.gross
    assert code(order(price=MID - 5_000 // 10, size=100), held=HELD, orders=orders) == ""
    assert code(sell(reduce_only=True, purpose=Purpose.EXIT), held=HELD, orders=orders) == ""
    assert code(stop(stop_price=MID - 1_000), held=HELD, orders=open_orders(order("sc1-7", price=MID - 10, size=10))) == ""
    assert code(stop(order_id="sc1-9"), held=HELD, orders=orders) == Code.DUPLICATE_INTENT
    assert standing.ts == NOW
