"""HTTP/1.1 over connections that are opened once and kept: what a request costs us is one write and one read.

An order's answer must be told from its absence, so nothing here tries again by itself but a `GET` that met a connection just closed.
"""

import asyncio
import ssl
from typing import NamedTuple, cast
from urllib.parse import urlsplit

LINES = 16  # connections at most


class Unsent(RuntimeError):
    """No connection could be made: the request never left."""


class Lost(RuntimeError):
    """The request left, and no (whole) answer came: nobody knows whether it was carried out."""


class Closed(Lost):
    """The other side closed the connection."""


class Reply(NamedTuple):
    """Names of headers are in small letters."""

    status: int
    headers: dict[str, str]
    body: bytes


class Line(asyncio.Protocol):
    """One connection; one request at a time."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self.answer: asyncio.Future[Reply] | None = None
        self.got = bytearray()
        self.head: tuple[int, dict[str, str]] | None = None
        self.keep = True
        self.fresh = True  # nothing was asked yet

    @property
    def closed(self) -> bool:
        return self.transport is None or self.transport.is_closing()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's are none of its subclasses

    def ask(self, request: bytes) -> asyncio.Future[Reply]:
        assert self.transport is not None
        self.answer = asyncio.get_running_loop().create_future()
        self.fresh = False
        self.transport.write(request)
        return self.answer

    def close(self) -> None:
        if self.transport is not None:
            self.transport.abort()

    def data_received(self, data: bytes) -> None:
        self.got += data
        if self.answer is None:  # nothing was asked: whatever this is, it is no answer to the next request
            self.close()
            return
        try:
            reply = self._parsed()
        except ValueError as error:
            self._fail(Lost(f"the answer is no HTTP: {error}"))
            self.close()
            return
        if reply is not None:
            self._done(reply)

    def connection_lost(self, exc: Exception | None) -> None:
        if self.answer is not None and self.head is not None and "content-length" not in self.head[1] and not self._chunked():
            self._done(Reply(*self.head, bytes(self.got)))  # a body that ends with the connection
        self._fail(Closed(f"the connection was closed{f' ({exc})' if exc else ''}"))
        self.transport = None

    def _chunked(self) -> bool:
        return self.head is not None and self.head[1].get("transfer-encoding", "").lower() == "chunked"

    def _parsed(self) -> Reply | None:
        """The answer, once all of it is there. Raises `ValueError`."""
        while self.head is None:
            end = self.got.find(b"\r\n\r\n")
            if end < 0:
                return None
            first, *lines = self.got[:end].decode("latin-1").split("\r\n")
            del self.got[: end + 4]
            status = int(first.split(" ", 2)[1])
            fields = (line.partition(":") for line in lines)
            if status >= 200:
                self.head = status, {name.lower(): value.strip() for name, _, value in fields}
        status, headers = self.head
        self.keep = headers.get("connection", "").lower() != "close"
        if self._chunked():
            body = dechunked(self.got)
            if body is None:
                return None
            self.got.clear()
            return Reply(status, headers, body)
        if status in (204, 304):
            return Reply(status, headers, b"")
        if "content-length" not in headers:
            return None
        length = int(headers["content-length"])
        if len(self.got) < length:
            return None
        body = bytes(self.got[:length])
        del self.got[:length]
        return Reply(status, headers, body)

    def _done(self, reply: Reply) -> None:
        if self.answer is not None and not self.answer.done():
            self.answer.set_result(reply)
        self.answer, self.head = None, None

    def _fail(self, error: Lost) -> None:
        if self.answer is not None and not self.answer.done():
            self.answer.set_exception(error)
        self.answer, self.head = None, None


def dechunked(text: bytes | bytearray) -> bytes | None:
    """The body that chunks make up; None while some of it is missing. Raises `ValueError`."""
    parts, at = [], 0
    while True:
        end = text.find(b"\r\n", at)
        if end < 0:
            return None
        size = int(text[at:end].split(b";")[0], 16)
        begin = end + 2
        if len(text) < begin + size + 2:
            return None
        if not size:
            return b"".join(parts)
        parts.append(bytes(text[begin : begin + size]))
        at = begin + size + 2


class Wire:
    """All connections to one address. `headers` go with every request."""

    def __init__(self, url: str, headers: dict[str, str] | None = None, *, connect_s: float = 5.0) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"not a web address: {url!r}")
        self.host, self.port = parts.hostname, parts.port or (443 if parts.scheme == "https" else 80)
        self.prefix = parts.path.rstrip("/")
        self.tls = ssl.create_default_context() if parts.scheme == "https" else None
        self.connect_s = connect_s
        fields = {"Host": parts.netloc, "Accept": "application/json", "User-Agent": "scalp"} | (headers or {})
        self.fields = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        self.idle: list[Line] = []
        self.lines: set[Line] = set()
        self.turn = asyncio.Semaphore(LINES)

    async def warm(self, n: int) -> None:
        """Have `n` connections open ahead of the next requests. Raises `Unsent`."""
        self.idle += await asyncio.gather(*(self._open() for _ in range(n - len(self.idle))))

    def request(self, verb: str, target: str) -> bytes:
        """What goes over the line."""
        length = "" if verb == "GET" else "Content-Length: 0\r\n"
        return f"{verb} {self.prefix}{target} HTTP/1.1\r\n{self.fields}{length}\r\n".encode()

    async def ask(self, verb: str, target: str, *, timeout_s: float) -> Reply:
        """The answer to a request without a body; `target` is the path and the query. Raises `Unsent` or `Lost`."""
        request = self.request(verb, target)
        async with self.turn:
            line = self._waiting() or await self._open()
            again = verb == "GET" and not line.fresh
            try:
                return await self._asked(line, request, timeout_s)
            except Closed:
                if not again:
                    raise
            return await self._asked(await self._open(), request, timeout_s)

    async def close(self) -> None:
        for line in list(self.lines):
            line.close()
        self.idle.clear()
        self.lines.clear()

    async def _asked(self, line: Line, request: bytes, timeout_s: float) -> Reply:
        try:
            async with asyncio.timeout(timeout_s):
                reply = await line.ask(request)
        except BaseException as error:
            line.close()  # an answer that comes after all must not be taken for the next one's
            self.lines.discard(line)
            if isinstance(error, TimeoutError):
                raise Lost(f"no answer within {timeout_s:g} s") from error
            raise
        if line.keep and not line.closed and not line.got:
            self.idle.append(line)
        else:
            line.close()
            self.lines.discard(line)
        return reply

    def _waiting(self) -> Line | None:
        """The connection used last, of those still open."""
        while self.idle:
            line = self.idle.pop()
            if not line.closed:
                return line
            self.lines.discard(line)
        return None

    async def _open(self) -> Line:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self.connect_s):
                _, line = await loop.create_connection(Line, self.host, self.port, ssl=self.tls)
        except (OSError, TimeoutError) as error:
            raise Unsent(f"{self.host}:{self.port} cannot be reached: {error or 'no connection in time'}") from error
        self.lines.add(line)
        return line
