"""Where a worker can be killed in an order's life: each point patches one function so that the process dies there (SIGKILL)."""

import asyncio
import inspect
import os
import signal
from collections.abc import Callable
from typing import Any

from core.events import Ordered
from core.ledger_writer import Writer
from core.orders import Status
from serving.binance import Binance
from serving.desk import Desk
from serving.outbox import Outbox
from serving.reconcile import Reconciler
from serving.recorder import Recorder
from serving.wire import Wire
from serving.worker import Worker

Check = Callable[..., bool]


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def at(owner: type | Any, name: str, nth: int, *, after: bool = False, when: Check = lambda *_, **__: True) -> None:
    """Die before (or after) the nth call of a function for which `when` holds."""
    original = getattr(owner, name)
    left = nth

    def hit(*args: Any, **kwargs: Any) -> bool:
        nonlocal left
        if when(*args, **kwargs):
            left -= 1
        return left == 0

    if inspect.iscoroutinefunction(original):

        async def waited(*args: Any, **kwargs: Any) -> Any:
            now = hit(*args, **kwargs)
            if now and not after:
                die()
            result = await original(*args, **kwargs)
            if now:
                die()
            return result

        setattr(owner, name, waited)
        return

    def called(*args: Any, **kwargs: Any) -> Any:
        now = hit(*args, **kwargs)
        if now and not after:
            die()
        result = original(*args, **kwargs)
        if now:
            die()
        return result

    setattr(owner, name, called)


def on_the_wire(verb: str, path: str, nth: int, seconds: float) -> None:
    """Die so long after the bytes of the nth such request left."""
    original = Wire.ask
    left = nth

    async def asked(self: Wire, how: str, target: str, *, timeout_s: float) -> Any:
        nonlocal left
        if how == verb and path in target:
            left -= 1
            if left == 0:
                asyncio.get_running_loop().call_later(seconds, die)
        return await original(self, how, target, timeout_s=timeout_s)

    Wire.ask = asked  # type: ignore[method-assign]


def torn(name: str, nth: int) -> None:
    """Die in the middle of the nth write of such a file."""
    original = Recorder._append
    left = nth

    def appended(self: Recorder, text: bytes) -> None:
        nonlocal left
        if self.name == name:
            left -= 1
            if left == 0:
                os.write(self._file, text[: len(text) // 2])
                die()
        original(self, text)

    Recorder._append = appended  # type: ignore[method-assign]


def is_new(_: Any, told: Any, *__: Any) -> bool:
    return told.status in (Status.NEW, Status.PARTIAL, Status.FILLED)


def is_ordered(_: Any, told: Any) -> bool:
    return isinstance(told, Ordered) and told.standing.status is not Status.UNKNOWN


POINTS: dict[str, Callable[[], None]] = {
    # An order on its way out: the second one, so that one stands already.
    "before_intend": lambda: at(Desk, "intend", 2),
    "after_intend_before_commit": lambda: at(Desk, "intend", 2, after=True),
    "after_commit_before_send": lambda: at(Desk, "send", 2),
    "after_bytes_left": lambda: on_the_wire("POST", "/order?", 2, 0.01),
    "accepted_answer_on_its_way": lambda: on_the_wire("POST", "/order?", 2, 0.09),
    "answer_came_before_ledger": lambda: at(Desk, "standing", 2, when=is_new),
    "in_ledger_before_engine": lambda: at(Worker, "put", 2, when=is_ordered),
    # The first fill.
    "fill_before_ledger": lambda: at(Desk, "fill", 1),
    "fill_in_transaction": lambda: at(Writer, "fill", 1, after=True),
    "fill_in_ledger_before_engine": lambda: at(Desk, "fill", 1, after=True),
    "fill_half_of_an_event": lambda: at(Desk, "told", 1, when=lambda _, event: event.fill is not None),
    # A cancel.
    "before_cancel": lambda: at(Binance, "cancel", 1),
    "cancel_bytes_left": lambda: on_the_wire("DELETE", "/order?", 1, 0.01),
    "cancel_answered_before_ledger": lambda: at(Binance, "cancel", 1, after=True),
    # Beside orders.
    "during_reconcile": lambda: at(Reconciler, "_fills", 4),
    "before_first_account": lambda: at(Reconciler, "_positions", 1),
    "torn_journal": lambda: torn("journal", 40),
    "torn_frames": lambda: torn("frames", 10),
    "torn_decisions": lambda: torn("decisions", 4),
    "during_snapshot": lambda: at(Binance, "snapshot", 1, after=True),
    "renewing_the_lease": lambda: at(Writer, "renew", 3, after=True),
    "writing_equity": lambda: at(Writer, "equity", 3),
    # The kill switch.
    "kill_latched_before_its_answer": lambda: at(Outbox, "_latch", 1, after=True),
    "kill_cancel_bytes_left": lambda: on_the_wire("DELETE", "/allOpenOrders", 1, 0.01),
}
NOBODY_DIES = ("none", "kill_latched_with_an_order_on_its_way")
