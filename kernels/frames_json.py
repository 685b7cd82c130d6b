"""Lines of frames read as JSON, of whatever spelling: the reading that `kernels.frames_scan` makes quicker where it can.

    lines -> sorted by kind of frame -> each kind decoded as one JSON array -> arrays (times in ns, prices and sizes as floats)

A batch that does not decode is halved until the bad lines are alone, and those are refused with a reason.
"""

import re
from collections.abc import Sequence
from operator import attrgetter
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from core.market import SYMBOL
from kernels.frames_batch import EARLIEST, LATEST, MARKET, Batch, Refusal, columns, number, receive_times, shown, taken, to_ns
from kernels.frames_levels import levels_of
from kernels.frames_shapes import KINDS, decoders, kind_of, kind_of_stream

WRAPPED, EVENT, TICKER, SNAPSHOT = b'{"stream":"', b'{"e":"', b'{"u":', b'{"lastUpdateId":'
COIN = re.compile(r"[A-Z0-9]+USD_(PERP|\d{6})")
SIZE = re.compile(rb'"(?:q|B)":"\d+\.(\d+)"|\["[^"]*","\d+\.(\d+)"')  # the first size of a frame, as text
UNKNOWN_FIELD = re.compile(r"unknown field `([^`]{1,40})")

TIMES = {"markPriceUpdate": ("E", "E")}  # the exchange time of a kind, and what stands in where it is absent; else T and E
INTS = {
    "trade": ("t", "m"),
    "bookTicker": ("u",),
    "depthUpdate": ("U", "u", "pu"),
    "markPriceUpdate": ("T",),
    "snapshot": ("lastUpdateId",),
}
FLOATS = {"trade": ("p", "q"), "bookTicker": ("b", "B", "a", "A")}
SIDES = {"depthUpdate": ("b", "a"), "snapshot": ("bids", "asks")}
MARKS = ("p", "i", "P", "r")
Lines = tuple[list[bytes], list[int]]  # frames, and where each stands among the lines


