"""Requests about orders: placed, asked for, cancelled, their fills, and the dead-man's switch."""

from typing import Any

from core.market import Side
from core.orders import Tif
from kernels.matching_words import Kind, New, Refusal, Stp, VenueOrder, Working
from serving import venue_words_spot, venue_words_usdm
from serving.venue_desk import Desk, Params, decimals_of, done, number, truth, units, word
from serving.venue_words import MS, Json, Unserved


def words(desk: Desk) -> Any:
    return venue_words_spot if desk.spot else venue_words_usdm


def chosen(kind: Any, params: Params, name: str, default: str, code: int, told: str) -> Any:
    """A member of an enum by its value in capitals. Raises `Unserved`."""
    text = params.get(name, default)
    for one in kind:
        if text.upper() == str(one).upper():
            return one
    raise Unserved(code, told)


def asked(desk: Desk, params: Params) -> New:
    """The order that a request is for. Raises `Unserved`."""
    scale = desk.scale(params)
    of_price, of_size = decimals_of(scale.listing)
    named = word(params, "type").upper()
    maker = named == "LIMIT_MAKER" and desk.spot
    allowed = (Kind.LIMIT, Kind.MARKET) if desk.spot else tuple(Kind)
    kind = Kind.LIMIT if maker else chosen(allowed, params, "type", "", -1116, "Invalid orderType.")
    side = chosen(Side, {"side": word(params, "side")}, "side", "", -1117, "Invalid side.")
    if maker:
        tif = Tif.GTX
    elif kind is Kind.LIMIT:
        given = params.get("timeInForce") or word(params, "timeInForce")
        if given.upper() == "FOK" or (desk.spot and given.upper() == "GTX"):
            raise Unserved(-1115, "Invalid timeInForce.")
        tif = chosen(Tif, params, "timeInForce", "", -1115, "Invalid timeInForce.")
    else:
        tif = Tif.GTC
    if not desk.spot and params.get("positionSide", "BOTH") != "BOTH":
        raise Unserved(-4061, "Order's position side does not match user's setting.")
    closing, by_money = truth(params, "closePosition"), desk.spot and kind is Kind.MARKET and "quoteOrderQty" in params
    return New(
        client_id=params.get("newClientOrderId") or params.get("clientAlgoId") or desk.new_id("web_"),
        symbol=scale.symbol, side=side, kind=kind, tif=tif,
        price=units(params, "price", of_price) if kind is Kind.LIMIT else 0,
        size=0 if closing or by_money else units(params, "quantity", of_size),
        quote_size=units(params, "quoteOrderQty", scale.money) if by_money else 0,
        stop_price=units(params, "triggerPrice" if "triggerPrice" in params else "stopPrice", of_price) if kind.conditional else 0,
        working=chosen(Working, params, "workingType", "CONTRACT_PRICE", -1106, "Invalid workingType."),
        reduce_only=truth(params, "reduceOnly"), close_position=closing,
        stp=chosen(Stp, params, "selfTradePreventionMode", "EXPIRE_MAKER", -1106, "Invalid selfTradePreventionMode."),
    )  # fmt: skip


def place(desk: Desk, params: Params) -> Json:
    new, now = asked(desk, params), desk.clock()
    placed = done(desk.matching.place(now, new))
    full = "FULL" if desk.spot and new.tif is not Tif.GTX else "ACK"
    wanted = params.get("newOrderRespType", full).upper()
    return words(desk).placed_json(placed.order, placed.fills, desk.scales[new.symbol], wanted, now)


def tried(desk: Desk, params: Params) -> Json:
    asked(desk, params)
    return {}


def place_algo(desk: Desk, params: Params) -> Json:
    new = asked(desk, params)
    if not new.kind.conditional:
        raise Unserved(-1116, "Invalid orderType.")
    return venue_words_usdm.algo_json(done(desk.matching.place(desk.clock(), new)).order, desk.scales[new.symbol])


def cancel_algo(desk: Desk, params: Params) -> Json:
    order = by_algo_id(desk, params)
    gone = done(desk.matching.cancel(desk.clock(), order.symbol, venue_id=order.venue_id))
    return {"algoId": gone.venue_id, "clientAlgoId": gone.client_id, "code": "200", "msg": "success"}


def cancel_algos(desk: Desk, params: Params) -> Json:
    symbol = desk.scale(params).symbol
    for one in [one for one in desk.matching.open_orders(symbol) if one.kind.conditional and not one.triggered]:
        desk.matching.cancel(desk.clock(), symbol, venue_id=one.venue_id)
    return {"code": "200", "msg": "The operation of cancel all open order is done."}


