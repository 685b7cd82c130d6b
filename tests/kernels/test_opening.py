"""A restart forgives nothing: equity, its peak, the day's first and the streak of losses go on."""

from math import isnan

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.market import NS, Instrument, Side
from core.orders import Fill, Listing
from kernels import holdings, opening

SYMBOL = "SIMUSDT"
DAY = 86_400 * NS
START = 20_454 * DAY
CAPITAL = 10_000.0


def listing(spot: bool) -> Listing:
    instrument = Instrument(
        venue="simulated", symbol=SYMBOL, price_decimals=1, size_decimals=3, tick_size=0.1, lot_size=0.001, base="SIM", quote="USDT",
        settlement="" if spot else "USDT", maker_bps=1.0, taker_bps=4.0,
    )  # fmt: skip
    return Listing(instrument=instrument, tick=1, lot=1, min_size=1, max_size=10**6, max_leverage=1.0 if spot else 20.0)


def fill(n: int, side: Side, price: int, size: int, fee: int = 100_000_000) -> Fill:
    ts = START + n * NS
    return Fill(
        order_id=f"sc1-{n}", symbol=SYMBOL, trade_id=n, side=side, price=price, size=size, maker=False, fee=fee, fee_asset="USDT",
        ts_event=ts, ts_recv=ts,
    )  # fmt: skip


def row(state: holdings.Holdings, ts: int) -> dict[str, float]:
    """As the worker writes it down."""
    of = state.positions.values()
    return {
        "ts": ts, "equity": state.equity, "unrealised": sum(p.unrealised_pnl for p in of), "peak": state.peak, "day_start": state.day_first,
    }  # fmt: skip


TRADES = st.lists(st.tuples(st.sampled_from(Side), st.integers(590_000, 610_000), st.integers(1, 50)), min_size=1, max_size=30)


@settings(deadline=None, max_examples=50)
@given(trades=TRADES, spot=st.booleans(), written=st.integers(0, 30), dies=st.integers(0, 30))
def test_equity_goes_on_where_it_was_whenever_it_was_written_down_and_whenever_the_worker_died(
    trades: list[tuple[Side, int, int]], spot: bool, written: int, dies: int
):
    listings = {SYMBOL: listing(spot)}
    whole = holdings.init(listings, CAPITAL, START)
    fills, kept = [], None
    written, dies = sorted((min(written, len(trades)), min(dies, len(trades))))
    for n, (side, price, size) in enumerate(trades, 1):
        if n - 1 == written:
            kept = row(whole, START + (n - 1) * NS)
        fills.append(fill(n, side, price, size))
        holdings.apply(whole, fills[-1])
        holdings.mark(whole, SYMBOL, price, price + 1, START + n * NS)
        holdings.settle(whole, START + n * NS)
    capital, left = opening.opened(listings, fills[:dies], kept if written < dies else None, CAPITAL, 0)
    after = holdings.init(listings, capital, START)
    if left is not None:
        opening.resume(after, left)
    for one in fills[dies:]:
        holdings.apply(after, one)
    holdings.mark(after, SYMBOL, trades[-1][1], trades[-1][1] + 1, START + 99 * NS)
    assert holdings.settle(after, START + 99 * NS) == pytest.approx(whole.equity, abs=1e-6)
    assert after.positions[SYMBOL].size == whole.positions[SYMBOL].size


def lost(n: int) -> list[Fill]:
    """Round trips that lost, one after another."""
    trips = [(fill(2 * k + 1, Side.BUY, 600_000, 10), fill(2 * k + 2, Side.SELL, 599_000, 10)) for k in range(n)]
    return [one for trip in trips for one in trip]


def test_peak_the_days_first_and_the_streak_of_losses_are_kept():
    listings = {SYMBOL: listing(False)}
    kept = {"ts": START + 3 * NS, "equity": 9_950.0, "unrealised": 0.0, "peak": 10_200.0, "day_start": 10_100.0}
    capital, left = opening.opened(listings, lost(3), kept, CAPITAL, 0)
    assert left is not None
    state = holdings.init(listings, capital, START + 60 * NS)
    opening.resume(state, left)
    assert (state.peak, state.day_first, state.loss_streak) == (10_200.0, 10_100.0, 3)
    assert capital < 9_950.0  # what was lost after it was written down


def test_another_day_begins_with_another_first_equity():
    listings = {SYMBOL: listing(False)}
    kept = {"ts": START + 9 * NS, "equity": 9_950.0, "unrealised": 0.0, "peak": 10_200.0, "day_start": 10_100.0}
    capital, left = opening.opened(listings, lost(1), kept, CAPITAL, 0)
    assert left is not None
    state = holdings.init(listings, capital, START + DAY)
    opening.resume(state, left)
    assert (state.peak, state.day_first) == (10_200.0, 9_950.0)


def test_what_was_re_armed_counts_anew():
    listings = {SYMBOL: listing(False)}
    kept = {"ts": START + 3 * NS, "equity": 9_950.0, "unrealised": 0.0, "peak": 10_200.0, "day_start": 10_100.0}
    capital, left = opening.opened(listings, lost(3), kept, CAPITAL, START + 60 * NS)
    assert left is not None
    assert (left.peak, left.day_first, left.loss_streak) == (None, None, 0)
    state = holdings.init(listings, capital, START + 60 * NS)
    opening.resume(state, left)
    assert state.peak == state.day_first == capital


def test_what_is_held_is_worth_nothing_known_before_its_first_quote():
    listings = {SYMBOL: listing(False)}
    capital, left = opening.opened(listings, [fill(1, Side.BUY, 600_000, 10)], None, CAPITAL, 0)
    assert left is not None
    assert left.held == {SYMBOL: (str(10 * 10**5), str(10 * 10**5 * 600_000))}
    state = holdings.init(listings, capital, START)
    opening.resume(state, left)
    assert isnan(holdings.settle(state, START + NS))
    assert isnan(state.peak)
    holdings.mark(state, SYMBOL, 600_999, 601_001, START + 2 * NS)
    assert holdings.settle(state, START + 2 * NS) == pytest.approx(CAPITAL - 1 + 1) == state.peak == state.day_first


def test_an_account_without_history_has_no_opening():
    assert opening.opened({SYMBOL: listing(False)}, [], None, CAPITAL, 0) == (CAPITAL, None)
