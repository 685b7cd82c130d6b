"""What our own adapter does beyond the common promises: the clock, the limits, listen keys, mute feeds, the dead-man's switch."""

import asyncio
import hmac
from pathlib import Path
from typing import Any

import pytest

from core.events import Approved
from core.orders import Status
from serving.binance import Binance
from serving.exchange import ExchangeError

from .conformance import NATIVE, SYMBOL, Trader, binance, trade

pytestmark = [pytest.mark.server, pytest.mark.recordings]
BOTH = pytest.mark.parametrize("adapter", NATIVE)
USDM = NATIVE[0]


@BOTH
def test_a_clock_that_jumped_is_measured_anew_by_the_query_that_noticed(shared: Path, adapter: str) -> None:
    async def case(trader: Trader) -> None:
        trader.fault("skew", ms=30_000)
        assert not await trader.exchange.open_orders([SYMBOL])
        assert 29e9 < trader.exchange.clock_offset_ns < 31e9

    trade(shared, adapter, case)


@BOTH
def test_an_order_out_of_the_window_is_refused_and_the_next_one_is_in_time(shared: Path, adapter: str) -> None:
    async def case(trader: Trader) -> None:
        trader.fault("skew", ms=30_000)
        late = trader.order()
        answer = await trader.send(late)
        assert answer.code == -1021 and answer.standing and answer.standing.status is Status.REJECTED
        assert not (await trader.send(trader.order())).rejected
        assert await trader.exchange.order(SYMBOL, late.order_id) is None

    trade(shared, adapter, case)


@BOTH
def test_a_venue_that_says_429_is_left_alone_until_it_said(shared: Path, adapter: str) -> None:
    async def case(trader: Trader) -> None:
        trader.fault("storm", ms=2_000)
        answers = [await trader.send(trader.order()) for _ in range(20)]
        assert all(answer.rejected for answer in answers)
        assert trader.venue.desk.weights.warned == 1  # the first was told off, the others never left
        await asyncio.sleep(2.2)
        assert not (await trader.send(trader.order())).rejected

    trade(shared, adapter, case)


@BOTH
def test_a_ban_is_waited_out_without_a_request(shared: Path, adapter: str) -> None:
    async def case(trader: Trader) -> None:
        trader.fault("ban", ms=60_000)
        with pytest.raises(ExchangeError, match="banned"):
            await trader.exchange.held()
        used = dict(trader.venue.desk.weights.used)
        with pytest.raises(ExchangeError, match="held back"):
            await trader.exchange.held()
        assert (await trader.send(trader.order())).rejected
        assert dict(trader.venue.desk.weights.used) == used

    trade(shared, adapter, case)


@BOTH
def test_more_orders_than_are_allowed_are_held_back_before_the_venue_complains(shared: Path, adapter: str) -> None:
    async def case(trader: Trader) -> None:
        most = 100 if trader.listing.spot else 300
        answers = []
        for _ in range(most + 40):
            order = trader.order()
            answers.append(await trader.send(order))
            await trader.exchange.cancel(SYMBOL, order.order_id)
        assert any(answer.rejected for answer in answers)
        assert all("held back" in answer.reason for answer in answers if answer.rejected)
        assert not trader.venue.desk.weights.warned

    trade(shared, adapter, case)


@BOTH
def test_a_mute_feed_is_connected_anew(shared: Path, adapter: str) -> None:
    async def case(trader: Trader) -> None:
        await trader.connected()
        trader.fault("mute", where="market", ms=1_500)
        await trader.until(lambda: ("market", False) in trader.links)
        seen = len(trader.frames)
        await trader.until(lambda: trader.up("market") and len(trader.frames) > seen + 50)

    trade(shared, adapter, case, mute_s=0.5)


@BOTH
def test_a_connection_of_24_hours_is_replaced(shared: Path, adapter: str) -> None:
    async def case(trader: Trader) -> None:
        await trader.connected()
        await trader.until(lambda: trader.links.count(("market", False)) >= 2 and trader.links.count(("account", False)) >= 2)
        await trader.until(lambda: trader.up("market") and trader.up("account"))

    trade(shared, adapter, case, venue={"age_s": 0.5})


