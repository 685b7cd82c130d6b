"""User data: of USD-M futures by a listen key that is kept alive, of spot by a signed subscription of the WebSocket API.

Events are handed on as they come, also twice or out of order: who keeps the orders counts a fill once and never goes back.
"""

import asyncio
import logging
import random
from collections.abc import Callable, Mapping, Sequence

import msgspec
from picows import WSMsgType, WSTransport

from core.orders import Listing
from serving import binance_words as words
from serving.binance_fills import Names
from serving.binance_rest import MS, Rest, Said, read
from serving.binance_stops import Stops
from serving.binance_stops import Told as StopTold
from serving.binance_streams import listen
from serving.exchange import AccountEvent, ExchangeError
from serving.reconnect import Backoff, Linked, keep
from serving.wire import Lost, Unsent

log = logging.getLogger(__name__)
RENEW_S = 1_800.0  # a listen key lives for 60 minutes
ANSWER_S = 5.0
GONE = ("listenKeyExpired", "eventStreamTerminated", "serverShutdown")


class Head(msgspec.Struct):
    e: str = ""


class Ours(msgspec.Struct):
    """ORDER_TRADE_UPDATE."""

    o: words.Told


class Waits(msgspec.Struct):
    """ALGO_UPDATE."""

    o: StopTold


class Change(msgspec.Struct):
    """A balance in ACCOUNT_UPDATE; `bc`: by how much it changed."""

    a: str
    bc: str = "0"


class Place(msgspec.Struct):
    s: str


class Reason(msgspec.Struct):
    m: str = ""
    B: list[Change] = []
    P: list[Place] = []


class Update(msgspec.Struct):
    """ACCOUNT_UPDATE. `T`: when it happened, ms."""

    a: Reason
    T: int = 0


class Enveloped(msgspec.Struct):
    """A frame of the WebSocket API: an event, or an answer."""

    event: msgspec.Raw = msgspec.Raw(b"")
    id: int | str | None = None
    status: int = 0
    error: dict[str, int | str] = {}


class Key(msgspec.Struct):
    listenKey: str


