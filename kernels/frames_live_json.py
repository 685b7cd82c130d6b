"""Live payloads read as JSON, of whatever spelling: the reading that `kernels.frames_live_scan` makes quicker where it can.

Trades, quotes, diffs and whole books are read as `kernels.frames_json` reads the lines of a recording, to the same floats, and those
are brought to exact units as there (`kernels.decimals`). Aggregated trades and partial books stand in live streams only.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec
import numpy as np

from core.market import SYMBOL as SYMBOL_SHAPE
from kernels.decimals import EXACT, Ints, scale
from kernels.frames_batch import MARKET
from kernels.frames_bytes import nanoseconds
from kernels.frames_json import EVENT as EVENT_FIRST
from kernels.frames_json import SNAPSHOT, TICKER, UNKNOWN_FIELD, WRAPPED
from kernels.frames_levels import levels_of
from kernels.frames_live_scan import AGGREGATE, BOOK, DIFF, MARK, QUOTE, TRADE
from kernels.frames_shapes import Diff, Int, Mark, Quote, Snapshot, Trade

SPEEDS = ("", "@0ms", "@100ms", "@250ms", "@500ms", "@1000ms")
STREAMS = {"trade": TRADE, "bookTicker": QUOTE, "aggTrade": AGGREGATE, "markPrice": MARK, "markPrice@1s": MARK}
STREAMS |= {f"depth{speed}": DIFF for speed in SPEEDS} | {f"depth{n}{speed}": BOOK for n in (5, 10, 20) for speed in SPEEDS}
EVENTS = {"trade": TRADE, "bookTicker": QUOTE, "aggTrade": AGGREGATE, "depthUpdate": DIFF, "markPriceUpdate": MARK}
WHOLE = 6  # a book that names no symbol, as spot sends it: the shape of a `BOOK` without `e`
BROKEN = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class AggregateTrade(msgspec.Struct, gc=False):
    """Fills of one order at one price. `f`, `l`: the first and last trade id; `nq`: the size but for retail-only orders."""

    s: str
    a: Int
    p: float
    q: float
    f: Int
    l: Int  # noqa: E741
    T: Int
    m: bool
    e: str | None = None
    E: Int = 0
    M: bool | None = None
    nq: float | None = None
    ps: str | None = None
    st: Int | str | None = None


SHAPES: dict[int, type[msgspec.Struct]] = {TRADE: Trade, QUOTE: Quote, DIFF: Diff, AGGREGATE: AggregateTrade, BOOK: Diff, WHOLE: Snapshot}
SHAPES[MARK] = Mark
MARK_DECIMALS = 8  # of mark, index and settlement price, and of the funding rate
MARKED = {"p": "mark price", "i": "index price", "P": "settlement price", "r": "funding rate"}


class Read(NamedTuple):
    """A frame as its row will have it; `bids`, `asks` are [2, levels] (prices, sizes)."""

    kind: int
    symbol: str
    event: int  # ns, 0 where the venue gave none
    ids: tuple[int, int, int]  # own, first, last
    numbers: tuple[int, ...] = ()
    side: int = 0
    market: bool = True
    bids: Ints | None = None
    asks: Ints | None = None


class Reader:
    """Reads one payload at a time; `scales` are the price and size decimals of each symbol, (kind, symbol) the connection's stream."""

    def __init__(self, scales: Mapping[str, tuple[int, int]], own: tuple[int, str], *, keep_unknown_fields: bool) -> None:
        self.scales, self.own = scales, own
        self.decoders: dict[tuple[int, bool], msgspec.json.Decoder] = {}
        strict = not keep_unknown_fields
        for kind, shape in SHAPES.items():
            data = msgspec.defstruct(shape.__name__, [], bases=(shape,), forbid_unknown_fields=strict)
            wrapped = msgspec.defstruct("Stream", [("stream", str), ("data", data)], forbid_unknown_fields=strict)
            self.decoders[kind, False] = msgspec.json.Decoder(data, strict=False)
            self.decoders[kind, True] = msgspec.json.Decoder(wrapped, strict=False)

    def read(self, payload: bytes) -> Read | str:
        """The frame, or why it is none."""
        told = self.told(payload)
        if isinstance(told, str):
            return told
        kind, wrapped, symbol = told
        error: Exception | None = None
        for shape in (kind, WHOLE) if kind == BOOK else (kind,):
            try:
                frame = self.decoders[shape, wrapped].decode(payload)
                return self.exact(kind, frame.data if wrapped else frame, symbol)
            except BROKEN as broken:
                error = error or broken
        field = UNKNOWN_FIELD.search(str(error))
        return f"unknown field {field[1]}" if field else "undecodable"

    def told(self, payload: bytes) -> tuple[int, bool, str] | str:
        """(kind, whether it is wrapped, the symbol its stream names), by how the payload begins, else by its keys."""
        if payload.startswith(WRAPPED):
            return stream_of(payload[len(WRAPPED) : payload.find(b'"', len(WRAPPED))].decode(errors="replace"))
        if self.own[0] == BOOK:
            return BOOK, False, self.own[1]
        if payload.startswith(EVENT_FIRST):
            kind = EVENTS.get(payload[6 : payload.find(b'"', 6)].decode(errors="replace"))
            return "unknown stream" if kind is None else (kind, False, "")
        if payload.startswith(TICKER):
            return QUOTE, False, ""
        if payload.startswith(SNAPSHOT):
            return "unknown stream"  # a whole book without a symbol
        try:
            frame = msgspec.json.decode(payload)
        except BROKEN:
            return "undecodable" if payload.strip() else "no frame"
        if isinstance(frame, dict) and "stream" in frame:
            return stream_of(str(frame["stream"]))
        if isinstance(frame, dict) and "lastUpdateId" not in frame:
            if "e" in frame and str(frame["e"]) in EVENTS:
                return EVENTS[str(frame["e"])], False, ""
            if "e" not in frame and {"u", "s", "b", "B", "a", "A"} <= frame.keys():
                return QUOTE, False, ""
        return "unknown stream"

    def exact(self, kind: int, frame: Any, symbol: str) -> Read | str:
        """The frame with its numbers in exact units, or why it has none."""
        whole = isinstance(frame, Snapshot)
        if kind == AGGREGATE and frame.e not in (None, "aggTrade"):
            return "undecodable"
        name = symbol if whole else frame.s
        if name not in self.scales:
            return "unknown symbol" if SYMBOL_SHAPE.fullmatch(name) else "not a symbol" if name else "no symbol"
        time = frame.E if kind == MARK else frame.T or frame.E
        event = int(nanoseconds(time))
        if time and not event:
            return "absurd exchange time"
        if kind in (DIFF, BOOK):
            return self.depth(kind, frame, name, event)
        if kind == MARK:
            return marked(frame, name, event)
        quote = kind == QUOTE
        values = (frame.b, frame.B, frame.a, frame.A) if quote else (frame.p, frame.q)
        numbers = []
        for at, value in enumerate(values):
            units = exactly(("price", "size")[at & 1], np.array([value]), self.scales[name][at & 1])
            if isinstance(units, str):
                return units
            numbers.append(int(units[0]))
        if quote:
            return Read(kind, name, event, (frame.u, -1, 0), tuple(numbers))
        ids = (frame.a, frame.f, frame.l) if kind == AGGREGATE else (frame.t, frame.t, frame.t)
        market = kind == AGGREGATE or frame.X in (None, MARKET)
        return Read(kind, name, event, ids, tuple(numbers), -1 if frame.m else 1, market)

    def depth(self, kind: int, frame: Any, name: str, event: int) -> Read | str:
        whole = isinstance(frame, Snapshot)
        texts = [frame.bids, frame.asks] if whole else [frame.b, frame.a]
        counts, pairs, sound = levels_of(texts)
        if not sound.all():
            return "undecodable"
        units = [exactly(what, pairs[:, at], self.scales[name][at]) for at, what in enumerate(("price", "size"))]
        for found in units:
            if isinstance(found, str):
                return found
        both, n_bids = np.array(units), int(counts[0])
        ids = (frame.lastUpdateId, frame.lastUpdateId, -1) if whole else (frame.u, frame.U, frame.pu)
        return Read(kind, name, event, ids, bids=both[:, :n_bids], asks=both[:, n_bids:])


