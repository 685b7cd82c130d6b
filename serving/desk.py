"""Orders on their way: each is in the ledger before it is sent, and what came back (or did not) becomes an input of the engine.

Approved -> ledger -> send -> Ordered, Filled, or Unanswered;  Cancel -> cancel -> Ordered or CancelFailed
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any

import msgspec

from core.events import Approved, Cancel, CancelAll, CancelFailed, Filled, Funding, Input, Ordered, Unanswered
from core.ledger import Latched, StaleEpoch
from core.ledger_writer import Writer
from core.orders import Fill, Standing, Status
from serving.exchange import AccountEvent, Answer, Exchange, ExchangeError

log = logging.getLogger(__name__)


class Desk:
    """Sends what was approved. `put` takes the inputs; `blocked` says why nothing may be sent now (empty: it may)."""

    def __init__(
        self, exchange: Exchange, writer: Writer, put: Callable[[Input], None], clock: Callable[[], int], timeout_s: float
    ) -> None:
        self.exchange, self.writer, self.put, self.clock, self.timeout_s = exchange, writer, put, clock, timeout_s
        self.blocked = ""
        self.turned_away: dict[str, str] = {}  # orders that were approved and must not be sent, and why
        self.doing: set[asyncio.Task[None]] = set()
        self.funded: deque[tuple[str, float, int]] = deque(maxlen=1_000)  # newest fundings that were told: user data may repeat one

    def intend(self, approved: Approved, seq: int) -> bool:
        """Into the ledger, before it is sent; False where this worker may not send (any more)."""
        try:
            self.writer.intend(approved.order, seq=seq)
        except StaleEpoch as error:
            self.blocked = str(error)
            return False
        except Latched as error:  # somebody pulled it and we have not heard yet: the engine takes the order out again
            order = approved.order
            refused = Standing(order_id=order.order_id, symbol=order.symbol, status=Status.REFUSED, reason=str(error))
            self.turned_away[order.order_id] = str(error)
            self.put(Ordered(ts=self.clock(), standing=refused))
            return False
        return True

    def send(self, approved: Approved) -> None:
        """Send an order that is in the ledger; the answer comes by `put`."""
        order = approved.order
        if self.blocked:
            refused = Standing(order_id=order.order_id, symbol=order.symbol, status=Status.REFUSED, reason=self.blocked)
            self.standing(refused)
            return
        self._begin(self._send(approved), f"send {order.order_id}")

    def cancel(self, decision: Cancel) -> None:
        self._begin(self._cancel(decision), f"cancel {decision.order_id}")

    def cancel_all(self, decision: CancelAll) -> None:
        self._begin(self._cancel_all(decision), "cancel all")

    def _begin(self, work: Coroutine[Any, Any, None], name: str) -> None:
        task = asyncio.get_running_loop().create_task(work, name=name)
        self.doing.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self.doing.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("%s failed", task.get_name(), exc_info=error)

    async def _asked(self, question: Coroutine[Any, Any, Answer]) -> Answer:
        try:
            async with asyncio.timeout(self.timeout_s):  # in this task: one more would send a turn of the loop later
                return await question
        except TimeoutError:
            return Answer(known=False, reason=f"no answer within {self.timeout_s:g} s")
        except ExchangeError as error:
            return Answer(known=False, reason=str(error))

    async def _send(self, approved: Approved) -> None:
        order = approved.order
        answer = await self._asked(self.exchange.send(approved))
        if not answer.known:
            unknown = Standing(order_id=order.order_id, symbol=order.symbol, status=Status.UNKNOWN, reason=answer.reason)
            if self.writer.standing(unknown, self.clock()):
                self.put(Unanswered(ts=self.clock(), order_id=order.order_id, symbol=order.symbol, reason=answer.reason))
            return
        for fill in answer.fills:
            self.fill(fill)
        if answer.standing is not None:
            self.standing(answer.standing)

    async def _cancel(self, decision: Cancel) -> None:
        answer = await self._asked(self.exchange.cancel(decision.symbol, decision.order_id))
        if not answer.known or answer.rejected:
            failed = CancelFailed(
                ts=self.clock(), order_id=decision.order_id, symbol=decision.symbol, code=answer.code, reason=answer.reason
            )
            self.put(failed)
        elif answer.standing is not None:
            self.standing(answer.standing)

    async def _cancel_all(self, decision: CancelAll) -> None:
        """Once more where it failed: the reconcile sees to what is left."""
        answer = await self._asked(self.exchange.cancel_all(decision.symbols, stops=decision.stops))
        if not answer.known or answer.rejected:
            answer = await self._asked(self.exchange.cancel_all(decision.symbols, stops=decision.stops))
        if answer.known and not answer.rejected:
            return
        log.error("cancel all of %s failed: %s", ", ".join(decision.symbols), answer.reason)

    # What the venue tells, by whichever way it came

    def standing(self, told: Standing) -> bool:
        """News of an order; False where it is none."""
        if not self.writer.standing(told, self.clock()):
            return False
        self.put(Ordered(ts=self.clock(), standing=told))
        return True

    def fill(self, told: Fill) -> bool:
        """A fill; False where it was known. It is in the ledger before the engine hears of it, with the time when it came here."""
        told = msgspec.structs.replace(told, ts_recv=self.clock())
        if not self.writer.fill(told):
            return False
        self.put(Filled(ts=self.clock(), fill=told))
        return True

    def told(self, event: AccountEvent) -> None:
        """User data. The fill comes first: an order is not over before what filled it is counted."""
        with self.writer.batch():
            if event.fill is not None:
                self.fill(event.fill)
            if event.standing is not None:
                self.standing(event.standing)
        if event.funding is not None:
            symbol, money, paid_at = event.funding
            if (symbol, money, paid_at) not in self.funded:
                self.funded.append((symbol, money, paid_at))
                self.put(Funding(ts=self.clock(), symbol=symbol, amount=money))

    async def settled(self, seconds: float) -> bool:
        """Wait for what is on its way; False where it is not done in time."""
        if not self.doing:
            return True
        _, left = await asyncio.wait(self.doing, timeout=seconds)
        return not left
