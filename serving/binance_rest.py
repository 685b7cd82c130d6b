"""Binance's REST: signed, timed by the venue's clock, within its limits; what it refuses and what got lost told apart.

path, params -> limits -> timestamp, signature -> Wire -> Reply | Said (it refused) | Lost | Unsent
"""

import asyncio
import hmac
import logging
from collections.abc import Callable
from typing import TypeVar
from urllib.parse import quote

import msgspec

from serving.exchange import ExchangeError
from serving.limits import Limits
from serving.wire import Lost, Reply, Unsent, Wire

log = logging.getLogger(__name__)
MS, S = 1_000_000, 1_000_000_000
SAMPLES = 5  # of the clock, the quickest counts
PATIENCE_S = 10.0  # a query waits so long for its turn
OUT_OF_WINDOW = -1021
BUSY = frozenset({429, 418, 403})
UNSURE = frozenset({-1000, -1001, -1006, -1007})  # the venue does not know itself whether it was done
ADVICE = {
    -1022: "the secret does not fit the key: check SCALP_EXCHANGE__API_SECRET",
    -2014: "that is no API key: set SCALP_EXCHANGE__API_KEY",
    -2015: "the API key is unknown there, or may not do this from here: check the key, its permissions and its addresses",
    -1021: "our clock is off: check the time service of this machine",
    -1003: "too many requests: fewer symbols, or reconcile less often (SCALP_STREAM__RECONCILE_S)",
}
T = TypeVar("T")


class Said(RuntimeError):
    """The venue refused: its code, its words, and the HTTP status."""

    def __init__(self, code: int, words: str, status: int) -> None:
        super().__init__(f"{words} ({code})" + (f"; {ADVICE[code]}" if code in ADVICE else ""))
        self.code, self.words, self.status = code, words, status

    @property
    def unsure(self) -> bool:
        """Whether it may have been done all the same."""
        return (self.status >= 500 and self.code != -1008) or self.code in UNSURE


class Error(msgspec.Struct):
    code: int = 0
    msg: str = ""


class Time(msgspec.Struct):
    serverTime: int


class Rest:
    """`root`: the path before each name, such as /fapi/v1. `clock`: ours, ns. `offset_ns`: the venue's less ours, once measured."""

    def __init__(
        self, url: str, root: str, key: str, secret: str, *, recv_window_ms: int, timeout_s: float, clock: Callable[[], int]
    ) -> None:
        self.wire = Wire(url, {"X-MBX-APIKEY": key} if key else {})
        self.root, self.keyed, self.timeout_s, self.clock = root, bool(key and secret), timeout_s, clock
        self.recv_window_ms = recv_window_ms
        self.signer = hmac.new(secret.encode(), digestmod="sha256")
        self.window = f"&recvWindow={recv_window_ms}&timestamp="
        self.limits = Limits()
        self.offset_ns = 0

    def now(self) -> int:
        """The venue's clock, ns."""
        return self.clock() + self.offset_ns

    async def measure(self, samples: int = SAMPLES) -> None:
        """The venue's clock against ours: the middle of the quickest exchange. Raises `Said`, `Lost`, `Unsent`."""
        best: tuple[int, int] | None = None
        for _ in range(samples):
            sent = self.clock()
            reply = await self.ask("GET", "time", 1)
            got = self.clock()
            theirs = read(reply, Time).serverTime * MS + MS // 2  # it is cut off to whole ms
            best = min(best or (got - sent, theirs - (sent + got) // 2), (got - sent, theirs - (sent + got) // 2))
        assert best is not None
        self.offset_ns = best[1]

    async def ask(self, verb: str, name: str, weight: int, params: str = "", *, urgent: bool = False) -> Reply:
        """A request that needs no signature. Raises `Said`, `Lost`, `Unsent`."""
        await self._turn(weight, 0, urgent)
        return await self._sent(verb, f"{self._path(name)}{'?' if params else ''}{params}")

    async def signed(self, verb: str, name: str, weight: int, params: str = "", *, orders: int = 0, urgent: bool = False) -> Reply:
        """A signed request; a query that came too late or too early goes once more after the clock was measured. Raises as `ask`."""
        if not self.keyed:
            raise Unsent("there is no API key: set SCALP_EXCHANGE__API_KEY and SCALP_EXCHANGE__API_SECRET")
        await self._turn(weight, orders, urgent)
        path = self._path(name)
        try:
            return await self._sent(verb, f"{path}?{self.sign(params)}")
        except Said as said:
            if said.code != OUT_OF_WINDOW:
                raise
            before = self.offset_ns
            await self.measure()
            log.warning("%s: the clock's offset was %.1f ms and is %.1f ms", said.words, before / MS, self.offset_ns / MS)
            if verb == "POST":
                raise  # what is late by so much is decided anew
        await self._turn(weight, orders, urgent)
        return await self._sent(verb, f"{path}?{self.sign(params)}")

    def sign(self, params: str) -> str:
        """The query with time stamp and signature."""
        query = f"{params}{self.window if params else self.window[1:]}{self.now() // MS}"
        return f"{query}&signature={self.hash(query)}"

    def prepared(self, verb: str, name: str, params: str) -> bytes:
        """A signed request as it would leave now."""
        return self.wire.request(verb, f"{self._path(name)}?{self.sign(params)}")

    def hash(self, text: str) -> str:
        signer = self.signer.copy()
        signer.update(text.encode())
        return signer.hexdigest()

    def _path(self, name: str) -> str:
        return name if name.startswith("/") else f"{self.root}/{name}"

    async def _turn(self, weight: int, orders: int, urgent: bool) -> None:
        """Wait for our turn; what is urgent does not wait."""
        waited = 0.0
        while wait := self.limits.spend(self.now(), weight, orders=orders, urgent=urgent):
            if urgent or waited + wait / S > PATIENCE_S:
                raise Unsent(f"held back for {wait / S:.1f} s to keep the venue's limits: {self.limits.why}")
            waited += wait / S
            await asyncio.sleep(wait / S)

    async def _sent(self, verb: str, target: str) -> Reply:
        sent = self.now()
        reply = await self.wire.ask(verb, target, timeout_s=self.timeout_s)
        now = self.now()
        self.limits.read(reply.headers, sent, now)
        if reply.status < 400:
            return reply
        error = read_error(reply)
        if reply.status in BUSY:
            after = reply.headers.get("retry-after", "")
            self.limits.hold(now, float(after) if after.replace(".", "", 1).isdigit() else 30.0, f"{reply.status}: {error.msg}")
        raise Said(error.code or -reply.status, error.msg, reply.status)


def read(reply: Reply, kind: type[T]) -> T:
    """The body of an answer. Raises `ExchangeError` where it is something else: such an answer tells nothing."""
    try:
        return msgspec.json.decode(reply.body, type=kind)
    except msgspec.MsgspecError as error:
        raise ExchangeError(f"the venue's answer cannot be read ({error}): {reply.body[:200].decode(errors='replace')}") from error


def read_error(reply: Reply) -> Error:
    try:
        return msgspec.json.decode(reply.body, type=Error)
    except msgspec.DecodeError:
        return Error(0, f"HTTP {reply.status}: {reply.body[:200].decode(errors='replace')}")


def query(**params: object) -> str:
    """Names and values as a query; what is None is left out."""
    return "&".join(f"{name}={quote(str(value), safe='')}" for name, value in params.items() if value is not None)


def failed(error: Said | Lost | Unsent, what: str) -> ExchangeError:
    return ExchangeError(f"{what}: {error}")
