"""A request to /api/v1/trading/execute, read: what it asks for in whole units, or what is wrong with it.

{"action": "order", "symbol": "BTCUSDT", "side": "buy", "size": "0.01", "price": "60000.0", "kind": "limit", "tif": "gtx"}
{"action": "cancel", "symbol": "BTCUSDT", "order_id": "sc1-4"}      {"action": "flatten", "reason": "leaving early"}
"""

from collections.abc import Mapping
from decimal import Decimal
from http import HTTPStatus
from typing import Any, Literal

import msgspec
from msgspec import Struct

from core.events import CommandKind
from core.market import Side
from core.orders import Kind, Listing, Tif
from serving.control import Asked
from serving.snapshots import units

LONGEST_KEY = 100
STATUS = {
    "approved": HTTPStatus.OK, "done": HTTPStatus.OK, "refused": HTTPStatus.CONFLICT, "expired": HTTPStatus.CONFLICT,
    "unknown": HTTPStatus.GATEWAY_TIMEOUT,
}  # fmt: skip


class BadRequest(ValueError):
    """Nothing was asked of the engine; the message says what is wrong."""


class Body(Struct, forbid_unknown_fields=True):
    action: Literal["order", "cancel", "cancel_all", "flatten", "kill", "pause", "resume"]
    symbol: str = ""
    side: Side | None = None
    size: Decimal | None = None  # base units; text, so that it is exact
    price: Decimal | None = None
    kind: Kind = Kind.LIMIT
    tif: Tif = Tif.GTC
    reduce_only: bool = False
    order_id: str = ""
    reason: str = ""


def asked_of(body: bytes, key: str, listings: Mapping[str, Listing]) -> tuple[CommandKind, Asked, str]:
    """(what, about which order, why). Raises `BadRequest`."""
    if not 0 < len(key) <= LONGEST_KEY or not key.isprintable():
        raise BadRequest(f"a header Idempotency-Key of 1 to {LONGEST_KEY} letters is needed: the same key again gives the same answer")
    try:
        told = msgspec.json.decode(body, type=Body)
    except msgspec.MsgspecError as error:
        raise BadRequest(f"the body cannot be read: {error}") from error
    kind = CommandKind(told.action)
    if kind is CommandKind.ORDER:
        return kind, _order(told, listings), told.reason
    if kind is CommandKind.CANCEL:
        if not told.order_id:
            raise BadRequest("which order? give order_id")
        return kind, Asked(symbol=told.symbol, order_id=told.order_id), told.reason
    return kind, Asked(), told.reason


def _order(told: Body, listings: Mapping[str, Listing]) -> Asked:
    listing = listings.get(told.symbol)
    if listing is None:
        raise BadRequest(f"{told.symbol or 'no symbol'} is not traded here; {', '.join(listings)} is")
    if told.side is None or told.size is None:
        raise BadRequest("an order has a side and a size")
    if (told.kind is Kind.LIMIT) == (told.price is None):
        raise BadRequest("a limit order has a price, a market order has none")
    if told.order_id:
        raise BadRequest("order_id is of an order that stands; the one of a new order is made here")
    of = listing.instrument
    try:
        size = units(str(told.size), of.size_decimals)
        price = units(str(told.price), of.price_decimals) if told.price is not None else 0
    except (ValueError, ArithmeticError) as error:
        raise BadRequest(f"{told.symbol} has {of.price_decimals} decimals in prices and {of.size_decimals} in sizes: {error}") from error
    return Asked(symbol=told.symbol, side=told.side, size=size, price=price, kind=told.kind, tif=told.tif, reduce_only=told.reduce_only)


def status_of(answer: Mapping[str, Any]) -> int:
    """A refusal is told in the body and by 409; 504 where it is not known what became of it."""
    return STATUS[str(answer["outcome"])]
