"""A venue in the same process, under a virtual clock: frames of a tape, orders into `kernels.matching`, latencies, and faults by chance.

It is an `Exchange` like any other, so the worker that trades on it is the real one. The venue sees a frame `feed_ns` before we do.
"""

import asyncio
import random
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import msgspec
import numpy as np
from msgspec import Struct

from core.events import Approved
from core.market import Side
from core.orders import Balance, Fill, Held, Listing, Order, Standing
from kernels.frames_live import Live
from kernels.matching import Matching
from kernels.matching_words import New
from serving.answers import refused
from serving.exchange import AccountEvent, Answer, ExchangeError, Frames, Whole
from serving.matched import Matched
from serving.snapshots import snapshot_of
from serving.venue_market import Markets
from serving.venue_words import Scale
from serving.virtual import VirtualLoop

SNAPSHOT = b'{"lastUpdateId"'


class Frame(NamedTuple):
    """What was received at one time: a payload, or a snapshot of the whole book."""

    ts_recv: int
    payload: bytes


class Latency(Struct, frozen=True, kw_only=True):
    """In ns. `jitter`: up to so much more, evenly, where there is chance."""

    feed: int = 1_000_000
    entry: int = 1_000_000
    response: int = 1_000_000
    jitter: int = 0


class Faults(Struct, frozen=True, kw_only=True):
    """How often each goes wrong, as a share of its occasions; seconds where it lasts."""

    lost_answer: float = 0.0  # the order was accepted, the answer never comes
    lost_request: float = 0.0  # it never arrived
    lost_event: float = 0.0  # user data that never comes
    twice: float = 0.0  # user data told twice
    late: float = 0.0  # user data delayed by up to `late_s`
    late_s: float = 3.0
    refused: float = 0.0  # orders rejected for no reason of ours
    failed: float = 0.0  # queries that fail
    gap: float = 0.0  # frames that get lost
    disconnect: float = 0.0  # of the market feed, a frame; of user data, an event
    away_s: float = 2.0
    foreign: float = 0.0  # orders placed on our account by someone else, a second


