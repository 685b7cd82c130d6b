"""A worker in a process of its own that trades by hand, and is killed (SIGKILL) at a given point of an order's life.

python crashing.py '{"folder": ..., "urls": [...], "account": ..., "point": "before_intend"}'

It tells on standard output what it does: `ready`, `placed <id>`, ... With the point "none" it goes on until it is ended.
"""

import asyncio
import faulthandler
import json
import signal
import sys
import time
from pathlib import Path
from typing import Any

from core import ledger_control
from core.events import Command, CommandKind
from core.ledger import Ledger, url_of
from core.market import Side
from core.orders import Tif
from kernels.execution import Handling
from serving.binance import Binance
from serving.binance_open import Urls
from serving.control import Asked, Control
from serving.guard import Guard
from serving.launch import Launched, Wanted, launch
from serving.reach import Reach
from serving.venue_keys import KEY, SECRET
from serving.worker import Rules
from tests.serving.points import NOBODY_DIES, POINTS

SYMBOL = "SIMUSDT"
RULES = Rules(reconcile_s=0.5, answer_timeout_s=1.0, horizon_s=2.0, lease_s=1.0, dead_man_s=0, equity_s=0.5, timer_ms=50)


def wanted(folder: Path, urls: list[str], account: str, guard_s: float = 0.0, stop_bps: float = 0.0) -> Wanted:
    reach = Reach(account=account, name="local", rest_url=urls[0], ws_url=urls[1], ws_api_url=urls[2])
    return Wanted(
        data_dir=folder, account=account, ledger_url=url_of(folder), lease_s=RULES.lease_s, params={"enter": 2.0}, rules=RULES,
        reach=reach, key=KEY, secret=SECRET, guard_s=guard_s, handling=Handling(venue_stop_bps=stop_bps),
    )  # fmt: skip


def exchange(urls: list[str]) -> Binance:
    return Binance("usdm", api_key=KEY, api_secret=SECRET, urls=Urls(*urls), venue="local", recv_window_ms=1_000, timeout_s=1.0)


async def main(told: dict[str, Any]) -> None:
    if told["point"] not in NOBODY_DIES:
        POINTS[told["point"]]()
    guards = started_guards()
    folder = Path(told["folder"])
    want = wanted(folder, told["urls"], told["account"], told.get("guard_s", 0.0), told.get("stop_bps", 0.0))
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
    await placed(control, Side.BUY, quote.ask * 1003 // 1000, size, Tif.IOC, "taking")
    await asyncio.sleep(0.6)
    if told.get("holds"):
        say(f"holds {launched.worker.state.position(SYMBOL).size}")
        return
    quote = launched.worker.state.quote(SYMBOL)
    await placed(control, Side.SELL, quote.bid * 997 // 1000, size // 2, Tif.IOC, "giving")
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
    faulthandler.register(signal.SIGUSR1)
    asyncio.run(main(json.loads(sys.argv[1])))
