"""Orders, fills, positions, balances and user data of the USD-M venue, in the shapes of Binance's `/fapi` and its user data stream."""

from collections.abc import Mapping, Sequence

from core.market import Side
from kernels.matching_words import AccountUpdate, Money, OrderUpdate, Position, VenueFill, VenueOrder
from serving.venue_words import MS, Json, Scale, fee, status_of


def order_json(order: VenueOrder, scale: Scale) -> Json:
    return {
        "orderId": order.venue_id, "symbol": order.symbol, "status": status_of(order), "clientOrderId": order.client_id,
        "price": scale.price(order.price), "avgPrice": scale.average(order), "origQty": scale.size(order.size),
        "executedQty": scale.size(order.filled), "cumQty": scale.size(order.filled), "cumQuote": scale.notional(order.notional),
        "timeInForce": order.tif.upper(), "type": str(order.kind), "reduceOnly": order.reduce_only, "closePosition": order.close_position,
        "side": order.side.upper(), "positionSide": "BOTH", "stopPrice": scale.price(order.stop_price), "workingType": str(order.working),
        "priceProtect": False, "origType": str(order.kind), "priceMatch": "NONE", "selfTradePreventionMode": str(order.stp),
        "goodTillDate": 0, "time": order.ts_created // MS, "updateTime": order.ts_updated // MS,
    }  # fmt: skip


