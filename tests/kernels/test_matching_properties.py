"""Whatever happens at a simulated venue, money is neither made nor lost, and what it says of itself agrees."""

from typing import Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.market import Side
from core.orders import Status, Tif
from kernels.matching import Matching, Queue
from kernels.matching_account import FuturesAccount, SpotAccount
from kernels.matching_words import AccountUpdate, Kind, New, OrderUpdate, Stp, Working
from tests.kernels.matching_market import SYMBOL, levels, listing

SYMBOLS: tuple[str, ...] = (SYMBOL, "ETHUSDT")


def history(kind: Literal["spot", "usdm"], queue: Queue, partial: bool, seed: int, n: int, start: int) -> Matching:
    """A venue after `n` random market events, orders and cancels; invariants hold after each."""
    rng = np.random.default_rng(seed)
    listings = {name: listing(name, leverage=20.0 if kind == "usdm" else 1.0, maintenance=0.01) for name in SYMBOLS}
    venue = Matching(listings, kind=kind, quote_balance=start, base_balances={} if kind == "usdm" else {"BTC": 3}, leverage=20, queue=queue,
                     partial=partial, room=12)  # fmt: skip
    middle = dict.fromkeys(SYMBOLS, 100_000)
    updates = []
    for i in range(n):
        symbol = SYMBOLS[int(rng.integers(2))]
        move = int(rng.integers(-3, 4)) * 10 * (300 if rng.random() < 0.02 else 1)
        middle[symbol] = max(50_000, middle[symbol] + move)
        near = middle[symbol] + int(rng.integers(-8, 9)) * 10
        _act(venue, rng, symbol, middle[symbol], near, i)
        if i % 3 == 0:
            updates += venue.taken()
            held(venue, start)
    told(venue, updates + venue.taken())
    return venue


def _act(venue: Matching, rng: np.random.Generator, symbol: str, middle: int, near: int, i: int) -> None:
    what, ts = rng.random(), (i + 1) * 1_000_000
    if what < 0.35:
        bids, asks = ([(middle + sign * 10 * (k + 1), int(rng.integers(0, 400))) for k in range(6)] for sign in (-1, 1))
        (venue.snapshot if rng.random() < 0.3 else venue.depth)(ts, symbol, levels(*bids), levels(*asks))
    elif what < 0.6:
        venue.trade(ts, symbol, int(rng.choice((-1, 1))), near, int(rng.integers(1, 300)))
    elif what < 0.65:
        venue.quote(ts, symbol, middle - 10, 50, middle + 10, 50)
    elif what < 0.68 and venue.kind == "usdm":
        venue.mark(ts, symbol, middle)
        venue.funding(ts, symbol, int(rng.integers(-50_000, 50_000)))
    elif what < 0.7:
        venue.countdown(ts, symbol, int(rng.integers(0, 30)))
    elif what < 0.9:
        _order(venue, rng, symbol, near, i, ts)
    elif what < 0.98:
        if orders := venue.open_orders(symbol):
            venue.cancel(ts, symbol, venue_id=orders[int(rng.integers(len(orders)))].venue_id)
    else:
        venue.cancel_all(ts, symbol)


def _order(venue: Matching, rng: np.random.Generator, symbol: str, near: int, i: int, ts: int) -> None:
    kind = Kind(rng.choice(["LIMIT", "LIMIT", "LIMIT", "MARKET", "STOP_MARKET", "TAKE_PROFIT_MARKET"]))
    futures = venue.kind == "usdm"
    closes = futures and kind.conditional and rng.random() < 0.3
    side, tif = Side(rng.choice(list(Side))), Tif(rng.choice(list(Tif)))
    working, stp = Working(rng.choice(list(Working))), Stp(rng.choice(list(Stp)))
    reduces = bool(futures and not closes and rng.random() < 0.3)
    venue.place(ts, New(
        client_id=f"o{i % 40}", symbol=symbol, side=side, kind=kind, tif=tif, price=near, size=0 if closes else int(rng.integers(1, 900)),
        stop_price=near, working=working, reduce_only=reduces, close_position=bool(closes), stp=stp,
    ))  # fmt: skip


