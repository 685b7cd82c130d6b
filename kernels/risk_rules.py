"""The rules of risk, in the order they are asked: what an order is, when it is, what it is held against, what it would add up to.

Each returns why not (code, detail), or None. Every comparison is written so that nan refuses.
"""

import re
from math import isfinite
from typing import NamedTuple

from core.events import Mode
from core.market import NS, Side
from core.orders import Kind, Listing, Order, Purpose, Tif
from kernels import risk_account, risk_orders
from kernels.holdings import Holdings, equity_now
from kernels.positions import Position
from kernels.risk_exposure import worst, worst_sizes
from kernels.risk_limits import BACK_NS, Code, Limits, Quote, Refusal
from kernels.risk_orders import Committed, OpenOrders

ORDER_ID = re.compile(r"[.A-Z:/a-z0-9_-]{1,36}")


class Case(NamedTuple):
    """What is judged, and all that it is judged by."""

    order: Order
    orders: OpenOrders
    holdings: Holdings
    quote: Quote
    limits: Limits
    now: int
    trusted: bool
    mode: Mode


def refusal(case: Case) -> Refusal | None:
    """The first rule that says no; None where all agree."""
    order, orders, limits = case.order, case.orders, case.limits
    if not isfinite(sum(limits)):
        return Code.NOT_A_NUMBER, f"a limit is not a number: {limits}"
    position = case.holdings.positions.get(order.symbol)
    if position is None:
        return Code.UNLISTED, f"{order.symbol} is not listed here"
    no = _shape(order, position) or _time(case)
    if no:
        return no
    reducing = reduces(order, position, orders)
    no = _mode(case, reducing) or _against_quote(case, position) or _against_position(order, position, orders)
    no = no or _against_orders(case)
    if no or reducing:
        return no
    if orders.unknown.get(order.symbol):
        return Code.UNKNOWN_ORDER, f"an order of {order.symbol} is UNKNOWN"
    equity = equity_now(case.holdings)
    return risk_account.standing(case.holdings, equity, limits, case.now) or _added_up(case, position, equity)


def _shape(order: Order, position: Position) -> Refusal | None:
    listing = position.listing
    if listing.status != "TRADING":
        return Code.NOT_TRADING, f"{order.symbol} is {listing.status}"
    if not ORDER_ID.fullmatch(order.order_id):
        return Code.ORDER_ID, f"{order.order_id!r} is not an order id: 1 to 36 of A-Z a-z 0-9 . : / _ -"
    if type(order.size) is not int or not max(1, listing.min_size) <= order.size <= listing.max_size:
        return Code.SIZE, f"size {order.size} is not a whole number from {listing.min_size} to {listing.max_size}"
    if order.size % listing.lot:
        return Code.LOT, f"size {order.size} is not a multiple of the lot, {listing.lot}"
    if type(order.kind) is not Kind or type(order.tif) is not Tif or type(order.side) is not Side:
        return Code.KIND, f"{order.side!r} {order.kind!r} {order.tif!r} is no kind of order"
    if order.kind is Kind.STOP:
        return _stop_shape(order, listing)
    if order.kind is Kind.MARKET:
        if order.tif is Tif.GTX:
            return Code.KIND, "a market order cannot be post only"
        return None if order.price == 0 else (Code.PRICE, f"a market order has no price: {order.price}")
    if type(order.price) is not int or order.price <= 0:
        return Code.PRICE, f"price {order.price} is not a whole number above 0"
    if order.price % listing.tick:
        return Code.TICK, f"price {order.price} is not a multiple of the tick, {listing.tick}"
    return None


def _stop_shape(order: Order, listing: Listing) -> Refusal | None:
    """A stop at the venue closes a futures position at the market, and can do nothing else."""
    if listing.spot or not order.reduce_only or order.tif is not Tif.GTC:
        return Code.KIND, "a stop at the venue is reduce-only, on futures, and stands until it is cancelled"
    if order.price != 0 or type(order.stop_price) is not int or order.stop_price <= 0:
        return Code.PRICE, f"a stop has no price ({order.price}) and a stop price above 0 ({order.stop_price})"
    if order.stop_price % listing.tick:
        return Code.TICK, f"stop price {order.stop_price} is not a multiple of the tick, {listing.tick}"
    return None


def _time(case: Case) -> Refusal | None:
    if not case.trusted:
        return Code.CLOCK_JUMP, "the clock jumped a moment ago"
    if not abs(case.now - case.order.ts) <= case.limits.max_clock_jump_s * NS:
        return Code.CLOCK_JUMP, f"the order was decided {(case.now - case.order.ts) / NS:.3f} s before now"
    return None


def side_of(order: Order, orders: OpenOrders, adding: bool) -> tuple[Committed, Committed]:
    """What may still fill of each side (buys, sells), with the order itself where `adding`."""
    buys, sells = orders.committed.get(order.symbol, risk_orders.NOTHING)
    if not adding:
        return buys, sells
    own = buys if order.side is Side.BUY else sells
    free, reducing = (0, order.size) if order.reduce_only else (order.size, 0)
    own = Committed(free=own.free + free, reducing=own.reducing + reducing, highest=max(own.highest, order.price))
    return (own, sells) if order.side is Side.BUY else (buys, own)


