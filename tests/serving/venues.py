"""A venue for tests: a recording of a few lines, and a client that signs."""

import asyncio
import gzip
import json
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from serving.venue import Venue
from serving.venue_keys import KEY, SECRET, signed
from serving.venue_tape import Tape, recorded

BEGIN = 1_700_000_000_000  # ms
Case = Callable[["Asked"], Awaitable[None]]


def lines(kind: str, seconds: int = 600, symbol: str = "BTCUSDT") -> list[str]:
    """A still market, 100.0 to 100.2, that trades twice a second on one side and the other; the recorder's clock is 1.5 s behind."""
    name, made = symbol.lower(), []
    snapshot = {"lastUpdateId": 100, "bids": [["100.00", "5.000"], ["99.90", "7.000"]], "asks": [["100.20", "5.000"], ["100.30", "7.000"]]}
    for n in range(2 * seconds):
        ms = BEGIN + 500 * n
        recv = (ms - 1_500) * 1_000_000
        ids = {"U": 101 + n, "u": 101 + n} | ({"pu": 100 + n} if kind == "usdm" else {})
        depth = {"e": "depthUpdate", "E": ms} | ({"T": ms - 1} if kind == "usdm" else {}) | {"s": symbol, **ids}
        depth |= {"b": [["99.90", f"{7 + n % 3}.000"]], "a": [["100.30", f"{7 + n % 2}.000"]]}
        made.append(f"{recv} " + text({"stream": f"{name}@depth@100ms", "data": depth}))
        trade = {"e": "trade", "E": ms, "T": ms, "s": symbol, "t": 1_000 + n, "p": ("100.00", "100.20")[n % 2], "q": "0.010"}
        trade |= {"X": "MARKET", "m": n % 2 == 0} if kind == "usdm" else {"m": n % 2 == 0, "M": True}
        made.append(f"{recv + 1_000} " + text({"stream": f"{name}@trade", "data": trade}))
        if not n:
            made.append(f"{recv + 2_000} {text(snapshot)}")
    return made


def text(frame: dict[str, Any]) -> str:
    return json.dumps(frame, separators=(",", ":"))


class Asked:
    """A venue, and a client of it that signs."""

    def __init__(self, venue: Venue, session: aiohttp.ClientSession) -> None:
        self.venue, self.session = venue, session
        self.root = "/api/v3" if venue.desk.spot else "/fapi/v1"

    async def ask(self, verb: str, path: str, **params: Any) -> tuple[int, Any]:
        async with self.session.request(verb, self.venue.urls.rest + self.root + path, params=params) as answer:
            return answer.status, await answer.json()

    async def signed(self, verb: str, path: str, **params: Any) -> tuple[int, Any]:
        query = "&".join(f"{name}={value}" for name, value in ({"timestamp": time.time_ns() // 1_000_000} | params).items())
        url = f"{self.venue.urls.rest}{self.root}{path}?{query}&signature={signed(query, SECRET)}"
        async with self.session.request(verb, url, headers={"X-MBX-APIKEY": KEY}) as answer:
            return answer.status, await answer.json()

    async def order(self, side: str = "BUY", size: str = "1", price: str = "", **more: Any) -> tuple[int, Any]:
        limit = {"type": "LIMIT", "timeInForce": "GTC", "price": price} if price else {"type": "MARKET"}
        return await self.signed("POST", "/order", symbol="BTCUSDT", side=side, quantity=size, newOrderRespType="RESULT", **limit, **more)

    async def fault(self, **fault: Any) -> None:
        async with self.session.post(f"{self.venue.urls.rest}/faults", json=fault) as answer:
            assert answer.status == 200, await answer.text()

    async def watch(self, path: str) -> "Watched":
        return Watched(await self.session.ws_connect(self.venue.urls.ws + path))

    async def account(self) -> "Watched":
        """User data, as this kind of venue has it."""
        if not self.venue.desk.spot:
            async with self.session.post(f"{self.venue.urls.rest}{self.root}/listenKey", headers={"X-MBX-APIKEY": KEY}) as answer:
                return await self.watch(f"/ws/{(await answer.json())['listenKey']}")
        watched = Watched(await self.session.ws_connect(self.venue.urls.ws_api))
        params = {"apiKey": KEY, "timestamp": time.time_ns() // 1_000_000}
        params["signature"] = signed("&".join(f"{name}={params[name]}" for name in sorted(params)), SECRET)
        await watched.socket.send_str(text({"id": "1", "method": "userDataStream.subscribe.signature", "params": params}))
        assert (await watched.next())["result"]["subscriptionId"] == 0
        return watched


class Watched:
    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.socket = socket

    async def next(self, seconds: float = 5.0) -> Any:
        """The next frame; raises `TimeoutError`, and `EOFError` where the venue closed."""
        got = await asyncio.wait_for(self.socket.receive(), seconds)
        if got.type is not aiohttp.WSMsgType.TEXT:
            raise EOFError
        told = json.loads(got.data)
        return told.get("event", told)

    async def until(self, event: str, seconds: float = 5.0) -> Any:
        async with asyncio.timeout(seconds):
            while True:
                told = await self.next(seconds)
                if told.get("e") == event:
                    return told


@pytest.fixture
def tape_of(tmp_path: Path) -> Callable[..., Tape]:
    def make(kind: str, **more: Any) -> Tape:
        path = tmp_path / f"{kind}.gz"
        path.write_bytes(gzip.compress("\n".join(lines(kind, **more)).encode()))
        return recorded(path)

    return make


@pytest.fixture
def on_venue(tape_of: Callable[..., Tape]) -> Callable[..., None]:
    """Runs a case against a venue of that kind; keywords are those of `Venue`."""

    def run(kind: str, case: Case, *, seconds: int = 600, **knobs: Any) -> None:
        async def runs() -> None:
            tape = tape_of(kind, seconds=seconds)
            async with Venue(tape, **knobs) as venue, aiohttp.ClientSession() as session:
                await asyncio.wait_for(case(Asked(venue, session)), 60)

        asyncio.run(runs())

    return run
