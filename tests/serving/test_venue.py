"""The venue answers as Binance does: who may ask, how much, and what becomes of orders."""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from serving.venue import Venue, VenueError
from serving.venue_keys import KEY, SECRET
from serving.venue_tape import Tape, TapeError, recorded

pytestmark = pytest.mark.server
OnVenue = Callable[..., None]
KINDS = pytest.mark.parametrize("kind", ["spot", "usdm"])


@KINDS
def test_what_is_listed_lies_on_the_grid_of_the_recording(on_venue: OnVenue, kind: str) -> None:
    async def case(at: Any) -> None:
        _, told = await at.ask("GET", "/exchangeInfo")
        (row,) = told["symbols"]
        filters = {one["filterType"]: one for one in row["filters"]}
        assert (row["symbol"], row["baseAsset"], row["quoteAsset"]) == ("BTCUSDT", "BTC", "USDT")
        assert float(filters["PRICE_FILTER"]["tickSize"]) == 0.1 and float(filters["LOT_SIZE"]["stepSize"]) == 0.01
        _, book = await at.ask("GET", "/depth", symbol="BTCUSDT", limit=5)
        assert book["bids"][0] == ["100.00", "5.000"] and book["asks"][0] == ["100.20", "5.000"]

    on_venue(kind, case)


@KINDS
def test_only_who_signs_in_time_is_served(on_venue: OnVenue, kind: str) -> None:
    async def case(at: Any) -> None:
        url = f"{at.venue.urls.rest}{at.root}/openOrders?timestamp={time.time_ns() // 10**6}"
        told = []
        for more, headers in (("", {}), ("", {"X-MBX-APIKEY": "no"}), ("", {"X-MBX-APIKEY": KEY}), ("&signature=0", {"X-MBX-APIKEY": KEY})):
            async with at.session.get(url + more, headers=headers) as answer:
                told.append((answer.status, (await answer.json())["code"]))
        assert told == [(401, -2014), (401, -2015), (400, -1102), (400, -1022)]
        old = time.time_ns() // 10**6 - 6_000
        assert (await at.signed("GET", "/openOrders", timestamp=old))[1]["code"] == -1021
        assert await at.signed("GET", "/openOrders", timestamp=old, recvWindow=10_000) == (200, [])
        assert (await at.signed("GET", "/openOrders", timestamp=old + 60_000))[1]["code"] == -1021
        async with at.session.post(  # parameters in the body, as some clients send them
            f"{at.venue.urls.rest}{at.root}/order/test", data=body(at), headers={"X-MBX-APIKEY": KEY}
        ) as answer:
            assert answer.status == 200

    def body(at: Any) -> str:
        from serving.venue_keys import signed

        query = f"symbol=BTCUSDT&side=BUY&type=MARKET&quantity=1&timestamp={time.time_ns() // 10**6}"
        return f"{query}&signature={signed(query, SECRET)}"

    on_venue(kind, case)


@KINDS
def test_too_many_requests_are_429_then_418(on_venue: OnVenue, kind: str) -> None:
    async def case(at: Any) -> None:
        most = next(limit for of, _, _, limit in at.venue.desk.weights.limits if of == "REQUEST_WEIGHT")
        at.venue.desk.wall = lambda: 1_800_000_000 * 10**9  # the minute does not end meanwhile
        at.venue.desk.weights.charge(most - 1, 1_800_000_000_000)
        statuses, used, wait = [], "0", None
        for _ in range(13):
            async with at.session.get(f"{at.venue.urls.rest}{at.root}/ping") as answer:
                statuses.append(answer.status)
                used, wait = answer.headers["X-MBX-USED-WEIGHT-1M"], answer.headers.get("Retry-After")
        assert statuses == [200] + [429] * 11 + [418]
        assert int(used) > most and wait == "120"

    on_venue(kind, case)


