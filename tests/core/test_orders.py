"""Ids of orders are made before they are sent: never two alike, and told apart from other people's."""

import re

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.events import AnyDecision, AnyInput, Command, CommandKind, Filled, Snapshot, Timer
from core.market import Side
from core.orders import Fill, Order, Status, base36, client_id, numbers_of

NUMBERS = st.integers(0, 2**62)


@given(NUMBERS, NUMBERS)
def test_an_order_id_tells_epoch_and_number(epoch: int, n: int):
    made = client_id(epoch, n)
    assert numbers_of(made) == (epoch, n)
    assert re.fullmatch(r"[a-zA-Z0-9_-]{1,36}", made)


@pytest.mark.parametrize("other", ["", "web_abc", "x-1-2", "sc", "sc1", "sc!-1", "sc1-é", "sc1_0-1", "sc01-1", "sc--1"])
def test_an_id_that_is_not_ours_has_no_numbers(other: str):
    assert numbers_of(other) is None


def test_a_number_below_zero_is_refused():
    with pytest.raises(ValueError, match="below 0"):
        base36(-1)


def test_what_is_not_known_to_be_over_is_open():
    assert [s for s in Status if s.is_open] == [Status.INTENT, Status.SENT, Status.UNKNOWN, Status.NEW, Status.PARTIAL]


ORDER = Order(order_id="sc1-1", symbol="BTCUSDT", side=Side.BUY, size=3, price=7)
FILL = Fill(
    order_id="sc1-1", symbol="BTCUSDT", trade_id=9, side=Side.BUY, price=7, size=3, maker=True, fee=-1, fee_asset="USDT", ts_event=1
)


@pytest.mark.parametrize(
    "told",
    [
        Timer(ts=1),
        Snapshot(ts=1, symbol="BTCUSDT", update_id=4, bids=((7, 1),), asks=()),
        Filled(ts=2, fill=FILL),
        Command(ts=3, kind=CommandKind.ORDER, key="k", who="me", order=ORDER),
    ],
    ids=lambda told: type(told).__name__,
)
def test_an_input_reads_back_from_the_journal_as_it_was(told: AnyInput):
    assert msgspec.json.decode(msgspec.json.encode(told), type=AnyInput) == told


def test_decisions_are_told_apart_by_their_tag():
    assert msgspec.json.decode(b'{"type":"Cancel","ts":1,"order_id":"a","symbol":"B","reason":"kill"}', type=AnyDecision).ts == 1