def held(venue: Matching, start: int) -> None:
    """Locked is what open orders need; balances are the start, what fills moved, fees and funding; positions are the fills' sums."""
    account = venue.account
    fills = [fill for symbol in SYMBOLS for fill in venue.my_trades(symbol, from_id=1, limit=10**9)]
    resting = [order for order in venue.open_orders() if not order.kind.conditional]
    unit = {symbol: (scale.notional, scale.size, scale.fee) for symbol, scale in venue.scales.items()}
    quote = sum(-fill.side.sign * fill.price * fill.size * unit[fill.symbol][0] for fill in fills)
    quote_fees = sum(fill.fee * unit[fill.symbol][2] for fill in fills if fill.fee_asset == "USDT")
    start *= 10**venue.decimals
    if isinstance(account, SpotAccount):
        locked = dict.fromkeys(account.locked, 0)
        for order in resting:
            asset = "USDT" if order.side is Side.BUY else order.symbol.removesuffix("USDT")
            locked[asset] += (
                order.price * order.left * unit[order.symbol][0] if order.side is Side.BUY else order.left * unit[order.symbol][1]
            )
        assert account.locked == locked
        assert min(account.free.values()) >= 0
        assert account.free["USDT"] + account.locked["USDT"] == start + quote - quote_fees
        for symbol in SYMBOLS:
            base = symbol.removesuffix("USDT")
            moved = sum(
                f.side.sign * f.size * unit[symbol][1] - (f.fee * unit[symbol][2] if f.fee_asset == base else 0)
                for f in fills
                if f.symbol == symbol
            )
            assert account.free[base] + account.locked[base] == (3 * 10**venue.decimals if base == "BTC" else 0) + moved
    else:
        assert isinstance(account, FuturesAccount)
        costs = sum(account.held[s].cost * unit[s][0] for s in SYMBOLS)
        assert account.wallet["USDT"] - costs == start + quote - quote_fees + account.funded["USDT"]
        assert account.wallet["USDT"] == start + sum(f.realised for f in fills) - account.fees["USDT"] + account.funded["USDT"]
        for symbol in SYMBOLS:
            assert account.held[symbol].size == sum(f.side.sign * f.size for f in fills if f.symbol == symbol)
            opening = [o for o in resting if o.symbol == symbol and not o.reduce_only]
            assert account.held[symbol].buys == sum(o.price * o.left for o in opening if o.side is Side.BUY)
            assert account.held[symbol].sells == sum(o.price * o.left for o in opening if o.side is Side.SELL)
    for symbol in SYMBOLS:  # what rests in the book is what is open, with what is left of it
        rests = {venue_id: left for side in (0, 1) for venue_id, _, left, _ in venue.books[symbol].own(side)}
        assert rests == {o.venue_id: o.left for o in resting if o.symbol == symbol}


def told(venue: Matching, updates: list) -> None:
    """Updates tell each order's life once and in order; fills in them are the fills; reduce-only never turns a position over."""
    filled: dict[int, int] = {}
    over: set[int] = set()
    position = dict.fromkeys(SYMBOLS, 0)
    last = 0
    for update in updates:
        assert update.ts >= last
        last = update.ts
        if isinstance(update, AccountUpdate):
            continue
        assert isinstance(update, OrderUpdate) and update.order.venue_id not in over
        if fill := update.fill:
            filled[fill.venue_id] = filled.get(fill.venue_id, 0) + fill.size
            assert update.order.filled == filled[fill.venue_id] <= update.order.size
            before = position[fill.symbol]
            position[fill.symbol] = before + fill.side.sign * fill.size
            if update.order.reduce_only:
                assert abs(position[fill.symbol]) < abs(before) and position[fill.symbol] * before >= 0
        if not update.order.is_open:
            over.add(update.order.venue_id)
            assert (update.order.status is Status.FILLED) == (update.order.filled == update.order.size > 0)
    for symbol in SYMBOLS:
        ids = [fill.trade_id for fill in venue.my_trades(symbol, from_id=1, limit=10**9)]
        assert ids == list(range(1, len(ids) + 1))
        for order in venue.all_orders(symbol, from_id=1, limit=10**9):
            assert order.is_open == (order.venue_id not in over) and order.filled == filled.get(order.venue_id, 0)


@pytest.mark.parametrize("kind", ["spot", "usdm"])
@settings(deadline=None, max_examples=50)
@given(
    seed=st.integers(0, 2**32),
    queue=st.sampled_from(["pessimistic", "optimistic", "log", "power"]),
    partial=st.booleans(),
    start=st.sampled_from([300, 100_000]),
)
def test_accounts_agree_with_orders_and_fills(kind: Literal["spot", "usdm"], queue: Queue, partial: bool, seed: int, start: int):
    history(kind, queue, partial, seed, 300, start)


def test_the_same_calls_have_the_same_results():
    one, other = (history("usdm", "log", True, 7, 800, 2_000) for _ in range(2))
    for symbol in SYMBOLS:
        assert one.my_trades(symbol) == other.my_trades(symbol) != []
        assert one.all_orders(symbol, limit=10**6) == other.all_orders(symbol, limit=10**6)
    assert (one.balances(), one.positions()) == (other.balances(), other.positions())