def reduces(order: Order, position: Position, orders: OpenOrders) -> bool:
    """Whether an order can only make the position smaller, in whatever order it and the open ones fill."""
    if position.size * order.side.sign >= 0 or order.size > abs(position.size):
        return False
    spot = position.spot
    before = worst_sizes(position.size, *side_of(order, orders, False), spot)
    after = worst_sizes(position.size, *side_of(order, orders, True), spot)
    if order.side is Side.SELL:
        return after[1] >= 0 or (after[1] == before[1] and not spot)
    return after[0] <= 0 or (after[0] == before[0] and not spot)


def _mode(case: Case, reducing: bool) -> Refusal | None:
    if case.mode is Mode.ACTIVE:
        return None
    if case.mode is Mode.REDUCING:
        return None if reducing else (Code.MODE_REDUCING, "only what makes a position smaller is sent")
    if case.mode is Mode.HALTED and reducing and case.order.purpose is Purpose.FLATTEN:
        return None
    return Code.MODE_HALTED, "trading is halted"


def _against_quote(case: Case, position: Position) -> Refusal | None:
    order, quote, limits, listing = case.order, case.quote, case.limits, position.listing
    if not 0 < quote.bid < quote.ask:
        return Code.QUOTE_UNKNOWN, f"bid {quote.bid}, ask {quote.ask}"
    age = case.now - quote.ts
    if not -BACK_NS <= age <= limits.max_quote_age_s * NS:
        return Code.QUOTE_STALE, f"the quote is {age / NS:.3f} s old, {limits.max_quote_age_s} allowed"
    if order.kind is Kind.STOP:
        waits = order.stop_price < quote.bid if order.side is Side.SELL else order.stop_price > quote.ask
        return None if waits else (Code.PRICE, f"a stop at {order.stop_price} would go off at once: bid {quote.bid}, ask {quote.ask}")
    mid = (quote.bid + quote.ask) / 2
    band = min(limits.price_band, listing.band)
    price = order.price if order.kind is Kind.LIMIT else (quote.ask if order.side is Side.BUY else quote.bid)
    if not abs(price - mid) <= band * mid:
        return Code.PRICE_BAND, f"price {price} is {abs(price / mid - 1):.4f} from the middle {mid}, {band} allowed"
    notional = order.size * min(price, mid) / position.per_unit
    if not notional >= listing.min_notional and (listing.spot or not order.reduce_only):
        return Code.MIN_NOTIONAL, f"{notional:.2f} is less than the venue's {listing.min_notional}"
    return None


def _against_position(order: Order, position: Position, orders: OpenOrders) -> Refusal | None:
    if order.reduce_only and (position.size * order.side.sign >= 0 or order.size > abs(position.size)):
        return Code.NOT_REDUCING, f"{order.side} {order.size} does not reduce a position of {position.size}"
    if position.spot and order.side is Side.SELL:
        least = worst_sizes(position.size, *side_of(order, orders, True), True)[1]
        if least < 0:
            return Code.SPOT_SHORT, f"{-least} more would be sold than the {position.size} held"
    return None


def _against_orders(case: Case) -> Refusal | None:
    order, orders, limits, now = case.order, case.orders, case.limits, case.now
    if order.order_id in orders.by_id:
        return Code.DUPLICATE_ID, f"{order.order_id} is open"
    wish = risk_orders.intent(order)
    last = orders.intents.get(wish)
    if last is not None and limits.duplicate_s > 0 and not now - last >= limits.duplicate_s * NS:
        return Code.DUPLICATE_INTENT, f"the same was sent {(now - last) / NS:.3f} s ago"
    of = orders.of.get(order.symbol, {})
    for row in of.values():
        if row.order.side is not order.side:
            if _would_meet(case, row.order):
                return Code.SELF_TRADE, f"it would meet our own {row.order.order_id} at {row.order.price}"
        elif risk_orders.intent(row.order) == wish:
            return Code.DUPLICATE_INTENT, f"the same is open as {row.order.order_id}"
    recent = sum(1 for ts in orders.sent if now - ts < NS)
    if not recent < limits.max_orders_per_s:
        return Code.ORDER_RATE, f"{recent} orders in the last second, {limits.max_orders_per_s} allowed"
    if not len(of) < limits.max_open_orders:
        return Code.OPEN_ORDERS, f"{len(of)} orders of {order.symbol} are open, {limits.max_open_orders} allowed"
    return None


def _would_meet(case: Case, resting: Order) -> bool:
    """Whether the order could trade with an own one; a market order as far as the price band."""
    order = case.order
    if resting.kind is not Kind.LIMIT or order.kind is Kind.STOP:
        return False  # they stand in no book
    price = order.price
    if order.kind is Kind.MARKET:
        price = (case.quote.bid + case.quote.ask) / 2 * (1 + case.limits.price_band * order.side.sign)
    return (price - resting.price) * order.side.sign >= 0


def _added_up(case: Case, position: Position, equity: float) -> Refusal | None:
    """The order, and what everything would come to with it. A market order is valued at the far end of the price band."""
    order, quote, limits = case.order, case.quote, case.limits
    mid = (quote.bid + quote.ask) / 2
    if order.kind is Kind.MARKET:
        mid *= 1 + limits.price_band
    notional = order.size * max(order.price, mid) / position.per_unit
    if not notional <= limits.max_order:
        return Code.ORDER_NOTIONAL, f"{notional:.2f} in one order, {limits.max_order} allowed"
    of = worst(position, *side_of(order, case.orders, True), mid)
    return risk_account.beyond(case.holdings, case.orders, limits, {order.symbol: of}, equity, 1.0) or risk_account.near(
        position, mid, limits
    )
