"""An account on paper goes on after its process ended: positions and fees as they were, no id twice, nothing stands that was not told."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from msgspec.structs import replace

from core.orders import Status, Tif
from serving.exchange import ExchangeError
from serving.paper_account import Past, Terms, charged

from .conformance import SYMBOL, Trader, listed, paper, trade

pytestmark = [pytest.mark.server, pytest.mark.recordings]
KINDS = pytest.mark.parametrize("adapter", ["paper usdm", "paper spot"])


async def again(trader: Trader, past: Past, case: Callable[[Trader], Awaitable[None]]) -> None:
    """The same venue, and an account that begins with `past`."""
    exchange = paper(trader.venue, "spot" if trader.listing.spot else "usdm", past=lambda: past)
    second = Trader(exchange, trader.venue, await exchange.open())
    try:
        await second.connected()
        await exchange.snapshot(SYMBOL)
        await case(second)
    finally:
        for task in second.tasks.values():
            task.cancel()
        await asyncio.gather(*second.tasks.values(), return_exceptions=True)
        await exchange.close()


@KINDS
def test_after_a_restart_it_holds_what_its_fills_add_up_to_and_no_id_comes_twice(shared: Path, adapter: str):
    async def case(trader: Trader) -> None:
        await trader.buy(3)
        resting = trader.order()
        await trader.send(resting)
        fills = await trader.exchange.fills(SYMBOL)
        before = await trader.exchange.held()

        async def then(second: Trader) -> None:
            assert [replace(fill, ts_recv=0) for fill in await second.exchange.fills(SYMBOL)] == [replace(f, ts_recv=0) for f in fills]
            held, balances = await second.exchange.held()
            assert [(one.symbol, one.size, one.entry_price) for one in held] == [(o.symbol, o.size, o.entry_price) for o in before[0]]
            worth = {one.asset: float(one.free) + float(one.locked) for one in balances}
            was = {one.asset: float(one.free) + float(one.locked) for one in before[1]}
            if second.listing.spot:
                assert worth == was
            assert not await second.exchange.open_orders([SYMBOL])
            left = await second.exchange.order(SYMBOL, resting.order_id)
            assert left is not None
            assert (left.status, left.filled) == (Status.EXPIRED, 0)
            second.n_orders = 100
            await second.buy()
            new = [fill for fill in await second.exchange.fills(SYMBOL) if fill.order_id == "sc1-65"]
            assert new
            assert min(fill.trade_id for fill in new) > max(fill.trade_id for fill in fills)

        await again(trader, Past(fills, [resting]), then)

    trade(shared, adapter, case)


@KINDS
def test_an_order_before_anything_was_heard_of_its_market_is_refused(shared: Path, adapter: str):
    async def case(trader: Trader) -> None:
        deaf = paper(trader.venue, "spot" if trader.listing.spot else "usdm")
        with pytest.raises(ExchangeError, match="before the exchange is open"):
            await deaf.open_orders([SYMBOL])
        await deaf.open()
        answer = await Trader(deaf, trader.venue, {SYMBOL: trader.listing}).send(trader.order(tif=Tif.GTC))
        assert answer.rejected
        assert "nothing was heard" in answer.reason
        await deaf.close()

    trade(shared, adapter, case)


def test_fees_are_the_exchanges_unless_others_are_asked_for():
    of = listed()
    assert charged(of, Terms()) == of
    other = charged(of, Terms(maker_bps=-0.5, taker_bps=3.0)).instrument
    assert (other.maker_bps, other.taker_bps) == (-0.5, 3.0)