def placed_json(order: VenueOrder, fills: Sequence[VenueFill], scale: Scale, wanted: str, ts: int) -> Json:
    """The answer to a new order: with `wanted` ACK as it was accepted, with RESULT (or FULL) as it stands after its arrival."""
    told = order_json(order, scale)
    if wanted == "ACK" and not order.kind.conditional:
        none = scale.size(0)
        told |= {"status": "NEW", "executedQty": none, "cumQty": none, "cumQuote": scale.notional(0), "avgPrice": "0.00"}
    del told["time"]
    return told | {"updateTime": ts // MS}


def cancelled_json(order: VenueOrder, scale: Scale, asked: str, ts: int) -> Json:
    return order_json(order, scale)


def algo_json(order: VenueOrder, scale: Scale) -> Json:
    """A conditional order, as its own endpoints tell of it."""
    state = "TRIGGERED" if order.triggered and order.is_open else "FINISHED" if order.triggered else status_of(order)
    return {
        "algoId": order.venue_id, "clientAlgoId": order.client_id, "algoType": "CONDITIONAL", "orderType": str(order.kind),
        "symbol": order.symbol, "side": order.side.upper(), "positionSide": "BOTH", "timeInForce": order.tif.upper(),
        "quantity": scale.size(order.size), "algoStatus": state, "triggerPrice": scale.price(order.stop_price),
        "price": scale.price(order.price), "icebergQuantity": None, "selfTradePreventionMode": str(order.stp),
        "workingType": str(order.working), "priceMatch": "NONE", "closePosition": order.close_position, "priceProtect": False,
        "reduceOnly": order.reduce_only, "createTime": order.ts_created // MS, "updateTime": order.ts_updated // MS,
        "triggerTime": order.ts_working // MS, "goodTillDate": 0, "actualOrderId": str(order.venue_id) if order.triggered else "",
        "actualQty": scale.size(order.filled),
    }  # fmt: skip


def fill_json(fill: VenueFill, scale: Scale) -> Json:
    return {
        "symbol": fill.symbol, "id": fill.trade_id, "orderId": fill.venue_id, "side": fill.side.upper(), "price": scale.price(fill.price),
        "qty": scale.size(fill.size), "realizedPnl": scale.cash(fill.realised), "quoteQty": scale.notional(fill.price * fill.size),
        "commission": fee(fill.fee), "commissionAsset": fill.fee_asset, "time": fill.ts_event // MS, "positionSide": "BOTH",
        "buyer": fill.side is Side.BUY, "maker": fill.maker,
    }  # fmt: skip


def position_json(held: Position, scale: Scale) -> Json:
    notional = held.size * held.mark_price / scale.listing.size_unit
    return {
        "symbol": held.symbol, "positionSide": "BOTH", "positionAmt": scale.size(held.size), "entryPrice": f"{held.entry_price:.8f}",
        "breakEvenPrice": f"{held.entry_price:.8f}", "markPrice": f"{held.mark_price:.8f}", "unRealizedProfit": scale.cash(held.unrealised),
        "liquidationPrice": f"{held.liquidation_price:.8f}", "leverage": str(held.leverage), "maxNotionalValue": "25000000",
        "marginType": "cross", "isolatedMargin": "0.00000000", "isAutoAddMargin": "false", "isolated": False, "notional": f"{notional:.8f}",
        "marginAsset": scale.listing.instrument.quote, "isolatedWallet": "0", "initialMargin": scale.cash(held.initial_margin),
        "maintMargin": scale.cash(held.maintenance_margin), "positionInitialMargin": scale.cash(held.initial_margin),
        "openOrderInitialMargin": "0", "adl": 1, "adlQuantile": 1, "bidNotional": "0", "askNotional": "0",
        "unrealizedProfit": scale.cash(held.unrealised), "updateTime": held.ts_updated // MS,
    }  # fmt: skip


def balance_json(one: Money, positions: Sequence[Position], scale: Scale, now: int) -> Json:
    unrealised = scale.cash(sum(held.unrealised for held in positions))
    return {
        "accountAlias": "venue", "asset": one.asset, "balance": scale.cash(one.wallet), "crossWalletBalance": scale.cash(one.wallet),
        "crossUnPnl": unrealised, "availableBalance": scale.cash(one.free), "maxWithdrawAmount": scale.cash(one.free),
        "marginAvailable": True, "updateTime": now // MS,
    }  # fmt: skip


def account_json(balances: Sequence[Money], positions: Sequence[Position], scales: Mapping[str, Scale], now: int) -> Json:
    scale = next(iter(scales.values()))
    unrealised, initial = sum(held.unrealised for held in positions), sum(held.initial_margin for held in positions)
    maintenance, wallet = sum(held.maintenance_margin for held in positions), sum(one.wallet for one in balances)
    free = sum(one.free for one in balances)

    def money(wallet: int, free: int) -> Json:
        cash = scale.cash
        return {
            "walletBalance": cash(wallet), "unrealizedProfit": cash(unrealised), "marginBalance": cash(wallet + unrealised),
            "maintMargin": cash(maintenance), "initialMargin": cash(wallet + unrealised - free), "positionInitialMargin": cash(initial),
            "openOrderInitialMargin": cash(max(0, wallet + unrealised - free - initial)), "crossWalletBalance": cash(wallet),
            "crossUnPnl": cash(unrealised), "availableBalance": cash(free), "maxWithdrawAmount": cash(free),
        }  # fmt: skip

    named = {
        "totalInitialMargin": "initialMargin", "totalMaintMargin": "maintMargin", "totalWalletBalance": "walletBalance",
        "totalUnrealizedProfit": "unrealizedProfit", "totalMarginBalance": "marginBalance", "availableBalance": "availableBalance",
        "totalPositionInitialMargin": "positionInitialMargin", "totalOpenOrderInitialMargin": "openOrderInitialMargin",
        "totalCrossWalletBalance": "crossWalletBalance", "totalCrossUnPnl": "crossUnPnl", "maxWithdrawAmount": "maxWithdrawAmount",
    }  # fmt: skip
    whole = money(wallet, free)
    assets = [{"asset": one.asset, **money(one.wallet, one.free), "marginAvailable": True, "updateTime": now // MS} for one in balances]
    return {
        "feeTier": 0, "canTrade": True, "canDeposit": True, "canWithdraw": True, "multiAssetsMargin": False, "updateTime": now // MS,
        **{name: whole[of] for name, of in named.items()},
        "assets": assets,
        "positions": [position_json(held, scales[held.symbol]) for held in positions],
    }  # fmt: skip


def order_event(update: OrderUpdate, scale: Scale, now: int) -> Json:
    """`ORDER_TRADE_UPDATE`."""
    order, fill = update.order, update.fill
    told: Json = {
        "s": order.symbol, "c": order.client_id, "S": order.side.upper(), "o": str(order.kind), "f": order.tif.upper(),
        "q": scale.size(order.size), "p": scale.price(order.price), "ap": scale.average(order), "sp": scale.price(order.stop_price),
        "x": str(update.execution), "X": status_of(order), "i": order.venue_id, "l": scale.size(fill.size if fill else 0),
        "z": scale.size(order.filled), "L": scale.price(fill.price if fill else 0), "T": update.ts // MS,
        "t": fill.trade_id if fill else 0, "b": "0", "a": "0", "m": bool(fill and fill.maker), "R": order.reduce_only,
        "wt": str(order.working), "ot": str(order.kind), "ps": "BOTH", "cp": order.close_position,
        "rp": scale.cash(fill.realised if fill else 0), "pP": False, "si": 0, "ss": 0, "V": str(order.stp), "pm": "NONE", "gtd": 0,
    }  # fmt: skip
    if fill:
        told |= {"N": fill.fee_asset, "n": fee(fill.fee)}
    return {"e": "ORDER_TRADE_UPDATE", "E": now // MS, "T": update.ts // MS, "o": told}


def account_event(update: AccountUpdate, scales: Mapping[str, Scale], now: int) -> Json:
    """`ACCOUNT_UPDATE`."""
    scale = next(iter(scales.values()))
    balances = [
        {"a": one.asset, "wb": scale.cash(one.wallet), "cw": scale.cash(one.wallet), "bc": scale.cash(update.amount)}
        for one in update.balances
    ]
    positions = [
        {"s": held.symbol, "pa": scales[held.symbol].size(held.size), "ep": f"{held.entry_price:.8f}", "bep": f"{held.entry_price:.8f}",
         "cr": scale.cash(held.realised), "up": scale.cash(held.unrealised), "mt": "cross", "iw": "0", "ps": "BOTH", "ma": "USDT"}
        for held in update.positions
    ]  # fmt: skip
    return {
        "e": "ACCOUNT_UPDATE", "E": now // MS, "T": update.ts // MS,
        "a": {"B": balances, "P": positions, "m": update.reason},
    }  # fmt: skip
