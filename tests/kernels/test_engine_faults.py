"""What may go wrong around the engine: answers lost, feeds lost, clocks, foreign hands. Nothing is assumed, and nothing done twice."""

import msgspec
import pytest

from core.events import (
    Account,
    Approved,
    Cancel,
    CancelFailed,
    Command,
    CommandKind,
    Connected,
    Disconnected,
    Filled,
    Incident,
    Ordered,
    Overflowed,
    Refused,
    Resync,
    Timer,
    Unanswered,
)
from core.market import NS, Side
from core.orders import Fill, Held, Order, Purpose, Standing, Status
from kernels.fusion import Weights
from tests.kernels.engine_market import MODEL, START, SYMBOLS, Session, frames, of, plan
from tests.kernels.test_engine import up

BY_MODEL = {"weights": Weights(rule=0.0, model=1.0), "models": (MODEL,)}
BTC = SYMBOLS[0]


def trading(**given) -> tuple[Session, Order]:
    """A session with its first entry just made, which the venue has not heard of."""
    session = Session(plan(**(BY_MODEL | given)), answering=up).open()
    while not (made := of(session.decisions, Approved)):
        session.sends = False
        session.run(0.05)
    return session, made[0].order


def said(order: Order, status: Status, filled: int = 0) -> Standing:
    return Standing(
        order_id=order.order_id, symbol=order.symbol, status=status, filled=filled, side=order.side, price=order.price, size=order.size
    )


def fill(order: Order, size: int, trade_id: int = 1) -> Fill:
    return Fill(
        order_id=order.order_id, symbol=order.symbol, trade_id=trade_id, side=order.side, price=order.price, size=size, maker=True, fee=0,
        fee_asset="USDT", ts_event=order.ts,
    )  # fmt: skip


def of_symbol(session: Session, symbol: str) -> list[Order]:
    return [one.order for one in of(session.decisions, Approved) if one.order.symbol == symbol]


def test_nothing_is_sent_before_the_venue_said_what_we_hold():
    session = Session(plan(**BY_MODEL), answering=up)
    session.put(Connected(ts=START, what="market"))
    session.run(90)
    assert not of(session.decisions, Approved) and not of(session.decisions, Refused)
    session.put(Account(ts=session.now, positions=(), balances=(), clean=True))
    assert session.until(Approved, most=5)


def test_an_unanswered_order_is_never_sent_again_and_counts_until_the_venue_tells():
    session, order = trading()
    session.put(Unanswered(ts=session.now, order_id=order.order_id, symbol=order.symbol, reason="no answer"))
    session.run(20)
    assert of_symbol(session, order.symbol) == [order]
    assert session.state.orders.by_id[order.order_id].status is Status.UNKNOWN
    assert session.state.orders.by_id[order.order_id].left == order.size
    session.put(Ordered(ts=session.now, standing=said(order, Status.EXPIRED)))
    assert order.order_id not in session.state.orders.by_id
    session.run(10)
    assert len(of_symbol(session, order.symbol)) == 2


def test_an_answer_that_comes_after_user_data_told_it_changes_nothing():
    session, order = trading()
    session.put(Ordered(ts=session.now, standing=said(order, Status.NEW)))
    session.put(Unanswered(ts=session.now, order_id=order.order_id, symbol=order.symbol, reason="no answer"))
    assert session.state.orders.by_id[order.order_id].status is Status.NEW


@pytest.mark.parametrize("first", ["fills", "word"], ids=["fills before the venue's word", "the venue's word before the fills"])
def test_a_fill_counts_once_in_whatever_order_it_is_told(first: str):
    session, order = trading()
    fills = [Filled(ts=session.now, fill=fill(order, order.size - 1, 1)), Filled(ts=session.now, fill=fill(order, 1, 2))]
    words = [Ordered(ts=session.now, standing=said(order, *word)) for word in ((Status.PARTIAL, 1), (Status.FILLED, order.size))]
    session.sends = False
    for told in [*fills, *words] if first == "fills" else [*words, *fills]:
        session.put(told)
        position = session.state.holdings.positions[order.symbol].size
        open_size = session.state.orders.by_id[order.order_id].left if order.order_id in session.state.orders.by_id else 0
        assert position + open_size >= (order.size if told in fills else 0)
    for told in [*fills, *words]:
        session.put(told)
    assert session.state.holdings.positions[order.symbol].size == order.size
    assert order.order_id not in session.state.orders.by_id


