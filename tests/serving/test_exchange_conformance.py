"""Every adapter keeps the promises of `serving.exchange.Exchange`: against a venue of ours, over real REST and WebSocket."""

import json
from pathlib import Path

import pytest
from msgspec.structs import replace

from core.market import Side
from core.orders import Status, Tif
from kernels.frames_live import Depth, Live, Quote, Refused, Trade
from serving.exchange import ExchangeError
from serving.snapshots import snapshot_of

from .conformance import ADAPTERS, ALSO_PAPER, SYMBOL, Trader, trade

pytestmark = [pytest.mark.server, pytest.mark.recordings]
of_each = pytest.mark.parametrize("adapter", ALSO_PAPER)
of_real = pytest.mark.parametrize("adapter", ADAPTERS)  # what only an account elsewhere can do to us


@of_each
def test_what_is_listed_is_on_the_grid_of_the_venue(shared: Path, adapter: str) -> None:
    async def case(trader: Trader) -> None:
        ours, theirs = trader.listing, trader.venue.scales[SYMBOL].listing
        assert (ours.tick, ours.lot, ours.min_size) == (theirs.tick, theirs.lot, theirs.min_size)
        assert (ours.price_unit, ours.size_unit, ours.min_notional) == (theirs.price_unit, theirs.size_unit, theirs.min_notional)
        assert ours.spot == theirs.spot and ours.instrument.symbol == SYMBOL
        assert (ours.instrument.base, ours.instrument.quote) == ("BTC", "USDT")
        assert abs(trader.exchange.clock_offset_ns) < 1_000_000_000

    trade(shared, adapter, case)


@of_each
def test_frames_are_decoded_and_go_on_from_the_snapshot(shared: Path, adapter: str) -> None:
    async def case(trader: Trader) -> None:
        await trader.connected()
        seen = len(trader.frames)
        whole = await trader.exchange.snapshot(SYMBOL)
        await trader.until(lambda: len(trader.frames) > seen + 100)
        of = trader.listing.instrument
        live = Live({SYMBOL: (of.price_decimals, of.size_decimals)})
        events = [event for payload, ts in trader.frames for event in live.decode([payload], ts)]
        diffs = [event for event in events if isinstance(event, Depth)]
        assert {type(event) for event in events} >= {Trade, Quote, Depth}
        assert not [event for event in events if isinstance(event, Refused)]
        snapshot = snapshot_of(whole, trader.listing)
        assert snapshot.bids[0][0] < snapshot.asks[0][0] and snapshot.bids == tuple(sorted(snapshot.bids, reverse=True))
        assert any(diff.update_id > snapshot.update_id for diff in diffs)
        ids = [diff.update_id for diff in diffs]
        assert ids == sorted(set(ids))

    trade(shared, adapter, case)


@of_each
def test_a_post_only_order_rests_until_it_is_cancelled(shared: Path, adapter: str) -> None:
    async def case(trader: Trader) -> None:
        await trader.connected()
        order = trader.order()
        answer = await trader.send(order)
        assert answer.known and answer.standing and not answer.rejected
        assert (answer.standing.order_id, answer.standing.status, answer.standing.filled) == (order.order_id, Status.NEW, 0)
        for found in (await trader.stands(order), *await trader.exchange.open_orders([SYMBOL])):
            assert (found.order_id, found.status, found.side) == (order.order_id, Status.NEW, Side.BUY)
            assert (found.price, found.size, found.filled) == (order.price, order.size, 0) and found.venue_id
        gone = await trader.exchange.cancel(SYMBOL, order.order_id)
        assert gone.known and not gone.rejected and gone.standing and gone.standing.status is Status.CANCELLED
        assert gone.standing.order_id == order.order_id
        assert (await trader.stands(order)).status is Status.CANCELLED
        assert not await trader.exchange.open_orders([SYMBOL])
        again = await trader.exchange.cancel(SYMBOL, order.order_id)
        assert again.rejected and again.reason
        assert await trader.exchange.order(SYMBOL, "sc1-never") is None
        await trader.until(lambda: any(event.standing and event.standing.status is Status.CANCELLED for event in trader.events))
        told = [event.standing for event in trader.events if event.standing]
        assert {standing.order_id for standing in told} == {order.order_id}

    trade(shared, adapter, case)