@BOTH
def test_what_fails_in_the_worker_ends_the_feed_and_is_raised(shared: Path, adapter: str) -> None:
    async def case(trader: Trader) -> None:
        def told(payloads: Any, ts_recv: int) -> None:
            raise KeyError("a surprise")

        with pytest.raises(BaseExceptionGroup) as raised:
            await trader.exchange.feed([SYMBOL], told, lambda up, why: None)
        assert raised.value.subgroup(KeyError) is not None

    trade(shared, adapter, case)


def test_a_listen_key_is_kept_alive_and_a_lost_one_replaced(shared: Path) -> None:
    async def case(trader: Trader) -> None:
        await trader.connected()
        (key,) = trader.venue.desk.listen_keys
        until = trader.venue.desk.listen_keys[key]
        await trader.until(lambda: trader.venue.desk.listen_keys[key] > until + 200)
        trader.fault("listen_key_expired")
        await trader.until(lambda: ("account", False) in trader.links and trader.up("account"))
        order = await trader.buy()
        await trader.until(lambda: order.order_id in {fill.order_id for fill in trader.fills()})

    trade(shared, USDM, case, renew_s=0.2)


def test_the_venue_cancels_all_when_it_has_not_heard_of_us(shared: Path) -> None:
    async def case(trader: Trader) -> None:
        await trader.send(trader.order())
        for _ in range(3):
            assert await trader.exchange.dead_man([SYMBOL], 0.5)
            await asyncio.sleep(0.2)
            assert await trader.exchange.open_orders([SYMBOL])
        await asyncio.sleep(0.8)
        assert not await trader.exchange.open_orders([SYMBOL])

    trade(shared, USDM, case)


def test_spot_has_no_dead_mans_switch(shared: Path) -> None:
    async def case(trader: Trader) -> None:
        assert not await trader.exchange.dead_man([SYMBOL], 10)

    trade(shared, NATIVE[1], case)


def test_funding_is_told(shared: Path) -> None:
    async def case(trader: Trader) -> None:
        await trader.connected()
        await trader.buy()
        trader.fault("funding", symbol=SYMBOL, rate="0.001")
        await trader.until(lambda: any(event.funding for event in trader.events))
        (funding,) = [event.funding for event in trader.events if event.funding]
        assert funding[0] in (SYMBOL, "") and -1.0 < funding[1] < 0

    trade(shared, USDM, case)


def test_a_reduce_only_order_without_a_position_is_refused(shared: Path) -> None:
    async def case(trader: Trader) -> None:
        answer = await trader.send(trader.order(reduce_only=True))
        assert answer.rejected and answer.code == -2022

    trade(shared, USDM, case)


def test_fills_of_an_earlier_life_are_named_by_our_order_ids(shared: Path) -> None:
    async def case(trader: Trader) -> None:
        bought = [await trader.buy() for _ in range(5)]
        later = binance(trader.venue, "usdm")
        try:
            await later.open()
            assert [fill.order_id for fill in await later.fills(SYMBOL)] == [order.order_id for order in bought]
            assert {fill.order_id for fill in await later.fills(SYMBOL, since=1)} == {order.order_id for order in bought}
        finally:
            await later.close()

    trade(shared, USDM, case)


def test_what_is_wrong_with_keys_symbols_and_addresses_is_said(shared: Path) -> None:
    async def refused(exchange: Binance, words: str) -> None:
        with pytest.raises(ExchangeError, match=words):
            await exchange.open()
        await exchange.close()

    async def case(trader: Trader) -> None:
        at = trader.venue
        await refused(binance(at, "usdm", symbols=["NOPEUSDT"]), "NOPEUSDT not listed")
        wrong = binance(at, "usdm")
        wrong.rest.signer = hmac.new(b"wrong", digestmod="sha256")
        await refused(wrong, "SCALP_EXCHANGE__API_SECRET")
        gone = binance(at, "usdm")
        gone.rest.wire.port = 1
        await refused(gone, "cannot be reached")

    trade(shared, USDM, case)


def test_without_keys_the_market_is_read_and_nothing_is_sent(shared: Path) -> None:
    async def case(trader: Trader) -> None:
        bare = Binance("usdm", urls=trader.exchange.urls)  # type: ignore[attr-defined]
        try:
            assert SYMBOL in await bare.open()
            assert (await bare.snapshot(SYMBOL)).text.startswith(b'{"lastUpdateId"')
            answer = await bare.send(Approved(ts=0, order=trader.order()))
            assert answer.rejected and "API key" in answer.reason
        finally:
            await bare.close()

    trade(shared, USDM, case)
