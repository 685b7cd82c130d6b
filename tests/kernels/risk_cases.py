"""Accounts, orders and listings to judge: one futures market and one spot market."""

from typing import Any

from core.events import Approved, Mode, Refused
from core.market import NS, Instrument, Side
from core.orders import Listing, Order
from kernels import holdings, risk, risk_orders
from kernels.holdings import Holdings
from kernels.risk import Clock, Limits, Quote
from kernels.risk_orders import OpenOrders

NOW = 1_763_000_000 * NS
CAPITAL = 10_000.0
MID = 100_000  # 1,000.00
QUOTE = Quote(MID - 1, MID + 1, NOW)


def listing(symbol: str, *, spot: bool = False, **changed: Any) -> Listing:
    """Prices of 2 decimals, sizes of 3."""
    instrument = Instrument(
        venue="test", symbol=symbol, price_decimals=2, size_decimals=3, tick_size=0.01, lot_size=0.001,
        base=symbol.removesuffix("USDT"), quote="USDT", maker_bps=2, taker_bps=5,
    )  # fmt: skip
    rules: dict[str, Any] = {"tick": 1, "lot": 1, "min_size": 1, "max_size": 10**9, "min_notional": 5.0}
    rules |= {"max_leverage": 1.0, "maintenance": 0.0} if spot else {"max_leverage": 20.0, "maintenance": 0.005}
    return Listing(instrument=instrument, **(rules | changed))


LISTINGS = {"BTCUSDT": listing("BTCUSDT"), "ETHUSDT": listing("ETHUSDT"), "SPOT": listing("SPOT", spot=True)}


def order(order_id: str = "sc1-1", **changed: Any) -> Order:
    """Buy 1.000 at 1,000.00 unless told otherwise: a notional of 1,000."""
    return Order(**({"order_id": order_id, "symbol": "BTCUSDT", "side": Side.BUY, "size": 1_000, "price": MID, "ts": NOW} | changed))


def sell(order_id: str = "sc1-1", **changed: Any) -> Order:
    return order(order_id, **({"side": Side.SELL} | changed))


def account(capital: float = CAPITAL, **sizes: int) -> Holdings:
    """Everything marked at the middle now, and held at that price."""
    held = holdings.init(LISTINGS, capital, NOW)
    for symbol in LISTINGS:
        holdings.mark(held, symbol, QUOTE.bid, QUOTE.ask, NOW)
        holdings.adopt(held, symbol, sizes.get(symbol, 0), MID)
    holdings.settle(held, NOW)
    return held


def open_orders(*orders: Order, ts: int = NOW - 10 * NS) -> OpenOrders:
    of = risk_orders.init()
    for each in orders:
        risk_orders.enter(of, each, ts)
    return of


def verdict(
    asked: Order, *, orders: OpenOrders | None = None, held: Holdings | None = None, quote: Quote = QUOTE, limits: Limits | None = None,
    clock: Clock | None = None, mode: Mode = Mode.ACTIVE,
) -> Approved | Refused:  # fmt: skip
    return risk.check(
        asked,
        orders=orders or risk_orders.init(),
        holdings=held or account(),
        quote=quote,
        limits=limits or Limits(),
        clock=clock or Clock(now=NOW),
        mode=mode,
    )


def code(*args: Any, **kwargs: Any) -> str:
    """The reason code of a refusal; "" of an approval."""
    told = verdict(*args, **kwargs)
    return told.code if isinstance(told, Refused) else ""
