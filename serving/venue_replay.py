"""The tape as it happens: frames leave at their pace, fill the books and the matching, and time brings marks, tickers and funding.

Tape -> Times -> Live (decoder) -> Markets, Matching -> Streams
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec
import numpy as np

from kernels.frames_live import Live
from kernels.matching_words import OrderUpdate
from serving import venue_words_spot, venue_words_usdm
from serving.venue_bars import kline_event, seconds_of
from serving.venue_desk import Desk, units
from serving.venue_market import RATE
from serving.venue_streams import Streams, encode, plain
from serving.venue_tape import Frame, Tape
from serving.venue_tickers import day_event, mark_event, mini_event, next_funding
from serving.venue_times import Mode, Times
from serving.venue_words import MS

log = logging.getLogger(__name__)
MOST = 256  # frames released together
BEAT_S = 0.05  # how often the dead-man's switch and conditional orders are looked at


class Pace(NamedTuple):
    """`speed` times life (0: as fast as it goes), what times are told, and whether the end is the beginning."""

    speed: float = 1.0
    times: Mode = "scaled"
    loop: bool = False


class Whole(msgspec.Struct):
    """A REST snapshot."""

    lastUpdateId: int
    bids: list[tuple[str, str]]
    asks: list[tuple[str, str]]


class Mark(msgspec.Struct):
    p: str
    r: str = ""


class Replay:
    """One venue's market. `run` and `beat` are the tasks that make it live."""

    def __init__(self, tape: Tape, pace: Pace, desk: Desk, streams: Streams, wall: Callable[[], int]) -> None:
        self.tape, self.pace, self.desk, self.streams, self.wall = tape, pace, desk, streams, wall
        self.times = Times(tape.begin, tape.lag, wall(), pace.speed, pace.times)
        self.matching, self.scales = desk.matching, desk.scales
        listed = {symbol: scale.listing.instrument for symbol, scale in desk.scales.items()}
        self.decoder = Live({symbol: (of.price_decimals, of.size_decimals) for symbol, of in listed.items()})
        self.n_frames = self.n_refused = 0
        self.ended = False
        self.funding_at = 0
        self._names: dict[str, str] = {}
        self._told: dict[str, float] = {}  # when a thinned stream was last sent, s
        self._marked: set[str] = set()  # whose mark prices the tape has

    def now(self) -> int:
        """The venue's clock, ns."""
        return self.times.now(self.wall())

    def begin_run(self, *, first: bool) -> None:
        """The tape from its beginning, with the first snapshots as the books."""
        before, wall = self.times, self.wall()
        self.times = Times(self.tape.begin, self.tape.lag, wall, self.pace.speed, self.pace.times)
        self.times.skew = before.skew
        if not first and self.pace.times != "scaled":
            self.times.start = self.times.latest = before.now(wall) - before.skew
        for symbol, text in self.tape.snapshots.items():
            found = msgspec.json.decode(text, type=Whole)
            price, size = (self.scales[symbol].listing.instrument.price_decimals, self.scales[symbol].listing.instrument.size_decimals)
            bids, asks = (
                np.array([[units({"p": at}, "p", price) for at, _ in side], [units({"q": of}, "q", size) for _, of in side]], np.int64)
                for side in (found.bids, found.asks)
            )
            book = self.desk.markets.books[symbol]
            book.begin(bids.tolist(), asks.tolist(), found.lastUpdateId)
            book.mark = book.middle / self.scales[symbol].listing.price_unit
            self.matching.snapshot(self.now(), symbol, bids, asks)
            if book.mark and not self.desk.spot:
                self.matching.mark(self.now(), symbol, round(book.middle))
        self.funding_at = next_funding(self.now())

    async def run(self) -> None:
        try:
            while True:
                await self._once()
                if not self.pace.loop:
                    break
                log.info("the recording begins again")
                self.begin_run(first=False)
        except Exception:
            log.exception("the venue's market stopped")
            raise
        self.ended = True
        log.info("the recording has ended after %d frames: the book stands still from here on", self.n_frames)

    async def _once(self) -> None:
        waiting: list[Frame] = []
        now = self.wall()
        for frame in self.tape.frames():
            due = self.times.due(frame.ts)
            if due > now or len(waiting) >= MOST:
                if waiting:
                    self.release(waiting)
                    waiting.clear()
                await asyncio.sleep(max(0.0, (due - self.wall()) / 1e9))
                while self.pace.speed == 0 and self.streams.crowded:  # noqa: ASYNC110 (several sockets, each with its own moment)
                    await asyncio.sleep(0.001)
                now = self.wall()
            waiting.append(frame)
        self.release(waiting)

    def release(self, frames: list[Frame]) -> None:
        """These frames happen now."""
        live = [frame._replace(data=self.times.stamped(frame.data)) for frame in frames if frame.stream]
        if not live:
            return
        marks = [frame for frame in live if "@markPrice" in frame.stream]
        others = [b'{"stream":"%b","data":%b}' % (frame.stream.encode(), frame.data) for frame in live if "@markPrice" not in frame.stream]
        for frame in marks:
            self._take_mark(frame)
        batch = self.decoder.decode(others, self.wall())
        for refused in batch.refused.values():
            self.n_refused += 1
            log.warning("a recorded frame was left out of the book (%s): %s", refused.reason, refused.text[:200])
        self.desk.markets.take(batch)
        self.matching.market(batch)
        self.n_frames += len(live)
        for frame in live:
            self._tell(frame)
        self.flush()

    def _take_mark(self, frame: Frame) -> None:
        found = msgspec.json.decode(frame.data, type=Mark)
        book = self.desk.markets.books[frame.symbol]
        book.mark, book.rate = float(found.p), round(float(found.r or RATE / 1e8) * 1e8)
        self._marked.add(frame.symbol)
        if not self.desk.spot:
            self.matching.mark(self.now(), frame.symbol, round(book.mark * book.scale.listing.price_unit))

    def _tell(self, frame: Frame) -> None:
        name = self._names.get(frame.stream) or self._names.setdefault(frame.stream, plain(frame.stream))
        streams = self.streams
        streams.tell(name, frame.data)
        head, _, kind = name.partition("@")
        if kind == "bookTicker":
            streams.tell("!bookTicker", frame.data)
        elif kind == "trade" and f"{head}@aggTrade" in streams.wanted:
            streams.tell(f"{head}@aggTrade", aggregate(frame.data))
        elif kind == "depth":
            for n in (5, 10, 20):
                if f"{head}@depth{n}" in streams.wanted and self._turn(f"{head}@depth{n}", 0.1):
                    streams.tell(f"{head}@depth{n}", self._top(frame.symbol, n))

    def _turn(self, name: str, every_s: float) -> bool:
        now = self.wall() / 1e9
        if now - self._told.get(name, 0.0) < every_s:
            return False
        self._told[name] = now
        return True

    def _top(self, symbol: str, n: int) -> bytes:
        book = self.desk.markets.books[symbol]
        bids, asks = book.depth(n)
        if self.desk.spot:
            return encode({"lastUpdateId": book.update_id, "bids": bids, "asks": asks})
        ids = {"U": book.update_id, "u": book.update_id, "pu": book.update_id}
        return encode({"e": "depthUpdate", "E": self.desk.now_ms, "T": book.ts // MS, "s": symbol, **ids, "b": bids, "a": asks})

    async def beat(self) -> None:
        try:
            while True:
                await asyncio.sleep(BEAT_S)
                self.matching.advance(self.now())
                if self._turn("beat", 1.0):
                    self._second()
                self.flush()
        except Exception:
            log.exception("the venue's clock stopped")
            raise

    def _second(self) -> None:
        """Mark prices, tickers and klines, as far as somebody wants them; funding when it is due."""
        now, streams = self.now(), self.streams
        for symbol, book in self.desk.markets.books.items():
            head = symbol.lower()
            if not self.desk.spot and symbol not in self._marked and book.middle:
                book.mark = book.middle / book.scale.listing.price_unit
                self.matching.mark(now, symbol, round(book.middle))
                streams.tell(f"{head}@markPrice", encode(mark_event(book, now)))
            for kind, event in (("ticker", day_event), ("miniTicker", mini_event)):
                if f"{head}@{kind}" in streams.wanted:
                    streams.tell(f"{head}@{kind}", encode(event(book, now // MS)))
            for name in [name for name in streams.wanted if name.startswith(f"{head}@kline_")]:
                interval = name.partition("_")[2]
                for bar in deque(book.bars(seconds_of(interval) or 60), 1):
                    streams.tell(name, encode(kline_event(bar, interval, book.scale, now // MS)))
            if not self.desk.spot and now >= self.funding_at:
                self.matching.funding(now, symbol, book.rate)
        books = self.desk.markets.books.values()
        for name, event in (("!ticker@arr", day_event), ("!miniTicker@arr", mini_event)):
            if name in streams.wanted:
                streams.tell(name, encode([event(book, now // MS) for book in books]))
        if "!markPrice@arr" in streams.wanted and not self.desk.spot:
            streams.tell("!markPrice@arr", encode([mark_event(book, now) for book in books]))
        if now >= self.funding_at:
            self.funding_at = next_funding(now)

    def flush(self) -> None:
        """User data of what has happened since the last time."""
        words: Any = venue_words_spot if self.desk.spot else venue_words_usdm
        for update in self.matching.taken():
            now = self.now()
            if isinstance(update, OrderUpdate):
                event = words.order_event(update, self.scales[update.order.symbol], now)
            else:
                event = words.account_event(update, self.scales, now)
            self.streams.tell_account(event)


def aggregate(trade: bytes) -> bytes:
    """A trade as an aggregate of one."""
    of = msgspec.json.decode(trade, type=dict[str, Any])
    ids = {"a": of["t"], "f": of["t"], "l": of["t"]}
    return encode({"e": "aggTrade"} | {name: of[name] for name in "EspqTm"} | ids)
