"""What goes wrong on request goes wrong as on a real venue, and only so often."""

import asyncio
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import aiohttp
import pytest

pytestmark = pytest.mark.server
OnVenue = Callable[..., None]
KINDS = pytest.mark.parametrize("kind", ["spot", "usdm"])
GONE = (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError)


@KINDS
def test_an_order_whose_answer_is_lost_stands_all_the_same(on_venue: OnVenue, kind: str) -> None:
    async def case(at: Any) -> None:
        await at.fault(kind="lose_answer")
        with pytest.raises(GONE):
            await at.order(price="99.90", newClientOrderId="lost")
        status, order = await at.signed("GET", "/order", symbol="BTCUSDT", origClientOrderId="lost")
        assert (status, order["status"]) == (200, "NEW")
        await at.fault(kind="lose_request")
        with pytest.raises(GONE):
            await at.order(price="99.90", newClientOrderId="never")
        assert (await at.signed("GET", "/order", symbol="BTCUSDT", origClientOrderId="never"))[1]["code"] == -2013
        assert (await at.order(price="99.90"))[0] == 200

    on_venue(kind, case)


@KINDS
def test_requests_fail_are_rejected_and_are_late(on_venue: OnVenue, kind: str) -> None:
    async def case(at: Any) -> None:
        await at.fault(kind="fail", done=True)
        assert (await at.order(price="99.90", newClientOrderId="done"))[0] == 503
        assert (await at.signed("GET", "/order", symbol="BTCUSDT", origClientOrderId="done"))[0] == 200
        await at.fault(kind="reject", code=-2010, words="no")
        assert await at.order(price="99.90") == (400, {"code": -2010, "msg": "no"})
        await at.fault(kind="delay_answer", ms=200, match="GET")
        begin = asyncio.get_running_loop().time()
        await at.signed("GET", "/openOrders")
        assert asyncio.get_running_loop().time() - begin >= 0.2
        await at.fault(kind="late", ms=60_000)
        _, late = await at.order(price="99.80", newClientOrderId="late")
        assert (await at.signed("GET", "/order", symbol="BTCUSDT", orderId=late["orderId"]))[1]["code"] == -2013
        assert "late" not in [one["clientOrderId"] for one in (await at.signed("GET", "/openOrders"))[1]]
        async with at.session.delete(f"{at.venue.urls.rest}/faults") as answer:
            assert (await answer.json())["taken"] == {"fail": 1, "reject": 1, "delay_answer": 1, "late": 1}
        assert (await at.signed("GET", "/order", symbol="BTCUSDT", orderId=late["orderId"]))[0] == 200

    on_venue(kind, case)


def test_storms_bans_and_skewed_clocks_come_and_go(on_venue: OnVenue) -> None:
    async def case(at: Any) -> None:
        await at.fault(kind="storm", ms=300)
        assert (await at.ask("GET", "/ping"))[0] == 429
        await asyncio.sleep(0.35)
        assert (await at.ask("GET", "/ping"))[0] == 200
        await at.fault(kind="ban", ms=300)
        assert (await at.ask("GET", "/ping"))[0] == 418
        await asyncio.sleep(0.35)
        _, before = await at.ask("GET", "/time")
        await at.fault(kind="skew", ms=90_000)
        _, after = await at.ask("GET", "/time")
        assert after["serverTime"] - before["serverTime"] >= 90_000
        assert (await at.signed("GET", "/openOrders"))[1]["code"] == -1021
        await at.fault(kind="skew", ms=0)
        assert (await at.signed("GET", "/openOrders"))[0] == 200

    on_venue("usdm", case)


