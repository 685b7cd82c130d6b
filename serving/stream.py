"""The worker's own address: what it does on /stream, what may be asked of it, how it is, and its metrics. A Sanic app in the worker's loop.

    WS   /stream                     signals, orders, fills, positions, equity, mode, incidents (?types=signal,fill&symbols=BTCUSDT)
    GET  /api/v1/trading/signals     the newest ones (?symbol=BTCUSDT&limit=60)
    POST /api/v1/trading/execute     an order by hand, cancel, flatten, kill, pause, resume; headers X-API-Key and Idempotency-Key
    GET  /healthz                    503 as soon as a task is dead or the feed mute
    GET  /metrics                    for Prometheus

A few clients are served here; more are sent on to the fan-out process, whose address `/` tells.
"""

import asyncio
import hmac
import logging
import socket
import time
from collections import deque
from collections.abc import Callable
from typing import Any

import msgspec
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from sanic import Request, Sanic, Websocket
from sanic.response import HTTPResponse, empty, raw

from core.events import Decision, Input, Signal
from serving.control import Control, OtherRequest
from serving.execute import BadRequest, asked_of, status_of
from serving.fanout import FanOut, FanOutError, line_of
from serving.fanout_clients import Board, Waiting, Wish, same_origin, wish_of
from serving.stream_words import Update, Words
from serving.worker import Worker

log = logging.getLogger(__name__)
JSON = "application/json"
SIGNALS = 600  # kept of each symbol
NEAR = 16  # clients that are served in this process
TOLD_S = 1.0  # equity and positions
MOST_BODY = 10_000


class Near:
    """A client of this process."""

    def __init__(self, wish: Wish, limit: int) -> None:
        self.wish, self.waiting, self.more = wish, Waiting(limit), asyncio.Event()

    def put(self, line: bytes) -> None:
        self.waiting.put(line)
        self.more.set()


