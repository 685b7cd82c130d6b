"""An exchange to trade against that is ours: Binance's protocol over REST and WebSocket, the market of a recording, orders matched here.

    Tape -> Replay (at its pace) -> Matching, Markets -> Streams          REST, WebSocket API -> Desk -> Matching -> user data

`Venue` starts in any running event loop; `python -m serving.venue` and `scalp venue` are processes of one.
"""

import asyncio
import socket
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import msgspec
from picows import ws_create_server
from sanic import Request, Sanic
from sanic.response import HTTPResponse, raw

from core.orders import Listing
from kernels.matching import Matching, Queue
from kernels.matching_words import Refusal
from serving import venue_orders, venue_rest
from serving.venue_desk import Desk, Latency, Params
from serving.venue_faults import Fault
from serving.venue_keys import KEY, LIMITS, SECRET, Weights
from serving.venue_market import Markets
from serving.venue_replay import Pace, Replay
from serving.venue_streams import Streams, encode
from serving.venue_tape import Tape
from serving.venue_warm import warm
from serving.venue_words import MS, Scale, Unserved

DAY_S = 86_400.0
JSON = "application/json;charset=UTF-8"


class VenueError(RuntimeError):
    """The venue cannot start; the message says what to do."""


class Urls(NamedTuple):
    """`ws` is what `/ws` and `/stream` are added to."""

    rest: str
    ws: str
    ws_api: str


