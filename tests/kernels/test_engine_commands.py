"""What people and limits can do to a session: halt, flatten, re-arm, pause, trade by hand. Each once by its key, and at once."""

import pytest

from core.events import Approved, CancelAll, Command, CommandKind, Incident, Mode, ModeChanged, Refused
from core.market import NS, Side
from core.orders import Order, Purpose, Status, Tif
from kernels.risk import Limits
from tests.kernels.engine_market import BID, SYMBOLS, Session, of, plan
from tests.kernels.test_engine import up
from tests.kernels.test_engine_faults import BY_MODEL

BTC = SYMBOLS[0]


def session() -> Session:
    """One that holds something."""
    made = Session(plan(**BY_MODEL), answering=up).open()
    made.run(60)
    while not any(position.size for position in made.state.holdings.positions.values()):
        made.run(1)
    return made


def told(of_session: Session, kind: CommandKind, *, key: str = "k", reason: str = "drill", order: Order | None = None) -> list:
    return list(of_session.put(Command(ts=of_session.now, kind=kind, key=key, who="ann", reason=reason, order=order)))


def held(of_session: Session) -> dict[str, int]:
    return {symbol: position.size for symbol, position in of_session.state.holdings.positions.items() if position.size}


def test_kill_cancels_all_in_the_same_step_and_nothing_is_sent_after():
    of_session = session()
    made = told(of_session, CommandKind.KILL)
    assert [type(one) for one in made[:2]] == [ModeChanged, CancelAll]
    assert made[0].mode is Mode.HALTED and made[0].latched
    before, position = len(of(of_session.decisions, Approved)), held(of_session)
    of_session.run(20)
    assert len(of(of_session.decisions, Approved)) == before
    assert held(of_session) == position and not of_session.venue.open_orders()


def test_flatten_leaves_nothing_and_says_so():
    of_session = session()
    told(of_session, CommandKind.FLATTEN)
    of_session.run(5)
    assert not held(of_session) and not of_session.venue.open_orders()
    assert all(not position.size for position in of_session.venue.positions())
    sent = [one.order for one in of(of_session.decisions, Approved) if one.order.purpose is Purpose.FLATTEN]
    assert sent and all(order.tif is Tif.IOC and order.reduce_only for order in sent)
    assert of(of_session.decisions, Incident)[-1].kind == "flattened"
    assert of_session.state.mode is Mode.HALTED


def test_flatten_goes_on_where_a_stop_was_under_way():
    of_session = session()
    for symbol in held(of_session):
        aim = of_session.state.desks[symbol].aim
        aim.out, aim.size = Purpose.STOP, 0
    told(of_session, CommandKind.FLATTEN)
    of_session.run(5)
    assert not held(of_session)


def test_a_flatten_ahead_of_what_waits_is_no_jump_of_the_clock():
    of_session = session()
    of_session.sends = False
    of_session.put(Command(ts=of_session.now + NS, kind=CommandKind.FLATTEN, key="k", who="ann", reason="drill"))
    of_session.sends = True
    of_session.run(1.5)
    assert not held(of_session)
    assert "clock_jump" not in {one.kind for one in of(of_session.decisions, Incident)}


def test_rearming_needs_a_reason_and_then_trading_goes_on():
    of_session = session()
    told(of_session, CommandKind.KILL, key="1")
    told(of_session, CommandKind.REARM, key="2", reason=" ")
    assert of_session.state.mode is Mode.HALTED
    assert of(of_session.decisions, Incident)[-1].kind == "rearm_refused"
    told(of_session, CommandKind.REARM, key="3", reason="the venue is back")
    assert of_session.state.mode is Mode.ACTIVE and not of_session.state.latched
    assert of_session.until(Approved)


def test_a_plan_that_is_latched_starts_halted():
    of_session = Session(plan(**BY_MODEL, latched="killed yesterday"), answering=up).open().run(90)
    assert of_session.state.mode is Mode.HALTED
    assert not of(of_session.decisions, Approved)


def test_a_command_is_done_once_by_its_key():
    of_session = session()
    assert told(of_session, CommandKind.KILL)
    assert told(of_session, CommandKind.KILL) == []


def test_paused_it_opens_nothing_and_still_leaves():
    of_session = session()
    told(of_session, CommandKind.PAUSE, key="1")
    of_session.run(1)
    known = len(of_session.decisions)
    of_session.run(100)
    assert of_session.state.mode is Mode.REDUCING
    made = of_session.decisions[known:]
    assert all(one.order.purpose is not Purpose.ENTRY for one in of(made, Approved))
    assert not held(of_session)  # the time stop ended it
    known = len(of_session.decisions)
    told(of_session, CommandKind.RESUME, key="2")
    of_session.run(5)
    assert of(of_session.decisions[known:], Approved)[0].order.purpose is Purpose.ENTRY


def test_an_order_by_hand_takes_the_same_path():
    of_session = Session(plan()).open().run(2)
    small = Order(order_id="x", symbol=BTC, side=Side.BUY, size=10, price=BID[BTC] - 1000)
    made = told(of_session, CommandKind.ORDER, key="1", order=small)
    assert isinstance(made[0], Approved)
    assert (made[0].order.purpose, made[0].order.order_id) == (Purpose.MANUAL, "sc1-1")
    large = Order(order_id="x", symbol=BTC, side=Side.BUY, size=10**6, price=BID[BTC])
    made = told(of_session, CommandKind.ORDER, key="2", order=large)
    assert isinstance(made[0], Refused) and made[0].code == "order_notional"
    of_session.run(5)
    assert of_session.state.orders.by_id["sc1-1"].status is Status.NEW  # execution leaves it alone
    told(of_session, CommandKind.CANCEL, key="3", order=Order(order_id="sc1-1", symbol=BTC, side=Side.BUY, size=10))
    assert not of_session.state.orders.by_id


def test_what_was_bought_by_hand_is_not_sold_again():
    of_session = Session(plan()).open().run(2)
    told(of_session, CommandKind.ORDER, order=Order(order_id="x", symbol=BTC, side=Side.BUY, size=10, price=BID[BTC] + 1000, tif=Tif.IOC))
    assert held(of_session) == {BTC: 10}
    of_session.run(20)
    assert held(of_session) == {BTC: 10}


def test_cancel_all_by_hand_leaves_what_is_held():
    of_session = session()
    position = held(of_session)
    assert any(isinstance(one, CancelAll) for one in told(of_session, CommandKind.CANCEL_ALL))
    assert {symbol: desk.aim.size for symbol, desk in of_session.state.desks.items() if desk.aim.size} == position


@pytest.mark.parametrize("limit", ["max_daily_loss", "max_drawdown"])
def test_a_loss_beyond_the_limit_halts_by_itself(limit: str):
    loose = {"max_orders_per_s": 1000, "max_daily_loss": 1e6, "max_drawdown": 1e6, "max_loss_streak": 10**6}
    of_session = Session(plan(**BY_MODEL, limits=Limits(**(loose | {limit: 0.05}))), answering=up).open()
    changed = of_session.until(ModeChanged, most=600)
    assert changed.mode is Mode.HALTED and changed.latched
    assert isinstance(of_session.decisions[of_session.decisions.index(changed) + 1], CancelAll)
    of_session.run(1)
    assert not of_session.venue.open_orders()