class Simulated:
    """One account on `matching`. `tape`: frames in order of receipt. Without faults there is no chance."""

    def __init__(
        self,
        matching: Matching,
        tape: Iterable[Frame],
        loop: VirtualLoop,
        *,
        venue: str,
        latency: Latency | None = None,
        faults: Faults | None = None,
        chance: random.Random | None = None,
    ) -> None:
        self.venue, self.clock_offset_ns = venue, 0
        self.matching, self.loop, self.account_of = matching, loop, Matched(matching, loop.clock)
        self.latency, self.faults, self.chance = latency or Latency(), faults or Faults(), chance or random.Random(0)
        listings = matching.listings
        self.live = Live(
            {s: (of.instrument.price_decimals, of.instrument.size_decimals) for s, of in listings.items()}, keep_unknown_fields=True
        )
        self.tape = iter(tape)
        self.ended = asyncio.Event()  # the tape is over
        self.told_account: Callable[[AccountEvent], None] | None = None
        self.linked_account: Callable[[bool, str], None] | None = None
        self.away_until = {"market": 0, "account": 0}
        self.n_frames = self.n_lost = 0
        self.counts: dict[str, int] = {}
        self._next: Frame | None = next(self.tape, None)
        self._ahead: deque[tuple[int, bytes]] = deque()  # the venue saw them, we did not yet
        self.markets = Markets(
            {s: Scale(of, (of.instrument.price_decimals, of.instrument.size_decimals), matching.decimals) for s, of in listings.items()}
        )

    # chance

    def _happens(self, what: str) -> bool:
        share = getattr(self.faults, what)
        if share <= 0 or self.chance.random() >= share:
            return False
        self.counts[what] = self.counts.get(what, 0) + 1
        return True

    async def _takes(self, ns: int) -> None:
        await asyncio.sleep((ns + (self.chance.randrange(self.latency.jitter) if self.latency.jitter else 0)) / 1e9)

    # the market

    async def open(self) -> dict[str, Listing]:
        return dict(self.matching.listings)

    async def close(self) -> None:
        """Nothing is held open."""

    def _venue_sees(self, until: int) -> None:
        """Let the venue's own time go on to `until`."""
        while self._next is not None and self._next.ts_recv - self.latency.feed <= until:
            frame, self._next = self._next, next(self.tape, None)
            at = frame.ts_recv - self.latency.feed
            batch = self.live.decode((frame.payload,), frame.ts_recv)
            if batch.refused and frame.payload.startswith(SNAPSHOT):
                self._whole(frame, at)
            else:
                self.markets.take(batch)
                self.matching.market(batch, at)
                self._ahead.append((frame.ts_recv, frame.payload))
            if self.matching.desk.updates:
                self._tell(at)
        self.matching.advance(until)
        if self.matching.desk.updates:
            self._tell(until)

    def _whole(self, frame: Frame, at: int) -> None:
        """A snapshot on the tape, of the one symbol there is: a recording holds one symbol's frames."""
        symbol = next(iter(self.matching.listings))
        told = snapshot_of(Whole(symbol=symbol, text=frame.payload, ts_recv=frame.ts_recv), self.matching.listings[symbol])
        bids, asks = (np.array(side, np.int64).reshape(-1, 2).T.copy() for side in (told.bids, told.asks))
        self.markets.books[symbol].begin(bids.tolist(), asks.tolist(), told.update_id)
        self.matching.snapshot(at, symbol, bids, asks, told.update_id)

    async def snapshot(self, symbol: str) -> Whole:
        await self._takes(self.latency.entry)
        self._venue_sees(self.loop.clock())
        if self._happens("failed"):
            raise ExchangeError("no snapshot just now")
        book = self.markets.books[symbol]
        if not book.whole:
            await self._takes(100_000_000)
            raise ExchangeError(f"there is no book of {symbol} yet")
        bids, asks = book.depth(1_000)
        text = msgspec.json.encode({"lastUpdateId": book.update_id, "bids": bids, "asks": asks})
        await self._takes(self.latency.response)
        return Whole(symbol=symbol, text=text, ts_recv=self.loop.clock())

    async def feed(self, symbols: Sequence[str], told: Frames, linked: Callable[[bool, str], None]) -> None:
        linked(True, "")
        loop, away = self.loop, self.away_until
        while self._next is not None or self._ahead:
            if not self._ahead:
                assert self._next is not None
                await self._until(self._next.ts_recv - self.latency.feed)  # an order may reach the venue before its next event
                self._venue_sees(loop.clock())
                continue
            ts_recv, payload = self._ahead.popleft()
            await self._until(ts_recv)
            self.n_frames += 1
            if away["market"] > loop.clock():
                self.n_lost += 1
                continue
            if away["market"]:
                away["market"] = 0
                linked(True, "")
            if self._happens("disconnect"):
                away["market"] = loop.clock() + round(self.faults.away_s * 1e9)
                linked(False, "the line was cut")
                continue
            if self._happens("gap"):
                continue
            if self.faults.foreign and self._happens("foreign"):
                self._trade_elsewhere(symbols)
            told((payload,), loop.clock())
            await asyncio.sleep(0)
        self.ended.set()
        await asyncio.Event().wait()  # a feed does not end

    async def _until(self, ts: int) -> None:
        if ts > self.loop.clock():
            if self.loop.next_due() > ts:
                self.loop.pass_to(ts)
            else:
                await asyncio.sleep(self.loop.until(ts))

    def _trade_elsewhere(self, symbols: Sequence[str]) -> None:
        """Somebody places an order on our account by hand."""
        symbol = self.chance.choice(list(symbols))
        bid, _, ask, _ = self.matching.top(symbol)
        if bid and ask:
            listing = self.matching.listings[symbol]
            far = bid - 50 * listing.tick
            new = New(client_id=f"web_{self.n_frames}", symbol=symbol, side=Side.BUY, price=far, size=max(listing.lot, listing.min_size))
            self.matching.place(self.loop.clock(), new)

    # orders

    def rehearse(self, order: Order) -> None:
        """Nothing here is slow for having rested."""

    async def send(self, approved: Approved) -> Answer:
        order = approved.order
        await self._takes(self.latency.entry)
        if self._happens("lost_request"):
            await asyncio.sleep(3600)
        now = self.loop.clock()
        self._venue_sees(now)
        if self._happens("refused"):
            await self._takes(self.latency.response)
            return refused(order, -1008, "Server is currently overloaded with other requests.", self.loop.clock())
        placed = self.account_of.place(now, order)
        self._tell(now)
        if self._happens("lost_answer"):
            await asyncio.sleep(3600)
        await self._takes(self.latency.response)
        return self.account_of.answer(order, placed)

    async def cancel(self, symbol: str, order_id: str) -> Answer:
        await self._takes(self.latency.entry)
        if self._happens("lost_request"):
            await asyncio.sleep(3600)
        now = self.loop.clock()
        self._venue_sees(now)
        found = self.matching.cancel(now, symbol, client_id=order_id)
        self._tell(now)
        if self._happens("lost_answer"):
            await asyncio.sleep(3600)
        await self._takes(self.latency.response)
        return self.account_of.gone(found)

    async def cancel_all(self, symbols: Sequence[str], *, stops: bool = True) -> Answer:
        await self._takes(self.latency.entry)
        now = self.loop.clock()
        self._venue_sees(now)
        for symbol in symbols:
            self.matching.cancel_all(now, symbol, conditional=stops)
        self._tell(now)
        if self._happens("lost_answer"):
            await asyncio.sleep(3600)
        await self._takes(self.latency.response)
        return Answer(known=True)

    async def dead_man(self, symbols: Sequence[str], seconds: float) -> bool:
        await self._takes(self.latency.entry)
        now = self.loop.clock()
        self._venue_sees(now)
        return all(self.matching.countdown(now, symbol, round(seconds * 1000)) is None for symbol in symbols)

    # user data

    async def account(self, told: Callable[[AccountEvent], None], linked: Callable[[bool, str], None]) -> None:
        self.told_account, self.linked_account = told, linked
        linked(True, "")
        await asyncio.Event().wait()

    def _tell(self, at: int) -> None:
        """What happened at the venue at `at` reaches us a response later."""
        for event in self.account_of.events():
            if self._happens("disconnect"):
                self.away_until["account"] = self.loop.clock() + round(self.faults.away_s * 1e9)
                if self.linked_account is not None:
                    self.linked_account(False, "the line was cut")
                    self.loop.call_later(self.faults.away_s, self._account_back)
            if self._happens("lost_event"):
                continue
            for _ in range(2 if self._happens("twice") else 1):
                late = self.chance.random() * self.faults.late_s if self._happens("late") else 0.0
                due = at + self.latency.response + round(late * 1e9)
                self.loop.call_later(self.loop.until(due), self._deliver, event)

    def _account_back(self) -> None:
        if self.linked_account is not None:
            self.linked_account(True, "")

    def _deliver(self, event: AccountEvent) -> None:
        now = self.loop.clock()
        if self.told_account is not None and now >= self.away_until["account"]:
            standing = None if event.standing is None else msgspec.structs.replace(event.standing, ts_recv=now)
            fill = None if event.fill is None else msgspec.structs.replace(event.fill, ts_recv=now)
            self.told_account(AccountEvent(standing=standing, fill=fill, funding=event.funding))

    # queries

    async def _query(self) -> None:
        await self._takes(self.latency.entry)
        self._venue_sees(self.loop.clock())
        if self._happens("failed"):
            await self._takes(self.latency.response)
            raise ExchangeError("the venue does not answer just now")

    async def order(self, symbol: str, order_id: str) -> Standing | None:
        await self._query()
        found = self.account_of.order(symbol, order_id)
        await self._takes(self.latency.response)
        return found

    async def open_orders(self, symbols: Sequence[str]) -> list[Standing]:
        await self._query()
        found = self.account_of.open_orders(symbols)
        await self._takes(self.latency.response)
        return found

    async def fills(self, symbol: str, *, from_id: int = 0, since: int = 0) -> list[Fill]:
        await self._query()
        found = self.account_of.fills(symbol, from_id, since)
        await self._takes(self.latency.response)
        return found

    async def held(self) -> tuple[list[Held], list[Balance]]:
        await self._query()
        found = self.account_of.held()
        await self._takes(self.latency.response)
        return found
