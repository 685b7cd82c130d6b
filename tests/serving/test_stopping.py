"""What is left when a worker stops, and who serves clients when there are many, or when the process that does has died."""

import asyncio
import os
import signal
from typing import Any

import httpx
import pytest
from picows import WSFrame, WSListener, WSMsgType, WSTransport, ws_connect

from serving.stream import NEAR
from serving.worker import Rules

from .conftest import Session

pytestmark = [pytest.mark.server, pytest.mark.recordings]
COUNTDOWN_S = 1.5


@pytest.mark.parametrize("kept", [True, False])
def test_orders_are_kept_or_cancelled_by_the_setting_when_the_worker_stops(session: Session, kept: bool) -> None:
    async def run() -> None:
        rules = Rules(keep_orders_on_stop=kept, dead_man_s=COUNTDOWN_S)
        async with session(rules=rules, journal=False) as trading:
            bid, _ = await trading.quoted()
            body = {"action": "order", "symbol": "BTCUSDT", "side": "buy", "size": "0.01", "price": f"{bid - 200:.1f}"}
            assert (await trading.execute(body, "order")).json()["outcome"] == "approved"
            standing = trading.venue.matching.open_orders
            await trading.until(lambda: len(standing()) == 1)
            await asyncio.sleep(COUNTDOWN_S)  # the dead man's switch is set at the venue by now
            await trading.launched.worker.stop()
            assert len(standing()) == kept
            await asyncio.sleep(2 * COUNTDOWN_S)
            assert len(standing()) == kept, "what is kept stays when nobody feeds the dead man's switch any more"

    asyncio.run(run())


class Client(WSListener):
    def __init__(self) -> None:
        super().__init__()
        self.texts: list[bytes] = []

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type == WSMsgType.TEXT:
            self.texts.append(frame.get_payload_as_bytes())


async def joined(url: str) -> tuple[WSTransport, Client]:
    """A client; one that comes while a process begins tries again."""
    for _ in range(200):
        try:
            transport, client = await ws_connect(Client, url, use_aiofastnet=False)
        except ConnectionError:
            await asyncio.sleep(0.05)
            continue
        assert isinstance(client, Client)
        return transport, client
    raise AssertionError(f"nobody listens at {url}")


@pytest.mark.parametrize("fanout", [True, False])
def test_one_client_too_many_is_sent_on_or_turned_away(session: Session, fanout: bool) -> None:
    async def run() -> None:
        async with session(fanout=fanout) as trading:
            url = trading.stream.url.replace("http", "ws", 1) + "/stream"
            near = [await joined(url) for _ in range(NEAR)]
            await trading.until(lambda: all(client.texts for _, client in near))
            upgrade = {"connection": "upgrade", "upgrade": "websocket", "sec-websocket-version": "13", "sec-websocket-key": "x" * 22 + "=="}
            answer = await trading.client.get("/stream?types=mode", headers=upgrade)
            if fanout:
                many = trading.stream.fanout
                assert many is not None
                assert (answer.status_code, answer.headers["location"]) == (307, f"{many.url}?types=mode")
                _, there = await joined(answer.headers["location"])
                await trading.until(lambda: there.texts)
                assert b'"type":"mode"' in there.texts[0]
            else:
                assert answer.status_code == 503 and str(NEAR) in answer.text
            near[0][0].disconnect()
            await trading.until(lambda: len(trading.stream.near) < NEAR)
            _, client = await joined(url)
            await trading.until(lambda: client.texts)

    asyncio.run(run())


def test_a_fan_out_process_that_died_is_told_of_and_started_again_where_it_was(session: Session) -> None:
    async def health(trading: Any) -> Any:
        try:
            return (await trading.client.get("/healthz")).json()["fan_out"]
        except httpx.HTTPError:
            return None

    async def run() -> None:
        async with session(fanout=True) as trading:
            many = trading.stream.fanout
            assert many is not None and many.process is not None
            url, was = many.url, many.process.pid
            _, first = await joined(url)
            await trading.until(lambda: first.texts)
            os.kill(was, signal.SIGKILL)
            await trading.until(lambda: not many.alive, 5)
            assert await health(trading) is False
            await trading.until(lambda: many.alive and many.process is not None and many.process.pid != was and many.url == url)
            _, again = await joined(url)
            await trading.until(lambda: again.texts)
            assert trading.launched.worker.healthy and await health(trading) is True

    asyncio.run(run())
