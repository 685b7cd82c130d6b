"""Requests about what we hold and how we trade: balances, positions, leverage, fees, and the listen key."""

from serving import venue_words_spot, venue_words_usdm
from serving.venue_desk import LISTEN_KEY_MS, Desk, Params, number, truth
from serving.venue_words import MS, Json, Scale, Unserved


def account(desk: Desk, params: Params) -> Json:
    held = desk.matching.balances()
    if desk.spot:
        kept = [one for one in held if one.wallet or not truth(params, "omitZeroBalances")]
        return venue_words_spot.account_json(kept, desk.scales, desk.clock())
    return venue_words_usdm.account_json(held, desk.matching.positions(), desk.scales, desk.clock())


def balance(desk: Desk, params: Params) -> list[Json]:
    scale, positions = any_scale(desk), desk.matching.positions()
    return [venue_words_usdm.balance_json(one, positions, scale, desk.clock()) for one in desk.matching.balances()]


def positions(desk: Desk, params: Params) -> list[Json]:
    symbol = desk.scale(params).symbol if "symbol" in params else ""
    held = [one for one in desk.matching.positions() if symbol in ("", one.symbol)]
    return [venue_words_usdm.position_json(one, desk.scales[one.symbol]) for one in held]


def leverage(desk: Desk, params: Params) -> Json:
    scale, wanted = desk.scale(params), number(params, "leverage", 0)
    if refusal := desk.matching.set_leverage(desk.clock(), scale.symbol, wanted):
        raise Unserved(refusal.code, refusal.text)
    return {"symbol": scale.symbol, "leverage": wanted, "maxNotionalValue": "25000000"}


def brackets(desk: Desk, params: Params) -> list[Json]:
    return [
        {"symbol": scale.symbol, "brackets": [
            {"bracket": 1, "initialLeverage": int(scale.listing.max_leverage), "notionalCap": 25_000_000, "notionalFloor": 0,
             "maintMarginRatio": scale.listing.maintenance, "cum": 0.0}]}
        for scale in desk.scales.values()
        if params.get("symbol", scale.symbol) == scale.symbol
    ]  # fmt: skip


def commission(desk: Desk, params: Params) -> Json:
    scale = desk.scale(params)
    maker, taker = (f"{bps / 1e4:.8f}" for bps in (scale.listing.instrument.maker_bps, scale.listing.instrument.taker_bps))
    if desk.spot:
        none = {"maker": "0.00000000", "taker": "0.00000000", "buyer": "0.00000000", "seller": "0.00000000"}
        return {"symbol": scale.symbol, "standardCommission": none | {"maker": maker, "taker": taker}, "taxCommission": none}
    return {"symbol": scale.symbol, "makerCommissionRate": maker, "takerCommissionRate": taker}


def one_way(desk: Desk, params: Params) -> Json:
    if truth(params, "dualSidePosition"):
        raise Unserved(-4067, "Position side cannot be changed if there exists open orders.")
    return {"dualSidePosition": False} if "dualSidePosition" not in params else {"code": 200, "msg": "success"}


def one_asset(desk: Desk, params: Params) -> Json:
    return {"multiAssetsMargin": False}


def margin_type(desk: Desk, params: Params) -> Json:
    if params.get("marginType", "CROSSED") != "CROSSED":
        raise Unserved(-4047, "Margin type cannot be changed if there exists open orders.")
    raise Unserved(-4046, "No need to change margin type.")


def coins(desk: Desk, params: Params) -> list[Json]:
    assets = sorted({name for scale in desk.scales.values() for name in (scale.listing.instrument.base, scale.listing.instrument.quote)})
    return [{"coin": one, "name": one, "depositAllEnable": False, "withdrawAllEnable": False, "free": "0", "locked": "0", "trading": True,
             "isLegalMoney": False, "networkList": []} for one in assets]  # fmt: skip


def nothing(desk: Desk, params: Params) -> list[Json]:
    """Pairs on margin: there are none."""
    return []


def listen(desk: Desk, params: Params) -> Json:
    """A new listen key, or the one that is still good."""
    now = desk.wall() / MS
    good = [key for key, until in desk.listen_keys.items() if until > now]
    key = good[0] if good else desk.new_id("listen") + "x" * 54
    desk.listen_keys[key] = now + LISTEN_KEY_MS
    return {"listenKey": key}


def keep_listening(desk: Desk, params: Params) -> Json:
    now = desk.wall() / MS
    key = params.get("listenKey") or next((key for key, until in desk.listen_keys.items() if until > now), "")
    if desk.listen_keys.get(key, 0) <= now:
        raise Unserved(-1125, "This listenKey does not exist.")
    desk.listen_keys[key] = now + LISTEN_KEY_MS
    return {} if desk.spot else {"listenKey": key}


def stop_listening(desk: Desk, params: Params) -> Json:
    if "listenKey" in params:
        desk.listen_keys.pop(params["listenKey"], None)
    else:
        desk.listen_keys.clear()
    return {}


def any_scale(desk: Desk) -> Scale:
    return next(iter(desk.scales.values()))
