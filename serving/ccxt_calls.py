"""Calls of ccxt: what its errors say of an order (refused, or nobody knows), and which of our orders its rows are of."""

import logging
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import ccxt

from core.orders import Fill, Listing, Standing
from serving import ccxt_words as words
from serving.answers import unanswered
from serving.exchange import Answer, ExchangeError

log = logging.getLogger(__name__)
T = TypeVar("T")
UNKNOWN_ORDER = -2011
KEPT = 50_000  # ids remembered
NO_CODE = -1  # refused, and ccxt does not say with which code
CODES = {ccxt.InsufficientFunds: -2010, ccxt.OrderImmediatelyFillable: -2010, ccxt.OrderNotFound: UNKNOWN_ORDER}  # then: Binance's
NEVER = (ccxt.RateLimitExceeded, ccxt.DDoSProtection, ccxt.InvalidNonce)  # of the network's errors, those that are plain refusals


class Calls:
    """One ccxt object. `listings` and `unified` (ccxt's symbol of ours) are set once they are known."""

    def __init__(self, exchange: Any, clock: Callable[[], int]) -> None:
        self.exchange, self.clock = exchange, clock
        self.listings: dict[str, Listing] = {}
        self.unified: dict[str, str] = {}
        self.ours: dict[str, str] = {}  # our order id, by the venue's
        self.theirs: dict[str, str] = {}

    async def query(self, asked: Awaitable[T], what: str) -> T:
        try:
            return await asked
        except ccxt.BaseError as error:
            raise ExchangeError(f"{what}: {error}") from error

    async def asked(self, asked: Awaitable[Any]) -> Any:
        """What an order or a cancel is answered, or the `Answer` where it is refused or nobody knows."""
        try:
            return await asked
        except ccxt.BaseError as error:
            sure = isinstance(error, (*NEVER, ccxt.ExchangeError)) and not isinstance(error, ccxt.DuplicateOrderId)
            if not sure:
                return unanswered(str(error))
            code = next((code for kind, code in CODES.items() if isinstance(error, kind)), NO_CODE)
            return Answer(known=True, code=words.code_of(str(error)) or code, reason=str(error))

    async def find(self, symbol: str, order_id: str) -> Any:
        """An order by our id: among those open, then among the last ones. Raises `ExchangeError`."""
        unified = self.unified[symbol]
        if (venue_id := self.theirs.get(order_id)) is not None:
            try:
                return await self.exchange.fetch_order(venue_id, unified)
            except ccxt.OrderNotFound:
                return None
            except ccxt.BaseError as error:
                raise ExchangeError(f"order {order_id}: {error}") from error
        kinds = ["fetch_open_orders", *(["fetch_orders"] if self.exchange.has.get("fetchOrders") else ["fetch_closed_orders"])]
        for kind in kinds:
            for one in await self.query(getattr(self.exchange, kind)(unified), f"order {order_id}"):
                if one.get("clientOrderId") == order_id:
                    self.name(str(one["id"]), order_id)
                    return one
        return None

    async def fill(self, trade: Any, symbol: str) -> Fill:
        venue_id = str(trade.get("order") or "")
        if venue_id and venue_id not in self.ours:
            try:
                self.standing(await self.exchange.fetch_order(venue_id, self.unified[symbol]), symbol)
            except ccxt.BaseError as error:
                log.warning("the order of fill %s of %s is not known: %s", trade["id"], symbol, error)
        return words.fill(trade, self.listings[symbol], self.ours.get(venue_id) or f"venue-{venue_id}", self.clock())

    def symbol_of(self, row: Any) -> str | None:
        return next((symbol for symbol, unified in self.unified.items() if unified == row.get("symbol")), None)

    def standing(self, order: Any, symbol: str) -> Standing:
        standing = words.standing(order, self.listings[symbol], self.ours.get(str(order["id"]), ""), self.clock())
        self.name(str(order["id"]), standing.order_id)
        return standing

    def name(self, venue_id: str, order_id: str) -> None:
        self.ours[venue_id], self.theirs[order_id] = order_id, venue_id
        for kept in (self.ours, self.theirs):
            if len(kept) > KEPT:
                for key in list(kept)[: KEPT // 2]:
                    del kept[key]
