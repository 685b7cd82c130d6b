"""A venue's matching and account for one trader: market events and our orders in, what became of them out. No clock, no randomness.

    snapshot, depth, trade, quote, mark, market -> books, queues, triggers
    place, cancel, cancel_all, countdown        -> Placed | VenueOrder | Refusal      taken() -> OrderUpdate, AccountUpdate in order

How orders fill is `kernels.fills_venue` (docs/simulation.md): the market is replayed and does not react to us. What an account adds is
here: filters and error codes, funds and margin, reduce-only, self-trade prevention, conditional orders, countdown, liquidation.
"""

from collections.abc import Mapping
from typing import Literal

import numpy as np

from core.orders import Listing, Status
from kernels import matching_checks as checks
from kernels.fills_queue import LOG, POWER, RISK_AVERSE
from kernels.frames_live import Batch
from kernels.matching_account import FuturesAccount, opened
from kernels.matching_admission import Admission
from kernels.matching_book import MovingBook
from kernels.matching_countdown import Countdowns
from kernels.matching_desk import Desk
from kernels.matching_feed import feed
from kernels.matching_orders import Orders
from kernels.matching_prices import Prices
from kernels.matching_words import AccountUpdate, Money, New, OrderUpdate, Placed, Position, Refusal, VenueFill, VenueOrder, Working

Levels = np.ndarray  # int64 [2, n]: prices, sizes in units
Queue = Literal["pessimistic", "optimistic", "log", "power"]
MODELS = {"pessimistic": RISK_AVERSE, "optimistic": RISK_AVERSE, "log": LOG, "power": POWER}
RATE = 10**8  # of funding


