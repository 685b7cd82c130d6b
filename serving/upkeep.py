"""What a worker does again and again beside its feed: timers, its lease, reconciling, equity, the dead man's switch, snapshots."""

import asyncio
import logging
import math
from collections.abc import Callable
from typing import TYPE_CHECKING

from core.events import Snapshot, Timer
from core.market import NS
from core.orders import Listing
from kernels import holdings
from serving.exchange import Exchange, ExchangeError
from serving.snapshots import snapshot_of

if TYPE_CHECKING:
    from serving.worker import Worker

log = logging.getLogger(__name__)
CALM_NS = 10 * NS  # after it a book that breaks is fetched at once again
FIRST_WAIT_S, LONGEST_WAIT_S = 0.05, 5.0


async def timer(worker: "Worker") -> None:
    while True:
        await asyncio.sleep(worker.rules.timer_ms / 1000)
        worker.put(Timer(ts=worker.clock()))


async def lease(worker: "Worker") -> None:
    """Ours as long as we say so in time. Raises `StaleEpoch` where somebody else took the account over."""
    while True:
        worker.writer.renew(worker.clock(), worker.rules.lease_s)
        await asyncio.sleep(worker.rules.lease_s / 3)


async def reconcile(worker: "Worker") -> None:
    while True:
        await asyncio.sleep(worker.rules.reconcile_s)
        await worker.compare()


async def equity(worker: "Worker") -> None:
    """What we are worth, into the ledger, where it is known."""
    while True:
        await asyncio.sleep(worker.rules.equity_s)
        if len(worker.inbox):  # what is in the ledger is counted first: the next worker adds the fills that came later
            await asyncio.sleep(0)
        if len(worker.inbox):
            continue
        held = worker.state.holdings
        of = held.positions.values()
        money = {
            "equity": holdings.equity_now(held), "realised": sum(p.realised_pnl for p in of),
            "unrealised": sum(p.unrealised_pnl for p in of), "fees": sum(p.fees_paid for p in of),
            "funding": sum(p.funding_paid for p in of), "peak": held.peak, "day_start": held.day_first,
        }  # fmt: skip
        if all(math.isfinite(value) for value in money.values()):
            worker.writer.equity(worker.clock(), **money)


async def dead_man(worker: "Worker") -> None:
    """The venue cancels everything when it does not hear of us: told of us only while all is well."""
    while True:
        if worker.healthy:
            try:
                await worker.exchange.dead_man(worker.symbols, worker.rules.dead_man_s)
            except ExchangeError as error:
                log.warning("the dead man's switch was not set: %s", error)
        await asyncio.sleep(worker.rules.dead_man_s / 3)


class Snapshots:
    """Whole books for the engine, one at a time of each symbol. One that breaks again and again is asked for less and less often: the venue
    counts it. `aside` records the answer, `put` hands it on."""

    def __init__(
        self,
        exchange: Exchange,
        listings: dict[str, Listing],
        clock: Callable[[], int],
        aside: Callable[[tuple[bytes], int], None],
        put: Callable[[Snapshot], None],
    ) -> None:
        self.exchange, self.listings, self.clock, self.aside, self.put = exchange, listings, clock, aside, put
        self.under_way: set[str] = set()
        self._last: dict[str, tuple[int, float]] = {}  # when last, and how long that was put off (s)

    async def fetch(self, symbol: str) -> None:
        """Until there is one."""
        last, wait = self._last.get(symbol, (0, 0.0))
        wait = 0.0 if self.clock() - last > CALM_NS else min(2 * wait + FIRST_WAIT_S, LONGEST_WAIT_S)
        self.under_way.add(symbol)
        try:
            while True:
                await asyncio.sleep(wait)
                try:
                    whole = await self.exchange.snapshot(symbol)
                    told = snapshot_of(whole, self.listings[symbol])
                except ExchangeError as error:
                    log.warning("no snapshot of %s: %s", symbol, error)
                    wait = min(2 * wait + FIRST_WAIT_S, LONGEST_WAIT_S)
                    continue
                self._last[symbol] = self.clock(), wait
                self.aside((whole.text,), whole.ts_recv)
                self.put(told)
                return
        finally:
            self.under_way.discard(symbol)
