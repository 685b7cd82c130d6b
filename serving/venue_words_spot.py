"""Orders, fills, balances and user data of the spot venue, in the shapes of Binance's `/api/v3` and its user data stream."""

from collections.abc import Mapping, Sequence

from core.market import Side
from core.orders import Tif
from kernels.matching_words import AccountUpdate, Execution, Kind, Money, OrderUpdate, VenueFill, VenueOrder
from serving.venue_words import MS, ZERO, Json, Scale, fee, status_of


def order_json(order: VenueOrder, scale: Scale) -> Json:
    return sent_json(order, scale) | {
        "stopPrice": ZERO, "icebergQty": ZERO, "time": order.ts_created // MS, "updateTime": order.ts_updated // MS, "isWorking": True,
    }  # fmt: skip


def sent_json(order: VenueOrder, scale: Scale) -> Json:
    maker = order.tif is Tif.GTX
    return {
        "symbol": order.symbol, "orderId": order.venue_id, "orderListId": -1, "clientOrderId": order.client_id,
        "price": scale.price(order.price), "origQty": scale.size(order.size), "executedQty": scale.size(order.filled),
        "origQuoteOrderQty": scale.cash(order.quote_size), "cummulativeQuoteQty": scale.notional(order.notional),
        "status": status_of(order), "timeInForce": "GTC" if maker else order.tif.upper(),
        "type": "LIMIT_MAKER" if maker else str(order.kind), "side": order.side.upper(), "workingTime": order.ts_working // MS or -1,
        "selfTradePreventionMode": str(order.stp),
    }  # fmt: skip


def placed_json(order: VenueOrder, fills: Sequence[VenueFill], scale: Scale, wanted: str, ts: int) -> Json:
    """The answer to a new order: `wanted` is ACK, RESULT or FULL."""
    if wanted == "ACK":
        head = {"symbol": order.symbol, "orderId": order.venue_id, "orderListId": -1, "clientOrderId": order.client_id}
        return head | {"transactTime": ts // MS}
    told = sent_json(order, scale) | {"transactTime": ts // MS}
    if wanted == "FULL":
        told["fills"] = [
            {"price": scale.price(fill.price), "qty": scale.size(fill.size), "commission": fee(fill.fee), "commissionAsset": fill.fee_asset,
             "tradeId": fill.trade_id}
            for fill in fills
        ]  # fmt: skip
    return told


def cancelled_json(order: VenueOrder, scale: Scale, asked: str, ts: int) -> Json:
    return sent_json(order, scale) | {"origClientOrderId": order.client_id, "clientOrderId": asked, "transactTime": ts // MS}


def fill_json(fill: VenueFill, scale: Scale) -> Json:
    return {
        "symbol": fill.symbol, "id": fill.trade_id, "orderId": fill.venue_id, "orderListId": -1, "price": scale.price(fill.price),
        "qty": scale.size(fill.size), "quoteQty": scale.notional(fill.price * fill.size), "commission": fee(fill.fee),
        "commissionAsset": fill.fee_asset, "time": fill.ts_event // MS, "isBuyer": fill.side is Side.BUY, "isMaker": fill.maker,
        "isBestMatch": True,
    }  # fmt: skip


def account_json(balances: Sequence[Money], scales: Mapping[str, Scale], now: int) -> Json:
    scale = next(iter(scales.values()))
    of = scale.listing.instrument
    maker, taker = f"{of.maker_bps / 1e4:.8f}", f"{of.taker_bps / 1e4:.8f}"
    return {
        "makerCommission": round(of.maker_bps), "takerCommission": round(of.taker_bps), "buyerCommission": 0, "sellerCommission": 0,
        "commissionRates": {"maker": maker, "taker": taker, "buyer": ZERO, "seller": ZERO}, "canTrade": True, "canWithdraw": False,
        "canDeposit": False, "brokered": False, "requireSelfTradePrevention": False, "preventSor": False, "updateTime": now // MS,
        "accountType": "SPOT", "uid": 1, "permissions": ["SPOT"],
        "balances": [{"asset": one.asset, "free": scale.cash(one.free), "locked": scale.cash(one.locked)} for one in balances],
    }  # fmt: skip


def order_event(update: OrderUpdate, scale: Scale, now: int) -> Json:
    """`executionReport`."""
    order, fill = update.order, update.fill
    maker = order.tif is Tif.GTX
    cancelled = update.execution is Execution.CANCELED
    return {
        "e": "executionReport", "E": now // MS, "s": order.symbol, "c": f"x{order.venue_id}" if cancelled else order.client_id,
        "S": order.side.upper(), "o": "LIMIT_MAKER" if maker else str(order.kind), "f": "GTC" if maker else order.tif.upper(),
        "q": scale.size(order.size), "p": scale.price(order.price), "P": ZERO, "F": ZERO, "g": -1,
        "C": order.client_id if cancelled else "", "x": str(update.execution), "X": status_of(order), "r": "NONE", "i": order.venue_id,
        "l": scale.size(fill.size if fill else 0), "z": scale.size(order.filled), "L": scale.price(fill.price if fill else 0),
        "n": fee(fill.fee) if fill else "0", "N": fill.fee_asset if fill else None, "T": update.ts // MS,
        "t": fill.trade_id if fill else -1, "I": order.venue_id, "w": order.is_open and order.kind is Kind.LIMIT,
        "m": bool(fill and fill.maker), "M": False, "O": order.ts_created // MS, "Z": scale.notional(order.notional),
        "Y": scale.notional(fill.price * fill.size if fill else 0), "Q": scale.cash(order.quote_size),
        "W": order.ts_working // MS, "V": str(order.stp),
    }  # fmt: skip


def account_event(update: AccountUpdate, scales: Mapping[str, Scale], now: int) -> Json:
    """`outboundAccountPosition`."""
    scale = next(iter(scales.values()))
    rows = [{"a": one.asset, "f": scale.cash(one.free), "l": scale.cash(one.locked)} for one in update.balances]
    return {"e": "outboundAccountPosition", "E": now // MS, "u": update.ts // MS, "B": rows}