def algo_order(desk: Desk, params: Params) -> Json:
    order = by_algo_id(desk, params)
    return venue_words_usdm.algo_json(order, desk.scales[order.symbol])


def open_algo_orders(desk: Desk, params: Params) -> list[Json]:
    symbol = desk.scale(params).symbol if "symbol" in params else ""
    waiting = [one for one in desk.matching.open_orders(symbol) if one.kind.conditional and not one.triggered]
    return [venue_words_usdm.algo_json(one, desk.scales[one.symbol]) for one in waiting]


def by_algo_id(desk: Desk, params: Params) -> VenueOrder:
    """A conditional order by id alone: these endpoints take no symbol."""
    named = which(params)
    for symbol in desk.scales:
        found = desk.matching.order(symbol, **named)
        if not isinstance(found, Refusal) and found.kind.conditional:
            return found
    raise Unserved(-2013, "Order does not exist.")


def which(params: Params) -> dict[str, Any]:
    venue_id = number(params, "orderId", number(params, "algoId", 0))
    client_id = params.get("origClientOrderId") or params.get("clientAlgoId", "")
    if not venue_id and not client_id:
        raise Unserved(-1102, "Param 'origClientOrderId' or 'orderId' must be sent, but both were empty/null!")
    return {"venue_id": venue_id} if venue_id else {"client_id": client_id}


def cancel(desk: Desk, params: Params) -> Json:
    scale, now = desk.scale(params), desk.clock()
    order = done(desk.matching.cancel(now, scale.symbol, **which(params)))
    return words(desk).cancelled_json(order, scale, params.get("newClientOrderId") or f"x{order.venue_id}", now)


def cancel_all(desk: Desk, params: Params) -> Any:
    scale, now = desk.scale(params), desk.clock()
    gone = desk.matching.cancel_all(now, scale.symbol, conditional=desk.spot)
    if not desk.spot:
        return {"code": 200, "msg": "The operation of cancel all open order is done."}
    if isinstance(gone, Refusal) or not gone:
        raise Unserved(-2011, "Unknown order sent.")
    return [venue_words_spot.cancelled_json(order, scale, f"x{order.venue_id}", now) for order in gone]


def countdown(desk: Desk, params: Params) -> Json:
    scale, ms = desk.scale(params), number(params, "countdownTime", -1)
    if ms < 0:
        raise Unserved(-1102, "Mandatory parameter 'countdownTime' was not sent, was empty/null, or malformed.")
    if refusal := desk.matching.countdown(desk.clock(), scale.symbol, ms):
        raise Unserved(refusal.code, refusal.text)
    return {"symbol": scale.symbol, "countdownTime": str(ms)}


def shown(desk: Desk, order: VenueOrder) -> Json:
    return words(desk).order_json(order, desk.scales[order.symbol])


def order(desk: Desk, params: Params) -> Json:
    found = done(desk.matching.order(desk.scale(params).symbol, **which(params)))
    if not desk.visible(found):
        raise Unserved(-2013, "Order does not exist.")
    return shown(desk, found)


def open_orders(desk: Desk, params: Params) -> list[Json]:
    symbol = desk.scale(params).symbol if "symbol" in params else ""
    return [shown(desk, one) for one in desk.matching.open_orders(symbol) if desk.visible(one)]


def span(params: Params) -> dict[str, int]:
    limit = number(params, "limit", 500)
    if not 0 < limit <= 1_000:
        raise Unserved(-1130, "Data sent for parameter 'limit' is not valid.")
    since, until = number(params, "startTime", 0), number(params, "endTime", 0)
    return {"since": since * MS, "until": (until + 1) * MS - 1 if until else 0, "limit": limit}


def all_orders(desk: Desk, params: Params) -> list[Json]:
    found = desk.matching.all_orders(desk.scale(params).symbol, from_id=number(params, "orderId", 0), **span(params))
    return [shown(desk, one) for one in found if desk.visible(one)]


def fills(desk: Desk, params: Params) -> list[Json]:
    scale = desk.scale(params)
    venue_id, first = number(params, "orderId", 0), number(params, "fromId", 0)
    found = desk.matching.my_trades(scale.symbol, from_id=first, venue_id=venue_id, **span(params))
    return [words(desk).fill_json(fill, scale) for fill in found]
