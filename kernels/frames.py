"""Recorded lines `<receive time> <JSON>` to typed columns, block by block; Binance's frames of spot, USD-M and COIN-M.

    lines -> sorted by kind of frame -> each kind decoded as one JSON array -> arrays (times in ns, prices and sizes as floats)

Decoding many frames at once is what makes it fast: per line only the kind is looked up. A batch that does not decode is
halved until the bad lines are alone, and those are refused with a reason. `kernels.frames_columns` makes tables of the result.
"""

import re
from collections.abc import Sequence
from operator import attrgetter
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from core.market import SYMBOL
from kernels.frames_batch import Batch, Refusal, columns, number, receive_times, shown, taken, to_ns
from kernels.frames_levels import levels_of
from kernels.frames_shapes import KINDS, decoders, kind_of, kind_of_stream

WRAPPED, EVENT, TICKER, SNAPSHOT = b'{"stream":"', b'{"e":"', b'{"u":', b'{"lastUpdateId":'
COIN = re.compile(r"[A-Z0-9]+USD_(PERP|\d{6})")
SIZE = re.compile(rb'"(?:q|B)":"\d+\.(\d+)"|\["[^"]*","\d+\.(\d+)"')  # the first size of a frame, as text
UNKNOWN_FIELD = re.compile(r"unknown field `([^`]{1,40})")
EARLIEST, LATEST = 1_230_768_000 * 10**9, 4_102_444_800 * 10**9  # 2009-01-01, 2100-01-01: receive times a recorder can have seen

INTS = {  # integer fields kept of each kind, the exchange time first; the second stands in where the first is absent
    "trade": ("T", "E", "t", "m"),
    "bookTicker": ("T", "E", "u"),
    "depthUpdate": ("T", "E", "U", "u", "pu"),
    "markPriceUpdate": ("E", "E", "T"),
    "snapshot": ("T", "E", "lastUpdateId"),
}
FLOATS = {"trade": ("p", "q"), "bookTicker": ("b", "B", "a", "A")}
SIDES = {"depthUpdate": ("b", "a"), "snapshot": ("bids", "asks")}
MARKS = ("p", "i", "P", "r")


