"""kill -9 at any point of an order's life: no order twice, no fill lost, and the position is the venue's again within 5 s."""

import asyncio
import signal
from pathlib import Path

import pytest

from .drills import SYMBOL, Fault, both, child, come, latched, venue, worker
from .points import POINTS

pytestmark = pytest.mark.server
FAULTS: dict[str, list[Fault]] = {
    "answer_came_before_ledger": [Fault(kind="late", ms=300)],
    "in_ledger_before_engine": [Fault(kind="duplicate", where="account", n=5)],
    "fill_before_ledger": [Fault(kind="reorder", where="account", n=2)],
    "fill_in_ledger_before_engine": [Fault(kind="duplicate", where="account", n=5)],
    "cancel_bytes_left": [Fault(kind="delay_answer", ms=200, match="DELETE /fapi/v1/order")],
    "after_bytes_left": [Fault(kind="delay_request", ms=300)],
}


@pytest.mark.parametrize("point", list(POINTS))
def test_a_worker_killed_at_any_point_leaves_nothing_behind_that_the_next_one_does_not_find(point: str, tmp_path: Path):
    async def drill() -> None:
        async with venue() as at:
            async with child(tmp_path, at, point) as first:
                if point in FAULTS:
                    await first.until("ready")
                    for fault in FAULTS[point]:
                        at.fault(fault)
                assert await first.ended() == -signal.SIGKILL, first.told
            was_latched = latched(tmp_path)
            assert was_latched or not point.startswith("kill_")
            before = len(at.matching.all_orders(SYMBOL))
            async with worker(tmp_path, at) as next_one:
                state, of = next_one.worker.state, next_one.worker
                took = await come(
                    lambda: state.accounted and both(tmp_path, at).position == (state.position(SYMBOL).size,) * 2, 5.0, of.health
                )
                settled = await come(lambda: not both(tmp_path, at).differences and not both(tmp_path, at).standing[0], 10.0,
                                     lambda: both(tmp_path, at))  # fmt: skip
                assert state.latched == was_latched
                assert latched(tmp_path) == was_latched
            assert len(at.matching.all_orders(SYMBOL)) == before or point == "after_bytes_left"  # nothing was sent again
            print(f"{point}: the position was the venue's {took:.2f} s after the start, all was settled after {took + settled:.2f} s")

    asyncio.run(drill())


def test_the_drills_go_through_all_of_an_orders_life_where_nobody_dies(tmp_path: Path):
    async def drill() -> None:
        async with venue() as at, child(tmp_path, at) as only:
            await only.until("through")
            assert not both(tmp_path, at).differences
            assert len(both(tmp_path, at).fills[0]) >= 2
            assert latched(tmp_path)
            assert not at.matching.open_orders(SYMBOL)

    asyncio.run(drill())