class Matching:
    """One account at one venue. `ts` is the venue's time in ns; one that is earlier than the latest counts as the latest.

    `quote_balance`: whole currency of each quote asset at the start, `base_balances` of other assets (decimal text, int or Decimal). Fees
    are the instruments'. `queue`: `pessimistic` only trades bring an order forward; `log`, `power` also a share of what leaves the level;
    `optimistic` nobody stands ahead. Without `partial` orders fill as a whole. `post_only`: whether a post-only order that would take is
    refused, as at Binance, or accepted and expired. `room`: open orders in the book, a symbol and side. ValueError for listings that
    are not linear, or name no base or quote asset.
    """

    def __init__(
        self,
        listings: Mapping[str, Listing],
        *,
        kind: Literal["spot", "usdm"],
        quote_balance: object = 100_000,
        base_balances: Mapping[str, object] | None = None,
        leverage: int = 1,
        queue: Queue = "pessimistic",
        partial: bool = True,
        post_only: Literal["reject", "expire"] = "reject",
        room: int = 200,
        first_id: int = 1,
    ) -> None:
        self.kind, self.listings, self.now = kind, dict(listings), 0
        self.post_only = post_only
        self.account = opened(kind, self.listings, quote_balance, base_balances or {}, leverage)
        self.decimals, self.scales = self.account.decimals, self.account.scales
        self._futures = self.account if isinstance(self.account, FuturesAccount) else None
        self.books = {
            symbol: MovingBook(listing, model=MODELS[queue], partial=partial, room=room, in_front=queue == "optimistic")
            for symbol, listing in self.listings.items()
        }
        self.orders = Orders(self.listings, first_id)
        self.desk = Desk(self.listings, self.books, self.account, self.orders)
        self.prices = Prices(self.books, self._futures)
        self._admission = Admission(kind, self.desk, self.prices, room)
        self._decimals = {symbol: listing.instrument.price_decimals for symbol, listing in self.listings.items()}
        self._countdowns = Countdowns()

    # the market

    def snapshot(self, ts: int, symbol: str, bids: Levels, asks: Levels, update_id: int = 0) -> None:
        """The whole book, levels [2, n] in units: what it does not have is gone."""
        self.books[symbol].snapshot(self._at(ts), bids, asks, update_id)
        self._seen(symbol)

    def depth(self, ts: int, symbol: str, bids: Levels, asks: Levels, update_id: int = 0) -> None:
        """Levels that changed; size 0 takes one away. With update ids (0: not known) a fresher quote is right about the best prices."""
        self.books[symbol].depth(self._at(ts), bids, asks, update_id)
        self._seen(symbol)

    def trade(self, ts: int, symbol: str, sign: int, price: int, size: int) -> None:
        """A public trade; `sign` is its aggressor's."""
        ts = self._at(ts)
        self.books[symbol].trade(ts, sign, price, size)
        self.prices.last[symbol] = price
        self._seen(symbol)
        if self.desk.waiting[symbol]:
            self.desk.trigger(ts, symbol, Working.CONTRACT, price)
        if self._futures and symbol not in self.prices.told:
            self._liquidate(ts, symbol)

    def quote(self, ts: int, symbol: str, bid: int, bid_size: int, ask: int, ask_size: int, update_id: int = 0) -> None:
        """Best bid and ask, for a market that has no depth (or none this fresh); size 0: a side that is empty."""
        self.books[symbol].quote(self._at(ts), bid, bid_size, ask, ask_size, update_id)
        self._seen(symbol)

    def mark(self, ts: int, symbol: str, price: int) -> None:
        """The mark price, in price units. Until the first one it is the middle of the book."""
        ts = self._at(ts)
        self.prices.mark(symbol, price)
        if self.desk.waiting[symbol]:
            self.desk.trigger(ts, symbol, Working.MARK, price)
        self._liquidate(ts, symbol)

    def funding(self, ts: int, symbol: str, rate: int) -> None:
        """A funding time at the rate `rate` (10^-8 of notional at the mark price): above 0 longs pay, exact to the unit of money."""
        ts = self._at(ts)
        self.prices.refresh(symbol)
        if self._futures and self._futures.held[symbol].size:
            held, scale = self._futures.held[symbol], self.scales[symbol]
            amount = -(held.size * held.mark * scale.notional * rate // RATE)
            self._futures.wallet[scale.quote] += amount
            self._futures.funded[scale.quote] += amount
            self.desk.tell_account(ts, "FUNDING_FEE", symbol, amount)
            self._liquidate(ts, symbol)

    def market(self, batch: Batch, ts: int = 0) -> None:
        """All rows of a decoded batch, each at its own time (a quote on spot has none: at the latest), or at `ts` where that is given.

        Refused rows and symbols that are not listed are left out. Partial books are whole ones. Funding is the caller's to tell.
        """
        feed(self, self._decimals, batch, ts)

    def advance(self, ts: int) -> None:
        """Time passes: countdowns that ran out cancel what is open, each at its own time."""
        while self._countdowns.next <= ts:
            due, symbol = self._countdowns.out()
            self.now = max(self.now, due)
            self.desk.end_all(self.now, symbol, "countdown", conditional=False)
        self.now = max(self.now, ts)

    # orders

    def place(self, ts: int, new: New) -> Placed | Refusal:
        """An order arrives at the venue now."""
        ts = self._at(ts)
        order = self._admission.order(ts, new)
        if isinstance(order, Refusal):
            return order
        told = len(self.desk.updates)
        takes = self._admission.takes(order)
        if takes and self.post_only == "reject":
            return checks.WOULD_TAKE[self.kind]
        self.desk.accept(ts, order, expires=takes)
        fills = (each.fill for each in self.desk.updates[told:] if isinstance(each, OrderUpdate))
        return Placed(order=order.copy(), fills=tuple(fill for fill in fills if fill is not None and fill.venue_id == order.venue_id))

    def cancel(self, ts: int, symbol: str, *, venue_id: int = 0, client_id: str = "") -> VenueOrder | Refusal:
        """Cancel an open order, by the venue's id or by ours."""
        ts = self._at(ts)
        if symbol not in self.listings:
            return checks.NO_SYMBOL
        order = self.orders.found(symbol, venue_id, client_id)
        if order is None or not order.is_open:
            return checks.NOT_CANCELLED
        self.desk.end(ts, order, Status.CANCELLED, "")
        return order.copy()

    def cancel_all(self, ts: int, symbol: str, *, conditional: bool = True) -> list[VenueOrder] | Refusal:
        """Cancel all open orders of a symbol, those that wait for a price too unless not `conditional`. On spot it is refused where there
        are none."""
        ts = self._at(ts)
        if symbol not in self.listings:
            return checks.NO_SYMBOL
        if self.kind == "spot" and not self.orders.open[symbol]:
            return checks.NOT_CANCELLED
        return self.desk.end_all(ts, symbol, "", conditional=conditional)

    def countdown(self, ts: int, symbol: str, ms: int) -> Refusal | None:
        """Cancel all orders of the symbol but those that wait for a price in `ms`, unless called again before; 0 ends the countdown.
        Futures only."""
        ts = self._at(ts)
        if self._futures is None:
            return checks.NOT_ON_SPOT
        if symbol not in self.listings:
            return checks.NO_SYMBOL
        if ms < 0:
            return checks.BAD_COUNTDOWN
        self._countdowns.set(symbol, ts + ms * 1_000_000 if ms else None)
        return None

    def set_leverage(self, ts: int, symbol: str, leverage: int) -> Refusal | None:
        """Futures only; refused beyond the listing's, and where the margin it asks for is not there."""
        self._at(ts)
        if self._futures is None:
            return checks.NOT_ON_SPOT
        if symbol not in self.listings:
            return checks.NO_SYMBOL
        if not 1 <= leverage <= self.listings[symbol].max_leverage:
            return checks.BAD_LEVERAGE
        self.prices.refresh()
        return None if self._futures.lever(symbol, leverage) else checks.NO_MARGIN

    # what is known

    def order(self, symbol: str, *, venue_id: int = 0, client_id: str = "") -> VenueOrder | Refusal:
        """By the venue's id, or the latest by client id."""
        if symbol not in self.listings:
            return checks.NO_SYMBOL
        order = self.orders.found(symbol, venue_id, client_id)
        return checks.NO_ORDER if order is None else order.copy()

    def open_orders(self, symbol: str = "") -> list[VenueOrder]:
        """Of one symbol or of all, oldest first."""
        return [order.copy() for order in self.orders.standing(symbol)]

    def all_orders(self, symbol: str, *, from_id: int = 0, since: int = 0, until: int = 0, limit: int = 500) -> list[VenueOrder]:
        """Oldest first: from a venue id or time (ns) on the first `limit`, else the latest ones."""
        return [o.copy() for o in self.orders.listed(symbol, from_id=from_id, since=since, until=until, limit=limit)]

    def my_trades(
        self, symbol: str, *, from_id: int = 0, since: int = 0, until: int = 0, venue_id: int = 0, limit: int = 500
    ) -> list[VenueFill]:
        """Our fills, oldest first: from a trade id or time (ns) on the first `limit`, else the latest ones."""
        return self.orders.traded(symbol, from_id=from_id, since=since, until=until, venue_id=venue_id, limit=limit)

    def balances(self) -> list[Money]:
        self.prices.refresh()
        return self.account.balances()

    def positions(self) -> list[Position]:
        """Of every symbol of a futures venue, also where nothing is held; none on spot."""
        self.prices.refresh()
        return [self._futures.position(symbol) for symbol in self.listings] if self._futures else []

    def top(self, symbol: str) -> tuple[int, int, int, int]:
        """Best bid, its size, best ask, its size, in units; 0 where a side is empty."""
        return self.books[symbol].top()

    def last_price(self, symbol: str) -> int:
        """Of the last public trade, 0 before the first."""
        return self.prices.last[symbol]

    def mark_price(self, symbol: str) -> int:
        return self.prices.marked(symbol)

    def taken(self) -> list[OrderUpdate | AccountUpdate]:
        """What happened since the last call, in order."""
        updates, self.desk.updates = self.desk.updates, []
        return updates

    # inside

    def _at(self, ts: int) -> int:
        if ts >= self._countdowns.next:
            self.advance(ts)
        elif ts > self.now:
            self.now = ts
        return self.now

    def _seen(self, symbol: str) -> None:
        if self.books[symbol].reported:
            self.prices.refresh(symbol)
            self.desk.settle(symbol)

    def _liquidate(self, ts: int, symbol: str) -> None:
        if self._futures and self._futures.held[symbol].size:
            self.prices.refresh(symbol)
            self.desk.liquidate(ts, self.scales[symbol].quote)