@of_each
def test_what_would_take_is_no_post_only_order(shared: Path, adapter: str) -> None:
    async def case(trader: Trader) -> None:
        answer = await trader.send(trader.order(away=-0.01))
        assert answer.rejected and answer.code < 0 and answer.reason
        assert answer.standing and answer.standing.status is Status.REJECTED
        assert not await trader.exchange.open_orders([SYMBOL])

    trade(shared, adapter, case)


@of_each
def test_an_order_beyond_our_money_is_refused_with_the_venues_code(shared: Path, adapter: str) -> None:
    async def case(trader: Trader) -> None:
        answer = await trader.send(trader.order(times=100_000))
        assert answer.rejected and answer.code in (-2010, -2019) and not answer.fills

    trade(shared, adapter, case)


@of_each
def test_a_fill_is_told_by_user_data_and_found_again_by_its_trade_id(shared: Path, adapter: str) -> None:
    async def case(trader: Trader) -> None:
        await trader.connected()
        order = await trader.buy()
        await trader.until(lambda: sum(fill.size for fill in trader.fills()) == order.size)
        assert all((fill.order_id, fill.side, fill.maker) == (order.order_id, Side.BUY, False) for fill in trader.fills())
        assert all(fill.fee > 0 and fill.fee_asset for fill in trader.fills())
        found = await trader.exchange.fills(SYMBOL)
        assert [replace(fill, ts_recv=0) for fill in found] == [replace(fill, ts_recv=0) for fill in trader.fills()] and found
        assert not await trader.exchange.fills(SYMBOL, from_id=found[-1].trade_id + 1)
        assert (await trader.stands(order)).status is Status.FILLED
        held, balances = await trader.exchange.held()
        if trader.listing.spot:
            assert not held and {balance.asset for balance in balances} == {"BTC", "USDT"}
        else:
            assert [(one.symbol, one.size) for one in held] == [(SYMBOL, order.size)] and held[0].entry_price > 50_000
            assert [balance.asset for balance in balances] == ["USDT"] and float(balances[0].free) < 100_000

    trade(shared, adapter, case)


@of_each
def test_an_immediate_order_that_meets_nobody_is_over(shared: Path, adapter: str) -> None:
    async def case(trader: Trader) -> None:
        order = trader.order(tif=Tif.IOC)
        assert not (await trader.send(order)).rejected
        assert (await trader.stands(order)).status in (Status.EXPIRED, Status.CANCELLED)
        assert not await trader.exchange.fills(SYMBOL)

    trade(shared, adapter, case)


@of_each
def test_all_orders_are_cancelled_at_once_and_none_is_no_failure(shared: Path, adapter: str) -> None:
    async def case(trader: Trader) -> None:
        for side in (Side.BUY, Side.SELL, Side.BUY):
            assert not (await trader.send(trader.order(side))).rejected
        assert len(await trader.exchange.open_orders([SYMBOL])) == 3
        for _ in range(2):
            answer = await trader.exchange.cancel_all([SYMBOL])
            assert answer.known and not answer.rejected
            assert not await trader.exchange.open_orders([SYMBOL])

    trade(shared, adapter, case)


@of_real
def test_an_answer_that_was_lost_is_unknown_and_the_order_is_found_by_our_id(shared: Path, adapter: str) -> None:
    async def case(trader: Trader) -> None:
        trader.fault("lose_answer", match="POST")
        order = trader.order()
        answer = await trader.send(order)
        assert not answer.known and answer.standing is None and answer.reason
        assert (await trader.stands(order)).status is Status.NEW
        assert len(trader.venue.matching.all_orders(SYMBOL)) == 1  # and it was not sent twice
        trader.fault("lose_request", match="POST")
        lost = trader.order()
        assert not (await trader.send(lost)).known
        assert await trader.exchange.order(SYMBOL, lost.order_id) is None
        trader.fault("lose_answer", match="DELETE")
        gone = await trader.exchange.cancel(SYMBOL, order.order_id)
        assert not gone.known or gone.rejected  # ccxt asks again by itself, and hears that there is none
        assert (await trader.stands(order)).status is Status.CANCELLED

    trade(shared, adapter, case)


