"""What live trading asks to be shown: that paper ran for hours, that reconciling found nothing, that the kill switch was tried.

The worker writes it down while it trades; `serving.gate` asks for it.
"""

import asyncio
from typing import TYPE_CHECKING

from core import ledger_control

if TYPE_CHECKING:
    from serving.worker import Worker

EACH_S = 30.0
LOOK_S = 1.0


async def gather(worker: "Worker", account: str, paper: bool) -> None:
    """A worker's task: `paper_seconds` while it is healthy, and `reconciled` (1: nothing differed, 0: something did), at each change and
    every now and then."""
    clean: bool | None = None
    healthy, told = 0, 0
    while True:
        await asyncio.sleep(LOOK_S)
        healthy += worker.healthy
        found = worker.last_found
        changed = found is not None and found.clean != clean
        told += 1
        if not changed and told * LOOK_S < EACH_S:
            continue
        now = worker.clock()
        if found is not None:
            clean = found.clean
            ledger_control.note(worker.ledger, account, "reconciled", now, float(clean))
        if paper and healthy:
            ledger_control.note(worker.ledger, account, "paper_seconds", now, healthy * LOOK_S)
        healthy = told = 0
