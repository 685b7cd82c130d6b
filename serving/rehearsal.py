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

LATE = 1  # a second that does not close is waited for so many times as long as before it
IDLE_S = 0.5


async def rehearse(worker: "Worker") -> None:
    """For as long as the worker lives. The engine's state and what is decided do not depend on it; nothing it does stays or leaves."""
    twin = rehearsal.init(worker.plan, worker.clock())
    ahead_ns = round(worker.rules.rehearse_ms * 1e6)
    while True:
        now, before = worker.clock(), closed(worker)
        due = sorted(at + NS for at in before.values() if at + NS > now)
        if not due:  # the market is quiet, or away
            await asyncio.sleep(IDLE_S)
            continue
        await asyncio.sleep(max(due[0] - ahead_ns - now, 0) / NS)
        for predicting in worker.predicting.values():
            predicting.rehearse()
        soon = {symbol for symbol, at in before.items() if now < at + NS < due[0] + ahead_ns}
        until = max(before[symbol] for symbol in soon) + NS + LATE * ahead_ns
        while worker.clock() < until and any(worker.state.desks[symbol].known_at == before[symbol] for symbol in soon):
            if not worker.inbox and not worker.outbox.later:
                once(worker, twin)
            await asyncio.sleep(0)


def closed(worker: "Worker") -> dict[str, int]:
    """When the newest second of each symbol closed, ns; 0 before the first."""
    return {symbol: desk.known_at for symbol, desk in worker.state.desks.items()}


def once(worker: "Worker", twin: rehearsal.Twin) -> None:
    """One round."""
    rehearsal.look(worker.state)
    order = rehearsal.beat(twin)
    if order is not None:
        worker.writer.rehearse(order)
        worker.exchange.rehearse(order)
