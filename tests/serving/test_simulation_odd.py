"""Histories in which the venue turns cancels away, or lists late what it has: the same must hold, and a kill leaves nothing standing."""

import random
from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest

from core.market import NS
from core.orders import Fill, Standing
from serving import simulation, virtual
from serving.exchange import Answer, ExchangeError
from serving.simulation import SYMBOL, Broken, Watched, drawn
from serving.worker import Worker

OFTEN = 0.6
GONE_S = 9.0  # after the kill switch: answers, horizon and tries included


class StubbornCancels(Watched):
    """Of the cancels more than half are turned away, or nobody answers."""

    odd = random.Random(0)
    share = OFTEN

    async def cancel(self, symbol: str, order_id: str) -> Answer:
        if self.odd.random() >= self.share:
            return await super().cancel(symbol, order_id)
        await self._takes(self.latency.entry)
        if self.odd.random() < 0.5:
            return Answer(known=True, code=-1008, reason="Server is currently overloaded with other requests.")
        raise ExchangeError("the line was cut")

    async def cancel_all(self, symbols: Sequence[str], *, stops: bool = True) -> Answer:
        if self.odd.random() < self.share:
            raise ExchangeError("the line was cut")
        return await super().cancel_all(symbols, stops=stops)


class ListsLate(Watched):
    """What is younger than 2 s is mostly not listed yet, each time by chance."""

    odd = random.Random(0)
    share = OFTEN

    def _seen(self, ts: int) -> bool:
        return self.loop.clock() - ts >= 2 * NS or self.odd.random() >= self.share

    async def order(self, symbol: str, order_id: str) -> Standing | None:
        found = await super().order(symbol, order_id)
        return found if found is not None and self._seen(found.ts_event) else None

    async def open_orders(self, symbols: Sequence[str]) -> list[Standing]:
        return [standing for standing in await super().open_orders(symbols) if self._seen(standing.ts_event)]

    async def fills(self, symbol: str, *, from_id: int = 0, since: int = 0) -> list[Fill]:
        return [fill for fill in await super().fills(symbol, from_id=from_id, since=since) if self._seen(fill.ts_event)]


class Run(simulation._Run):
    venue: type[StubbornCancels | ListsLate]
    standing: tuple[str, ...] = ()
    over = False

    def _kill_switch(self, worker: Worker) -> None:
        super()._kill_switch(worker)
        self.loop.call_later(GONE_S, self._look)

    def _look(self) -> None:
        if not self.over:
            self.standing = tuple(o.client_id for o in self.matching.open_orders(SYMBOL) if not o.client_id.startswith("web_"))

    async def _settle(self, worker, running, writer) -> None:
        self.over, self.venue.share = True, 0.0
        if self.standing:
            raise Broken(f"seed {self.history.seed}: {self.standing} stand {GONE_S} s after the kill")
        await super()._settle(worker, running, writer)


@pytest.mark.parametrize("venue", [StubbornCancels, ListsLate], ids=["cancels are turned away", "what happened is listed late"])
def test_a_venue_with_a_will_of_its_own_breaks_nothing(venue: type[StubbornCancels | ListsLate], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(simulation, "Watched", venue)
    for seed in range(8):
        venue.odd, venue.share = random.Random(seed), OFTEN
        history = drawn(seed)
        if seed % 2:
            history = msgspec.structs.replace(history, kill_switch_at=20.0)
        run = Run(history, Path())
        run.venue = venue
        try:
            virtual.run(run.play(), run.loop)
        finally:
            run.ledger.close()