class Frames:
    """What was decoded so far: `add` blocks of whole lines, in order, then hand it to `frames_columns.tables`."""

    def __init__(self, *, keep_unknown_fields: bool = False) -> None:
        self.decoders = decoders(keep_unknown_fields=keep_unknown_fields)
        self.batches: dict[str, list[Batch]] = {kind: [] for kind in KINDS}
        self.refused: list[Refusal] = []
        self.symbols: dict[str, int] = {}
        self.markets: dict[str, set[str]] = {}  # symbol -> what its frames say: "futures", "coin"
        self.size_places: dict[str, int] = {}  # symbol -> digits after the point its sizes are written with
        self.n_lines = 0
        self._streams: dict[bytes, tuple[str, bool] | None] = {}
        self._seen: set[tuple[str, str]] = set()
        self._lines: list[bytes] = []
        self._first = 1

    def add(self, block: bytes) -> None:
        """Decode whole lines, each ended by a newline except perhaps the last."""
        lines = block.split(b"\n")
        if not lines[-1]:
            lines.pop()
        self._lines, self._first = lines, self.n_lines + 1
        stamps: list[bytes] = []
        texts: dict[tuple[str, bool], tuple[list[bytes], list[int]]] = {}
        appends: dict[bytes, Any] = {}
        odd: list[tuple[int, str]] = []
        stamped = stamps.append
        for row, line in enumerate(lines, self._first):
            stamp, _, text = line.partition(b" ")
            stamped(stamp)
            name = text[: text.find(b'"', 11)] if text.startswith(WRAPPED) else b""
            both = appends.get(name)
            if both is None:
                key = self._kind(name, text)
                if isinstance(key, str):
                    odd.append((row, key))
                    continue
                frames, rows = texts.setdefault(key, ([], []))
                both = frames.append, rows.append
                if name:
                    appends[name] = both
            both[0](text)
            both[1](row)
        self.n_lines += len(lines)
        recv = receive_times(stamps)
        unstamped = set((np.flatnonzero((recv < EARLIEST) | (recv >= LATEST)) + self._first).tolist())
        for row in sorted(unstamped):
            self.refuse_stamp(row, stamps[row - self._first])
        for row, reason in odd:
            if row not in unstamped and reason:
                self.refuse(row, int(recv[row - self._first]), reason)
        for (kind, wrapped), (frames, rows) in texts.items():
            bad = {at for at, row in enumerate(rows) if row in unstamped} if unstamped else ()
            for at in sorted(bad, reverse=True):
                del frames[at], rows[at]
            decoded, sound = self._decode((kind, wrapped), frames, rows, recv)
            if sound:
                self._keep(kind, [frame.data for frame in decoded] if wrapped else decoded, sound, recv)

    def refuse(self, row: int, recv: int, reason: str) -> None:
        self.refused.append(Refusal(row, recv, reason, shown(self._lines[row - self._first])))

    def refuse_long(self, start: bytes) -> None:
        """A line too long to be taken into memory, of which only the start is there."""
        self.n_lines += 1
        recv = int(receive_times([start[:20].partition(b" ")[0]])[0])
        self.refused.append(Refusal(self.n_lines, recv if EARLIEST <= recv < LATEST else 0, "line too long", shown(start)))

    def refuse_stamp(self, row: int, stamp: bytes) -> None:
        if self._lines[row - self._first].strip():  # a blank line is no row
            self.refuse(row, 0, "absurd receive time" if stamp.isdigit() else "no receive time")

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

    def _decode(
        self, key: tuple[str, bool], texts: Sequence[bytes], rows: Sequence[int], recv: npt.NDArray[np.int64]
    ) -> tuple[list[Any], list[int]]:
        """The frames that decode, and their rows; a batch that does not is halved until the bad lines are alone."""
        if not texts:
            return [], []
        reason = "undecodable"
        try:
            found = self.decoders[key].decode(b"[" + b",".join(texts) + b"]")
            if len(found) == len(texts):
                return found, list(rows)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            if field := UNKNOWN_FIELD.search(str(error)):
                reason = f"unknown field {field[1]}"
        if len(texts) == 1:
            self.refuse(rows[0], int(recv[rows[0] - self._first]), reason)
            return [], []
        half = len(texts) // 2
        left, right = (self._decode(key, texts[part], rows[part], recv) for part in (slice(half), slice(half, None)))
        return left[0] + right[0], left[1] + right[1]

    def _keep(self, kind: str, frames: list[Any], rows: list[int], recv: npt.NDArray[np.int64]) -> None:
        """Turn the frames of one kind into arrays; those with a time or symbol no frame can have are refused."""
        n = len(frames)
        row = np.array(rows, np.int64)
        ints = columns(frames, INTS[kind], np.int64)
        symbol = self._symbols(kind, frames, rows)
        raw_event = np.where(ints[:, 0] != 0, ints[:, 0], ints[:, 1])
        event = to_ns(raw_event)
        words: list[str | None] = list(map(attrgetter("X"), frames)) if kind == "trade" else []
        if kind == "markPriceUpdate":
            floats = np.array([[number(getattr(frame, name)) for name in MARKS] for frame in frames], np.float64).reshape(n, len(MARKS))
            ints[:, 2] = to_ns(ints[:, 2])
        else:
            floats = columns(frames, FLOATS.get(kind, ()), np.float64)
        sides = [levels_of([getattr(frame, name) for frame in frames]) for name in SIDES.get(kind, ())]
        levels = [(counts, pairs) for counts, pairs, _ in sides]
        misread = ~np.logical_and.reduce([sound for _, _, sound in sides]) if sides else np.zeros(n, bool)
        batch = Batch(row, recv[row - self._first], event, symbol, ints, floats, words, levels)
        absurd = (raw_event != 0) & (event == 0)
        refused = absurd | misread | (symbol < -1)
        for at in np.flatnonzero(refused):
            reason = "undecodable" if misread[at] else "absurd exchange time" if absurd[at] else "not a symbol"
            self.refuse(rows[at], int(batch.recv[at]), reason)
        self.batches[kind].append(taken(batch, ~refused))

    def _symbols(self, kind: str, frames: list[Any], rows: list[int]) -> npt.NDArray[np.int64]:
        """The symbol's index of each frame (-1 none, -2 not a symbol); each new symbol's first frame tells its market."""
        names = list(map(attrgetter("symbol" if kind == "snapshot" else "s"), frames))
        distinct = set(names)
        for name in distinct:
            if (kind, name) in self._seen or not name:
                continue
            self._seen.add((kind, name))
            if SYMBOL.fullmatch(name):
                first = names.index(name)
                self.symbols.setdefault(name, len(self.symbols))
                self.markets.setdefault(name, set()).update(markers(kind, frames[first]))
                size = SIZE.search(self._lines[rows[first] - self._first])
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