class Venue:
    """One venue, one account. `start` raises `VenueError` where a port is taken.

    `port`, `ws_port`: of REST and of the sockets, 0 for free ones. `quote_balance`, `base_balance`: whole currency, the latter of each base
    asset on spot. `keys`: secret by API key. `age_s`: how old a connection may grow. `clock`: ours, ns.
    """

    def __init__(
        self,
        tape: Tape,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        ws_port: int = 0,
        pace: Pace | None = None,
        speed: float = 1.0,
        latency: Latency | None = None,
        queue: Queue = "pessimistic",
        quote_balance: float = 100_000.0,
        base_balance: float = 0.0,
        keys: Mapping[str, str] | None = None,
        age_s: float = DAY_S,
        listings: Mapping[str, Listing] | None = None,
        clock: Callable[[], int] = time.time_ns,
    ) -> None:
        self.tape, self.host, self.port, self.ws_port = tape, host, port, ws_port
        self.started = clock() // 10**9  # an account here lives as long as this venue does
        pace = pace or Pace(speed)
        listed = dict(listings or tape.listings)
        bases = {of.instrument.base: f"{base_balance:.8f}" for of in listed.values()} if tape.kind == "spot" else None
        self.matching = Matching(
            listed, kind=tape.kind, quote_balance=f"{quote_balance:.8f}", base_balances=bases, queue=queue,
            first_id=clock() // MS,  # a venue that is started again must not use an id twice
        )  # fmt: skip
        self.scales = {symbol: Scale(of, tape.digits[symbol], self.matching.decimals) for symbol, of in listed.items()}
        self.desk = Desk(
            kind=tape.kind, scales=self.scales, matching=self.matching, markets=Markets(self.scales), weights=Weights(LIMITS[tape.kind]),
            keys=keys or {KEY: SECRET}, clock=self._now, wall=clock, latency=latency or Latency(),
            told=self._flush, own_clock=pace.times != "scaled",
        )  # fmt: skip
        self.streams = Streams(self.desk, age_s)
        self.replay = Replay(tape, pace, self.desk, self.streams, clock)
        self._tasks: list[asyncio.Task[None]] = []
        self._servers: list[Any] = []

    def _now(self) -> int:
        return self.replay.now()

    def _flush(self) -> None:
        self.replay.flush()

    @property
    def urls(self) -> Urls:
        ws = f"ws://{self.host}:{self.ws_port}"
        return Urls(f"http://{self.host}:{self.port}", ws, f"{ws}/{'ws-api/v3' if self.desk.spot else 'ws-fapi/v1'}")

    async def start(self) -> "Venue":
        sockets = bound(self.host, self.port, self.ws_port)
        warm(self.tape)  # before anybody is answered: who trades here waits two seconds for an answer
        self.port, self.ws_port = (one.getsockname()[1] for one in sockets)
        app = self._app(f"venue-{self.port}-{time.monotonic_ns()}")
        server: Any = await app.create_server(sock=sockets[0], return_asyncio_server=True, access_log=False)
        await server.startup()
        await server.start_serving()
        self._servers = [server, await ws_create_server(self.streams.open, sock=sockets[1], use_aiofastnet=False)]
        self.replay.begin_run(first=True)
        runs = self.replay.run(), self.replay.beat()
        self._tasks = [asyncio.create_task(run, name=f"venue {name}") for run, name in zip(runs, ("tape", "clock"), strict=True)]
        return self

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for one in self.streams.of(""):
            self.streams.close(one)
        for server in self._servers:
            server.close()
            await server.wait_closed()
        self._tasks, self._servers = [], []

    async def wait(self) -> None:
        """For ever, or until one of its tasks fails: that is raised."""
        await asyncio.gather(*self._tasks)

    async def __aenter__(self) -> "Venue":
        return await self.start()

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    def _app(self, name: str) -> Sanic[Any, Any]:
        app = Sanic(name, configure_logging=False)
        app.config.update({"ACCESS_LOG": False, "MOTD": False, "TOUCHUP": False, "KEEP_ALIVE_TIMEOUT": 120, "REQUEST_MAX_SIZE": 1_000_000})
        app.add_route(self._faults, "/faults", methods=["GET", "POST", "DELETE"])
        app.add_route(self._state, "/venue", methods=["GET"])
        app.add_route(self._answer, "/<path:path>", methods=["GET", "POST", "PUT", "DELETE"])
        return app

    async def _answer(self, request: Request, path: str = "") -> HTTPResponse:
        key = request.headers.get("x-mbx-apikey")
        reply = await venue_rest.answer(self.desk, request.method, f"/{path}", request.query_string, request.body.decode(), key)
        if reply is None:  # never answered: the connection ends without a word
            if request.transport is not None:
                request.transport.abort()  # pyright: ignore[reportAttributeAccessIssue]
            return raw(b"", status=204)
        return raw(encode(reply.body), status=reply.status, headers=dict(reply.headers), content_type=JSON)

    async def _state(self, request: Request) -> HTTPResponse:
        return raw(encode(self.state()), content_type=JSON)

    def state(self) -> dict[str, Any]:
        """Where everything is, and how far the tape has come."""
        replay = self.replay
        return {
            "kind": self.desk.kind, "started": self.started, "source": self.tape.source, "symbols": list(self.scales),
            "urls": self.urls._asdict(), "frames": replay.n_frames, "refused": replay.n_refused, "ended": replay.ended,
            "clients": len(self.streams.sockets), "sent": self.streams.n_sent, "open_orders": len(self.matching.open_orders()),
        }  # fmt: skip

    async def _faults(self, request: Request) -> HTTPResponse:
        faults = self.desk.faults
        try:
            if request.method == "POST":
                several = request.body.lstrip().startswith(b"[")
                told = msgspec.json.decode(request.body, type=list[Fault]) if several else [msgspec.json.decode(request.body, type=Fault)]
                for fault in told:
                    self.fault(fault)
            elif request.method == "DELETE":
                self.mend()
        except (ValueError, Unserved) as error:
            return raw(encode({"error": str(error)}), status=400, content_type=JSON)
        return raw(encode({"waiting": faults.waiting, "taken": faults.taken}), content_type=JSON)

    def mend(self) -> None:
        """Nothing goes wrong any more."""
        self.desk.faults.clear()
        self.replay.times.skew, self.desk.late_ms = 0, 0.0
        self.desk.weights.storm_until_ms = self.desk.weights.banned_until_ms = 0.0

    def fault(self, fault: Fault) -> None:
        """Something goes wrong from now on. Raises `ValueError` (also as msgspec's) or `Unserved` for what cannot."""
        now_ms = self.desk.wall() / 1e6
        match fault.kind:
            case "skew":
                self.replay.times.skew = round(fault.ms * MS)
            case "late":
                self.desk.late_ms = fault.ms
            case "storm":
                self.desk.weights.storm_until_ms = now_ms + fault.ms
            case "ban":
                self.desk.weights.banned_until_ms = now_ms + fault.ms
            case "disconnect":
                for one in self.streams.of(fault.where):
                    self.streams.close(one)
            case "expire":
                for one in self.streams.of(fault.where):
                    self.streams.expire(one)
            case "listen_key_expired":
                self.streams.lose_listen_keys()
            case "funding":
                self.matching.funding(self.replay.now(), self.desk.scale({"symbol": fault.symbol}).symbol, round(float(fault.rate) * 1e8))
            case "foreign":
                self._place_foreign(fault)
        self.desk.faults.add(fault)
        self.replay.flush()

    def _place_foreign(self, fault: Fault) -> None:
        kind = {"type": "LIMIT", "timeInForce": "GTC", "price": fault.price} if fault.price else {"type": "MARKET"}
        params: Params = {"symbol": fault.symbol, "side": fault.side, "quantity": fault.size, "newClientOrderId": fault.client_id, **kind}
        placed = self.matching.place(self.replay.now(), venue_orders.asked(self.desk, params))
        if isinstance(placed, Refusal):
            raise Unserved(placed.code, placed.text)


def bound(host: str, *ports: int) -> list[socket.socket]:
    """Listening sockets. Raises `VenueError`."""
    found: list[socket.socket] = []
    for port in ports:
        one = socket.socket()
        found.append(one)
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            one.bind((host, port))
            one.listen(128)
        except OSError as error:
            for opened in found:
                opened.close()
            words = f"port {port} of {host} cannot be had ({error.strerror}): give another with --port, or 0 for a free one"
            raise VenueError(words) from error
        one.setblocking(False)
    return found


if __name__ == "__main__":
    from serving.venue_process import main

    main()
