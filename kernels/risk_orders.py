"""The orders of ours that may still fill, counted as risk counts them: live, sent, intended and `UNKNOWN` ones alike."""

from collections import deque
from collections.abc import Iterable
from typing import NamedTuple

from msgspec import Struct, field

from core.market import NS, Side
from core.orders import Kind, Order, Status

Key = tuple[str, Side, Kind, int, int, bool, str]


class Open(Struct, kw_only=True):
    """An order and what is left of it."""

    order: Order
    left: int
    status: Status = Status.INTENT


class Committed(Struct, kw_only=True):
    """What may still fill on one side of one symbol: sizes in units, the highest limit price (0 where there is none)."""

    free: int = 0  # may open or turn a position
    reducing: int = 0  # reduce-only: cannot
    highest: int = 0

    @property
    def total(self) -> int:
        return self.free + self.reducing


class Sides(NamedTuple):
    buys: Committed
    sells: Committed


NOTHING = Sides(Committed(), Committed())


class OpenOrders(Struct, kw_only=True):
    """Change it by the functions of this module only: they keep the sums.

    `of`: symbol -> order id -> order. `committed`: symbol -> sums. `sent`: when orders of the last second were approved.
    `intents`: what was wanted, and when last.
    """

    of: dict[str, dict[str, Open]] = {}
    by_id: dict[str, Open] = {}
    committed: dict[str, Sides] = {}
    sent: deque[int] = field(default_factory=deque)
    intents: dict[Key, int] = {}
    unknown: dict[str, int] = {}  # symbol -> how many are UNKNOWN


def init() -> OpenOrders:
    """None."""
    return OpenOrders()


def intent(order: Order) -> Key:
    """What makes two orders the same wish."""
    return order.symbol, order.side, order.kind, order.price or order.stop_price, order.size, order.reduce_only, order.purpose


def enter(orders: OpenOrders, order: Order, ts: int, *, status: Status = Status.INTENT, filled: int = 0) -> Open:
    """An order was approved at `ts` (or found open at the venue). Raises `ValueError` where its id is open already."""
    if order.order_id in orders.by_id:
        raise ValueError(f"{order.order_id} is open already")
    row = Open(order=order, left=order.size - filled, status=status)
    orders.by_id[order.order_id] = row
    orders.of.setdefault(order.symbol, {})[order.order_id] = row
    orders.sent.append(ts)
    while orders.sent and ts - orders.sent[0] >= NS:
        orders.sent.popleft()
    orders.intents[intent(order)] = ts
    _count(orders, order.symbol)
    return row


def stands(orders: OpenOrders, order_id: str, status: Status, left: int | None = None) -> Open | None:
    """How an order stands now; one that is over is taken out. `left` never grows. None where no such order is open."""
    row = orders.by_id.get(order_id)
    if row is None:
        return None
    row.status = status
    if left is not None:
        row.left = max(0, min(row.left, left))
    order = row.order
    if not status.is_open:
        del orders.by_id[order_id]
        del orders.of[order.symbol][order_id]
    _count(orders, order.symbol)
    return row


def forget(orders: OpenOrders, before: int) -> None:
    """Drop the memory of intents older than `before`: call it now and then."""
    orders.intents = {key: ts for key, ts in orders.intents.items() if ts >= before}


def of_symbol(orders: OpenOrders, symbol: str) -> Iterable[Open]:
    return orders.of.get(symbol, {}).values()


def _count(orders: OpenOrders, symbol: str) -> None:
    """The sums of one symbol afresh: there are few orders, and sums made afresh cannot drift."""
    sides, unknown = Sides(Committed(), Committed()), 0
    for row in orders.of.get(symbol, {}).values():
        order = row.order
        sums = sides.buys if order.side is Side.BUY else sides.sells
        if order.reduce_only:
            sums.reducing += row.left
        else:
            sums.free += row.left
        sums.highest = max(sums.highest, order.price)
        unknown += row.status is Status.UNKNOWN
    orders.committed[symbol] = sides
    orders.unknown[symbol] = unknown
