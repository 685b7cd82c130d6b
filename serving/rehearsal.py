"""Just before a second closes, the worker goes through the way of an order: what it will need then is in the caches, and the core awake.

    Triton asked about nothing;  twin decides (kernels.rehearsal) -> ledger (taken back) -> request (never sent)

Whoever waits for a frame gets it between two rounds, each shorter than a turn of the worker.
"""

import asyncio
from typing import TYPE_CHECKING

from core.market import NS
from kernels import rehearsal

if TYPE_CHECKING:
    from serving.worker import Worker

LATE = 2  # a second that does not close is waited for so many times as long as before it
IDLE_S = 0.5


async def rehearse(worker: "Worker") -> None:
    """For as long as the worker lives. The engine's state and what is decided do not depend on it; nothing it does stays or leaves."""
    twin = rehearsal.init(worker.plan, worker.clock())
    ahead_ns = round(worker.rules.rehearse_ms * 1e6)
    before = 0
    while True:
        closed = newest(worker)
        due = closed + NS
        if closed == before or due < worker.clock():  # nothing closes now: the market is quiet, or away
            await asyncio.sleep(min(max((due - worker.clock()) / NS, 0.0) or IDLE_S, IDLE_S))
            before = 0
            continue
        before = closed
        await asyncio.sleep(max(due - ahead_ns - worker.clock(), 0) / NS)
        for predicting in worker.predicting.values():
            predicting.rehearse()
        until = due + LATE * ahead_ns
        while newest(worker) == closed and worker.clock() < until:
            if not worker.inbox and not worker.outbox.later:
                once(worker, twin)
            await asyncio.sleep(0)


def newest(worker: "Worker") -> int:
    """When the second that closed last did, ns; 0 before the first."""
    return max(desk.known_at for desk in worker.state.desks.values())


def once(worker: "Worker", twin: rehearsal.Twin) -> None:
    """One round."""
    order = rehearsal.beat(twin)
    if order is not None:
        worker.writer.rehearse(order)
        worker.exchange.rehearse(order)
