"""What every `Exchange` is held to, and the place where it is tried: the venue simulator over real sockets, one adapter in front of it."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from core.events import Approved
from core.market import Instrument, Side
from core.orders import Fill, Kind, Listing, Order, Standing, Tif
from serving.binance import Binance
from serving.binance_listed import Kind as Market
from serving.binance_open import Urls
from serving.ccxt_exchange import Ccxt
from serving.exchange import AccountEvent, Answer, Exchange
from serving.paper import Paper
from serving.paper_account import Terms
from serving.venue import Venue
from serving.venue_faults import Fault
from serving.venue_keys import KEY, SECRET
from serving.venue_tape import recorded

SYMBOL = "BTCUSDT"
ADAPTERS = ("binance usdm", "binance spot", "ccxt usdm", "ccxt spot")
NATIVE = ADAPTERS[:2]
ALSO_PAPER = (*ADAPTERS, "paper usdm", "paper spot")  # the market of the venue, an account of our own
Case = Callable[["Trader"], Awaitable[None]]


def binance(venue: Venue, kind: Market, **options: Any) -> Binance:
    at = venue.urls
    return Binance(kind, api_key=KEY, api_secret=SECRET, urls=Urls(at.rest, at.ws, at.ws_api), **options)


def ccxt(venue: Venue, kind: Market, **options: Any) -> Ccxt:
    """ccxt's own class; only its URLs, and what it fetches markets of, are ours."""
    at, spot = venue.urls, kind == "spot"
    sections = (
        {"public": "api/v3", "private": "api/v3", "v1": "api/v1"}
        if spot
        else {f"fapi{who}{version}": f"fapi/{version.lower() or 'v1'}" for who in ("Public", "Private") for version in ("", "V2", "V3")}
    )

    def pointed(exchange: Any) -> None:
        place = "spot" if spot else "linear"
        exchange.options |= {"fetchMarkets": {"types": [place]}, "fetchCurrencies": False}
        exchange.urls["api"] |= {name: f"{at.rest}/{path}" for name, path in (sections | {"sapi": "sapi/v1"}).items()}
        exchange.urls["api"]["ws"] |= {place: f"{at.ws}/ws", "ws-api": {place: at.ws_api}}

    return Ccxt("binance" if spot else "binanceusdm", api_key=KEY, api_secret=SECRET, configure=pointed, **options)


def paper(venue: Venue, kind: Market, **options: Any) -> Paper:
    """The venue's market, without keys."""
    at = venue.urls
    terms = Terms(order_ms=1.0, response_ms=1.0, base_balance=2.0 if kind == "spot" else 0.0)
    return Paper(Binance(kind, urls=Urls(at.rest, at.ws, at.ws_api)), terms, time.time_ns, **options)


