"""A stop at the venue follows the position: it closes it where the worker cannot, and the next worker knows."""

import asyncio
import time
from pathlib import Path

import pytest

from core import ledger_reader
from core.ledger import Ledger, url_of
from core.market import Side
from core.orders import Kind, Purpose, Status
from kernels import matching_words as words
from serving.replay import replay
from serving.venue import Venue

from .drills import ACCOUNT, SYMBOL, both, child, come, venue, worker

pytestmark = pytest.mark.server
BPS = 50.0


def stops(at: Venue) -> list[words.VenueOrder]:
    return [order for order in at.matching.open_orders(SYMBOL) if order.close_position]


def held(at: Venue) -> int:
    return sum(position.size for position in at.matching.positions())


def falls(at: Venue, price: int) -> None:
    """Somebody sells at a price below the market."""
    at.matching.trade(time.time_ns(), SYMBOL, -1, price, 1)


@pytest.mark.parametrize("guard_s", [0.0, 1.4], ids=["alone", "with its guard"])
def test_where_the_worker_is_killed_and_the_market_falls_the_venue_closes_the_position_and_the_next_worker_knows(
    tmp_path: Path, guard_s: float
):
    async def drill() -> None:
        async with venue() as at:
            async with child(tmp_path, at, stop_bps=BPS, guard_s=guard_s) as first:
                await come(lambda: held(at) > 0 and bool(stops(at)), 90.0, lambda: first.told)
                first.kill()
                await first.ended()
            (stop,) = stops(at)
            long = held(at)
            assert (stop.side, stop.kind) == (Side.SELL, words.Kind.STOP_MARKET)
            entry = at.matching.positions()[0].entry_price * 10
            assert stop.stop_price == pytest.approx(entry * (1 - BPS / 1e4), abs=0.15 * entry * BPS / 1e4)
            if guard_s:  # it takes away what rests, and leaves what protects
                await come(lambda: [o.client_id for o in at.matching.open_orders(SYMBOL)] == [stop.client_id], 10.0,
                           lambda: at.matching.open_orders(SYMBOL))  # fmt: skip
            with Ledger(url_of(tmp_path)) as ledger, ledger.read() as connection:
                known = ledger_reader.order(connection, stop.client_id)
            assert known is not None
            order, standing = known
            assert (order.kind, order.purpose, order.reduce_only) == (Kind.STOP, Purpose.VENUE_STOP, True)
            assert order.stop_price == stop.stop_price
            assert standing.status.is_open
            falls(at, stop.stop_price)
            await come(lambda: held(at) == 0, 5.0, at.matching.positions)
            async with worker(tmp_path, at, BPS) as after:
                state = after.worker.state
                await come(lambda: state.accounted and not both(tmp_path, at).differences, 10.0, lambda: both(tmp_path, at))
                assert state.position(SYMBOL).size == 0
                assert not stops(at)
            with Ledger(url_of(tmp_path)) as ledger, ledger.read() as connection:
                fills = ledger_reader.fills(connection, ACCOUNT, order_id=stop.client_id)
                known = ledger_reader.order(connection, stop.client_id)
                incidents = ledger_reader.rows(connection, ledger_reader.t.incidents, ACCOUNT)
            assert sum(fill.size for fill in fills) >= long  # what rested may have been bought on the way down: it closes that too
            assert known is not None
            assert known[1].status is Status.FILLED
            assert not [row for row in incidents if row["kind"].startswith("foreign")]

    asyncio.run(drill())


def test_the_next_worker_puts_a_stop_of_its_own_where_the_position_is_still_held(tmp_path: Path):
    async def drill() -> None:
        async with venue() as at:
            async with child(tmp_path, at, stop_bps=BPS) as first:
                await come(lambda: held(at) > 0 and bool(stops(at)), 90.0, lambda: first.told)
                first.kill()
                await first.ended()
            (before,) = stops(at)
            async with worker(tmp_path, at, BPS) as after:
                await come(lambda: bool(stops(at)) and stops(at)[0].client_id != before.client_id, 15.0, after.worker.health)
                assert len(stops(at)) == 1
                await come(lambda: not both(tmp_path, at).differences, 10.0, lambda: both(tmp_path, at))
            assert len(stops(at)) == 1  # it ended in order, and nobody else looks after the position
            assert held(at)
            again = replay(after.folder)
            assert (again.n_different, again.n_decisions > 0) == (0, True)

    asyncio.run(drill())
