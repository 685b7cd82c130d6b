"""The process that serves /stream to many: lines from standard input, each to every client that wants it, until the input ends.

It prints `{"port": ...}` when it listens. `python -m serving.fanout_process --port 8081`
"""

import argparse
import asyncio
import json
import logging
import os
import socket
import sys
from urllib.parse import urlsplit

from picows import (
    WSFrame,
    WSListener,
    WSMsgType,
    WSTransport,
    WSUpgradeRequest,
    WSUpgradeResponse,
    WSUpgradeResponseWithListener,
    ws_create_server,
)

from serving.fanout_clients import Board, Waiting, Wish, same_origin, wish_of

log = logging.getLogger(__name__)
CHUNK = 1 << 18
BUFFER = 1 << 16  # bytes in a client's socket before its lines wait here
MOST_CLIENTS = 5_000
NICENESS = 5  # the engine goes first
IDLE_S = 30.0


class Client(WSListener):
    """One socket. While its buffer is full, lines wait, and the oldest go."""

    def __init__(self, hub: "Hub", wish: Wish, limit: int) -> None:
        super().__init__()
        self.hub, self.wish, self.waiting = hub, wish, Waiting(limit)
        self.transport: WSTransport | None = None
        self.full = False

    def on_ws_connected(self, transport: WSTransport) -> None:
        self.transport = transport
        transport.underlying_transport.set_write_buffer_limits(high=BUFFER)
        transport.underlying_transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2 * BUFFER)
        self.hub.clients[self] = None
        for line in self.hub.board.wanted(self.wish):
            self.send(line)

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        self.hub.clients.pop(self, None)
        self.waiting.lines.clear()

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type == WSMsgType.CLOSE:
            transport.send_close(frame.get_close_code(), frame.get_close_message())
            transport.disconnect()

    def pause_writing(self) -> None:
        self.full = True

    def resume_writing(self) -> None:
        self.full = False
        while not self.full and (line := self.waiting.take()) is not None:
            self._out(line)

    def send(self, line: bytes) -> None:
        if self.full:
            self.waiting.put(line)
        else:
            self._out(line)

    def _out(self, line: bytes) -> None:
        if self.transport is not None and not self.transport.is_disconnected:
            self.transport.send(WSMsgType.TEXT, line)


class Hub:
    """All clients; `limit`: lines that may wait for one."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.clients: dict[Client, None] = {}  # in the order they came
        self.board = Board()

    def accept(self, request: WSUpgradeRequest) -> Client | WSUpgradeResponseWithListener | None:
        url = urlsplit(request.path.decode())
        if url.path == "/healthz":
            body = json.dumps({"clients": len(self.clients)}).encode()
            return WSUpgradeResponseWithListener(WSUpgradeResponse.create_ok_response(body), None)
        if url.path != "/stream":
            return None
        if not same_origin(request.headers.get("Origin"), request.headers.get("Host")):
            return WSUpgradeResponseWithListener(
                WSUpgradeResponse.create_error_response(403, b"pages of other sites may not read this"), None
            )
        if len(self.clients) >= MOST_CLIENTS:
            return WSUpgradeResponseWithListener(WSUpgradeResponse.create_error_response(503, b"too many clients"), None)
        return Client(self, wish_of(url.query), self.limit)

    def told(self, line: bytes) -> None:
        """One line of the pipe."""
        kept, kind_text, symbol_text, text = line.split(b" ", 3)
        kind, symbol = kind_text.decode(), symbol_text.decode().removeprefix("-")
        if kept == b"1":
            self.board.put(kind, symbol, text)
        for client in list(self.clients):
            if kind == "dropped" or client.wish.wants(kind, symbol):
                client.send(text)


async def serve(host: str, port: int, limit: int) -> None:
    """Until standard input ends."""
    hub = Hub(limit)
    server = await ws_create_server(
        hub.accept, host, port, use_aiofastnet=False, enable_auto_ping=True, auto_ping_idle_timeout=IDLE_S, auto_ping_reply_timeout=IDLE_S,
        backlog=1_024, max_frame_size=65_536,
    )  # fmt: skip
    sys.stdout.write(json.dumps({"port": server.sockets[0].getsockname()[1]}) + "\n")
    sys.stdout.flush()
    loop, over, rest = asyncio.get_running_loop(), asyncio.Event(), bytearray()

    def read() -> None:
        chunk = os.read(0, CHUNK)
        if not chunk:
            loop.remove_reader(0)
            over.set()
            return
        rest.extend(chunk)
        *lines, last = rest.split(b"\n")
        rest[:] = last
        for line in lines:
            hub.told(bytes(line))

    loop.add_reader(0, read)
    await over.wait()
    for client in list(hub.clients):
        if client.transport is not None:
            client.transport.disconnect()
    server.close()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m serving.fanout_process", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--queue", type=int, default=1_000)
    given = parser.parse_args()
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(message)s")
    os.nice(NICENESS)
    asyncio.run(serve(given.host, given.port, given.queue))


if __name__ == "__main__":
    main()
