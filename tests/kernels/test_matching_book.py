"""A simulated venue's book holds what the market says, wherever the market walks."""

import gzip
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from core.market import Side
from kernels import fills_arrivals, fills_venue, matching_book
from kernels.fills_book import BUY, DEPTH, SELL, TRADE
from kernels.fills_queue import LOG, RISK_AVERSE
from kernels.fills_venue import GTC, LIMIT, Rules
from kernels.frames_live import Live
from kernels.matching import Matching
from kernels.matching_book import GridError, MovingBook
from tests.kernels.matching_market import ASK, BID, POST_ONLY, SYMBOL, levels, listing, new, placed, refused, spot


@contextmanager
def reach(least: int) -> Iterator[None]:
    """Windows that reach so many ticks either way, and hold best prices wherever those are."""
    before = matching_book.LEAST, matching_book.FAR
    matching_book.LEAST, matching_book.FAR = least, 1_000
    try:
        yield
    finally:
        matching_book.LEAST, matching_book.FAR = before


def book() -> MovingBook:
    """One whose window no price band widens."""
    return MovingBook(listing(band=0.0), model=0, partial=True, room=50, in_front=False)


def changes(rng: np.random.Generator, middle: int, best_first: bool) -> tuple[np.ndarray, np.ndarray]:
    """Levels around a middle, in price units on the tick of 10; some a long way off, some gone."""
    sides = []
    for sign in (-1, 1):
        n = int(rng.integers(0, 5))
        away = np.sort(rng.choice([1, 2, 3, 5, 8, 20, 60, 200], n, replace=False))
        sides.append(levels(*[(10 * (middle + sign * int(a)), int(rng.integers(0, 4))) for a in (away if best_first else away[::-1])]))
    return sides[0], sides[1]


@settings(deadline=None, max_examples=50)
@given(seed=st.integers(0, 2**32))
def test_a_window_that_moves_is_the_same_as_one_that_is_large(seed: int):
    rng = np.random.default_rng(seed)
    small, large = book(), book()
    middle, moves = 10_000, set()
    for i in range(150):
        middle += int(rng.integers(-4, 5)) if rng.random() < 0.9 else int(rng.integers(-300, 300))
        what = rng.random()
        bids, asks = changes(rng, middle, bool(rng.random() < 0.5))
        order = 2 * i, int(rng.integers(0, 2)), 10 * (middle + int(rng.integers(-30, 31)))
        for one, least in ((small, 16), (large, 9_000)):
            with reach(least):
                if what < 0.6:
                    one.depth(i, bids, asks)
                elif what < 0.65:
                    one.snapshot(i, bids, asks)
                elif what < 0.75:
                    one.quote(i, 10 * (middle - 1), 3, 10 * (middle + 1), 3)
                elif what < 0.85:
                    one.trade(i, 1, 10 * middle, 2)
                else:
                    one.place(i, *order, 3, LIMIT, GTC)
        moves.add(small.centre)
        assert small.top() == large.top()
        assert [small.own(side) for side in (0, 1)] == [large.own(side) for side in (0, 1)]
        assert small.reports() == large.reports()
    assert len(moves) > 1


