"""The venue's sockets: market streams, user data by listen key, and the WebSocket API with its subscriptions.

/ws/<stream>, /stream?streams=<stream>/<stream>     market frames, bare or in {"stream": ..., "data": ...}; SUBSCRIBE, UNSUBSCRIBE
/ws/<listen key>, /private/ws?listenKey=<key>       user data of USD-M (and spot's older way)
/ws-api/v3, /ws-fapi/v1                             requests, and user data after userDataStream.subscribe.signature
"""

import asyncio
import logging
from collections.abc import Iterable
from typing import Any
from urllib.parse import parse_qs, urlsplit

import msgspec
from picows import WSCloseCode, WSFrame, WSListener, WSMsgType, WSTransport, WSUpgradeRequest

from serving import venue_rest
from serving.venue_desk import Desk
from serving.venue_words import Unserved

log = logging.getLogger(__name__)
SPEEDS = ("@0ms", "@100ms", "@250ms", "@500ms", "@1s", "@1000ms", "@3s")
encode = msgspec.json.encode


def plain(name: str) -> str:
    """A stream's name without its speed: frames are served as they were recorded."""
    for speed in SPEEDS:
        if name.endswith(speed) and "@kline" not in name:
            return name[: -len(speed)]
    return name


class Socket(WSListener):
    """One client's connection."""

    def __init__(self, streams: "Streams", combined: bool, names: Iterable[str], account: bool, api: bool) -> None:
        self.streams, self.combined, self.account, self.api = streams, combined, account, api
        self.names: dict[str, bytes] = {}
        self.subscriptions: list[int] = []
        self.transport: WSTransport | None = None
        self.full = False  # its buffer is
        self.first = list(names)
        self.begun: list[bytes] = []
        self.tasks: set[asyncio.Task[None]] = set()

    def on_ws_connected(self, transport: WSTransport) -> None:
        self.transport = transport
        self.streams.join(self, self.first)

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        self.streams.leave(self)

    def pause_writing(self) -> None:
        self.full = True

    def resume_writing(self) -> None:
        self.full = False

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        kind = frame.msg_type
        if kind == WSMsgType.CLOSE:
            transport.send_close(frame.get_close_code(), frame.get_close_message())
            transport.disconnect()
        elif kind in (WSMsgType.TEXT, WSMsgType.BINARY, WSMsgType.CONTINUATION):
            self.begun.append(frame.get_payload_as_bytes())
            if frame.fin:
                text = b"".join(self.begun)
                self.begun.clear()
                self.asked(text)

    def asked(self, text: bytes) -> None:
        try:
            request = msgspec.json.decode(text, type=dict[str, Any])
        except msgspec.DecodeError as error:
            self.send(encode({"error": {"code": 3, "msg": f"Invalid JSON: {error}"}}))
            return
        if self.api:
            task = asyncio.ensure_future(self.streams.request(self, request))
            self.tasks.add(task)
            task.add_done_callback(self.tasks.discard)
            return
        names = [str(name) for name in request.get("params") or []]
        told: Any = None
        match request.get("method"):
            case "SUBSCRIBE":
                self.streams.join(self, names)
            case "UNSUBSCRIBE":
                self.streams.drop(self, names)
            case "LIST_SUBSCRIPTIONS":
                told = [name.decode() for name in self.names.values()]
            case other:
                self.send(encode({"error": {"code": 2, "msg": f"Invalid request: unknown method {other}"}, "id": request.get("id")}))
                return
        self.send(encode({"result": told, "id": request.get("id")}))

    def send(self, payload: bytes) -> None:
        if self.transport is not None and not self.transport.is_disconnected:
            self.transport.send(WSMsgType.TEXT, payload)


