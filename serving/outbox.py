"""What the engine decided, on its way out: intents into the ledger, then orders, cancels, questions; all the rest is written down after.

decisions -> ledger (intents) -> desk, models, snapshots -> ledger (verdicts, signals, incidents) -> journal -> whoever listens
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING

from core import ledger_control
from core.events import Approved, Ask, Cancel, CancelAll, Decision, Incident, ModeChanged, Refused, Resync, Signal
from core.market import NS
from monitoring import metrics

if TYPE_CHECKING:
    from serving.worker import Worker

log = logging.getLogger(__name__)
MODES = {"active": 0, "reducing": 1, "halted": 2}


class Outbox:
    """Of one worker. `later`: carried out, not written down yet."""

    def __init__(self, worker: "Worker") -> None:
        self.worker = worker
        self.later: deque[tuple[int, Sequence[Decision], int, int, float]] = deque()
        self._loop = asyncio.get_running_loop()

    def carry_out(self, seq: int, decisions: Sequence[Decision], ts: int) -> None:
        """Intents into the ledger, then out; all the rest is written down and told when the bytes have left."""
        approved = [decision for decision in decisions if isinstance(decision, Approved)]
        sends: list[Approved] = []
        if approved:
            with metrics.span("ledger"), self.worker.writer.batch():
                sends = [one for one in approved if self.worker.desk.intend(one, seq)]
        began = time.perf_counter()
        for one in sends:
            self.worker.desk.send(one)
        for decision in decisions:
            self._pass_on(decision)
        self.later.append((seq, decisions, ts, len(sends), began))
        self._loop.call_soon(self.write_down)  # the tasks that send come before it

    def write_down(self) -> None:
        """What was decided, in one transaction for each input: why an order was sent, what was refused, signals, incidents."""
        try:
            while self.later:
                seq, decisions, ts, n_sent, began = self.later.popleft()
                if n_sent:
                    metrics.ORDERS_SENT.inc(n_sent)
                    metrics.SPANS["send"].observe(time.perf_counter() - began)
                    metrics.FRAME_TO_ORDER.observe((self.worker.clock() - ts) / NS)
                self._written(seq, decisions)
        except Exception as error:
            self.worker.engine_failed(error)
            raise

    def _written(self, seq: int, decisions: Sequence[Decision]) -> None:
        with self.worker.writer.batch():
            for decision in decisions:
                if isinstance(decision, Approved):
                    self._verdict(decision, "approved", "", seq)
                elif isinstance(decision, Refused):
                    self._verdict(decision, decision.code, decision.detail, seq)
                    metrics.ORDERS_REFUSED.labels(decision.code).inc()
                elif isinstance(decision, Signal):
                    self.worker.writer.signal(decision, decision.seq)
                elif isinstance(decision, Incident):
                    self.worker.tell_of(decision)
        self.worker.session.decisions(seq, decisions)
        for decision in decisions:
            if not isinstance(decision, Incident):  # that one was told when it was written down
                self.worker.published(decision)

    def _verdict(self, decision: Approved | Refused, verdict: str, detail: str, seq: int) -> None:
        desk, champion = self.worker.state.desks.get(decision.order.symbol), self.worker.plan.champion
        version, features = champion.version if champion is not None else "", desk.features_hash if desk is not None else ""
        self.worker.writer.verdict(decision.order, verdict, detail, seq=seq, version=version, features=features)

    def _pass_on(self, decision: Decision) -> None:
        if isinstance(decision, Cancel):
            self.worker.desk.cancel(decision)
        elif isinstance(decision, CancelAll):
            self.worker.desk.cancel_all(decision)
        elif isinstance(decision, Ask):
            if (predicting := self.worker.predicting.get(decision.version)) is not None:
                predicting.ask(decision)
        elif isinstance(decision, Resync):
            if decision.symbol not in self.worker.snapshots.under_way:
                self.worker.spawn(f"resync {decision.symbol}", self.worker.snapshots.fetch(decision.symbol))
        elif isinstance(decision, ModeChanged):
            metrics.MODE.set(MODES[decision.mode.value])
            log.warning("mode %s: %s", decision.mode, decision.reason)
            self._loop.call_soon(self._latch, decision)  # after the cancels beside it have left: the ledger may be slow

    def _latch(self, decision: ModeChanged) -> None:
        """What the engine halted by itself stays so after a restart."""
        if decision.latched:
            ledger_control.latch(self.worker.ledger, self.worker.writer.account, decision.reason, "engine", self.worker.clock())
