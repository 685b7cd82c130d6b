"""Trading on paper: the market of a real exchange, and an account in this process that nobody's money is in.

    source.feed -> frames -> matching, then the worker;   orders -> entry latency -> matching -> response latency -> answers, user data

What the venue sees it sees when we do: the entry latency is what an order needs there beyond what frames need to us. An order that rests
is behind all who were there, and fills when the market comes to it (`kernels.matching`). The account goes on after a restart by the
ledger's fills, which are all that the worker ever knew of it; orders that stood when the process ended are over.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from msgspec.structs import replace

from core.events import Approved
from core.orders import Balance, Fill, Held, Listing, Order, Standing
from kernels.frames_live import Batch, Live
from kernels.frames_live_scan import ASK_SIZE, ASKS, BIDS, DIFF, ID, KIND, MARK, N_ASKS, N_BIDS, SYMBOL
from serving.answers import NOT_SENT, refused
from serving.exchange import AccountEvent, Answer, Exchange, ExchangeError, Frames, Whole
from serving.matched import Matched
from serving.paper_account import Past, Terms, begun, charged
from serving.snapshots import snapshot_of

MS = 1_000_000
LATER = 2_000  # diffs kept while a snapshot is on its way


class Diff(NamedTuple):
    """A change of a book that came while its snapshot was on the way."""

    ts: int
    update_id: int
    bids: np.ndarray
    asks: np.ndarray


class Paper:
    """`source`: whose market it is; it needs no keys. `past` is asked once, at the first question about the account: a worker holds its
    lease by then. `clock`: ns."""

    def __init__(self, source: Exchange, terms: Terms, clock: Callable[[], int], past: Callable[[], Past] = Past) -> None:
        self.source, self.terms, self.clock, self.past = source, terms, clock, past
        self.venue = source.venue
        self.left: dict[str, Standing] = {}  # orders of the process before this one
        self._at: Matched | None = None
        self._live: Live | None = None
        self._told: Callable[[AccountEvent], None] = lambda event: None
        self._later: dict[str, deque[Diff]] = {}
        self._funding: dict[str, int] = {}  # when it is paid next
        self._listings: dict[str, Listing] = {}

    @property
    def clock_offset_ns(self) -> int:
        return self.source.clock_offset_ns

    async def open(self) -> dict[str, Listing]:
        listed = await self.source.open()
        if odd := [s for s, of in listed.items() if of.instrument.inverse or of.instrument.contract_multiplier != 1]:
            raise ExchangeError(f"only linear contracts of one unit can be traded on paper, and not {', '.join(odd[:8])}: name the symbols")
        if len({of.spot for of in listed.values()}) > 1:
            raise ExchangeError("spot and futures of one account cannot be traded on paper together: name the symbols of one")
        self._listings = {symbol: charged(of, self.terms) for symbol, of in listed.items()}
        scales = {s: (of.instrument.price_decimals, of.instrument.size_decimals) for s, of in listed.items()}
        self._live = Live(scales, keep_unknown_fields=True)
        return dict(self._listings)

    async def close(self) -> None:
        await self.source.close()

    @property
    def account_of(self) -> Matched:
        """The account, begun with the first question about it."""
        if self._at is None:
            if not self._listings:
                raise ExchangeError("there is no account before the exchange is open")
            self._at, self.left = begun(self._listings, self.terms, self.past(), self.clock)
        return self._at

    # The market

    async def snapshot(self, symbol: str) -> Whole:
        later = self._later[symbol] = deque(maxlen=LATER)
        try:
            whole = await self.source.snapshot(symbol)
        finally:
            if self._later.get(symbol) is later:
                del self._later[symbol]
        told, matching = snapshot_of(whole, self._listings[symbol]), self.account_of.matching
        bids, asks = (np.array(side, np.int64).reshape(-1, 2).T.copy() for side in (told.bids, told.asks))
        matching.snapshot(self.clock(), symbol, bids, asks, told.update_id)
        for diff in later:
            if diff.update_id > told.update_id:
                matching.depth(diff.ts, symbol, diff.bids, diff.asks, diff.update_id)
        self._tell()
        return whole

    async def feed(self, symbols: Sequence[str], told: Frames, linked: Callable[[bool, str], None]) -> None:
        """The source's, seen by the account first."""

        def seen(payloads: Sequence[bytes], ts_recv: int) -> None:
            self._seen(payloads, ts_recv)
            told(payloads, ts_recv)

        await self.source.feed(symbols, seen, linked)

    def _seen(self, payloads: Sequence[bytes], ts_recv: int) -> None:
        matching = self.account_of.matching
        assert self._live is not None
        batch = self._live.decode(payloads, ts_recv)
        if self._later:
            self._keep(batch, ts_recv)
        matching.market(batch, ts_recv)
        for row in batch.rows[batch.rows[:, KIND] == MARK].tolist():
            self._funded(batch.symbols[row[SYMBOL]], row[ASK_SIZE], row[ID], ts_recv)
        self._tell()

    def _keep(self, batch: Batch, ts_recv: int) -> None:
        for row in batch.rows[batch.rows[:, KIND] == DIFF].tolist():
            if (later := self._later.get(batch.symbols[row[SYMBOL]])) is not None:
                bids, asks = (
                    batch.levels[:, row[at] : row[at] + row[n]].copy() for at, n in ((BIDS, N_BIDS), (ASKS, N_ASKS))
                )  # fmt: skip
                later.append(Diff(ts_recv, row[ID], bids, asks))

    def _funded(self, symbol: str, rate: int, next_at: int, ts_recv: int) -> None:
        """Funding is paid when the time that was announced has come, at the rate announced last."""
        due = self._funding.get(symbol, 0)
        if due and next_at > due:
            self.account_of.matching.funding(ts_recv, symbol, rate)
        if next_at:
            self._funding[symbol] = next_at

    # Orders

    def rehearse(self, order: Order) -> None:
        """Nothing here is slow for having rested."""

    async def send(self, approved: Approved) -> Answer:
        await asyncio.sleep(self.terms.order_ms / 1_000)
        order, matching = approved.order, self.account_of.matching
        if not any(matching.top(order.symbol)):
            await self._back()
            return refused(order, NOT_SENT, f"nothing was heard of {order.symbol} yet", self.clock())
        placed = self.account_of.place(self.clock(), order)
        self._tell()
        await self._back()
        return self.account_of.answer(order, placed)

    async def cancel(self, symbol: str, order_id: str) -> Answer:
        await asyncio.sleep(self.terms.order_ms / 1_000)
        found = self.account_of.matching.cancel(self.clock(), symbol, client_id=order_id)
        self._tell()
        await self._back()
        return self.account_of.gone(found)

    async def cancel_all(self, symbols: Sequence[str], *, stops: bool = True) -> Answer:
        await asyncio.sleep(self.terms.order_ms / 1_000)
        for symbol in symbols:
            self.account_of.matching.cancel_all(self.clock(), symbol, conditional=stops)
        self._tell()
        await self._back()
        return Answer(known=True)

    async def dead_man(self, symbols: Sequence[str], seconds: float) -> bool:
        """Always False: an account in our own process does not outlive us."""
        return False

    async def _back(self) -> None:
        await asyncio.sleep(self.terms.response_ms / 1_000)

    # User data

    async def account(self, told: Callable[[AccountEvent], None], linked: Callable[[bool, str], None]) -> None:
        self._told = told
        linked(True, "")
        await asyncio.Event().wait()

    def _tell(self) -> None:
        """What happened at the venue is heard a response later."""
        if not self.account_of.matching.desk.updates:
            return
        later = asyncio.get_running_loop().call_later
        for event in self.account_of.events():
            later(self.terms.response_ms / 1_000, self._deliver, event)

    def _deliver(self, event: AccountEvent) -> None:
        now = self.clock()
        standing, fill = event.standing, event.fill
        self._told(
            replace(
                event,
                standing=replace(standing, ts_recv=now) if standing is not None else None,
                fill=replace(fill, ts_recv=now) if fill is not None else None,
            )
        )

    # Queries

    async def order(self, symbol: str, order_id: str) -> Standing | None:
        await asyncio.sleep(self.terms.order_ms / 1_000)
        found = self.account_of.order(symbol, order_id) or self.left.get(order_id)
        await self._back()
        return found

    async def open_orders(self, symbols: Sequence[str]) -> list[Standing]:
        await asyncio.sleep(self.terms.order_ms / 1_000)
        found = self.account_of.open_orders(symbols)
        await self._back()
        return found

    async def fills(self, symbol: str, *, from_id: int = 0, since: int = 0) -> list[Fill]:
        await asyncio.sleep(self.terms.order_ms / 1_000)
        found = self.account_of.fills(symbol, from_id, since)
        await self._back()
        return found

    async def held(self) -> tuple[list[Held], list[Balance]]:
        await asyncio.sleep(self.terms.order_ms / 1_000)
        found = self.account_of.held()
        await self._back()
        return found