@of_real
def test_an_answer_of_which_the_venue_is_unsure_is_unknown(shared: Path, adapter: str) -> None:
    async def case(trader: Trader) -> None:
        trader.fault("fail", match="POST", done=True)  # 503, -1007
        order = trader.order()
        assert not (await trader.send(order)).known
        assert (await trader.stands(order)).status is Status.NEW

    trade(shared, adapter, case)


@of_real
def test_disconnects_are_told_and_mended_and_missed_fills_are_found(shared: Path, adapter: str) -> None:
    async def case(trader: Trader) -> None:
        await trader.connected()
        trader.fault("disconnect")
        await trader.until(lambda: ("market", False) in trader.links and ("account", False) in trader.links)
        order = await trader.buy()
        seen = len(trader.frames)
        await trader.until(lambda: trader.up("market") and trader.up("account") and len(trader.frames) > seen)
        fills = await trader.exchange.fills(SYMBOL)
        assert sum(fill.size for fill in fills) == order.size and {fill.order_id for fill in fills} == {order.order_id}
        second = await trader.buy()
        await trader.until(lambda: second.order_id in {fill.order_id for fill in trader.fills()})

    trade(shared, adapter, case)


@of_real
def test_duplicated_and_reordered_user_data_adds_up_to_the_venues_fills(shared: Path, adapter: str) -> None:
    async def case(trader: Trader) -> None:
        await trader.connected()
        stream = "executionReport" if trader.listing.spot else "ORDER_TRADE_UPDATE"
        for kind in ("duplicate", "reorder", "duplicate"):
            trader.fault(kind, where="account", stream=stream)
            await trader.buy()
        await trader.send(trader.order())  # the one after the reordered
        found = {fill.trade_id: fill.size for fill in await trader.exchange.fills(SYMBOL)}
        await trader.until(lambda: {fill.trade_id: fill.size for fill in trader.fills()} == found)
        most: dict[str, int] = {}
        for event in trader.events:
            if event.standing:
                most[event.standing.order_id] = max(event.standing.filled, most.get(event.standing.order_id, 0))
        assert sorted(most.values()) == [0, *[round(trader.listing.size_unit / 100)] * 3]

    trade(shared, adapter, case)


@of_real
def test_somebody_elses_order_shows_under_its_own_id(shared: Path, adapter: str) -> None:
    async def case(trader: Trader) -> None:
        bid, _ = trader.top
        price = f"{trader.on_tick(bid * 0.99) / trader.listing.price_unit:.2f}"
        trader.fault("foreign", symbol=SYMBOL, side="BUY", size="0.01", price=price)
        (found,) = await trader.exchange.open_orders([SYMBOL])
        assert found.order_id == "elsewhere-1" and found.size == round(trader.listing.size_unit / 100)

    trade(shared, adapter, case)


@of_real
def test_while_the_venue_turns_us_away_an_order_is_refused_and_never_unknown(shared: Path, adapter: str) -> None:
    async def case(trader: Trader) -> None:
        order = trader.order()
        trader.fault("storm", ms=60_000)
        answer = await trader.send(order)
        assert answer.rejected
        with pytest.raises(ExchangeError):
            await trader.exchange.open_orders([SYMBOL])
        trader.venue.mend()
        assert not trader.venue.matching.open_orders()

    trade(shared, adapter, case)


@of_each
def test_kinds_of_frames_are_json_objects_with_a_stream(shared: Path, adapter: str) -> None:
    async def case(trader: Trader) -> None:
        await trader.connected()
        await trader.until(lambda: len(trader.frames) > 20)
        assert all(set(json.loads(payload)) == {"stream", "data"} and b"\n" not in payload for payload, _ in trader.frames)

    trade(shared, adapter, case)