class Streams:
    """All sockets of a venue, and who wants what."""

    def __init__(self, desk: Desk, age_s: float) -> None:
        self.desk, self.age_s = desk, age_s
        self.sockets: set[Socket] = set()
        self.wanted: dict[str, set[Socket]] = {}
        self.held: dict[str, list[tuple[str, bytes]]] = {}  # frames that a fault holds back until the next one
        self.n_sent = 0
        self.n_subscriptions = 0

    def open(self, request: WSUpgradeRequest) -> Socket | None:
        """The listener of a new connection; None: 404."""
        parts = urlsplit(request.path.decode())
        steps = [step for step in parts.path.split("/") if step]
        if steps and steps[0] in ("ws-api", "ws-fapi"):
            return Socket(self, False, (), False, True)
        if steps[:2] == ["stream", "ws"] or steps[:1] in (["public"], ["market"], ["private"]):
            steps = steps[1:]
        if not steps or steps[0] not in ("ws", "stream"):
            return None
        asked = parse_qs(parts.query)
        names = [*steps[1:], *"/".join(asked.get("streams", [])).split("/"), *asked.get("listenKey", [])]
        return Socket(self, steps[0] == "stream", [name for name in names if name], False, False)

    def join(self, socket: Socket, names: Iterable[str]) -> None:
        if socket not in self.sockets:
            self.sockets.add(socket)
            asyncio.get_running_loop().call_later(self.age_s, self.expire, socket)
        for name in names:
            if self.desk.listen_keys.get(name, 0) > self.desk.wall() / 1e6:
                socket.account = True
            elif "@" in name or name.startswith("!"):
                socket.names[plain(name)] = name.encode()
                self.wanted.setdefault(plain(name), set()).add(socket)

    def drop(self, socket: Socket, names: Iterable[str]) -> None:
        for name in map(plain, names):
            socket.names.pop(name, None)
            self.wanted.get(name, set()).discard(socket)

    def leave(self, socket: Socket) -> None:
        self.drop(socket, list(socket.names))
        self.sockets.discard(socket)

    @property
    def crowded(self) -> bool:
        """Whether a client's buffer is full."""
        return any(socket.full for socket in self.sockets)

    def tell(self, stream: str, data: bytes) -> None:
        """A market frame, by its plain name, to those who want it."""
        if stream in self.wanted:
            self._through("market", stream, data)

    def tell_account(self, event: dict[str, Any]) -> None:
        self._through("account", str(event["e"]), encode(event))

    def _through(self, where: str, stream: str, data: bytes) -> None:
        """With what goes wrong on purpose, and the feed's latency."""
        loop = asyncio.get_running_loop()
        fault = self.desk.faults.of_stream(where, stream, loop.time())
        wait, times = self.desk.latency.feed / 1e3, 1
        if fault:
            if fault.kind in ("gap", "mute"):
                return
            if fault.kind == "reorder":
                self.held.setdefault(where + stream, []).append((stream, data))
                return
            wait += fault.ms / 1e3 if fault.kind == "delay" else 0
            times += fault.kind == "duplicate"
        late = self.held.pop(where + stream, []) if self.held else []
        for name, payload in [(stream, data)] * times + late:
            send = self._send if where == "market" else self._send_account
            if wait:
                loop.call_later(wait, send, name, payload)
            else:
                send(name, payload)

    def _send(self, stream: str, data: bytes) -> None:
        for socket in self.wanted.get(stream, ()):
            self.n_sent += 1
            socket.send(b'{"stream":"%b","data":%b}' % (socket.names[stream], data) if socket.combined else data)

    def _send_account(self, stream: str, data: bytes) -> None:
        for socket in list(self.sockets):
            for number in socket.subscriptions:
                socket.send(b'{"subscriptionId":%d,"event":%b}' % (number, data))
            if socket.account:
                key = next((key for key in self.desk.listen_keys), "")
                socket.send(b'{"stream":"%b","data":%b}' % (key.encode(), data) if socket.combined else data)

    async def request(self, socket: Socket, request: dict[str, Any]) -> None:
        """Answers a request of the WebSocket API."""
        method, params = str(request.get("method", "")), request.get("params") or {}
        head = {"id": request.get("id")}
        if method.startswith("userDataStream."):
            reply: venue_rest.Reply | None = self._subscription(socket, method, params)
        else:
            reply = await venue_rest.api(self.desk, method, params)
        if reply is None:
            self.close(socket)
            return
        told = {"result": reply.body} if reply.status == 200 else {"error": reply.body}
        socket.send(encode(head | {"status": reply.status} | told | {"rateLimits": []}))

    def _subscription(self, socket: Socket, method: str, params: dict[str, Any]) -> venue_rest.Reply:
        try:
            match method:
                case "userDataStream.subscribe.signature":
                    venue_rest.proven(self.desk, params)
                    socket.subscriptions.append(self.n_subscriptions)
                    self.n_subscriptions += 1
                    return venue_rest.Reply(200, {"subscriptionId": socket.subscriptions[-1]})
                case "userDataStream.unsubscribe":
                    socket.subscriptions.clear()
                    return venue_rest.Reply(200, {})
                case _:
                    verb = {"userDataStream.start": "POST", "userDataStream.ping": "PUT", "userDataStream.stop": "DELETE"}.get(method)
                    if verb is None:
                        raise Unserved(-1000, f"The venue does not serve {method}.", 404)
                    name = f"{verb} {'userDataStream' if self.desk.spot else 'listenKey'}"
                    return venue_rest.Reply(200, venue_rest.ROUTES[name].handler(self.desk, params))
        except Unserved as error:
            return venue_rest.Reply(error.status, error.body)

    def expire(self, socket: Socket) -> None:
        """What the venue does to a connection of 24 hours."""
        if socket in self.sockets and socket.transport is not None:
            socket.transport.send_close(WSCloseCode.GOING_AWAY, b"connection too old")
            self.close(socket)

    def close(self, socket: Socket) -> None:
        if socket.transport is not None:
            socket.transport.disconnect(graceful=False)

    def of(self, where: str) -> list[Socket]:
        """The sockets with market streams, with user data, or all."""
        mine = {"market": lambda s: bool(s.names), "account": lambda s: s.account or bool(s.subscriptions)}.get(where, lambda s: True)
        return [socket for socket in self.sockets if mine(socket)]

    def lose_listen_keys(self) -> None:
        for key in list(self.desk.listen_keys):
            self.tell_account({"e": "listenKeyExpired", "E": self.desk.now_ms, "listenKey": key})
            del self.desk.listen_keys[key]
        for socket in self.sockets:
            socket.account = False
