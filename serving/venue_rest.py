"""Requests of REST and of the WebSocket API: what they weigh, who may ask, what answers them, and what goes wrong on purpose.

verb, path, query, body, key -> weight -> key, signature, receive window -> (order latency) -> handler -> (response latency) -> Reply
"""

import asyncio
import json
import re
from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple
from urllib.parse import parse_qsl

import msgspec

from serving import venue_account as held
from serving import venue_orders as own
from serving import venue_public as public
from serving.venue_desk import Desk, Params
from serving.venue_faults import Fault
from serving.venue_keys import Limited, check_key, check_signature, check_window, unsigned
from serving.venue_words import Unserved

Need = Literal["none", "key", "signature"]


class Route(NamedTuple):
    """`weight`: on spot, on USD-M; None where it is not served there."""

    handler: Callable[[Desk, Params], Any]
    spot: int | None
    usdm: int | None
    need: Need = "signature"


class Reply(NamedTuple):
    status: int
    body: Any
    headers: Mapping[str, str] = {}


ROUTES: dict[str, Route] = {
    "GET ping": Route(public.ping, 1, 1, "none"),
    "GET time": Route(public.time, 1, 1, "none"),
    "GET exchangeInfo": Route(public.info, 20, 1, "none"),
    "GET depth": Route(public.depth, 5, 5, "none"),
    "GET trades": Route(public.trades, 25, 5, "none"),
    "GET historicalTrades": Route(public.trades, 25, 20, "none"),
    "GET aggTrades": Route(public.agg_trades, 4, 20, "none"),
    "GET klines": Route(public.klines, 2, 5, "none"),
    "GET uiKlines": Route(public.klines, 2, None, "none"),
    "GET avgPrice": Route(public.average, 2, None, "none"),
    "GET ticker/24hr": Route(public.day, 2, 1, "none"),
    "GET ticker": Route(public.day, 4, None, "none"),
    "GET ticker/price": Route(public.last_price, 2, 1, "none"),
    "GET ticker/bookTicker": Route(public.book_ticker, 2, 2, "none"),
    "GET premiumIndex": Route(public.premium, None, 1, "none"),
    "GET fundingRate": Route(public.funding_rates, None, 1, "none"),
    "GET fundingInfo": Route(public.funding_info, None, 1, "none"),
    "POST order": Route(own.place, 1, 0),
    "POST order/test": Route(own.tried, 1, 1),
    "GET order": Route(own.order, 4, 1),
    "DELETE order": Route(own.cancel, 1, 1),
    "GET openOrder": Route(own.order, None, 1),
    "GET openOrders": Route(own.open_orders, 6, 1),
    "DELETE openOrders": Route(own.cancel_all, 1, None),
    "DELETE allOpenOrders": Route(own.cancel_all, None, 1),
    "GET allOrders": Route(own.all_orders, 20, 5),
    "GET myTrades": Route(own.fills, 20, None),
    "GET userTrades": Route(own.fills, None, 5),
    "POST algoOrder": Route(own.place_algo, None, 0),
    "DELETE algoOrder": Route(own.cancel_algo, None, 1),
    "DELETE algoOpenOrders": Route(own.cancel_algos, None, 1),
    "GET algoOrder": Route(own.algo_order, None, 1),
    "GET openAlgoOrders": Route(own.open_algo_orders, None, 1),
    "POST countdownCancelAll": Route(own.countdown, None, 10),
    "GET account": Route(held.account, 20, 5),
    "GET balance": Route(held.balance, None, 5),
    "GET positionRisk": Route(held.positions, None, 5),
    "POST leverage": Route(held.leverage, None, 1),
    "GET leverageBracket": Route(held.brackets, None, 1),
    "POST marginType": Route(held.margin_type, None, 1),
    "GET positionSide/dual": Route(held.one_way, None, 30),
    "POST positionSide/dual": Route(held.one_way, None, 1),
    "GET multiAssetsMargin": Route(held.one_asset, None, 30),
    "GET commissionRate": Route(held.commission, None, 20),
    "GET account/commission": Route(held.commission, 20, None),
    "GET capital/config/getall": Route(held.coins, 10, 10),
    "GET margin/allPairs": Route(held.nothing, 1, 1, "key"),
    "GET margin/isolated/allPairs": Route(held.nothing, 10, 10),
    "POST listenKey": Route(held.listen, None, 1, "key"),
    "PUT listenKey": Route(held.keep_listening, None, 1, "key"),
    "DELETE listenKey": Route(held.stop_listening, None, 1, "key"),
    "POST userDataStream": Route(held.listen, 2, None, "key"),
    "PUT userDataStream": Route(held.keep_listening, 2, None, "key"),
    "DELETE userDataStream": Route(held.stop_listening, 2, None, "key"),
}
METHODS = {
    "ping": "GET ping", "time": "GET time", "exchangeInfo": "GET exchangeInfo", "depth": "GET depth", "trades.recent": "GET trades",
    "trades.aggregate": "GET aggTrades", "klines": "GET klines", "ticker.24hr": "GET ticker/24hr", "ticker.price": "GET ticker/price",
    "ticker.book": "GET ticker/bookTicker", "order.place": "POST order", "order.test": "POST order/test", "order.status": "GET order",
    "order.cancel": "DELETE order", "openOrders.status": "GET openOrders", "openOrders.cancelAll": "DELETE openOrders",
    "allOrders": "GET allOrders", "myTrades": "GET myTrades", "account.status": "GET account", "v2/account.status": "GET account",
    "account.balance": "GET balance", "v2/account.balance": "GET balance", "account.position": "GET positionRisk",
    "v2/account.position": "GET positionRisk",
}  # fmt: skip
SLOW = frozenset({
    "POST order", "DELETE order", "DELETE openOrders", "DELETE allOpenOrders",
    "POST algoOrder", "DELETE algoOrder", "DELETE algoOpenOrders",
})  # fmt: skip
NEW = frozenset({"POST order", "POST algoOrder"})
PATHS = {"spot": re.compile(r"/(?:api/v[13]|sapi/v\d)/(.+)"), "usdm": re.compile(r"/(?:fapi|sapi)/v\d/(.+)")}


