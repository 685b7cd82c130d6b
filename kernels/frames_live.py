"""Payloads of Binance's live streams to events: one by one, or all that arrived together in one compiled call.

    payloads -> rows of integers and levels (`kernels.frames_live_rows`), the odd ones as JSON (`kernels.frames_live_json`) -> events

Streams: aggTrade, trade, bookTicker, depth diffs and partial books (depth5, 10, 20), markPrice, alone or combined, of spot, USD-M and
COIN-M. Prices and sizes are int64 units of the instrument's decimals (with a mark price: of 10^-8). A payload that is cut off, unknown or
not exact becomes `Refused`, no exception.
"""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from msgspec import Struct

from core.market import MAX_DECIMALS
from kernels.book import Side
from kernels.decimals import Ints
from kernels.frames_batch import shown
from kernels.frames_live_json import Read, Reader, stream_of
from kernels.frames_live_rows import scan
from kernels.frames_live_scan import ASKS, BIDS, BOOK, DIFF, FIELDS, KIND, LONGEST, MARK, ODD, QUOTE

SHORTEST = 9  # bytes of a level: ["1","2"]
PAD = b"\n" * 40  # so far the scanner may look


class Trade(Struct, frozen=True, gc=False):
    """A fill, or (`aggTrade`) the fills `first_id` to `last_id` of one order at one price. `market`: no insurance fund or the like."""

    symbol: str
    ts_event: int
    ts_recv: int
    trade_id: int
    first_id: int
    last_id: int
    price: int
    size: int
    side: int  # the aggressor's sign
    market: bool


class Quote(Struct, frozen=True, gc=False):
    """Best bid and ask; `ts_event` is 0 on spot, which sends no time."""

    symbol: str
    ts_event: int
    ts_recv: int
    update_id: int
    bid: int
    bid_size: int
    ask: int
    ask_size: int


class Depth(Struct, frozen=True):
    """Levels that changed (`prev_id` -1 where the venue gives none), or with `partial` the best ones as they are."""

    symbol: str
    ts_event: int
    ts_recv: int
    first_id: int
    update_id: int
    prev_id: int
    partial: bool
    bids: Ints  # [2, levels]: prices, sizes
    asks: Ints


class Refused(Struct, frozen=True):
    ts_recv: int
    reason: str
    text: str  # as received, at most 2,000 characters


class Mark(Struct, frozen=True, gc=False):
    """A futures venue's mark price and the index it follows, all in 10^-8; `settle` is 0 but near delivery."""

    symbol: str
    ts_event: int
    ts_recv: int
    price: int
    index: int
    settle: int
    funding_rate: int
    ts_funding: int  # when funding is paid next


Event = Trade | Quote | Depth | Mark | Refused


class Batch(Struct, frozen=True):
    """What arrived together. The arrays are the decoder's own, and good until it is called again.

    `rows` [payloads, 16]: int64, columns named in `kernels.frames_live_scan`, kind -1 where refused; `levels` [2, n]: prices and sizes of
    all depth rows, which say where theirs begin and how many there are.
    """

    ts_recv: int
    rows: Ints
    levels: Ints
    refused: Mapping[int, Refused]
    symbols: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[Event]:
        """The events in order of arrival, none of which shares memory with the batch."""
        recv, symbols, levels = self.ts_recv, self.symbols, self.levels
        for at, row in enumerate(self.rows.tolist()):
            kind, code, event, own, first, last, price, size, ask, ask_size, side, market, b, n_bids, a, n_asks = row
            if kind == ODD:
                yield self.refused[at]
            elif kind == QUOTE:
                yield Quote(symbols[code], event, recv, own, price, size, ask, ask_size)
            elif kind in (DIFF, BOOK):
                sides = levels[:, b : b + n_bids].copy(), levels[:, a : a + n_asks].copy()
                yield Depth(symbols[code], event, recv, first, own, last, kind == BOOK, *sides)
            elif kind == MARK:
                yield Mark(symbols[code], event, recv, price, size, ask, ask_size, own)
            else:
                yield Trade(symbols[code], event, recv, own, first, last, price, size, side, market != 0)

    def sides(self, at: int) -> tuple[Side, Side]:
        """Bids and asks of a depth row, as `kernels.book` takes them."""
        row = self.rows[at].tolist()
        found = [self.levels[:, row[field] : row[field] + row[field + 1]] for field in (BIDS, ASKS)]
        bids, asks = (Side(np.array([0, side.shape[1]]), *side) for side in found)
        return bids, asks


