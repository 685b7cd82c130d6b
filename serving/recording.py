"""Recording without trading: every frame of the market feed, and a snapshot of each book whenever the feed (re)connects.

exchange.feed -> Recorder;  connected -> exchange.snapshot -> Recorder
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from pathlib import Path

from serving.exchange import Exchange, ExchangeError
from serving.recorder import Recorder

log = logging.getLogger(__name__)
TRIES = 5


class Recording:
    """`open`, `run` until cancelled, `close`. A full disk raises `OSError` from `run`."""

    def __init__(self, exchange: Exchange, folder: Path, *, rotate_mb: float, clock: Callable[[], int]) -> None:
        self.exchange, self.folder, self.rotate_mb, self.clock = exchange, folder, rotate_mb, clock
        self.recorder: Recorder | None = None
        self.symbols: tuple[str, ...] = ()
        self.n_frames = self.n_bytes = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def open(self, symbols: Sequence[str]) -> tuple[str, ...]:
        """What is recorded: of what the venue lists. Raises `ExchangeError`."""
        listed = await self.exchange.open()
        if unknown := [symbol for symbol in symbols if symbol not in listed]:
            raise ExchangeError(f"{self.exchange.venue} does not list {', '.join(unknown)}")
        self.symbols = tuple(symbols) or tuple(listed)
        self.recorder = Recorder(self.folder, rotate_mb=self.rotate_mb)
        return self.symbols

    async def run(self) -> None:
        feed = asyncio.ensure_future(self.exchange.feed(self.symbols, self.frames, self._linked))
        try:
            await asyncio.wait({feed, self._failed}, return_when=asyncio.FIRST_COMPLETED)
            if self._failed.done():
                self._failed.result()
            await feed
        finally:
            feed.cancel()

    def frames(self, payloads: Sequence[bytes], ts_recv: int) -> None:
        assert self.recorder is not None
        try:
            self.recorder.write(payloads, ts_recv)
        except OSError as error:
            if not self._failed.done():
                self._failed.set_exception(error)
            return
        self.n_frames += len(payloads)
        self.n_bytes += sum(map(len, payloads))

    def _linked(self, up: bool, why: str) -> None:
        if not up:
            log.warning("the feed of %s is away: %s", self.exchange.venue, why)
            return
        for symbol in self.symbols:
            task = asyncio.get_running_loop().create_task(self._snapshot(symbol), name=f"snapshot {symbol}")
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _snapshot(self, symbol: str) -> None:
        for attempt in range(TRIES):
            try:
                whole = await self.exchange.snapshot(symbol)
            except ExchangeError as error:
                log.warning("no snapshot of %s: %s", symbol, error)
                await asyncio.sleep(2.0**attempt)
                continue
            self.frames((whole.text,), whole.ts_recv)
            return

    async def close(self) -> None:
        for task in list(self._tasks):
            task.cancel()
        if self.recorder is not None:
            self.recorder.close()
        await self.exchange.close()
