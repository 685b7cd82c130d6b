"""An unmodified ccxt, pointed at the venue, trades on it: REST and `watch...`, spot and USD-M futures."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import ccxt.pro
import pytest

from serving.venue import Venue
from serving.venue_keys import KEY, SECRET
from serving.venue_tape import recorded

pytestmark = [pytest.mark.server, pytest.mark.recordings]
SYMBOL = {"spot": "BTC/USDT", "usdm": "BTC/USDT:USDT"}
KINDS = pytest.mark.parametrize("kind", ["spot", "usdm"])
Case = Callable[[Any, Venue, str], Awaitable[None]]


def pointed(venue: Venue) -> Any:
    """ccxt's own class; only its URLs and what it fetches markets of are ours."""
    spot = venue.desk.spot
    made = (ccxt.pro.binance if spot else ccxt.pro.binanceusdm)(
        {"apiKey": KEY, "secret": SECRET, "options": {"fetchMarkets": {"types": ["spot" if spot else "linear"]}}}
    )
    at = venue.urls
    futures = {f"fapi{who}{version}": f"fapi/{version.lower() or 'v1'}" for who in ("Public", "Private") for version in ("", "V2", "V3")}
    sections = {"public": "api/v3", "private": "api/v3", "v1": "api/v1"} if spot else futures
    made.urls["api"] |= {name: f"{at.rest}/{path}" for name, path in (sections | {"sapi": "sapi/v1"}).items()}
    place = "spot" if spot else "linear"
    # ccxt tells spot by "/stream" in the URL, as in wss://stream.binance.com.
    made.urls["api"]["ws"] |= {place: f"{at.ws}/stream/ws" if spot else f"{at.ws}/ws", "ws-api": {place: at.ws_api}}
    return made


def trade(shared: Path, kind: str, case: Case) -> None:
    async def run() -> None:
        tape = recorded(shared / "data" / "hftbacktest" / kind / "btcusdt_20240808.gz")
        async with Venue(tape, speed=2, base_balance=2.0 if kind == "spot" else 0.0) as venue:
            exchange = pointed(venue)
            try:
                await asyncio.wait_for(case(exchange, venue, SYMBOL[kind]), 60)
            finally:
                await exchange.close()

    asyncio.run(run())


@KINDS
def test_markets_tickers_and_books_are_read(shared: Path, kind: str) -> None:
    async def case(exchange: Any, venue: Venue, symbol: str) -> None:
        markets = await exchange.load_markets()
        assert list(markets) == [symbol]
        assert markets[symbol]["precision"]["price"] == venue.scales["BTCUSDT"].listing.instrument.tick_size
        book = await exchange.fetch_order_book(symbol, limit=20)
        assert len(book["bids"]) == 20 and book["bids"][0][0] < book["asks"][0][0]
        await asyncio.sleep(1.0)
        ticker = await exchange.fetch_ticker(symbol)
        assert 50_000 < ticker["last"] < 70_000
        assert len(await exchange.fetch_tickers([symbol])) == 1
        assert await exchange.fetch_trades(symbol)
        assert await exchange.fetch_ohlcv(symbol, "1m")
        if kind == "usdm":
            assert (await exchange.fetch_funding_rate(symbol))["markPrice"] > 50_000

    trade(shared, kind, case)


@KINDS
def test_orders_are_placed_asked_for_and_cancelled(shared: Path, kind: str) -> None:
    async def case(exchange: Any, venue: Venue, symbol: str) -> None:
        await exchange.load_markets()
        top = await exchange.fetch_order_book(symbol, limit=5)
        bid, ask = top["bids"][0][0], top["asks"][0][0]
        low = float(exchange.price_to_precision(symbol, bid * 0.99))
        placed = await exchange.create_order(symbol, "limit", "buy", 0.01, low, {"newClientOrderId": "mine-1"})
        assert placed["clientOrderId"] == "mine-1"
        assert [one["id"] for one in await exchange.fetch_open_orders(symbol)] == [placed["id"]]
        assert (await exchange.fetch_order(placed["id"], symbol))["status"] == "open"
        assert (await exchange.cancel_order(placed["id"], symbol))["status"] == "canceled"
        assert (await exchange.fetch_order(placed["id"], symbol))["status"] == "canceled"
        with pytest.raises(ccxt.OrderNotFound):
            await exchange.cancel_order(placed["id"], symbol)

        quiet = await exchange.create_order(symbol, "limit", "buy", 0.01, low, {"postOnly": True})
        assert (await exchange.fetch_order(quiet["id"], symbol))["postOnly"]
        high = float(exchange.price_to_precision(symbol, ask * 1.01))
        with pytest.raises(ccxt.InvalidOrder):  # of which OrderImmediatelyFillable is one
            await exchange.create_order(symbol, "limit", "buy", 0.01, high, {"postOnly": True})
        await exchange.cancel_all_orders(symbol)
        assert not await exchange.fetch_open_orders(symbol)
        with pytest.raises(ccxt.InsufficientFunds if kind == "spot" else ccxt.ExchangeError, match="nsufficient"):
            await exchange.create_order(symbol, "limit", "buy", 100.0, low)
        with pytest.raises((ccxt.InvalidOrder, ccxt.BadRequest)):
            await exchange.create_order(symbol, "limit", "buy", 0.01, low, {"price": "1"})

    trade(shared, kind, case)