@KINDS
def test_frames_are_lost_doubled_swapped_and_held(on_venue: OnVenue, kind: str) -> None:
    async def case(at: Any) -> None:
        depths = await at.watch("/ws/btcusdt@depth@100ms")
        for fault, odd in (("gap", [2]), ("duplicate", [0]), ("reorder", [2, -1, 2])):
            first = (await depths.next())["u"]
            await at.fault(kind=fault, where="market", stream="depth")
            seen = [first] + [(await depths.next())["u"] for _ in range(40)]
            assert [step for now, then in pairwise(seen) if (step := then - now) != 1] == odd, fault
        await at.fault(kind="mute", where="market", ms=400)
        with pytest.raises(TimeoutError):
            while True:
                await depths.next(0.3)
        assert not depths.socket.closed
        assert (await depths.next())["e"] == "depthUpdate"

    on_venue(kind, case, seconds=3_000, speed=20)


@KINDS
def test_connections_end_and_can_be_made_again(on_venue: OnVenue, kind: str) -> None:
    async def case(at: Any) -> None:
        market, account = await at.watch("/stream?streams=btcusdt@trade"), await at.account()
        assert (await market.next())["stream"] == "btcusdt@trade"
        await at.fault(kind="disconnect", where="account")
        with pytest.raises(EOFError):
            await account.next()
        assert (await market.next())["stream"] == "btcusdt@trade"
        await at.fault(kind="expire")
        with pytest.raises(EOFError):
            while True:
                await market.next()
        assert (await (await at.watch("/stream?streams=btcusdt@trade")).next())["data"]["e"] == "trade"

    on_venue(kind, case, seconds=3_000, speed=10)


def test_an_old_connection_is_ended_by_the_venue(on_venue: OnVenue) -> None:
    async def case(at: Any) -> None:
        market = await at.watch("/ws/btcusdt@trade")
        with pytest.raises(EOFError):
            while True:
                await market.next()

    on_venue("usdm", case, age_s=0.5)


@KINDS
def test_an_order_of_somebody_else_shows_as_ours(on_venue: OnVenue, kind: str) -> None:
    async def case(at: Any) -> None:
        account = await at.account()
        await at.fault(kind="foreign", symbol="BTCUSDT", side="BUY", size="1", price="99.90")
        told = await account.until("executionReport" if kind == "spot" else "ORDER_TRADE_UPDATE")
        assert told.get("o", told)["c"] == "elsewhere-1" if kind == "usdm" else told["c"] == "elsewhere-1"
        await at.fault(kind="foreign", symbol="BTCUSDT", side="BUY", size="1", client_id="elsewhere-2")
        fills = (await at.signed("GET", "/myTrades" if kind == "spot" else "/userTrades", symbol="BTCUSDT"))[1]
        assert len(fills) == 1
        async with at.session.post(f"{at.venue.urls.rest}/faults", json={"kind": "bad weather"}) as answer:
            assert answer.status == 400 and "no fault" in (await answer.json())["error"]

    on_venue(kind, case)


def test_a_listen_key_ends_with_a_word_and_funding_is_paid(on_venue: OnVenue) -> None:
    async def case(at: Any) -> None:
        account = await at.account()
        await at.order(size="1")
        await at.fault(kind="funding", symbol="BTCUSDT", rate="0.001")
        while (told := await account.until("ACCOUNT_UPDATE"))["a"]["m"] != "FUNDING_FEE":
            pass
        assert float(told["a"]["B"][0]["bc"]) == pytest.approx(-0.1, abs=0.01)
        await at.fault(kind="listen_key_expired")
        await account.until("listenKeyExpired")

    on_venue("usdm", case)


@KINDS
def test_user_data_is_lost_doubled_and_late_too(on_venue: OnVenue, kind: str) -> None:
    async def case(at: Any) -> None:
        account, name = await at.account(), "executionReport" if kind == "spot" else "ORDER_TRADE_UPDATE"
        seen = []
        for fault in ("gap", "duplicate", "delay"):
            await at.fault(kind=fault, where="account", stream=name, ms=200)
            await at.order(price="99.90", newClientOrderId=fault)
        while seen[-1:] != ["delay"]:
            told = await account.until(name)
            seen.append((told if kind == "spot" else told["o"])["c"])
        assert seen == ["duplicate", "duplicate", "delay"]

    on_venue(kind, case)
