"""Binance's sockets: market frames by the read they came in, user data one by one, kept up and made anew.

combined streams -> Frames(payloads, ts_recv);   listen key or WebSocket API -> user data
"""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Sequence

from picows import WSFrame, WSListener, WSMsgType, WSTransport, ws_connect

from serving.exchange import Frames
from serving.reconnect import Backoff, Linked, keep

log = logging.getLogger(__name__)
SYMBOLS = 50  # of one connection: 200 streams
STREAMS = {
    "usdm": ("depth@0ms", "trade", "bookTicker", "markPrice@1s"),
    "spot": ("depth@100ms", "trade", "bookTicker"),
}
MOST = 256  # frames handed on together
OPEN = ord("{")
PING_S = 10.0


class Raw(WSListener):
    """Hands what one read brought to `told`, whole messages in order. Pings are answered by picows.

    `up` is called before the first of them. What fails in `told` ends the connection and is kept in `error`.
    """

    def __init__(self, told: Frames, up: Callable[[], None], clock: Callable[[], int]) -> None:
        self.told, self.up, self.clock = told, up, clock
        self.error: Exception | None = None
        self.transport: WSTransport | None = None
        self.n = 0  # messages so far
        self.waiting: list[bytes] = []
        self.begun: list[bytes] = []
        self.reason = "the venue closed the connection"

    def on_ws_connected(self, transport: WSTransport) -> None:
        self.transport = transport
        self._guarded(self.up)

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if self.error is not None:
            return
        payload = frame.get_payload_as_bytes()
        # To ask for the kind costs as much as all the rest; only a whole message begins like this.
        if payload and payload[0] == OPEN and frame.fin and not self.begun:
            self.waiting.append(payload)
        else:
            self._otherwise(transport, frame, payload)
        if frame.last_in_buffer or len(self.waiting) >= MOST:
            self.flush()

    def _otherwise(self, transport: WSTransport, frame: WSFrame, payload: bytes) -> None:
        kind = frame.msg_type
        if kind in (WSMsgType.TEXT, WSMsgType.BINARY, WSMsgType.CONTINUATION):
            self.begun.append(payload)
            if frame.fin:
                self.waiting.append(b"".join(self.begun))
                self.begun.clear()
        elif kind == WSMsgType.CLOSE:
            self.reason = f"the venue closed the connection ({frame.get_close_code()})"
            transport.send_close(frame.get_close_code(), frame.get_close_message())
            transport.disconnect()

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        self.flush()

    def flush(self) -> None:
        """Hand on what waits; picows would only log what fails there."""
        if not self.waiting or self.error is not None:
            return
        waiting, self.waiting = self.waiting, []
        self.n += len(waiting)
        self._guarded(lambda: self.told(waiting, self.clock()))

    def _guarded(self, work: Callable[[], None]) -> None:
        try:
            work()
        except Exception as error:
            self.error = error
            if self.transport is not None:
                self.transport.disconnect(graceful=False)


async def listen(
    url: str, told: Frames, up: Callable[[], None], clock: Callable[[], int], *, mute_s: float = 0.0,
    beside: Callable[[WSTransport], Awaitable[str]] | None = None,
) -> str:  # fmt: skip
    """One connection, until it ends: why. `mute_s`: one that brings nothing for so long is ended; 0: silence is nothing.

    `up` is called once it is there. `beside` runs while it is up (renewing, subscribing); the connection ends when it does, for the
    reason it returns. Raises `OSError` or picows' errors where there is no connection, and what `told` raises.
    """
    transport, listener = await ws_connect(
        lambda: Raw(told, up, clock), url, enable_auto_ping=True, auto_ping_idle_timeout=PING_S, auto_ping_reply_timeout=PING_S
    )
    assert isinstance(listener, Raw)
    tasks: list[asyncio.Task[str]] = [asyncio.create_task(ended(transport, listener), name="socket")]
    if mute_s:
        tasks.append(asyncio.create_task(muted(listener, mute_s), name="mute"))
    if beside:
        tasks.append(asyncio.create_task(on(beside(transport)), name="beside"))
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        return next(iter(done)).result()
    finally:
        for task in tasks:
            task.cancel()
        transport.disconnect(graceful=False)
        await asyncio.gather(*tasks, return_exceptions=True)


async def on(work: Awaitable[str]) -> str:
    return await work


async def ended(transport: WSTransport, listener: Raw) -> str:
    await transport.wait_disconnected()
    if listener.error is not None:
        raise listener.error
    return listener.reason


async def muted(listener: Raw, mute_s: float) -> str:
    before = -1
    while listener.n != before:
        before = listener.n
        await asyncio.sleep(mute_s)
    return f"the feed was mute for {mute_s:g} s"


def groups(kind: str, symbols: Sequence[str]) -> list[str]:
    """The `streams` of each connection."""
    return [
        "/".join(f"{symbol.lower()}@{stream}" for symbol in symbols[at : at + SYMBOLS] for stream in STREAMS[kind])
        for at in range(0, len(symbols), SYMBOLS)
    ]


async def market(
    urls: Sequence[str], told: Frames, linked: Linked, clock: Callable[[], int], *, mute_s: float, rng: random.Random
) -> None:  # fmt: skip
    """All connections of a feed: it is up when all are. Until cancelled."""
    down = set(urls)
    whole = False

    def changed(url: str, is_up: bool, reason: str) -> None:
        nonlocal whole
        (down.discard if is_up else down.add)(url)
        if not is_up and (whole or len(urls) == 1):
            whole = False
            linked(False, reason)
        elif not down:
            whole = True
            linked(True, "")

    async def one(url: str) -> None:
        def session(up: Callable[[], None]) -> Awaitable[str]:
            return listen(url, told, up, clock, mute_s=mute_s)

        await keep(session, lambda is_up, reason: changed(url, is_up, reason), Backoff(rng=rng))

    async with asyncio.TaskGroup() as group:
        for url in urls:
            group.create_task(one(url), name="feed")
