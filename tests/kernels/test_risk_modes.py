"""Modes become stricter by themselves, laxer only where nobody latched them; the clock is trusted only while it goes evenly."""

from math import nan

import pytest
from msgspec.structs import replace

from core.events import Mode
from core.market import NS
from kernels import holdings, risk, risk_orders
from kernels.holdings import Holdings
from kernels.risk import Clock, Limits
from kernels.risk_orders import OpenOrders
from tests.kernels.risk_cases import MID, NOW, account, order


def after(
    held: Holdings, mode: Mode = Mode.ACTIVE, *, latched: bool = False, orders: OpenOrders | None = None, clock: Clock | None = None
) -> tuple[Mode, bool] | None:
    told = risk.mode_after(
        mode, latched, orders=orders or risk_orders.init(), holdings=held, limits=Limits(), clock=clock or Clock(now=NOW)
    )
    return told and (told.mode, told.latched)


def lost(money: float, streak: int = 0) -> Holdings:
    held = account()
    held.day_first = held.equity + money
    held.loss_streak = streak
    return held


@pytest.mark.parametrize(
    ("held", "to"),
    [
        (lost(199), None),
        (lost(200), (Mode.HALTED, True)),
        (replace(account(), peak=10_300.0), (Mode.HALTED, True)),
        (lost(0, streak=20), (Mode.REDUCING, True)),
        (replace(account(), equity=nan), (Mode.REDUCING, False)),
        (account(BTCUSDT=5_200), None),
        (account(BTCUSDT=5_300), (Mode.REDUCING, False)),
    ],
    ids=["some loss", "daily loss", "drawdown", "streak", "unknown equity", "a little over", "over"],
)
def test_limits_change_the_mode(held: Holdings, to: tuple[Mode, bool] | None):
    assert after(held) == to
    if to == (Mode.HALTED, True):
        assert after(held, Mode.REDUCING, latched=True) == to


def test_a_position_not_seen_for_long_reduces_until_it_is_seen():
    held, clock = account(BTCUSDT=100), Clock(now=NOW + 3 * NS)
    assert after(held, clock=clock) == (Mode.REDUCING, False)
    holdings.mark(held, "BTCUSDT", MID - 1, MID + 1, NOW + 3 * NS)
    assert after(held, clock=clock) is None
    assert after(held, Mode.REDUCING, clock=clock) == (Mode.ACTIVE, False)


@pytest.mark.parametrize("mode", [Mode.REDUCING, Mode.HALTED])
def test_what_is_latched_stays_until_a_person_rearms(mode: Mode):
    assert after(account(), mode, latched=True) is None


def test_halted_never_becomes_laxer_by_itself():
    assert after(account(), Mode.HALTED, latched=False) is None


def test_orders_that_could_exceed_a_limit_reduce_and_going_away_release():
    held, orders = account(), risk_orders.init()
    risk_orders.enter(orders, order("sc1-1", size=5_300), NOW)
    held.positions["BTCUSDT"].twice_mid = 0
    assert after(held, orders=orders) == (Mode.REDUCING, False), "a market with orders that nobody quotes"
    holdings.mark(held, "BTCUSDT", 2 * MID, 2 * MID + 2, NOW)
    assert after(held, orders=orders) == (Mode.REDUCING, False), "gross"
    risk_orders.stands(orders, "sc1-1", risk_orders.Status.CANCELLED)
    assert after(held, Mode.REDUCING, orders=orders) == (Mode.ACTIVE, False)


def test_after_rearming_losses_count_from_then():
    held = lost(250, streak=20)
    holdings.count_anew(held, NOW)
    assert after(held) is None


@pytest.mark.parametrize(
    ("step", "fine"),
    [(0, True), (NS, True), (5 * NS, True), (5 * NS + 1, False), (-50_000_000, True), (-NS, False)],
    ids=["no step", "a second", "as far as allowed", "too far", "a little back", "back"],
)
def test_a_clock_that_jumps_is_not_trusted_for_a_while(step: int, fine: bool):
    clock = Clock(now=NOW)
    assert risk.tick(clock, NOW + step, Limits()) is fine
    assert clock.trusted is fine
    if not fine:
        assert after(account(), clock=clock) == (Mode.REDUCING, False)
        for n in range(1, 6):
            assert not clock.trusted
            assert risk.tick(clock, NOW + step + n * NS, Limits())
        assert clock.trusted
    else:
        assert clock.now >= NOW


def test_an_order_is_counted_until_it_is_known_to_be_over():
    orders = risk_orders.init()
    risk_orders.enter(orders, order("sc1-1", size=10), NOW)
    risk_orders.stands(orders, "sc1-1", risk_orders.Status.PARTIAL, 4)
    risk_orders.stands(orders, "sc1-1", risk_orders.Status.UNKNOWN, 9)
    assert orders.committed["BTCUSDT"].buys.total == 4  # what was filled does not come back
    assert orders.unknown["BTCUSDT"] == 1
    risk_orders.stands(orders, "sc1-1", risk_orders.Status.FILLED, 0)
    assert orders.committed["BTCUSDT"].buys.total == orders.unknown["BTCUSDT"] == len(orders.by_id) == 0
    assert risk_orders.stands(orders, "sc1-1", risk_orders.Status.NEW) is None


def test_one_id_is_open_once():
    orders = risk_orders.init()
    risk_orders.enter(orders, order("sc1-1"), NOW)
    with pytest.raises(ValueError, match="open already"):
        risk_orders.enter(orders, order("sc1-1"), NOW)