class Decoder:
    """Decodes lines, and remembers the symbols it met: their indices, their markets, and the digits they are written with."""

    def __init__(self, *, keep_unknown_fields: bool = False) -> None:
        self.decoders = decoders(keep_unknown_fields=keep_unknown_fields)
        self.refused: list[Refusal] = []
        self.symbols: dict[str, int] = {}
        self.markets: dict[str, set[str]] = {}  # symbol -> what its frames say: "futures", "coin"
        self.size_places: dict[str, int] = {}  # symbol -> digits after the point its sizes are written with
        self.words: dict[str | None, int] = {None: 0, MARKET: 1}  # order kinds
        self.fresh: set[tuple[str, str]] = set()  # (kind, symbol) met since this was last cleared
        self._streams: dict[bytes, tuple[str, bool] | None] = {}
        self._seen: set[tuple[str, str]] = set()
        self._lines: Sequence[bytes] = ()
        self._rows = self._recv = np.empty(0, np.int64)

    def decode(self, lines: Sequence[bytes], rows: Sequence[int], into: dict[str, list[Batch]]) -> None:
        """Decode lines, `rows` being their numbers; the batches are added to those of their kind."""
        self._lines, self._rows = lines, np.array(rows, np.int64)
        split = [line.partition(b" ") for line in lines]
        self._recv = receive_times([stamp for stamp, _, _ in split])
        unstamped = (self._recv < EARLIEST) | (self._recv >= LATEST)
        texts: dict[tuple[str, bool], Lines] = {}
        for at, (stamp, _, text) in enumerate(split):
            if unstamped[at]:
                self._recv[at] = 0
                if lines[at].strip():  # a blank line is no row
                    self._refuse(at, "absurd receive time" if stamp.isdigit() else "no receive time")
                continue
            key = self._kind(text[: text.find(b'"', len(WRAPPED))] if text.startswith(WRAPPED) else b"", text)
            if isinstance(key, str):
                self._refuse(at, key)
                continue
            frames, places = texts.setdefault(key, ([], []))
            frames.append(text)
            places.append(at)
        for (kind, wrapped), (frames, places) in texts.items():
            decoded, sound = self._decode((kind, wrapped), frames, places)
            if sound:
                into[kind].append(self._batch(kind, [frame.data for frame in decoded] if wrapped else decoded, sound))

    def _refuse(self, at: int, reason: str) -> None:
        self.refused.append(Refusal(int(self._rows[at]), int(self._recv[at]), reason, shown(self._lines[at])))

    def _kind(self, name: bytes, text: bytes) -> tuple[str, bool] | str:
        """(kind, wrapped) of a line, or why it has none; a blank line has no reason."""
        if name in self._streams and name:
            return self._streams[name] or "unknown stream"
        if name:
            kind = kind_of_stream(name[len(WRAPPED) :].decode(errors="replace"))
            self._streams[name] = (kind, True) if kind else None
            return self._streams[name] or "unknown stream"
        if text.startswith(EVENT):
            kind = text[6 : text.find(b'"', 6)].decode(errors="replace")
            return (kind, False) if kind in KINDS and kind != "snapshot" else "unknown stream"
        if text.startswith(TICKER):
            return "bookTicker", False
        if text.startswith(SNAPSHOT):
            return "snapshot", False
        try:
            frame = msgspec.json.decode(text)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return "undecodable" if text.strip() else "no frame"
        return kind_of(frame) or "unknown stream"

    def _decode(self, key: tuple[str, bool], texts: Sequence[bytes], places: list[int]) -> tuple[list[Any], list[int]]:
        """The frames that decode, and where they stand; a batch that does not is halved until the bad lines are alone."""
        reason = "undecodable"
        try:
            found = self.decoders[key].decode(b"[" + b",".join(texts) + b"]")
            if len(found) == len(texts):
                return found, places
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            if field := UNKNOWN_FIELD.search(str(error)):
                reason = f"unknown field {field[1]}"
        if len(texts) == 1:
            self._refuse(places[0], reason)
            return [], []
        half = len(texts) // 2
        left, right = (self._decode(key, texts[part], places[part]) for part in (slice(half), slice(half, None)))
        return left[0] + right[0], left[1] + right[1]

    def _batch(self, kind: str, frames: list[Any], places: list[int]) -> Batch:
        """The frames of one kind as arrays; those with a time or symbol no frame can have are refused."""
        n = len(frames)
        ints = columns(frames, INTS[kind], np.int64)
        symbol = self._symbols(kind, frames, places)
        first, second = columns(frames, TIMES.get(kind, ("T", "E")), np.int64)
        raw_event = np.where(first != 0, first, second)
        event = to_ns(raw_event)
        floats = columns(frames, FLOATS.get(kind, ()), np.float64)
        if kind == "trade":
            words = [self.words.setdefault(frame.X, len(self.words)) for frame in frames]
            ints = np.concatenate([ints, [words]])
        elif kind == "markPriceUpdate":
            floats = np.array([[number(getattr(frame, name)) for frame in frames] for name in MARKS], np.float64)
            ints = to_ns(ints)
        sides = [levels_of([getattr(frame, name) for frame in frames]) for name in SIDES.get(kind, ())]
        levels = [(counts, np.ascontiguousarray(pairs.T)) for counts, pairs, _ in sides]
        misread = ~np.logical_and.reduce([sound for _, _, sound in sides]) if sides else np.zeros(n, bool)
        batch = Batch(self._rows[places], self._recv[places], event, symbol, ints, floats, levels)
        absurd = (raw_event != 0) & (event == 0)
        refused = absurd | misread | (symbol < -1)
        for at in np.flatnonzero(refused):
            reason = "undecodable" if misread[at] else "absurd exchange time" if absurd[at] else "not a symbol"
            self._refuse(places[at], reason)
        return taken(batch, ~refused)

    def _symbols(self, kind: str, frames: list[Any], places: list[int]) -> npt.NDArray[np.int64]:
        """The symbol's index of each frame (-1 none, -2 not a symbol); each new symbol's first frame tells its market."""
        names = list(map(attrgetter("symbol" if kind == "snapshot" else "s"), frames))
        distinct = set(names)
        for name in distinct:
            if (kind, name) in self._seen or not name:
                continue
            self._seen.add((kind, name))
            if SYMBOL.fullmatch(name):
                self.fresh.add((kind, name))
                first = names.index(name)
                self.symbols.setdefault(name, len(self.symbols))
                self.markets.setdefault(name, set()).update(markers(kind, frames[first]))
                size = SIZE.search(self._lines[places[first]])
                self.size_places[name] = max(self.size_places.get(name, 0), len(size[1] or size[2]) if size else 0)
        index = {name: self.symbols.get(name, -2 if name else -1) for name in distinct}
        if kind != "snapshot" and "" in index:
            index[""] = -2
        if len(distinct) == 1:
            return np.full(len(names), index[names[0]], np.int64)
        return np.array([index[name] for name in names], np.int64)


def markers(kind: str, frame: Any) -> set[str]:
    """What one frame says of its market: `ps` and contract names are COIN-M's; `X`, `pu`, times of a ticker and marks are futures'."""
    found = set()
    symbol = frame.symbol if kind == "snapshot" else frame.s
    if (frame.pair if kind == "snapshot" else frame.ps) or COIN.fullmatch(symbol):
        found.add("coin")
    says = {
        "trade": lambda: frame.X is not None,
        "bookTicker": lambda: frame.e is not None or frame.T != 0,
        "depthUpdate": lambda: frame.pu != -1,
        "markPriceUpdate": lambda: True,
        "snapshot": lambda: frame.E != 0,
    }
    if says[kind]():
        found.add("futures")
    return found