def marked(frame: Mark, name: str, event: int) -> Read | str:
    """A mark price and what comes with it, in 10^-8; what the venue leaves out is 0. Its own id is the time of the next funding."""
    numbers = []
    for field, what in MARKED.items():
        told = getattr(frame, field)
        try:
            value = float(told or "0")
        except ValueError:
            return f"{what} is not a number"
        units = exactly(what, np.array([abs(value)]), MARK_DECIMALS)
        if isinstance(units, str):
            return units
        numbers.append(int(units[0]) * (-1 if value < 0 else 1))
    if numbers[0] <= 0:
        return "mark price is not a number"
    funding = int(nanoseconds(frame.T))
    if frame.T and not funding:
        return "absurd exchange time"
    return Read(MARK, name, event, (funding, 0, 0), tuple(numbers))


def stream_of(name: str) -> tuple[int, bool, str] | str:
    """(kind, True, symbol) of a stream such as `btcusdt@depth20@100ms`, or that it is unknown."""
    symbol, _, what = name.partition("@")
    kind = QUOTE if name == "!bookTicker" else STREAMS.get(what)
    return "unknown stream" if kind is None else (kind, True, symbol.upper())


def exactly(what: str, values: np.ndarray, decimals: int) -> Ints | str:
    """Units of 10^-decimals of floats, or the reason why one has none (as `kernels.frames_columns` tells it)."""
    units, exact = scale(values, decimals)
    if exact.all():
        return units
    value = values[~exact][0]
    if not np.isfinite(value):
        return f"{what} is not a number"
    return f"absurd {what}" if abs(value) * 10.0**decimals > EXACT else f"{what} off the grid"