class Stream:
    """Around a worker: hears what it publishes, and serves it. `api_key` guards what changes anything."""

    def __init__(self, worker: Worker, control: Control, about: dict[str, Any], *, api_key: str, queue: int, fanout: FanOut | None) -> None:
        self.worker, self.control, self.about, self.api_key, self.queue, self.fanout = worker, control, about, api_key, queue, fanout
        self.words = Words(worker.state)
        self.board = Board()
        self.near: dict[Near, None] = {}
        self.signals: dict[str, deque[Signal]] = {symbol: deque(maxlen=SIGNALS) for symbol in worker.symbols}
        self.heard: Callable[[str, bytes], None] = lambda kind, text: None  # of each update, beside the clients
        self.url = ""
        self.tasks: list[asyncio.Task[None]] = []
        self._server: Any = None
        worker.published = self.published

    async def start(self, host: str, port: int) -> None:
        """Listen. Raises `OSError` where the port is taken, `FanOutError`."""
        if self.fanout is not None:
            await self.fanout.start()
        one = socket.socket()
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            one.bind((host, port))
        except OSError as error:
            one.close()
            raise OSError(
                error.errno, f"port {port} of {host} cannot be had ({error.strerror}): SCALP_STREAM__PORT=0 takes a free one"
            ) from error
        self.url = f"http://{host}:{one.getsockname()[1]}"
        self._server = await self._app().create_server(sock=one, return_asyncio_server=True, access_log=False)
        await self._server.startup()
        await self._server.start_serving()
        self._send(self.words.mode(self.worker.clock()))
        self.tasks = [asyncio.create_task(self._tell(), name="stream equity"), asyncio.create_task(self.control.run(), name="commands")]
        if self.fanout is not None:
            self.tasks.append(asyncio.create_task(self._keep_fanout(self.fanout), name="fan-out"))

    async def stop(self) -> None:
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        for one in list(self.near):
            one.more.set()
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()
        if self.fanout is not None:
            self.fanout.close()

    # What the worker does

    def published(self, said: Input | Decision) -> None:
        if isinstance(said, Signal):
            self.signals[said.symbol].append(said)
        for update in self.words.told(said):
            self._send(update)

    def _send(self, update: Update) -> None:
        """Once to everybody; nobody is waited for."""
        self.heard(update.kind, update.text)
        if update.kept:
            self.board.put(update.kind, update.symbol, update.text)
        for one in self.near:
            if one.wish.wants(update.kind, update.symbol):
                one.put(update.text)
        if self.fanout is not None:
            self.fanout.put(line_of(update.kind, update.symbol, update.kept, update.text))

    async def _tell(self) -> None:
        """Equity, and the positions that are held, once a second."""
        while True:
            await asyncio.sleep(TOLD_S)
            ts = self.worker.clock()
            self._send(self.words.equity(ts))
            for symbol in self.worker.symbols:
                if self.worker.state.position(symbol).size:
                    self._send(self.words.position(symbol, ts))

    async def _keep_fanout(self, fanout: FanOut) -> None:
        """Start the process again where it ended: clients connect anew."""
        wait = 1.0
        while True:
            await asyncio.sleep(wait)
            if fanout.alive:
                wait = 1.0
                continue
            log.warning("the fan-out process ended; it is started again")
            try:
                await fanout.start()
            except FanOutError as error:
                log.warning("%s", error)
                wait = min(2 * wait, 60.0)
                continue
            for (kind, symbol), text in list(self.board.lines.items()):
                fanout.put(line_of(kind, symbol, True, text))

    # What clients ask

    def _app(self) -> Sanic[Any, Any]:
        app = Sanic(f"scalp-stream-{time.monotonic_ns()}", configure_logging=False)
        app.config.update(
            {"ACCESS_LOG": False, "MOTD": False, "TOUCHUP": False, "REQUEST_MAX_SIZE": MOST_BODY, "WEBSOCKET_MAX_SIZE": 65_536}
        )
        app.add_route(self._index, "/", methods=["GET"])
        app.add_route(self._health, "/healthz", methods=["GET"])
        app.add_route(self._metrics, "/metrics", methods=["GET"])
        app.add_route(self._signals, "/api/v1/trading/signals", methods=["GET"])
        app.add_route(self._execute, "/api/v1/trading/execute", methods=["POST"])
        app.add_websocket_route(self._stream, "/stream")
        app.on_request(self._only_near)
        return app

    async def _only_near(self, request: Request) -> HTTPResponse | None:
        """Who may open /stream here."""
        if request.path != "/stream":
            return None
        if not same_origin(request.headers.get("origin"), request.headers.get("host")):
            return answer({"error": "pages of other sites may not read this"}, 403)
        if len(self.near) < NEAR:
            return None
        if self.fanout is not None and self.fanout.alive:
            query = f"?{request.query_string}" if request.query_string else ""
            return empty(status=307, headers={"location": f"{self.fanout.url}{query}"})
        return answer({"error": f"{NEAR} clients are served already"}, 503)

    async def _stream(self, request: Request, ws: Websocket) -> None:
        one = Near(wish_of(request.query_string), self.queue)
        for line in self.board.wanted(one.wish):
            one.put(line)
        self.near[one] = None
        reading = asyncio.create_task(drained(ws))
        try:
            while not reading.done() and not self.closing:
                while (line := one.waiting.take()) is not None:
                    await ws.send(line.decode())
                one.more.clear()
                waits = asyncio.create_task(one.more.wait())
                await asyncio.wait({reading, waits}, return_when=asyncio.FIRST_COMPLETED)
                waits.cancel()
        finally:
            del self.near[one]
            reading.cancel()

    @property
    def closing(self) -> bool:
        return bool(self.tasks) and self.tasks[0].done()

    async def _index(self, request: Request) -> HTTPResponse:
        stream = {"stream": f"{self.url.replace('http', 'ws', 1)}/stream", "fan_out": self.fanout.url if self.fanout is not None else None}
        return answer(self.about | stream)

    async def _health(self, request: Request) -> HTTPResponse:
        told = self.worker.health()
        dead = {task.get_name(): ended(task) for task in self.tasks if task.done()}
        told["tasks"] |= {task.get_name(): not task.done() for task in self.tasks}
        told["failed"] = told["failed"] | dead
        told["healthy"] = told["healthy"] and not dead
        told["clients_near"] = len(self.near)
        told["fan_out"] = None if self.fanout is None else self.fanout.alive
        return answer(self.about | told, 200 if told["healthy"] else 503)

    async def _metrics(self, request: Request) -> HTTPResponse:
        return raw(generate_latest(), content_type=CONTENT_TYPE_LATEST)

    async def _signals(self, request: Request) -> HTTPResponse:
        try:
            limit = int(request.args.get("limit", "1"))
        except ValueError:
            return answer({"error": "limit is a whole number"}, 400)
        symbol = request.args.get("symbol", "")
        if symbol and symbol not in self.signals:
            return answer({"error": f"{symbol} is not traded here", "symbols": list(self.signals)}, 404)
        found = {s: list(kept)[-max(1, limit) :] for s, kept in self.signals.items() if not symbol or s == symbol}
        told = {s: [msgspec.json.decode(self.words.told(one)[0].text) for one in kept] for s, kept in found.items()}
        return answer({"mode": self.worker.state.mode.value, "signals": told})

    async def _execute(self, request: Request) -> HTTPResponse:
        given = request.headers.get("x-api-key", "")
        if not hmac.compare_digest(given.encode(), self.api_key.encode()):
            return answer({"error": "a valid X-API-Key is needed"}, 401)
        key = request.headers.get("idempotency-key", "")
        try:
            kind, asked, reason = asked_of(request.body, key, self.worker.plan.listings)
            told, again = await self.control.ask(f"rest-{key}", kind, f"rest {request.ip}", reason, asked)
        except BadRequest as error:
            return answer({"error": str(error)}, 400)
        except OtherRequest as error:
            return answer({"error": str(error)}, 422)
        return answer({"key": key, "action": kind.value, **told}, status_of(told), {"idempotent-replayed": "true"} if again else {})


async def drained(ws: Websocket) -> None:
    """Until the client goes: what it says is not listened to."""
    async for _ in ws:
        pass


def ended(task: asyncio.Task[None]) -> str:
    error = None if task.cancelled() else task.exception()
    return repr(error) if error is not None else "ended"


def answer(told: Any, status: int = 200, headers: dict[str, str] | None = None) -> HTTPResponse:
    return raw(msgspec.json.encode(told), status=status, headers=headers or {}, content_type=JSON)