class Trader:
    """An adapter at work: what it was told is kept."""

    def __init__(self, exchange: Exchange, venue: Venue, listings: dict[str, Listing]) -> None:
        self.exchange, self.venue, self.listing = exchange, venue, listings[SYMBOL]
        self.frames: list[tuple[bytes, int]] = []
        self.events: list[AccountEvent] = []
        self.links: list[tuple[str, bool]] = []
        self.tasks: dict[str, asyncio.Task[None]] = {}
        self.n_orders = 0
        self.told_account: Callable[[AccountEvent], None] = self.events.append  # may be another's

    def begin(self) -> None:
        feed = self.exchange.feed([SYMBOL], self.told, lambda up, _: self.links.append(("market", up)))
        account = self.exchange.account(self.told_account, lambda up, _: self.links.append(("account", up)))
        self.tasks = {"market": asyncio.create_task(feed), "account": asyncio.create_task(account)}

    def told(self, payloads: Any, ts_recv: int) -> None:
        self.frames += [(bytes(payload), ts_recv) for payload in payloads]

    def up(self, what: str) -> bool:
        return next((up for of, up in reversed(self.links) if of == what), False)

    async def until(self, true: Callable[[], object], seconds: float = 15.0) -> None:
        """Wait until it is so. Fails where it never is, or where the feed or user data ended."""
        for _ in range(round(seconds / 0.02)):
            if true():
                return
            for task in self.tasks.values():
                if task.done():
                    task.result()
            await asyncio.sleep(0.02)
        raise AssertionError("it did not happen in time")

    async def connected(self) -> None:
        """Feed and user data are up, and the market has begun."""
        if not self.tasks:
            self.begin()
        await self.until(lambda: self.up("market") and self.up("account") and self.frames)

    @property
    def top(self) -> tuple[int, int]:
        """Best bid and ask of the venue's book, price units."""
        bid, _, ask, _ = self.venue.desk.markets.books[SYMBOL].top
        return bid, ask

    def on_tick(self, price: float) -> int:
        return int(price) // self.listing.tick * self.listing.tick

    def order(self, side: Side = Side.BUY, *, away: float = 0.01, kind: Kind = Kind.LIMIT, tif: Tif = Tif.GTX, times: int = 1,
              reduce_only: bool = False) -> Order:  # fmt: skip
        """An order of 0.01 (`times` that) whose limit is `away` (a share of the price) behind the best of its side; below 0 through it."""
        bid, ask = self.top
        price = self.on_tick(bid * (1 - away) if side is Side.BUY else ask * (1 + away))
        self.n_orders += 1
        return Order(
            order_id=f"sc1-{self.n_orders:x}", symbol=SYMBOL, side=side, kind=kind, tif=tif,
            size=times * round(self.listing.size_unit / 100), price=price if kind is Kind.LIMIT else 0, reduce_only=reduce_only,
        )  # fmt: skip

    async def send(self, order: Order) -> Answer:
        return await self.exchange.send(Approved(ts=0, order=order))

    async def stands(self, order: Order) -> Standing:
        found = await self.exchange.order(SYMBOL, order.order_id)
        assert found is not None
        return found

    async def buy(self, times: int = 1) -> Order:
        """A market order, filled."""
        order = self.order(kind=Kind.MARKET, tif=Tif.GTC, times=times)
        answer = await self.send(order)
        assert answer.known and not answer.rejected, answer
        return order

    def fills(self) -> list[Fill]:
        """Of user data, as told: also twice."""
        return [event.fill for event in self.events if event.fill is not None]

    def fault(self, kind: str, **how: Any) -> None:
        self.venue.fault(Fault(kind=kind, **how))


def listed(price_decimals: int = 2, size_decimals: int = 3) -> Listing:
    of = Instrument(
        venue="there", symbol="BTCUSDT", price_decimals=price_decimals, size_decimals=size_decimals, tick_size=10.0**-price_decimals,
        lot_size=10.0**-size_decimals, base="BTC", quote="USDT",
    )  # fmt: skip
    return Listing(instrument=of, tick=1, lot=1, min_size=1, max_size=2**53, max_leverage=10.0)


def tape_of(shared: Path, kind: Market) -> Any:
    return recorded(shared / "data" / "hftbacktest" / kind / "btcusdt_20240808.gz")


def trade(shared: Path, adapter: str, case: Case, *, venue: dict[str, Any] | None = None, **options: Any) -> None:
    """Run a case with an adapter ("binance usdm", ...) against a venue of its own. `options` go to the adapter, `venue` to the venue."""
    name, _, word = adapter.partition(" ")
    kind: Market = "spot" if word == "spot" else "usdm"

    async def run() -> None:
        base = 2.0 if kind == "spot" else 0.0
        async with Venue(tape_of(shared, kind), **({"speed": 2, "base_balance": base} | (venue or {}))) as at:
            exchange: Exchange = {"binance": binance, "ccxt": ccxt, "paper": paper}[name](at, kind, **options)
            trader: Trader | None = None
            try:
                trader = Trader(exchange, at, await exchange.open())
                if name == "paper":  # its account knows of the market what it was told
                    await trader.connected()
                    await exchange.snapshot(SYMBOL)
                await asyncio.wait_for(case(trader), 60)
            finally:
                if trader is not None:
                    for task in trader.tasks.values():
                        task.cancel()
                    await asyncio.gather(*trader.tasks.values(), return_exceptions=True)
                await exchange.close()

    asyncio.run(run())