def test_an_order_that_is_over_with_fills_missing_still_counts_them():
    session, order = trading()
    session.put(Ordered(ts=session.now, standing=said(order, Status.CANCELLED, order.size // 2)))
    assert session.state.orders.by_id[order.order_id].left == order.size // 2
    session.put(Filled(ts=session.now, fill=fill(order, order.size // 2)))
    assert order.order_id not in session.state.orders.by_id
    assert session.state.holdings.positions[order.symbol].size == order.size // 2


def resting() -> tuple[Session, Order]:
    session, order = trading()
    session.put(Ordered(ts=session.now, standing=said(order, Status.NEW)))
    return session, order


def cancelled(session: Session, order: Order) -> list[str]:
    return [one.reason for one in of(session.decisions, Cancel) if one.order_id == order.order_id]


@pytest.mark.parametrize(
    "fault",
    [
        lambda ts: Disconnected(ts=ts, what="market"),
        lambda ts: Disconnected(ts=ts, what="account"),
        lambda ts: Overflowed(ts=ts, symbols=SYMBOLS),
    ],
    ids=["feed lost", "user data lost", "frames dropped"],
)
def test_quotes_are_cancelled_in_the_same_step_when_we_are_blind(fault):
    session, order = resting()
    session.put(fault(session.now))
    assert cancelled(session, order)
    before = len(of(session.decisions, Approved))
    for n in range(20):
        session.put(Timer(ts=session.now + n * NS // 10))
    assert len(of(session.decisions, Approved)) == before


def test_a_quote_that_is_stale_is_cancelled():
    session, order = trading(max_age_ns=60 * NS)
    session.put(Ordered(ts=session.now, standing=said(order, Status.NEW)))
    for n in range(25):
        session.put(Timer(ts=session.now + n * NS // 10))
    assert cancelled(session, order)[0] == "no quote to trade by"


def test_dropped_frames_resynchronise_their_symbols_alone():
    session = Session(plan()).open().run(5)
    known = len(of(session.decisions, Resync))
    session.put(Overflowed(ts=session.now, symbols=(BTC,)))
    assert [one.symbol for one in of(session.decisions, Resync)[known:]] == [BTC]
    assert not session.state.desks[BTC].away  # its snapshot came
    session.run(5)
    assert len(of(session.decisions, Resync)) == known + 1


def test_a_gap_in_the_sequence_is_seen():
    session = Session(plan()).open()
    for n, (ts, payloads) in enumerate(frames(5)):
        session.market(ts, [one for one in payloads if n != 30 or b"btcusdt@depth" not in one])
    assert [(one.symbol, one.reason) for one in of(session.decisions, Resync)[2:]][:1] == [(BTC, "a sequence gap")]


def test_a_cancel_that_fails_is_asked_for_again_later_not_at_once():
    session, order = resting()
    session.put(Disconnected(ts=session.now, what="account"))
    told = CancelFailed(ts=session.now, order_id=order.order_id, symbol=order.symbol, code=-2011, reason="Unknown order sent.")
    session.put(told)
    assert len(cancelled(session, order)) == 1
    for n in range(12):
        session.put(Timer(ts=session.now + n * NS // 10))
    assert len(cancelled(session, order)) == 2


def test_foreign_hands_are_told_counted_and_not_traded_back():
    session = Session(plan()).open().run(5)
    theirs = Order(order_id="web_1", symbol=BTC, side=Side.BUY, size=50, price=2_900_000)
    session.put(Ordered(ts=session.now, standing=said(theirs, Status.NEW)))
    session.put(Filled(ts=session.now, fill=fill(msgspec.structs.replace(theirs, order_id="web_2"), 20)))
    assert [one.kind for one in of(session.decisions, Incident)] == ["foreign_order", "foreign_fill"]
    assert session.state.orders.by_id["web_1"].left == 50
    session.run(10)
    assert session.state.holdings.positions[BTC].size == 20
    assert not of(session.decisions, Approved) and not of(session.decisions, Cancel)


def test_an_order_of_an_earlier_worker_is_cancelled():
    session = Session(plan(epoch=3)).open().run(1)
    session.put(
        Ordered(ts=session.now, standing=said(Order(order_id="sc2-7", symbol=BTC, side=Side.BUY, size=5, price=2_900_000), Status.NEW))
    )
    assert [one.order_id for one in of(session.decisions, Cancel)] == ["sc2-7"]


def test_an_order_of_an_earlier_worker_is_cancelled_until_it_is_over():
    session = Session(plan(epoch=3)).open().run(1)
    session.sends = False
    left = Order(order_id="sc2-7", symbol=BTC, side=Side.BUY, size=5, price=2_900_000)
    session.put(Ordered(ts=session.now, standing=said(left, Status.NEW)))
    session.put(CancelFailed(ts=session.now, order_id="sc2-7", symbol=BTC, code=0, reason="no answer"))
    session.run(2.5)
    assert len(cancelled(session, left)) >= 3
    session.put(Ordered(ts=session.now, standing=said(left, Status.CANCELLED)))
    known = len(cancelled(session, left))
    session.run(3)
    assert len(cancelled(session, left)) == known


def test_after_the_clock_went_back_cancels_are_asked_for_again():
    session, order = resting()
    session.sends = False
    session.put(Command(ts=session.now, kind=CommandKind.KILL, key="k", who="ann", reason="drill"))
    known = len(cancelled(session, order))
    for n in range(30):
        session.put(Timer(ts=session.now - 3600 * NS + n * NS // 10))
    assert len(cancelled(session, order)) > known


def test_after_the_clock_went_back_what_was_heard_before_is_no_quote():
    session, order = trading(max_age_ns=7200 * NS)
    session.put(Ordered(ts=session.now, standing=said(order, Status.NEW)))
    session.sends = False
    session.put(Timer(ts=session.now - 3600 * NS))
    assert cancelled(session, order)
    assert session.state.desks[order.symbol].fresh_until == 0


def test_what_the_venue_holds_is_taken_over_at_the_start_and_later_when_told_twice():
    session = Session(plan())
    session.run(1)
    session.put(Account(ts=session.now, positions=(Held(symbol=BTC, size=30, entry_price=30_000.0),), balances=(), clean=False))
    session.put(Connected(ts=session.now, what="market"))
    assert session.state.holdings.positions[BTC].size == 30
    session.run(1)
    more = Account(ts=session.now, positions=(Held(symbol=BTC, size=35),), balances=(), clean=False)
    session.put(more)
    assert session.state.holdings.positions[BTC].size == 30  # a fill may be on its way
    session.put(more)
    assert session.state.holdings.positions[BTC].size == 35
    assert [one.kind for one in of(session.decisions, Incident)] == ["position_differs"]


@pytest.mark.parametrize("by", [60 * NS, -60 * NS], ids=["on", "back"])
def test_a_clock_that_jumps_is_told_and_nothing_is_sent(by: int):
    session = Session(plan(**BY_MODEL), answering=up).open().run(70)
    before = len(of(session.decisions, Approved))
    session.put(Timer(ts=session.now + by))
    assert [one.kind for one in of(session.decisions, Incident)] == ["clock_jump"]
    later = session.now + by
    for n, (_, payloads) in zip(range(60), session.coming or (), strict=False):
        session.inputs.append((later + n * NS // 20, payloads))
        session._act(list(session_step(session, payloads, later + n * NS // 20)), later)
    assert len(of(session.decisions, Approved)) == before


def session_step(session: Session, payloads: list[bytes], ts: int):
    from kernels import engine

    return engine.step(session.state, session.live.decode(payloads, ts), session.plan)


def test_a_stop_is_over_when_its_position_went_without_a_fill():
    session = Session(plan(**BY_MODEL), answering=up).open()
    symbol = session.until(Approved).order.symbol
    while not session.state.position(symbol).size:
        session.run(1)
    session.sends = False
    for one in list(session.state.ours.values()):
        session.put(Ordered(ts=session.now, standing=said(one.row.order, Status.CANCELLED, one.seen)))
    aim = session.state.desks[symbol].aim
    aim.out, aim.size = Purpose.STOP, 0
    for _ in range(2):  # settled, or moved away by hand
        session.put(Account(ts=session.now, positions=(), balances=(), clean=False))
    for one in list(session.state.ours.values()):
        session.put(Ordered(ts=session.now, standing=said(one.row.order, Status.EXPIRED)))
    session.put(Timer(ts=session.now))
    assert not session.state.position(symbol).size
    assert (aim.out, aim.exited) == (None, "stop")


def test_a_refused_order_is_tried_less_and_less_often():
    session, order = trading()
    session.put(Ordered(ts=session.now, standing=msgspec.structs.replace(said(order, Status.REJECTED), code=-2019, reason="margin")))
    aim, waits = session.state.desks[order.symbol].aim, []
    for _ in range(4):
        waits.append(aim.wait_until - session.state.clock.now)
        again = session.until(Approved, where=lambda one: one.order.symbol == order.symbol).order
        session.put(Ordered(ts=session.now, standing=said(again, Status.REJECTED)))
    assert waits == sorted(waits) and waits[-1] >= 4 * waits[0]
    assert session.state.desks[order.symbol].aim.out is None
    assert order.purpose is Purpose.ENTRY