async def answer(desk: Desk, verb: str, path: str, query: str, body: str, key: str | None) -> Reply | None:
    """A REST request's reply; None where it is never answered (a fault): the connection is closed then."""
    found = PATHS[desk.kind].fullmatch(path)
    name = f"{verb} {found[1]}" if found else ""
    try:
        plain, signature = unsigned(query)
        rest, signed_in_body = unsigned(body)
        params = {**dict(parse_qsl(plain, keep_blank_values=True)), **dict(parse_qsl(rest, keep_blank_values=True))}
        return await handled(desk, name, f"{verb} {path}", params, plain + rest, signature or signed_in_body, key)
    except Unserved as error:
        return refused(desk, name, error)


async def api(desk: Desk, method: str, params: Mapping[str, Any]) -> Reply | None:
    """A request of the WebSocket API."""
    name = METHODS.get(method, "")
    try:
        texts = {key: json.dumps(value) if isinstance(value, bool | list) else str(value) for key, value in params.items()}
        key, signature = texts.get("apiKey"), texts.get("signature")
        payload = "&".join(f"{key}={texts[key]}" for key in sorted(texts) if key != "signature")
        return await handled(desk, name, method, texts, payload, signature, key)
    except Unserved as error:
        return refused(desk, name, error)


def proven(desk: Desk, params: Mapping[str, Any]) -> None:
    """A signed request of the WebSocket API that is none of `METHODS`. Raises `Unserved`."""
    payload = "&".join(f"{key}={params[key]}" for key in sorted(params) if key != "signature")
    check_signature(payload, params.get("signature"), check_key(params.get("apiKey"), desk.keys))
    in_window(desk, {key: str(value) for key, value in params.items()})


def in_window(desk: Desk, params: Params) -> None:
    try:
        check_window(params, desk.now_ms)
    except Unserved as error:
        if error.code != -1021 or not desk.own_clock:
            raise
        check_window(params, desk.wall() / 1e6)


async def handled(desk: Desk, name: str, shown: str, params: Params, payload: str, signature: str | None, key: str | None) -> Reply | None:
    now = desk.wall() / 1e6
    route = ROUTES.get(name)
    weight = (route.spot if desk.spot else route.usdm) if route else None
    if route is None or weight is None:
        raise Unserved(-1000, f"The venue does not serve {shown}.", 404)
    desk.weights.charge(weigh(name, weight, params, desk.spot), now)
    if route.need != "none":
        secret = check_key(key, desk.keys)
        if route.need == "signature":
            check_signature(payload, signature, secret)
            in_window(desk, params)
    faults = desk.faults.of_request(shown)
    await wait(sum(fault.ms for fault in faults if fault.kind == "delay_request") + (desk.latency.order if name in SLOW else 0))
    if name in NEW:
        desk.weights.charge_order(desk.wall() / 1e6)
    early = outcome(faults, done=False)
    if early and early.kind == "lose_request":
        await wait(early.ms)
        return None
    if early:
        raise Unserved(early.code, early.words, early.status if early.kind == "fail" else 400)
    try:
        told = route.handler(desk, params)
    except Unserved as error:
        reply = refused(desk, name, error)
    else:
        reply = Reply(200, told, desk.weights.headers(now, name in SLOW))
    desk.told()
    await wait(sum(fault.ms for fault in faults if fault.kind == "delay_answer") + (desk.latency.response if name in SLOW else 0))
    late = outcome(faults, done=True)
    if late and late.kind == "lose_answer":
        await wait(late.ms)
        return None
    return refused(desk, name, Unserved(late.code, late.words, late.status)) if late else reply


def outcome(faults: list[Fault], *, done: bool) -> Fault | None:
    kinds = ("lose_answer",) if done else ("lose_request", "reject")
    return next((one for one in faults if one.kind in kinds or (one.kind == "fail" and one.done == done)), None)


def refused(desk: Desk, name: str, error: Unserved) -> Reply:
    headers = desk.weights.headers(desk.wall() / 1e6, name in SLOW)
    if isinstance(error, Limited):
        headers["Retry-After"] = str(error.wait_s)
    return Reply(error.status, error.body, headers)


def weigh(name: str, weight: int, params: Params, spot: bool) -> int:
    """What depends on parameters: how deep, how many, of one symbol or of all."""
    if name == "GET depth":
        limit = int(params["limit"]) if params.get("limit", "").isdigit() else 100 if spot else 500
        steps = ((100, 5), (500, 25), (1_000, 50), (5_000, 250)) if spot else ((50, 2), (100, 5), (500, 10), (1_000, 20))
        return next((by for most, by in steps if limit <= most), steps[-1][1])
    if "symbol" not in params and name in ("GET openOrders", "GET ticker/24hr"):
        return 80 if spot else 40
    return weight


async def wait(ms: float) -> None:
    if ms > 0:
        await asyncio.sleep(ms / 1e3)


encode = msgspec.json.encode
