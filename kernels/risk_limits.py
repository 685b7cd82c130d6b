"""The words of risk: reason codes, limits, and the quote that an order is held against."""

from collections.abc import Mapping
from enum import StrEnum
from math import isfinite
from typing import Any, NamedTuple

BACK_NS = 100_000_000  # inputs of several sources may be received a little out of order


class Code(StrEnum):
    """Why an order was refused; docs/risk.md says what to do about each."""

    EXCEPTION = "exception"
    NOT_A_NUMBER = "not_a_number"
    CLOCK_JUMP = "clock_jump"
    UNLISTED = "unlisted"
    NOT_TRADING = "not_trading"
    ORDER_ID = "order_id"
    KIND = "kind"
    SIZE = "size"
    LOT = "lot"
    PRICE = "price"
    TICK = "tick"
    MODE_HALTED = "mode_halted"
    MODE_REDUCING = "mode_reducing"
    QUOTE_UNKNOWN = "quote_unknown"
    QUOTE_STALE = "quote_stale"
    PRICE_BAND = "price_band"
    MIN_NOTIONAL = "min_notional"
    NOT_REDUCING = "not_reducing"
    SPOT_SHORT = "spot_short"
    DUPLICATE_ID = "duplicate_id"
    DUPLICATE_INTENT = "duplicate_intent"
    SELF_TRADE = "self_trade"
    ORDER_RATE = "order_rate"
    OPEN_ORDERS = "open_orders"
    UNKNOWN_ORDER = "unknown_order"
    EQUITY_UNKNOWN = "equity_unknown"
    DAILY_LOSS = "daily_loss"
    DRAWDOWN = "drawdown"
    LOSS_STREAK = "loss_streak"
    ORDER_NOTIONAL = "order_notional"
    POSITION_NOTIONAL = "position_notional"
    GROSS_NOTIONAL = "gross_notional"
    NET_NOTIONAL = "net_notional"
    LEVERAGE = "leverage"
    LIQUIDATION = "liquidation"


Refusal = tuple[Code, str]


class Limits(NamedTuple):
    """The numbers of `core.live_settings.Limits`, by the same names; money is quote currency."""

    max_order: float = 2_000.0
    max_position: float = 5_000.0
    max_gross: float = 10_000.0
    max_net: float = 10_000.0
    max_open_orders: int = 8
    max_orders_per_s: int = 10
    price_band: float = 0.01
    max_quote_age_s: float = 2.0
    max_daily_loss: float = 200.0
    max_drawdown: float = 300.0
    max_loss_streak: int = 20
    duplicate_s: float = 0.0
    max_leverage: float = 3.0
    min_liquidation_distance: float = 0.1
    max_clock_jump_s: float = 5.0


class Quote(NamedTuple):
    """The top of a book in price units; 0 where a side is unknown. `ts`: when the venue was last heard of this book, ns (not when it last
    changed: a quiet market is not a stale one)."""

    bid: int
    ask: int
    ts: int


UNKNOWN = Quote(0, 0, 0)


def pack(limits: Mapping[str, Any]) -> Limits:
    """Limits from settings (`model_dump()`). Raises `ValueError` for one that is not a number, or below 0, and `TypeError` for a name
    that is none."""
    packed = Limits(**limits)
    for name, value in packed._asdict().items():
        if not (isfinite(value) and value >= 0):
            raise ValueError(f"limit {name} has to be a number that is not below 0: {value}")
    return packed
