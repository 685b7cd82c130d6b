"""A worker in a process of its own that trades by hand, and is killed (SIGKILL) at a given point of an order's life.

python crashing.py '{"folder": ..., "urls": [...], "account": ..., "point": "before_intend"}'

It tells on standard output what it does: `ready`, `placed <id>`, ... With the point "none" it goes on until it is ended.
"""

import asyncio
import inspect
import json
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from core import ledger_control
from core.events import Command, CommandKind, Ordered
from core.ledger import Ledger, url_of
from core.ledger_writer import Writer
from core.market import Side
from core.orders import Status, Tif
from serving.binance import Binance
from serving.binance_open import Urls
from serving.control import Asked, Control
from serving.desk import Desk
from serving.guard import Guard
from serving.launch import Launched, Wanted, launch
from serving.reach import Reach
from serving.reconcile import Reconciler
from serving.recorder import Recorder
from serving.venue_keys import KEY, SECRET
from serving.wire import Wire
from serving.worker import Rules, Worker

SYMBOL = "SIMUSDT"
RULES = Rules(reconcile_s=0.5, answer_timeout_s=1.0, horizon_s=2.0, lease_s=1.0, dead_man_s=0, equity_s=0.5, timer_ms=50)
Check = Callable[..., bool]


def wanted(folder: Path, urls: list[str], account: str, guard_s: float = 0.0) -> Wanted:
    reach = Reach(account=account, name="local", rest_url=urls[0], ws_url=urls[1], ws_api_url=urls[2])
    return Wanted(
        data_dir=folder, account=account, ledger_url=url_of(folder), lease_s=RULES.lease_s, params={"enter": 2.0}, rules=RULES,
        reach=reach, key=KEY, secret=SECRET, guard_s=guard_s,
    )  # fmt: skip


def exchange(urls: list[str]) -> Binance:
    return Binance("usdm", api_key=KEY, api_secret=SECRET, urls=Urls(*urls), venue="local", recv_window_ms=1_000, timeout_s=1.0)


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


def fills_of(event: Any) -> bool:
    return event.fill is not None


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
    "torn_frames": lambda: torn("frames", 25),
    "torn_decisions": lambda: torn("decisions", 4),
    "during_snapshot": lambda: at(Binance, "snapshot", 1, after=True),
    "renewing_the_lease": lambda: at(Writer, "renew", 3, after=True),
    "writing_equity": lambda: at(Writer, "equity", 3),
    # The kill switch.
    "kill_latched_before_cancel": lambda: at(Worker, "on_mode", 1, after=True),
    "kill_cancel_bytes_left": lambda: on_the_wire("DELETE", "/allOpenOrders", 1, 0.01),
}
NOBODY_DIES = ("none", "kill_latched_with_an_order_on_its_way")


async def main(told: dict[str, Any]) -> None:
    if told["point"] not in NOBODY_DIES:
        POINTS[told["point"]]()
    guards = started_guards()
    folder = Path(told["folder"])
    want = wanted(folder, told["urls"], told["account"], told.get("guard_s", 0.0))
    launched = await launch(want, exchange(told["urls"]), time.time_ns, lambda text: None)
    control = Control(launched.worker, launched.ledger, want.account, time.time_ns, folder)
    running = asyncio.create_task(launched.worker.run())
    looking = asyncio.create_task(control.run())
    state = launched.worker.state
    while not (state.quote(SYMBOL).bid > 0 and state.accounted):
        assert not running.done(), launched.worker.failed
        await asyncio.sleep(0.02)
    if "guard" in launched.worker.beside:
        say(f"guard {guards[-1].process.pid}")
    say("ready")
    if told.get("stops"):
        stop = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
        await stop.wait()
        looking.cancel()
        await launched.close()
        await running
        return
    await by_hand(launched, control, told)
    say("through")
    await running
    await looking


def started_guards() -> list[Guard]:
    """The guards that are started from here on."""
    made: list[Guard] = []
    original = Guard.__init__

    def begun(self: Guard, *args: Any) -> None:
        original(self, *args)
        made.append(self)

    Guard.__init__ = begun  # type: ignore[method-assign]
    return made


async def by_hand(launched: Launched, control: Control, told: dict[str, Any]) -> None:
    """One order that rests, one that takes at once, one cancel, and in the end the kill switch. `pauses`: only the first, or with `holds`
    the second too."""
    quote = launched.worker.state.quote(SYMBOL)
    listing = launched.plan.listings[SYMBOL]
    far, size = quote.bid * 995 // 1000, 10 * listing.lot  # where the market does not get to
    resting = await placed(control, Side.BUY, far, size, Tif.GTX, "resting")
    if told.get("pauses") and not told.get("holds"):
        return
    await asyncio.sleep(0.3)
    quote = launched.worker.state.quote(SYMBOL)
    await placed(control, Side.BUY, quote.ask + 20 * listing.tick, size, Tif.IOC, "taking")
    await asyncio.sleep(0.6)
    if told.get("holds"):
        say(f"holds {launched.worker.state.position(SYMBOL).size}")
        return
    quote = launched.worker.state.quote(SYMBOL)
    await placed(control, Side.SELL, quote.bid - 20 * listing.tick, size // 2, Tif.IOC, "giving")
    await asyncio.sleep(0.4)
    await control.ask("cancel", CommandKind.CANCEL, "test", "", Asked(symbol=SYMBOL, order_id=resting))
    await asyncio.sleep(0.4)
    await placed(control, Side.BUY, far, size, Tif.GTX, "resting again")
    await asyncio.sleep(0.4)
    if told["point"] == "kill_latched_with_an_order_on_its_way":
        late = asyncio.create_task(placed(control, Side.BUY, far - listing.tick, size, Tif.GTX, "late"))
        await asyncio.sleep(0.02)
        ledger_control.latch(launched.ledger, launched.wanted.account, "the end", "test", time.time_ns())
        launched.worker.put(Command(ts=time.time_ns(), kind=CommandKind.KILL, key="now", who="test", reason="the end"))
        await late
        await asyncio.sleep(1.5)
        return
    with Ledger(launched.wanted.ledger_url) as ledger:
        ledger_control.ask(ledger, launched.wanted.account, "kill", CommandKind.KILL.value, "test", time.time_ns(), reason="the end")
    await asyncio.sleep(1.5)


async def placed(control: Control, side: Side, price: int, size: int, tif: Tif, key: str) -> str:
    asked = Asked(symbol=SYMBOL, side=side, price=price, size=size, tif=tif)
    answer, _ = await control.ask(key, CommandKind.ORDER, "test", "", asked)
    say(f"{key} {answer}")
    return str(answer.get("order_id", ""))


def say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    asyncio.run(main(json.loads(sys.argv[1])))
