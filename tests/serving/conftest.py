"""A live session in one event loop: the venue replaying a recording, a worker that trades on it, its stream, and a client."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest

from core.ledger import url_of
from kernels.fusion import Weights
from kernels.rule_signals import Rule
from serving.binance import Binance
from serving.binance_open import Urls
from serving.control import Control
from serving.fanout import FanOut
from serving.launch import Launched, Wanted, launch
from serving.stream import Stream
from serving.venue import Venue
from serving.venue_keys import KEY, SECRET
from serving.venue_tape import recorded
from serving.worker import Rules

from .venues import on_venue, tape_of

QUICK = Rule(sma_fast=3, sma_slow=8, ema_fast=3, ema_slow=6, ema_signal=3, rsi=5, volume_ratio=0.3, volume_window=5)
EAGER: dict[str, Any] = {"enter": 0.0, "leave": 0.0, "cooldown_s": 0.2, "hold_s": 3.0, "stop_bps": 3.0, "take_profit_bps": 1.0}
API_KEY = "let me in"


class Trading(NamedTuple):
    venue: Venue
    launched: Launched
    stream: Stream
    client: httpx.AsyncClient
    running: asyncio.Task[None]

    async def until(self, done: Callable[[], object], seconds: float = 40.0) -> None:
        """Wait for something to come true; fails where it does not, or where the worker ends before."""
        end = time.monotonic() + seconds
        while not done():
            assert time.monotonic() < end, f"not within {seconds} s; {self.launched.worker.health()}"
            assert not self.running.done(), self.launched.worker.failed
            await asyncio.sleep(0.05)

    async def quoted(self) -> tuple[float, float]:
        """The best bid and ask once the book is known."""
        state = self.launched.worker.state
        await self.until(lambda: state.quote("BTCUSDT").bid > 0 and state.accounted)
        quote = state.quote("BTCUSDT")
        return quote.bid / 10, quote.ask / 10

    async def execute(self, body: dict[str, Any], key: str, **headers: str) -> httpx.Response:
        sent = {"x-api-key": API_KEY, "idempotency-key": key} | headers
        return await self.client.post("/api/v1/trading/execute", json=body, headers=sent)


Session = Callable[..., AbstractAsyncContextManager[Trading]]


@pytest.fixture
def session(shared: Path, tmp_path: Path) -> Session:
    """`session(speed=..., trades=..., fanout=..., queue=...)`: without `trades` the strategy never wants anything. `more`: of `Wanted`."""

    @asynccontextmanager
    async def begun(
        *, speed: float = 4.0, trades: bool = False, fanout: bool = False, queue: int = 1_000, rules: Rules = Rules(), **more: Any
    ) -> AsyncIterator[Trading]:
        tape = recorded(shared / "data" / "hftbacktest" / "usdm" / "btcusdt_20240808.gz")
        params = EAGER if trades else {"enter": 2.0}
        async with Venue(tape, speed=speed) as venue:
            exchange = Binance("usdm", api_key=KEY, api_secret=SECRET, urls=Urls(*venue.urls), venue="local")
            given = {"ledger_url": url_of(tmp_path / "data"), "rule": QUICK, "fusion": Weights(threshold=0.0), "params": params}
            account = f"local/{venue.started}"
            wanted = Wanted(**{"data_dir": tmp_path / "data", "account": account, "rules": rules} | given | more)
            launched = await launch(wanted, exchange, time.time_ns, lambda text: None)
            control = Control(launched.worker, launched.ledger, wanted.account, time.time_ns, wanted.data_dir)
            many = FanOut(tmp_path / "fanout.log", queue=queue) if fanout else None
            stream = Stream(launched.worker, control, {"session": launched.session}, api_key=API_KEY, queue=queue, fanout=many)
            await stream.start("127.0.0.1", 0)
            running = asyncio.create_task(launched.worker.run())
            try:
                async with httpx.AsyncClient(base_url=stream.url, trust_env=False, timeout=20) as client:
                    yield Trading(venue, launched, stream, client, running)
            finally:
                await launched.close()
                await stream.stop()
                await running

    return begun


__all__ = ["on_venue", "session", "tape_of"]
