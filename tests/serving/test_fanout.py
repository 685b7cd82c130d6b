"""Many clients of one stream: everybody hears everything, and who is slow loses the oldest and is told how many."""

import asyncio
import contextlib
import json
import socket
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from picows import WSFrame, WSListener, WSMsgType, WSTransport, ws_connect

from serving.fanout import FanOut, line_of
from serving.fanout_clients import ALL, Board, Waiting, same_origin, wish_of

server = pytest.mark.server


@given(st.lists(st.one_of(st.binary(min_size=1, max_size=3), st.none()), max_size=200), st.integers(1, 8))
@settings(deadline=None, max_examples=100)
def test_what_waits_is_the_newest_in_order_and_what_went_is_counted(steps: list[bytes | None], limit: int) -> None:
    waiting, sent, got, lost = Waiting(limit), [], [], 0
    for step in [*steps, *[None] * (limit + 1)]:
        if step is not None:
            sent.append(step)
            waiting.put(step)
        elif (line := waiting.take()) is not None:
            if line.startswith(b'{"type":"dropped"'):
                lost += json.loads(line)["count"]
            else:
                got.append(line)
    assert len(waiting) == 0
    assert len(got) + lost == len(sent)
    rest = iter(sent)
    assert all(line in rest for line in got)  # a subsequence


def test_a_client_hears_the_kinds_and_symbols_it_asked_for() -> None:
    wish = wish_of("types=signal,fill&symbols=BTCUSDT")
    assert [wish.wants(*one) for one in (("signal", "BTCUSDT"), ("fill", "ETHUSDT"), ("order", "BTCUSDT"), ("signal", ""))] == [
        True, False, False, True,
    ]  # fmt: skip
    board = Board()
    for n in range(3):
        board.put("signal", "BTCUSDT", b"%d" % n)
    board.put("position", "BTCUSDT", b"p")
    assert list(board.wanted(wish)) == [b"2"] and list(board.wanted(ALL)) == [b"2", b"p"]


@pytest.mark.parametrize(
    ("origin", "allowed"),
    [(None, True), ("http://127.0.0.1:8080", True), ("http://127.0.0.1:9", False), ("https://elsewhere.example", False), ("null", False)],
)
def test_pages_of_other_sites_may_not_read(origin: str | None, allowed: bool) -> None:
    assert same_origin(origin, "127.0.0.1:8080") is allowed


class Client(WSListener):
    def __init__(self) -> None:
        super().__init__()
        self.told: list[dict[str, Any]] = []

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type == WSMsgType.TEXT:
            self.told.append(json.loads(frame.get_payload_as_bytes()))


async def until(done: Any, seconds: float = 20.0) -> None:
    async with asyncio.timeout(seconds):
        while not done():  # noqa: ASYNC110
            await asyncio.sleep(0.02)


def told(n: int, size: int = 0) -> bytes:
    return line_of("signal", "BTCUSDT", True, json.dumps({"type": "signal", "n": n, "filling": "x" * size}).encode())


@server
def test_everybody_hears_everything_and_a_late_one_the_newest(tmp_path: Path) -> None:
    async def run() -> None:
        fanout = FanOut(tmp_path / "fanout.log")
        await fanout.start()
        try:
            clients = [(await ws_connect(Client, fanout.url, use_aiofastnet=False))[1] for _ in range(50)]
            for n in range(100):
                fanout.put(told(n))
            await until(lambda: all(len(client.told) == 100 for client in clients))
            assert all([one["n"] for one in client.told] == list(range(100)) for client in clients)
            _, late = await ws_connect(Client, fanout.url, use_aiofastnet=False)
            await until(lambda: late.told)
            assert [one["n"] for one in late.told] == [99]
        finally:
            fanout.close()

    asyncio.run(run())


@server
def test_a_slow_client_is_told_what_it_missed_and_keeps_nobody_waiting(tmp_path: Path) -> None:
    n_lines, size = 2_000, 10_000

    async def run() -> None:
        fanout = FanOut(tmp_path / "fanout.log", queue=20)
        await fanout.start()
        slow = socket.create_connection((fanout.host, fanout.port))
        upgrade = f"GET /stream HTTP/1.1\r\nHost: {fanout.host}:{fanout.port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        slow.sendall(f"{upgrade}Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n".encode())
        slow.setblocking(False)
        try:
            _, quick = await ws_connect(Client, fanout.url, use_aiofastnet=False)
            for n in range(n_lines):
                fanout.put(told(n, size))
                if n % 10 == 0:
                    await until(lambda n=n: quick.told and quick.told[-1]["n"] >= n - 1)
            await until(lambda: len(quick.told) == n_lines)
            text = bytearray()

            def read() -> bool:
                with contextlib.suppress(BlockingIOError):
                    while chunk := slow.recv(1 << 20):
                        text.extend(chunk)
                return b'"n": %d,' % (n_lines - 1) in text

            await until(read)
        finally:
            slow.close()
            fanout.close()
        missed = sum(int(part.split(b"}")[0]) for part in text.split(b'{"type":"dropped","count":')[1:])
        assert missed > 0 and missed + text.count(b'"type": "signal"') == n_lines

    asyncio.run(run())


@server
def test_it_ends_with_the_worker_and_pages_of_other_sites_are_turned_away(tmp_path: Path) -> None:
    async def run() -> None:
        fanout = FanOut(tmp_path / "fanout.log")
        await fanout.start()
        process = fanout.process
        assert process is not None
        with pytest.raises(Exception, match="403"):
            await ws_connect(Client, fanout.url, extra_headers=[("Origin", "https://elsewhere.example")], use_aiofastnet=False)
        fanout.close()
        assert process.poll() == 0

    asyncio.run(run())