@settings(deadline=None, max_examples=50)
@given(seed=st.integers(0, 2**32), model=st.sampled_from([RISK_AVERSE, LOG]), partial=st.booleans())
def test_orders_fill_as_in_the_batch_simulation(seed: int, model: int, partial: bool):
    rng = np.random.default_rng(seed)
    rules = Rules(0, 20_000, lot=0.001, model=model, partial=partial)
    state, read = fills_venue.venue(rules, room=50), 0
    ours = MovingBook(listing(band=0.0), model=model, partial=partial, room=50, in_front=False)
    middle = 10_000
    for i in range(200):
        middle += int(rng.integers(-2, 3))
        what = rng.random() if i else 0.0
        if what < 0.6:
            bids, asks = changes(rng, middle, True) if i else (levels((99_900, 5)), levels((100_100, 5)))
            ours.depth(i, bids, asks)
            for side, of in ((BUY, bids), (SELL, asks)):
                for price, size in of.T.tolist():
                    fills_venue.step(state, rules, i, DEPTH, side, price // 10, size)
        elif what < 0.8:
            side, price, size = int(rng.integers(2)), middle + int(rng.integers(-3, 4)), int(rng.integers(1, 6))
            ours.trade(i, 1 - 2 * side, 10 * price, size)
            fills_venue.step(state, rules, i, TRADE, side, price, size)
        elif what < 0.95:
            side, price, kind, tif = int(rng.integers(2)), middle + int(rng.integers(-9, 10)), int(rng.random() < 0.1), int(rng.integers(3))
            ours.place(i, i, side, 10 * price, 4, kind, tif)
            fills_arrivals.place(state, rules, i, i, side, price, 4, kind, tif)
        else:
            order = int(rng.integers(i + 1))
            ours.cancel(i, order)
            fills_arrivals.cancel(state, rules, i, order)
        reports = fills_venue.drained(state, read)
        read += len(reports)
        assert ours.reports() == reports.tolist()


def test_a_price_off_the_tick_is_named():
    venue = spot()
    for call in (
        lambda: venue.trade(2, SYMBOL, 1, ASK + 1, 5),
        lambda: venue.depth(2, SYMBOL, levels((BID, 5)), levels((ASK + 10, 0), (ASK + 3, 5))),
        lambda: venue.quote(2, SYMBOL, BID + 1, 5, ASK, 5),
    ):
        with pytest.raises(GridError, match=r"BTCUSDT: price \d+ is not a multiple of the tick 10"):
            call()


def test_a_fresher_quote_is_right_about_the_best_prices():
    venue = spot()
    venue.depth(2, SYMBOL, levels((BID, 400)), levels(), 10)
    venue.quote(3, SYMBOL, BID - 10, 50, ASK + 10, 60, 20)
    assert venue.top(SYMBOL) == (BID - 10, 50, ASK + 10, 60)
    placed(venue, "a", Side.BUY, 100, BID, tif=POST_ONLY)
    venue.depth(4, SYMBOL, levels((BID, 300), (BID - 20, 9)), levels((ASK - 100, 5)), 15)
    assert venue.top(SYMBOL)[0] == BID - 10 and len(venue.open_orders()) == 1
    venue.quote(5, SYMBOL, BID - 50, 1, ASK, 1, 12)
    assert venue.top(SYMBOL)[0] == BID - 10
    venue.depth(6, SYMBOL, levels((BID - 10, 0)), levels(), 25)
    assert venue.top(SYMBOL)[0] == BID - 20


def test_our_orders_stay_in_a_book_that_the_market_leaves_behind():
    venue = spot()
    placed(venue, "deep", Side.BUY, 100, BID - 200_000)
    for middle in range(BID, BID * 2, 100_000):
        venue.snapshot(venue.now + 1, SYMBOL, levels((middle, 5)), levels((middle + 10, 5)))
    assert refused(venue, "far", Side.BUY, 100, BID - 200_000) == -1013
    venue.trade(venue.now + 1, SYMBOL, -1, BID - 200_010, 1)
    assert venue.open_orders() == [] and len(venue.my_trades(SYMBOL)) == 1


@pytest.mark.recordings
@pytest.mark.parametrize(("kind", "lot"), [("usdm", 3), ("spot", 5)])
def test_a_recording_replays_with_orders_in_its_book(shared: Path, kind: Literal["spot", "usdm"], lot: int):
    path = shared / "data" / "hftbacktest" / kind / "btcusdt_20240808.gz"
    if not path.exists():
        pytest.skip(f"needs the recording {path}")
    of = listing(leverage=20.0 if kind == "usdm" else 1.0, maintenance=0.004)
    of = replace(of, tick=10 if kind == "usdm" else 1, instrument=replace(of.instrument, size_decimals=lot))
    live = Live({SYMBOL: (2, lot)})
    venue = Matching({SYMBOL: of}, kind=kind, base_balances={} if kind == "usdm" else {"BTC": 1}, quote_balance=1_000_000)
    n = 0
    with gzip.open(path) as lines:
        for n, line in enumerate(lines):
            received, _, payload = line.partition(b" ")
            venue.market(live.decode((payload.strip(),), int(received)))
            bid, _, ask, _ = venue.top(SYMBOL)
            assert not bid or not ask or bid < ask
            if n > 200 and n % 40 == 0 and bid and ask:
                for side, price in ((Side.BUY, bid), (Side.SELL, ask)):
                    venue.place(venue.now, new(f"o{n}{side}", side, 10**lot // 100, price, tif=POST_ONLY))
            if n % 400 == 0:
                venue.cancel_all(venue.now, SYMBOL)
            if n == 30_000:
                break
    fills = venue.my_trades(SYMBOL, from_id=1, limit=10**6)
    assert n > 1_000 and fills and all(fill.maker for fill in fills)
    assert [fill.ts_event for fill in fills] == sorted(fill.ts_event for fill in fills)
