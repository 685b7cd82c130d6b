"""What cannot be meant is refused with the parameter's name, and with the nearest that can be."""

from datetime import date
from typing import Any

import pytest

from core import asking
from core.asking import BadParameter

TODAY = date(2026, 1, 10)
THERE = [("binance-usdm", "BTCUSDT"), ("binance-usdm", "ETHUSDT"), ("binance-spot", "SOLUSDT")]


@pytest.mark.parametrize(
    ("start", "end", "said"),
    [
        (date(2026, 1, 3), date(2026, 1, 2), "end: 2026-01-02 is before the start, 2026-01-03"),
        (date(2026, 1, 11), None, r"start: 2026-01-11 has not come yet; today is 2026-01-10 \(UTC\)"),
        (None, date(2027, 1, 1), "end: 2027-01-01 has not come yet"),
    ],
    ids=["turned round", "starts tomorrow", "ends next year"],
)
def test_days_in_the_wrong_order_or_in_the_future_are_refused(start: date | None, end: date | None, said: str):
    with pytest.raises(BadParameter, match=said):
        asking.span(start, end, TODAY)


@pytest.mark.parametrize(("start", "end"), [(None, None), (TODAY, TODAY), (date(2020, 1, 1), None)])
def test_days_that_have_come_are_taken(start: date | None, end: date | None):
    asking.span(start, end, TODAY)


@pytest.mark.parametrize(
    ("venue", "symbols", "said"),
    [
        ("binance-usd", (), "venue: there is no 'binance-usd'; did you mean binance-usdm?"),
        ("kraken", (), "venue: there is no 'kraken'; there are binance-spot, binance-usdm"),
        ("*", ("BTCUSDT", "btcusd"), "symbols: there is no 'btcusd'; did you mean BTCUSDT?"),
        ("binance-usdm", ("SOLUSDT",), "symbols: there is no 'SOLUSDT'"),  # it is there, at another venue
    ],
)
def test_a_venue_or_symbol_without_data_is_refused_with_the_nearest_there_is(venue: str, symbols: tuple[str, ...], said: str):
    with pytest.raises(BadParameter) as refused:
        asking.instruments(venue, symbols, THERE, "scalp ingest makes it")
    assert str(refused.value).startswith(said)


def test_where_nothing_is_there_at_all_the_refusal_says_what_makes_some():
    with pytest.raises(BadParameter, match="venue: there is no 'kraken' yet; scalp ingest makes it"):
        asking.instruments("kraken", (), [], "scalp ingest makes it")


@pytest.mark.parametrize(
    ("asked", "name"),
    [
        ({}, "everything"),
        ({"venue": "*", "symbols": []}, "everything"),
        (
            {"venue": "binance-usdm", "symbols": ["BTCUSDT"], "start": date(2026, 1, 1), "end": "2026-01-05"},
            "binance-usdm BTCUSDT from 2026-01-01 to 2026-01-05",
        ),
        ({"symbols": list("ABCDE"), "start": TODAY, "end": TODAY}, "A, B, C and 2 more 2026-01-10"),
    ],
)
def test_what_was_asked_for_names_the_run(asked: dict[str, Any], name: str):
    assert asking.named(asked) == name