@KINDS
def test_market_orders_fill_and_show_in_balance_position_and_fills(shared: Path, kind: str) -> None:
    async def case(exchange: Any, venue: Venue, symbol: str) -> None:
        await exchange.load_markets()
        before = await exchange.fetch_balance()
        bought = await exchange.create_order(symbol, "market", "buy", 0.01)
        done = await exchange.fetch_order(bought["id"], symbol)
        assert done["status"] == "closed" and done["filled"] == 0.01 and done["average"] > 50_000
        fills = await exchange.fetch_my_trades(symbol)
        assert sum(fill["amount"] for fill in fills) == pytest.approx(0.01)
        assert all(fill["fee"]["cost"] > 0 and fill["takerOrMaker"] == "taker" for fill in fills)
        after = await exchange.fetch_balance()
        if kind == "spot":
            assert after["BTC"]["total"] == pytest.approx(2.01, abs=1e-4)
            assert after["USDT"]["total"] == pytest.approx(before["USDT"]["total"] - done["cost"])
        else:
            held = await exchange.fetch_positions([symbol])
            assert [(one["contracts"], one["side"]) for one in held] == [(0.01, "long")]
            assert after["USDT"]["total"] < before["USDT"]["total"]
            await exchange.create_order(symbol, "market", "sell", 0.01, None, {"reduceOnly": True})
            assert not await exchange.fetch_positions([symbol])

    trade(shared, kind, case)


@KINDS
def test_trades_books_tickers_and_own_orders_are_watched(shared: Path, kind: str) -> None:
    async def case(exchange: Any, venue: Venue, symbol: str) -> None:
        await exchange.load_markets()
        assert (await exchange.watch_trades(symbol))[0]["price"] > 50_000
        book = await exchange.watch_order_book(symbol)
        for _ in range(3):
            book = await exchange.watch_order_book(symbol)
            assert book["bids"][0][0] < book["asks"][0][0]
        assert (await exchange.watch_ticker(symbol))["last"] > 50_000
        assert (await exchange.watch_bids_asks([symbol]))[symbol]["bid"] > 50_000

        watching = asyncio.ensure_future(exchange.watch_orders(symbol))
        while not venue.streams.of("account"):  # noqa: ASYNC110 (ccxt does not tell)
            await asyncio.sleep(0.05)
        low = float(exchange.price_to_precision(symbol, book["bids"][0][0] * 0.99))
        placed = await exchange.create_order(symbol, "limit", "buy", 0.01, low)
        assert (await watching)[-1]["id"] == placed["id"]
        watching = asyncio.ensure_future(exchange.watch_orders(symbol))
        await exchange.cancel_order(placed["id"], symbol)
        assert (await watching)[-1]["status"] == "canceled"
        fills = asyncio.ensure_future(exchange.watch_my_trades(symbol))
        await asyncio.sleep(0.2)
        bought = await exchange.create_order(symbol, "market", "buy", 0.01)
        assert (await fills)[-1]["order"] == bought["id"]

    trade(shared, kind, case)


def test_a_conditional_order_waits_for_its_price(shared: Path) -> None:
    async def case(exchange: Any, venue: Venue, symbol: str) -> None:
        await exchange.load_markets()
        await exchange.create_order(symbol, "market", "buy", 0.01)
        bid = (await exchange.fetch_order_book(symbol, limit=5))["bids"][0][0]
        low = float(exchange.price_to_precision(symbol, bid * 0.99))
        stop = await exchange.create_order(symbol, "market", "sell", 0.01, None, {"stopLossPrice": low, "reduceOnly": True})
        assert [one["id"] for one in await exchange.fetch_open_orders(symbol, params={"trigger": True})] == [stop["id"]]
        await exchange.cancel_order(stop["id"], symbol, {"trigger": True})
        assert not await exchange.fetch_open_orders(symbol, params={"trigger": True})

    trade(shared, "usdm", case)
