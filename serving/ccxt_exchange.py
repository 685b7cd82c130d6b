"""Any exchange that ccxt knows, as an `Exchange`: slower than our own adapter, and only as exact about states as ccxt is.

Market frames are made here in the shape of Binance's combined streams, so that the engine, the recorder and the lake know them.
"""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import ccxt.pro

from core.events import Approved
from core.orders import Balance, Fill, Held, Kind, Listing, Order, Standing, Tif
from serving import ccxt_words as words
from serving.answers import NOT_SENT, joined, refused
from serving.ccxt_calls import UNKNOWN_ORDER, Calls
from serving.ccxt_feed import keep_watching
from serving.exchange import AccountEvent, Answer, ExchangeError, Frames, Whole

MS = 1_000_000
PAGE = 500
BACK_MS = 86_400_000  # fills are looked for so far back where nothing else is known


class Ccxt:
    """One account at one exchange. `configure` may change ccxt's object before it is used (URLs, options)."""

    def __init__(
        self,
        name: str,
        *,
        api_key: str = "",
        api_secret: str = "",
        symbols: Sequence[str] = (),
        venue: str = "",
        timeout_s: float = 10.0,
        sandbox: bool = False,
        configure: Callable[[Any], None] | None = None,
        clock: Callable[[], int] = time.time_ns,
        rng: random.Random | None = None,
    ) -> None:
        if name not in ccxt.pro.exchanges:
            raise ExchangeError(f"ccxt streams from no exchange {name!r}; it knows {', '.join(ccxt.pro.exchanges[:12])} ...")
        self.exchange: Any = getattr(ccxt.pro, name)(
            {"apiKey": api_key, "secret": api_secret, "timeout": round(timeout_s * 1_000), "enableRateLimit": True, "newUpdates": True}
        )
        if sandbox:
            self.exchange.set_sandbox_mode(True)
        if configure is not None:
            configure(self.exchange)
        self.venue, self.symbols, self.clock, self.rng = venue or name, tuple(symbols), clock, rng or random.Random()
        self.clock_offset_ns = 0
        self.calls = Calls(self.exchange, clock)
        self.books = words.Books()

    @property
    def spot(self) -> bool:
        return all(listing.spot for listing in self.calls.listings.values())

    async def open(self) -> dict[str, Listing]:
        await self.calls.query(self.exchange.load_markets(), f"{self.venue} cannot be opened")
        found = words.chosen(self.exchange.markets.values(), self.symbols, self.exchange.options.get("defaultType", "spot"))
        ticks = self.exchange.precisionMode == ccxt.TICK_SIZE
        self.calls.listings = {name: words.listing(one, self.venue, ticks) for name, one in found.items()}
        self.calls.unified = {name: one["symbol"] for name, one in found.items()}
        if self.exchange.has.get("fetchTime"):
            sent = self.clock()
            theirs = await self.calls.query(self.exchange.fetch_time(), "the venue's clock")
            self.clock_offset_ns = int(theirs) * MS + MS // 2 - (sent + self.clock()) // 2
        if self.exchange.apiKey:
            await self.calls.query(self.exchange.fetch_balance(), "the account: check SCALP_EXCHANGE__API_KEY and __API_SECRET")
        return self.calls.listings

    async def close(self) -> None:
        await self.exchange.close()

    async def snapshot(self, symbol: str) -> Whole:
        """The book that the diffs of `feed` go on from."""
        if self.books.whole(symbol) is None:
            book = await self.calls.query(self.exchange.fetch_order_book(self.calls.unified[symbol], 100), f"the book of {symbol}")
            self.books.change(book, self.calls.listings[symbol], self.clock() // MS)
        text = self.books.whole(symbol)
        if text is None:
            raise ExchangeError(f"the book of {symbol} is empty")
        return Whole(symbol=symbol, text=text, ts_recv=self.clock())

    async def feed(self, symbols: Sequence[str], told: Frames, linked: Callable[[bool, str], None]) -> None:
        def trades(symbol: str) -> Callable[[], Awaitable[None]]:
            async def once() -> None:
                found = await self.exchange.watch_trades(self.calls.unified[symbol])
                now = self.clock()
                told([words.trade_frame(one, self.calls.listings[symbol], now // MS) for one in found], now)

            return once

        def book(symbol: str) -> Callable[[], Awaitable[None]]:
            async def once() -> None:
                found = await self.exchange.watch_order_book(self.calls.unified[symbol])
                now = self.clock()
                if frames := self.books.change(found, self.calls.listings[symbol], now // MS):
                    told(frames, now)

            return once

        await keep_watching([make(symbol) for symbol in symbols for make in (book, trades)], linked, self.rng)

    async def account(self, told: Callable[[AccountEvent], None], linked: Callable[[bool, str], None]) -> None:
        async def orders() -> None:
            for one in await self.exchange.watch_orders():
                if (symbol := self.calls.symbol_of(one)) is not None:
                    told(AccountEvent(standing=self.calls.standing(one, symbol)))

        async def fills() -> None:
            for one in await self.exchange.watch_my_trades():
                if (symbol := self.calls.symbol_of(one)) is not None:
                    told(AccountEvent(fill=await self.calls.fill(one, symbol)))

        watched = [orders, fills] if self.exchange.has.get("watchMyTrades") else [orders]
        await keep_watching(watched, linked, self.rng, quiet=True)

    # Orders

    def rehearse(self, order: Order) -> None:
        """Nothing here is slow for having rested."""

    async def send(self, approved: Approved) -> Answer:
        order = approved.order
        if order.kind is Kind.STOP:  # each exchange has its own way, and ccxt does not find them again by our id
            return refused(order, NOT_SENT, "stops at the venue are for Binance's own adapter", self.clock() + self.clock_offset_ns)
        of = self.calls.listings[order.symbol]
        params: dict[str, Any] = {"clientOrderId": order.order_id}
        if order.kind is Kind.LIMIT:
            params |= {"postOnly": True} if order.tif is Tif.GTX else {"timeInForce": order.tif.upper()}
        if order.reduce_only and not of.spot:
            params["reduceOnly"] = True
        price = order.price / of.price_unit if order.kind is Kind.LIMIT else None
        asked = self.exchange.create_order(
            self.calls.unified[order.symbol], str(order.kind), str(order.side), order.size / of.size_unit, price, params
        )
        told = await self.calls.asked(asked)
        if isinstance(told, Answer):
            return refused(order, told.code, told.reason, self.clock() + self.clock_offset_ns) if told.known else told
        self.calls.name(str(told["id"]), order.order_id)
        ours = {"side": str(order.side), "amount": order.size / of.size_unit, "price": price}
        whole = told | {key: told.get(key) or one for key, one in ours.items()}
        return Answer(known=True, standing=self.calls.standing(whole, order.symbol))

    async def cancel(self, symbol: str, order_id: str) -> Answer:
        venue_id = self.calls.theirs.get(order_id)
        if venue_id is None:
            try:
                found = await self.calls.find(symbol, order_id)
            except ExchangeError as error:
                return Answer(known=True, code=NOT_SENT, reason=str(error))
            if found is None:
                return Answer(known=True, code=UNKNOWN_ORDER, reason=f"no order {order_id} of {symbol}")
            venue_id = str(found["id"])
        told = await self.calls.asked(self.exchange.cancel_order(venue_id, self.calls.unified[symbol]))
        if isinstance(told, Answer):
            return told
        gone = told if told.get("status") else told | {"status": "canceled"}
        return Answer(known=True, standing=self.calls.standing(gone, symbol))

    async def cancel_all(self, symbols: Sequence[str], *, stops: bool = True) -> Answer:
        """`stops`: of exchanges that keep them apart; where they are among the others they are cancelled with these."""

        async def one(symbol: str) -> Answer:
            if self.exchange.has.get("cancelAllOrders"):
                told = await self.calls.asked(self.exchange.cancel_all_orders(self.calls.unified[symbol]))
                return told if isinstance(told, Answer) and told.code != UNKNOWN_ORDER else Answer(known=True)
            return joined([await self.cancel(symbol, standing.order_id) for standing in await self.open_orders([symbol])])

        return joined(await asyncio.gather(*(one(symbol) for symbol in symbols)))

    async def dead_man(self, symbols: Sequence[str], seconds: float) -> bool:
        if not self.exchange.has.get("cancelAllOrdersAfter"):
            return False
        await self.calls.query(self.exchange.cancel_all_orders_after(round(seconds * 1_000)), "the dead-man's switch")
        return True

    # Queries

    async def order(self, symbol: str, order_id: str) -> Standing | None:
        found = await self.calls.find(symbol, order_id)
        return self.calls.standing(found, symbol) if found is not None else None

    async def open_orders(self, symbols: Sequence[str]) -> list[Standing]:
        return [
            self.calls.standing(one, symbol)
            for symbol in symbols
            for one in await self.calls.query(self.exchange.fetch_open_orders(self.calls.unified[symbol]), "open orders")
        ]

    async def fills(self, symbol: str, *, from_id: int = 0, since: int = 0) -> list[Fill]:
        start = since // MS or (self.clock() + self.clock_offset_ns) // MS - 7 * BACK_MS
        found: dict[str, Any] = {}
        while True:
            page = await self.calls.query(self.exchange.fetch_my_trades(self.calls.unified[symbol], start, PAGE), f"fills of {symbol}")
            new = {one["id"]: one for one in page if one["id"] not in found}
            found |= new
            if not new or len(page) < PAGE:
                break
            start = max(int(one["timestamp"]) for one in new.values())
        counted = all(one.isdigit() for one in found)  # ids that are numbers grow: others are all told, and known ones are counted once
        kept = [one for one in found.values() if not counted or int(one["id"]) >= from_id]
        fills = [await self.calls.fill(one, symbol) for one in kept]
        return sorted(fills, key=lambda fill: fill.trade_id if counted else fill.ts_event)

    async def held(self) -> tuple[list[Held], list[Balance]]:
        told = await self.calls.query(self.exchange.fetch_balance(), "balances")
        if self.spot:
            return [], words.balances(told, True)
        rows = await self.calls.query(self.exchange.fetch_positions(list(self.calls.unified.values())), "positions")
        named = {unified: symbol for symbol, unified in self.calls.unified.items()}
        held = [words.held(row, self.calls.listings[named[row["symbol"]]]) for row in rows if row["symbol"] in named]
        return [one for one in held if one.size], words.balances(told, False)
