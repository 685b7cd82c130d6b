"""A twin goes through the way of an order again and again, and nobody else's decisions change by it."""

import pytest

from core.orders import Tif
from kernels import rehearsal
from tests.kernels.engine_market import START, Session, plan, replayed, shown


@pytest.mark.parametrize("spot", [False, True], ids=["futures", "spot"])
def test_every_second_of_the_twin_ends_in_an_order_of_either_kind(spot: bool):
    twin = rehearsal.init(plan(spot=spot), START)
    orders = [rehearsal.beat(twin) for _ in range(100)]
    assert all(orders)
    assert {order.tif for order in orders if order} == {Tif.IOC, Tif.GTX}


def test_it_keeps_nothing_however_long_it_beats():
    twin = rehearsal.init(plan(), START)
    kept = []
    for _ in range(3):
        for _ in range(700):
            rehearsal.beat(twin)
        kept.append(len(twin.state.ended))  # orders are remembered for some minutes
    assert not twin.state.orders.by_id
    assert kept[2] <= kept[1] < 1_000


def test_decisions_are_the_same_with_a_twin_beside():
    session, twin = Session(plan()).open(), rehearsal.init(plan(), START)
    for _ in range(80):
        session.run(1.0)
        rehearsal.beat(twin)
    assert any(session.decisions)
    assert shown(session.decisions) == shown(replayed(plan(), session.inputs))