class Account:
    """The user data of one account. `names` learns each order's venue id and ours."""

    def __init__(
        self,
        rest: Rest,
        spot: bool,
        listings: Callable[[], Mapping[str, Listing]],
        told: Callable[[AccountEvent], None],
        names: Names,
        stops: Stops,
        *,
        renew_s: float = RENEW_S,
    ) -> None:
        self.rest, self.spot, self.listings, self.told, self.renew_s = rest, spot, listings, told, renew_s
        self.names, self.stops = names, stops
        self.gone: asyncio.Future[str] | None = None
        self.answered: asyncio.Future[Enveloped] | None = None

    async def run(self, url: str, linked: Linked, rng: random.Random, api_key: str) -> None:
        """Until cancelled. `url`: the WebSocket API's on spot, else what `/ws/<listen key>` is added to."""

        async def session(up: Callable[[], None]) -> str:
            self.gone = asyncio.get_running_loop().create_future()
            gone = self.gone
            try:
                if self.spot:
                    return await listen(
                        url, self.frames, nothing, self.rest.clock, beside=lambda socket: self._subscribed(socket, up, gone, api_key)
                    )
                key = await self._key("POST")
                return await listen(f"{url}/ws/{key}", self.frames, up, self.rest.clock, beside=lambda _: self._renewed(gone))
            except Said as said:
                raise ExchangeError(f"user data: {said}") from said

        await keep(session, linked, Backoff(rng=rng))

    def frames(self, payloads: Sequence[bytes], now: int) -> None:
        """What the socket brought. Raises `ExchangeError` for what cannot be read: the connection is made anew, and all is asked for."""
        for payload in payloads:
            try:
                if self.spot:
                    self._opened(msgspec.json.decode(payload, type=Enveloped), now)
                else:
                    self.event(payload, now)
            except msgspec.MsgspecError as error:
                raise ExchangeError(f"user data cannot be read ({error}): {payload[:300].decode(errors='replace')}") from error

    def _opened(self, of: Enveloped, now: int) -> None:
        if event := bytes(of.event):
            self.event(event, now)
        elif self.answered is not None and not self.answered.done():
            self.answered.set_result(of)

    def event(self, text: bytes, now: int) -> None:
        """One event of user data. `now`: when it came, ns."""
        match kind := msgspec.json.decode(text, type=Head).e:
            case "ORDER_TRADE_UPDATE":
                self._ordered(msgspec.json.decode(text, type=Ours).o, now)
            case "ALGO_UPDATE":
                if (waits := self.stops.told(msgspec.json.decode(text, type=Waits).o)) is not None:
                    self.told(AccountEvent(standing=waits))
            case "executionReport":
                self._ordered(msgspec.json.decode(text, type=words.Told), now)
            case "ACCOUNT_UPDATE":
                update = msgspec.json.decode(text, type=Update)
                if (why := update.a).m == "FUNDING_FEE":
                    symbol = why.P[0].s if why.P else ""  # cross margin: the balance alone is told
                    self.told(AccountEvent(funding=(symbol, sum(float(change.bc) for change in why.B), update.T)))
            case _ if kind in GONE and self.gone is not None and not self.gone.done():
                self.gone.set_result(f"the venue ended the user data stream ({kind})")

    def _ordered(self, told: words.Told, now: int) -> None:
        listing = self.listings().get(told.s)
        if listing is None:
            log.warning("an order of %s, which is not traded here, is %s: %s", told.s, told.X, told.c)
            return
        standing, fill = words.told_order(told, listing, now)
        known = self.names.get(told.s, told.i)
        if known in self.stops.mine and known != standing.order_id:  # what a stop became: its fills are the stop's, its end is told there
            standing = msgspec.structs.replace(standing, order_id=known)
            fill = msgspec.structs.replace(fill, order_id=known) if fill is not None else None
        else:
            self.names.put(told.s, told.i, standing.order_id)
        self.told(AccountEvent(standing=standing, fill=fill))

    async def _key(self, verb: str) -> str:
        """A listen key, made (POST) or kept alive (PUT)."""
        reply = await self.rest.ask(verb, "listenKey", 1, urgent=True)
        return read(reply, Key).listenKey if verb == "POST" else ""

    async def _renewed(self, gone: asyncio.Future[str]) -> str:
        wait = self.renew_s
        while True:
            done, _ = await asyncio.wait([gone], timeout=wait)
            if done:
                return gone.result()
            try:
                await self._key("PUT")
                wait = self.renew_s
            except Said as said:
                return f"the listen key could not be kept alive: {said}"
            except (Lost, Unsent) as error:
                log.warning("the listen key could not be kept alive: %s; again soon", error)
                wait = self.renew_s / 10

    async def _subscribed(self, transport: WSTransport, up: Callable[[], None], gone: asyncio.Future[str], api_key: str) -> str:
        self.answered = asyncio.get_running_loop().create_future()
        params = signed_subscription(self.rest, api_key)
        asked = {"id": 1, "method": "userDataStream.subscribe.signature", "params": params}
        transport.send(WSMsgType.TEXT, msgspec.json.encode(asked))
        answer = await asyncio.wait_for(self.answered, ANSWER_S)
        if answer.status != 200:
            if answer.error.get("code") == -1021:
                await self.rest.measure()
            return f"the subscription to user data was refused: {answer.error.get('msg')} ({answer.error.get('code')})"
        up()
        return await gone


def nothing() -> None:
    """A socket of the WebSocket API is up once the subscription is answered, not before."""


def signed_subscription(rest: Rest, api_key: str) -> dict[str, str | int]:
    """Parameters in the order of their names, as they are signed."""
    stamp = rest.now() // MS
    payload = f"apiKey={api_key}&recvWindow={rest.recv_window_ms}&timestamp={stamp}"
    return {"apiKey": api_key, "recvWindow": rest.recv_window_ms, "timestamp": stamp, "signature": rest.hash(payload)}
