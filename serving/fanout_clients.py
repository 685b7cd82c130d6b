"""What many clients of one stream have in common: what each wants, what each has not got yet, and what stands until something newer comes.

A slow client loses the oldest of what waits for it, and is told how many; it never makes anybody wait.
"""

from collections import deque
from collections.abc import Iterable
from typing import NamedTuple
from urllib.parse import parse_qs, urlsplit


class Wish(NamedTuple):
    """Kinds and symbols a client wants; empty: all. What is of no symbol goes to all."""

    kinds: frozenset[str] = frozenset()
    symbols: frozenset[str] = frozenset()

    def wants(self, kind: str, symbol: str) -> bool:
        return (not self.kinds or kind in self.kinds) and (not self.symbols or not symbol or symbol in self.symbols)


ALL = Wish()


def wish_of(query: str) -> Wish:
    """`types=signal,fill&symbols=BTCUSDT`."""
    given = parse_qs(query)
    kinds, symbols = (frozenset(word for text in given.get(name, []) for word in text.split(",") if word) for name in ("types", "symbols"))
    return Wish(kinds, symbols)


def same_origin(origin: str | None, host: str | None) -> bool:
    """Whether a page may read: a browser says where the page is from, and other sites' pages have no business here."""
    return not origin or (bool(host) and urlsplit(origin).netloc == host)


class Waiting:
    """Lines for one client, oldest first, at most `limit`."""

    __slots__ = ("lines", "lost")

    def __init__(self, limit: int) -> None:
        self.lines: deque[bytes] = deque(maxlen=limit)
        self.lost = 0

    def put(self, line: bytes) -> None:
        if len(self.lines) == self.lines.maxlen:
            self.lost += 1
        self.lines.append(line)

    def take(self) -> bytes | None:
        """The next line; before it, how many went missing. None where nothing waits."""
        if self.lost:
            told, self.lost = dropped(self.lost), 0
            return told
        return self.lines.popleft() if self.lines else None

    def __len__(self) -> int:
        return len(self.lines) + (self.lost > 0)


def dropped(n: int) -> bytes:
    """What a client is told that did not keep up."""
    return b'{"type":"dropped","count":%d}' % n


class Board:
    """The newest line of each kind and symbol that is kept."""

    def __init__(self) -> None:
        self.lines: dict[tuple[str, str], bytes] = {}

    def put(self, kind: str, symbol: str, line: bytes) -> None:
        self.lines[kind, symbol] = line

    def wanted(self, wish: Wish) -> Iterable[bytes]:
        return [line for (kind, symbol), line in self.lines.items() if wish.wants(kind, symbol)]
