"""What tells a live market the time, what does not, and what a silence leaves of it."""

import numpy as np

from core.market import NS
from kernels import features
from kernels.book import NONE
from kernels.live_market import SECOND, LiveMarket
from kernels.live_market import Second as Closed
from kernels.live_seconds_close import LONGEST_AWAY

from .live_streams import OFFSET, START, SYMBOL, Event, batch, built, followed, lived

S = START // NS * NS  # a whole second


def trade(n: int, recv: int, event: int, price: int = 10_000) -> Event:
    return Event("trade", recv, event, (n, n, n), (price, 5, 1))


def every_second(first: int, last: int) -> list[Event]:
    return [trade(n, START + n * NS, START + n * NS + OFFSET, 10_000 + n % 7) for n in range(first, last)]


def seen(*events: Event) -> list[Closed]:
    market, found = LiveMarket({SYMBOL: (2, 3)}), []
    for one in events:
        followed(market, *batch([one]), one.recv, found)
    return found


def test_an_hour_of_silence_is_told_in_short_and_what_follows_is_what_the_batch_build_makes_of_it():
    events = [*every_second(0, 90), *every_second(3_700, 3_790)]
    (closed, _), (wanted, _) = lived(events), built(events)
    at = {ts: n for n, ts in enumerate(wanted["ts_event"].to_physical().to_list())}
    rows = [at[one.ts_bar] for one in closed]
    away = [one for one in closed if one.away]
    assert len(wanted) - len(closed) > 3_400
    assert LONGEST_AWAY <= len(away) <= LONGEST_AWAY + 2
    assert np.diff([one.ts_bar for one in away]).max() == NS
    assert all(np.isnan(one.features).all() and one.close_units == -1 for one in away)
    assert [one.segment for one in closed] == wanted["segment"].fill_null(-1)[rows].to_list()
    made = np.array([one.features for one in closed])
    np.testing.assert_allclose(made, wanted.select(features.names())[rows].fill_null(np.nan).to_numpy(), rtol=1e-9, atol=1e-12)


def test_a_second_closes_at_the_first_event_that_is_young_enough():
    at = [S, S + NS, S + NS + NS // 4 - 1, S + NS + NS // 4]
    assert [one.known_at for one in seen(*(trade(n, event + 7, event) for n, event in enumerate(at)))] == [at[3] + 7]


def test_what_arrives_with_the_event_that_closes_a_second_is_in_it():
    market, found = LiveMarket({SYMBOL: (2, 3)}), []
    together = [trade(2, S + 2 * NS, S + 2 * NS), trade(1, S + 2 * NS, S + 1)]
    assert followed(market, *batch(together), S + 2 * NS, found) == [SECOND]
    assert [(one.ts_bar, one.volume) for one in found] == [(S + NS, 5)]


def test_quotes_without_a_time_close_nothing():
    quotes = [Event("quote", S + n * NS, 0, (n, NONE, 0), (100, 1, 101, 1)) for n in range(1, 9)]
    assert seen(trade(1, S, S), *quotes) == []
    assert len(seen(trade(1, S, S), *quotes, trade(2, S + 9 * NS, S + 9 * NS))) == 8


def test_a_time_that_cannot_be_is_no_time():
    found = seen(trade(1, S, S), trade(2, S + 1, S + 400 * 86_400 * NS), trade(3, S + NS, S + NS + NS // 2))
    assert [(one.ts_bar, one.volume) for one in found] == [(S + NS, 5)]


def test_a_print_far_from_the_market_is_refused_until_it_is_the_market():
    far = [trade(n, S + n, S + n, 20_000) for n in range(2, 4)]
    close = trade(9, S + 2 * NS, S + 2 * NS, 20_000)
    assert seen(trade(1, S, S), *far, close)[0].high == 10_000
    assert seen(trade(1, S, S), *far, trade(4, S + 5, S + 5, 20_000), close)[0].high == 20_000


def test_a_trade_out_of_order_is_not_the_close():
    found = seen(trade(2, S + 9, S + 9, 10_009), trade(1, S + 10, S + 2, 10_002), trade(3, S + 2 * NS, S + 2 * NS))
    assert (found[0].open, found[0].last, found[0].close_units) == (10_002, 10_009, 10_009)


def test_a_venue_that_counts_its_trades_from_anew_is_heard():
    again = [trade(n, S + (5 + n) * NS, S + (5 + n) * NS) for n in (1, 2, 3)]
    found = seen(*(trade(n, S + n - 700, S + n - 700) for n in (700, 701)), *again)
    assert [one.volume for one in found] == [10, 0, 0, 0, 0, 0, 5]