class Live:
    """The decoder of one connection. `scales`: symbol -> (price decimals, size decimals); a frame of any other symbol is refused.

    `stream` is what a connection to a single stream was opened for (`btcusdt@depth20@100ms`): a partial book does not say it is one.
    Raises `ValueError` for a stream or decimals that are none.
    """

    def __init__(self, scales: Mapping[str, tuple[int, int]], *, stream: str = "", keep_unknown_fields: bool = False) -> None:
        if wrong := {
            name: of for name, of in scales.items() if not all(0 <= d <= MAX_DECIMALS for d in of) or not 0 < len(name) <= LONGEST
        }:
            raise ValueError(f"not decimals of a symbol: {wrong}")
        if not scales:
            raise ValueError("no symbol to decode: `scales` is empty")
        told = stream_of(stream) if stream else (ODD, True, "")
        if isinstance(told, str):
            raise ValueError(f"{told}: {stream}")
        self.symbols = tuple(scales)
        self._codes = {name: code for code, name in enumerate(scales)}
        self._reader = Reader(scales, (told[0], told[2]), keep_unknown_fields=keep_unknown_fields)
        self._own = np.array([told[0], self._codes.get(told[2], -1)], np.int64)
        self._names = np.array([list(name.encode().ljust(LONGEST, b"\0")) for name in scales], np.uint8).reshape(-1, LONGEST)
        self._meta = np.array([(len(name), *of) for name, of in scales.items()], np.int64).reshape(-1, 3)
        self._rows, self._levels = np.zeros((64, FIELDS), np.int64), np.empty((2, 1024), np.int64)

    def decode(self, payloads: Sequence[bytes], ts_recv: int) -> Batch:
        """The payloads that arrived together, at `ts_recv` (ns)."""
        text = b"\n".join((*payloads, PAD))
        n, length = len(payloads), len(text) - len(PAD)
        self._make_room(n, length // SHORTEST + 1)
        rows, refused = self._rows[:n], {}
        end, n_odd, n_levels = scan(np.frombuffer(text, np.uint8), n, self._own, self._names, self._meta, self._rows, self._levels)
        if end != length:
            rows[:, KIND], n_odd, n_levels = ODD, n, 0  # a payload that holds a line's end: JSON may
        if n_odd:
            for at in np.flatnonzero(rows[:, KIND] == ODD).tolist():
                found = self._reader.read(payloads[at])
                if isinstance(found, str):
                    refused[at] = Refused(ts_recv, found, shown(payloads[at]))
                else:
                    n_levels = self._put(rows[at], found, n_levels)
        return Batch(ts_recv, rows, self._levels[:, :n_levels], refused, self.symbols)

    def event(self, payload: bytes, ts_recv: int) -> Event:
        """One payload as an event."""
        return next(iter(self.decode((payload,), ts_recv)))

    def _make_room(self, n_rows: int, n_levels: int) -> None:
        if len(self._rows) < n_rows:
            self._rows = np.zeros((2 * n_rows, FIELDS), np.int64)
        if self._levels.shape[1] < n_levels:
            self._levels = np.empty((2, 2 * n_levels), np.int64)

    def _put(self, row: Ints, found: Read, n: int) -> int:
        """Write what was read as JSON into its row; returns how many levels there are then."""
        first_asks, after = n, n
        if found.bids is not None and found.asks is not None:
            both = np.concatenate([found.bids, found.asks], axis=1)
            first_asks, after = n + found.bids.shape[1], n + both.shape[1]
            self._make_levels(after)
            self._levels[:, n:after] = both
        prices = (*found.numbers, 0, 0, 0, 0)[:4]
        head = (found.kind, self._codes[found.symbol], found.event, *found.ids)
        row[:] = (*head, *prices, found.side, found.market, n, first_asks - n, first_asks, after - first_asks)
        return after

    def _make_levels(self, n: int) -> None:
        """Room for levels that are there to stay."""
        if self._levels.shape[1] < n:
            grown = np.empty((2, 2 * n), np.int64)
            grown[:, : self._levels.shape[1]] = self._levels
            self._levels = grown
