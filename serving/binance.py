"""Binance, spot and USD-M futures, as an `Exchange`: REST for orders and queries, sockets for the market and for user data."""

import asyncio
import logging
import random
import time
from collections.abc import Callable, Coroutine, Sequence
from typing import TypeVar

import msgspec

from core.events import Approved
from core.orders import Balance, Fill, Held, Listing, Order, Standing
from core.orders import Kind as OrderKind
from serving import binance_listed as listed
from serving import binance_words as words
from serving.answers import NOT_SENT, joined, refused, unanswered
from serving.binance_account import RENEW_S, Account
from serving.binance_fills import Names, fills
from serving.binance_listed import Kind
from serving.binance_open import URLS, Urls, terms
from serving.binance_rest import Rest, Said, failed, query, read
from serving.binance_stops import Stops
from serving.binance_streams import groups, market
from serving.exchange import AccountEvent, Answer, ExchangeError, Frames, Whole
from serving.wire import Lost, Unsent

log = logging.getLogger(__name__)
T = TypeVar("T")
CLOCK_S = 60.0  # how often the clock is measured again
DEPTH = {"usdm": (1_000, 20), "spot": (1_000, 50)}  # levels of a snapshot, weight


class Binance:
    """One account. `symbols`: empty for all that trade. `venue`: our name of it, `binance-<kind>` unless given.

    `mute_s`: a market feed silent for so long is made anew. `clock`: ours, ns.
    """

    def __init__(
        self,
        kind: Kind,
        *,
        api_key: str = "",
        api_secret: str = "",
        urls: Urls | None = None,
        symbols: Sequence[str] = (),
        venue: str = "",
        recv_window_ms: int = 5_000,
        timeout_s: float = 2.0,
        mute_s: float = 10.0,
        renew_s: float = RENEW_S,
        clock: Callable[[], int] = time.time_ns,
        rng: random.Random | None = None,
    ) -> None:
        self.kind: Kind = kind
        self.spot, self.venue, self.api_key = kind == "spot", venue or f"binance-{kind}", api_key
        self.urls, self.symbols, self.mute_s, self.renew_s = urls or URLS[kind], tuple(symbols), mute_s, renew_s
        self.clock, self.rng = clock, rng or random.Random()
        root = "/api/v3" if self.spot else "/fapi/v1"
        self.rest = Rest(self.urls.rest, root, api_key, api_secret, recv_window_ms=recv_window_ms, timeout_s=timeout_s, clock=clock)
        self.listings: dict[str, Listing] = {}
        self.names = Names()
        self.stops = Stops(self.rest, lambda: self.listings, self.names.put)
        self._measuring: asyncio.Task[None] | None = None

    @property
    def clock_offset_ns(self) -> int:
        return self.rest.offset_ns

    async def open(self) -> dict[str, Listing]:
        try:
            listing = self.rest.ask("GET", "exchangeInfo", 20 if self.spot else 1)
            _, reply = await asyncio.gather(self.rest.measure(), listing)
            info = read(reply, listed.Info)
            self.rest.limits.told(info.rateLimits)
            chosen = listed.chosen(info, self.kind, self.symbols)
            brackets, fees = await terms(self.rest, self.spot, [one.symbol for one in chosen]) if self.rest.keyed else ({}, {})
            await self.rest.wire.warm(3)
        except (Said, Lost, Unsent) as error:
            raise failed(error, f"{self.venue} cannot be opened") from error
        usual = listed.FEES[self.kind]
        self.listings = {
            one.symbol: listed.listing(one, self.kind, self.venue, brackets.get(one.symbol), fees.get(one.symbol) or fees.get("") or usual)
            for one in chosen
        }
        self._measuring = self._measuring or asyncio.create_task(self._keep_clock(), name=f"{self.venue} clock")
        return self.listings

    async def close(self) -> None:
        if self._measuring is not None:
            self._measuring.cancel()
            await asyncio.gather(self._measuring, return_exceptions=True)
            self._measuring = None
        await self.rest.wire.close()

    async def snapshot(self, symbol: str) -> Whole:
        limit, weight = DEPTH[self.kind]
        reply = await self._query(
            self.rest.ask("GET", "depth", weight, query(symbol=symbol, limit=limit), urgent=True), f"the book of {symbol}"
        )
        return Whole(symbol=symbol, text=reply.body, ts_recv=self.clock())

    async def feed(self, symbols: Sequence[str], told: Frames, linked: Callable[[bool, str], None]) -> None:
        urls = [f"{self.urls.ws}/stream?streams={group}" for group in groups(self.kind, symbols)]
        await market(urls, told, linked, self.clock, mute_s=self.mute_s, rng=self.rng)

    async def account(self, told: Callable[[AccountEvent], None], linked: Callable[[bool, str], None]) -> None:
        account = Account(self.rest, self.spot, lambda: self.listings, told, self.names, self.stops, renew_s=self.renew_s)
        await account.run(self.urls.ws_api if self.spot else self.urls.ws, linked, self.rng, self.api_key)

    # Orders

    def rehearse(self, order: Order) -> None:
        self.rest.prepared("POST", "order", words.sent(order, self.listings[order.symbol], self.spot))

    async def send(self, approved: Approved) -> Answer:
        order = approved.order
        listing = self.listings[order.symbol]
        weight = 1 if self.spot else 0
        try:
            if order.kind is OrderKind.STOP:
                return Answer(known=True, standing=await self.stops.send(order))
            reply = await self.rest.signed("POST", "order", weight, words.sent(order, listing, self.spot), orders=1, urgent=True)
        except Unsent as error:
            return refused(order, NOT_SENT, str(error), self.rest.now())
        except Lost as error:
            return unanswered(str(error))
        except Said as said:
            if said.unsure or said.code == words.DUPLICATE or said.words == words.ALREADY:
                return unanswered(str(said))
            return refused(order, said.code, said.words, self.rest.now())
        now = self.clock()
        try:
            row = read(reply, words.Row)
        except ExchangeError as error:
            return unanswered(str(error))
        self.names.put(row.symbol, row.orderId, order.order_id)
        standing = words.standing(row, listing, now)
        if standing.size == 0:  # an answer that only says that it came
            standing = msgspec.structs.replace(standing, side=order.side, price=order.price, size=order.size)
        return Answer(known=True, standing=standing, fills=words.fills_of(row, order, listing, now))

    async def cancel(self, symbol: str, order_id: str) -> Answer:
        if order_id not in self.stops.mine:
            answer = await self._cancelled("order", symbol, query(symbol=symbol, origClientOrderId=order_id))
            if self.spot or answer.code != words.UNKNOWN_ORDER:
                return answer
        return await self._cancelled("algoOrder", symbol, order_id)

    async def cancel_all(self, symbols: Sequence[str], *, stops: bool = True) -> Answer:
        names = ["openOrders"] if self.spot else ["allOpenOrders", "algoOpenOrders"][: 1 + stops]
        asked = (self._cancelled(name, symbol, query(symbol=symbol)) for symbol in symbols for name in names)
        return joined(await asyncio.gather(*asked))

    async def _cancelled(self, name: str, symbol: str, params: str) -> Answer:
        one = name == "order"
        try:
            if name == "algoOrder":
                return Answer(known=True, standing=await self.stops.cancel(symbol, params))
            if name == "algoOpenOrders":
                return Answer(known=True, standing=await self.stops.cancel_all(symbol))
            reply = await self.rest.signed("DELETE", name, 1, params, urgent=True)
        except Unsent as error:
            return Answer(known=True, code=NOT_SENT, reason=str(error))
        except Lost as error:
            return unanswered(str(error))
        except Said as said:
            if said.unsure:
                return unanswered(str(said))
            if said.code == words.UNKNOWN_ORDER and not one:
                return Answer(known=True)  # none was open
            return Answer(known=True, code=said.code, reason=said.words)
        if not one:
            return Answer(known=True)
        try:
            return Answer(known=True, standing=words.standing(read(reply, words.Row), self.listings[symbol], self.clock()))
        except ExchangeError as error:
            return unanswered(str(error))

    async def dead_man(self, symbols: Sequence[str], seconds: float) -> bool:
        if self.spot:
            return False
        asked = (
            self.rest.signed("POST", "countdownCancelAll", 10, query(symbol=symbol, countdownTime=round(seconds * 1_000)), urgent=True)
            for symbol in symbols
        )
        await self._query(asyncio.gather(*asked), "the dead-man's switch")
        return True

    # Queries

    async def order(self, symbol: str, order_id: str) -> Standing | None:
        try:
            reply = await self._query(
                self.rest.signed("GET", "order", 4 if self.spot else 1, query(symbol=symbol, origClientOrderId=order_id)),
                f"order {order_id}",
            )
        except ExchangeError as error:
            if isinstance(error.__cause__, Said) and error.__cause__.code == words.NO_SUCH_ORDER:
                return None if self.spot else await self._query(self.stops.order(symbol, order_id), f"stop {order_id}")
            raise
        return self._standing(read(reply, words.Row))

    async def open_orders(self, symbols: Sequence[str]) -> list[Standing]:
        each, all_of = (6, 80) if self.spot else (1, 40)
        if len(symbols) * each <= all_of:
            asked = [self.rest.signed("GET", "openOrders", each, query(symbol=symbol)) for symbol in symbols]
        else:
            asked = [self.rest.signed("GET", "openOrders", all_of)]
        replies = await self._query(asyncio.gather(*asked), "open orders")
        rows = [row for reply in replies for row in read(reply, list[words.Row])]
        found = {row.clientOrderId: self._standing(row) for row in rows if row.symbol in symbols}
        if not self.spot:
            found |= {one.order_id: one for one in await self._query(self.stops.open(symbols), "open stops")}
        return list(found.values())

    async def fills(self, symbol: str, *, from_id: int = 0, since: int = 0) -> list[Fill]:
        return await self._query(
            fills(self.rest, self.spot, self.listings[symbol], self.names, from_id=from_id, since=since), f"fills of {symbol}"
        )

    async def held(self) -> tuple[list[Held], list[Balance]]:
        if self.spot:
            reply = await self._query(self.rest.signed("GET", "account", 20, "omitZeroBalances=true"), "balances")
            return [], words.balances(read(reply, words.SpotAccount).balances, True)
        positions, moneys = await self._query(
            asyncio.gather(self.rest.signed("GET", "/fapi/v2/positionRisk", 5), self.rest.signed("GET", "/fapi/v2/balance", 5)), "positions"
        )
        rows = read(positions, list[words.Position])
        return words.held(rows, self.listings), words.balances(read(moneys, list[words.Money]), False)

    async def _query(self, asked: "asyncio.Future[T] | Coroutine[None, None, T]", what: str) -> T:
        """What a query answers. Raises `ExchangeError`."""
        try:
            return await asked
        except (Said, Lost, Unsent) as error:
            raise failed(error, what) from error

    def _standing(self, row: words.Row) -> Standing:
        standing = words.standing(row, self.listings[row.symbol], self.clock())
        self.names.put(row.symbol, row.orderId, standing.order_id)
        return standing

    async def _keep_clock(self) -> None:
        while True:
            await asyncio.sleep(CLOCK_S)
            try:
                await self.rest.measure()
            except (Said, Lost, Unsent) as error:
                log.warning("the venue's clock could not be measured: %s", error)