@KINDS
def test_orders_follow_the_rules_of_the_venue(on_venue: OnVenue, kind: str) -> None:
    async def case(at: Any) -> None:
        assert (await at.order(price="99.90", newClientOrderId="one"))[1]["status"] == "NEW"
        _, again = await at.order(price="99.90", newClientOrderId="one")
        assert again["code"] == (-2010 if kind == "spot" else -4116)  # unique among open orders
        assert (await at.signed("DELETE", "/order", symbol="BTCUSDT", origClientOrderId="one"))[1]["status"] == "CANCELED"
        assert (await at.order(price="99.90", newClientOrderId="one"))[0] == 200  # only among open ones
        assert (await at.order(price="99.905"))[1]["code"] == -1111
        assert (await at.order(size="x", price="99.90"))[1]["code"] == -1100
        assert (await at.order(price="99.90", side="HOLD"))[1]["code"] == -1117
        assert (await at.signed("POST", "/order", symbol="NO", side="BUY"))[1]["code"] == -1121
        assert (await at.signed("GET", "/order", symbol="BTCUSDT", orderId=999))[1]["code"] == -2013
        assert (await at.signed("DELETE", "/order", symbol="BTCUSDT", orderId=999))[1]["code"] == -2011
        assert (await at.order(size="0.01", price="99.90"))[1]["code"] in (-1013, -4164)  # too little
        assert len((await at.signed("GET", "/openOrders"))[1]) == 1
        everything = "/openOrders" if kind == "spot" else "/allOpenOrders"
        assert (await at.signed("DELETE", everything, symbol="BTCUSDT"))[0] == 200
        assert (await at.signed("GET", "/openOrders"))[1] == []
        assert [one["status"] for one in (await at.signed("GET", "/allOrders", symbol="BTCUSDT"))[1]] == ["CANCELED"] * 2

    on_venue(kind, case)


@KINDS
def test_a_resting_order_waits_for_its_turn_and_then_fills_in_parts(on_venue: OnVenue, kind: str) -> None:
    async def case(at: Any) -> None:
        account = await at.account()
        _, order = await at.order(price="100.00", size="0.22", newClientOrderId="inside")
        name = "executionReport" if kind == "spot" else "ORDER_TRADE_UPDATE"
        states = []
        while states[-1:] != ["FILLED"]:
            told = await account.until(name)
            states.append(told.get("o", told)["X"] if kind == "usdm" else told["X"])
        assert states[0] == "NEW" and set(states[1:-1]) == {"PARTIALLY_FILLED"}
        fills = (await at.signed("GET", "/myTrades" if kind == "spot" else "/userTrades", symbol="BTCUSDT"))[1]
        assert sum(float(fill["qty"]) for fill in fills) == pytest.approx(0.22)
        assert all(fill["orderId"] == order["orderId"] and fill.get("maker", fill.get("isMaker")) for fill in fills)

    on_venue(kind, case, seconds=6_000, speed=500)


def test_the_dead_mans_switch_cancels_when_it_is_not_fed(on_venue: OnVenue) -> None:
    async def case(at: Any) -> None:
        account = await at.account()
        await at.order(price="99.90")
        assert (await at.signed("POST", "/countdownCancelAll", symbol="BTCUSDT", countdownTime=300))[0] == 200
        assert (await account.until("ORDER_TRADE_UPDATE"))["o"]["X"] == "NEW"
        assert (await account.until("ORDER_TRADE_UPDATE"))["o"]["X"] == "CANCELED"
        assert (await at.signed("GET", "/openOrders"))[1] == []

    on_venue("usdm", case)


def test_latencies_are_waited_for(on_venue: OnVenue) -> None:
    from serving.venue_desk import Latency

    async def case(at: Any) -> None:
        asked = at.venue.desk.clock()
        _, order = await at.order(price="99.90")
        assert order["updateTime"] * 10**6 - asked >= 100 * 10**6  # on the way in
        assert at.venue.desk.clock() - asked >= 150 * 10**6  # and back

    on_venue("usdm", case, latency=Latency(0, 101, 50))


def test_a_taken_port_and_a_missing_recording_are_said_in_words(tmp_path: Path, tape_of: Callable[..., Tape]) -> None:
    async def run() -> None:
        async with Venue(tape_of("usdm")) as first:
            with pytest.raises(VenueError, match="--port"):
                await Venue(tape_of("usdm"), port=first.port).start()

    asyncio.run(run())
    with pytest.raises(TapeError, match="is not there"):
        recorded(tmp_path / "no.gz")
    with pytest.raises(TapeError, match="holds no recording"):
        recorded(tmp_path / "..", "spot") if not any(tmp_path.iterdir()) else recorded(empty(tmp_path))


def empty(folder: Path) -> Path:
    (folder / "none").mkdir()
    return folder / "none"
