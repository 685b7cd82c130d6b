"""The guard: a process of its own that hears the worker's heart, and cancels everything at the venue when it stops.

    worker --beat--> guard;   silent for too long: latch the kill switch, cancel all;   worker dead: cancel all;   "bye": nothing

It shares nothing with the worker but the ledger and the venue, so a worker that hangs, in whichever task, is seen from outside.
"""

import asyncio
import contextlib
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from core import ledger_control
from core.events import Incident
from core.ledger import Ledger, LedgerError
from serving.exchange import Exchange
from serving.killing import cancel_everything
from serving.reach import Reach, exchange_of

if TYPE_CHECKING:
    from serving.worker import Worker

log = logging.getLogger(__name__)
BEAT, BYE = b".", b"!"
BEAT_S = 0.2
LATE_S = 1.0, 5.0  # orders that were on their way when the worker ended may arrive so late: they are cancelled then
AGAIN_S = 5.0  # before a guard that ended is started again


class Charge(msgspec.Struct, kw_only=True):
    """What a guard is told, on its first line: whom it guards, and how to reach ledger and venue."""

    reach: Reach
    ledger_url: str
    key: str = ""
    secret: str = ""
    epoch: int = 0  # of the worker's lease
    silent_s: float = 1.4  # with a beat every 0.2 s, and what it takes to cancel, a dead engine has no orders after 2 s
    tries: int = 10


class Guard:
    """The worker's end: `beat` a few times a second; `bye` when all is well, or not at all."""

    def __init__(self, charge: Charge, log_path: Path) -> None:
        log_path.parent.mkdir(parents=True, exist_ok=True)
        with log_path.open("ab") as out:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "serving.guard"], stdin=subprocess.PIPE, stdout=out, stderr=out, start_new_session=True
            )
        assert self.process.stdin is not None
        self._pipe = self.process.stdin.fileno()
        os.write(self._pipe, msgspec.json.encode(charge) + b"\n")
        os.set_blocking(self._pipe, False)

    @property
    def alive(self) -> bool:
        return self.process.poll() is None

    def beat(self) -> None:
        """Never waits: a guard that does not read is told from `alive` and from its log."""
        with contextlib.suppress(BlockingIOError, BrokenPipeError):
            os.write(self._pipe, BEAT)

    def bye(self) -> None:
        """We end in order: nothing is left to guard."""
        with contextlib.suppress(BlockingIOError, BrokenPipeError):
            os.write(self._pipe, BYE)
        self.leave()

    def leave(self) -> None:
        """End without a word: the guard takes all orders away."""
        assert self.process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()


async def guarded(worker: "Worker", charge: Charge, log_path: Path) -> None:
    """The worker's task: start a guard and beat for as long as the engine lives. One that ended is started again, and told of."""
    guard = Guard(charge, log_path)
    heard, since = worker.beat, time.monotonic()
    try:
        while True:
            if worker.beat != heard:  # the engine took an input since
                heard = worker.beat
                guard.beat()
            await asyncio.sleep(BEAT_S)
            if guard.alive or time.monotonic() - since < AGAIN_S:
                continue
            worker.tell("guard_ended", f"the guard ended with {guard.process.returncode}, see {log_path}; another one is started")
            guard.leave()
            guard, since = Guard(charge, log_path), time.monotonic()
    finally:
        # Where the engine failed our own cancel may have failed as well.
        guard.leave() if "engine" in worker.failed else guard.bye()


async def watch(
    charge: Charge,
    exchange: Exchange,
    read: Callable[[float], bytes | None],
    clock: Callable[[], int],
    killed: Callable[[], None] | None = None,
) -> str:
    """Until the worker says goodbye, dies or falls silent. `read(seconds)`: what came, empty at the end, None where nothing came in time.
    `killed` ends the worker: where it hangs with the ledger in its hands.

    Returns "bye", "dead" or "silent".
    """
    loop = asyncio.get_running_loop()
    while True:
        told = await loop.run_in_executor(None, read, charge.silent_s)
        if told is None:
            end, why = "silent", f"no sign of life from the worker for {charge.silent_s:g} s"
            break
        if BYE in told:
            return "bye"
        if not told:
            end, why = "dead", "the worker's process is gone"
            break
    began = clock()
    # The venue first: it is what costs money. The ledger may be slow, or held by the one that hangs.
    failed = await cancel_everything(exchange, charge.reach.symbols, charge.tries, stops=False)  # nobody else looks after a position now
    took = (clock() - began) / 1e6
    detail = f"{why}; " + (f"orders may stand: {failed}" if failed else f"all orders cancelled in {took:.0f} ms")
    log.warning("%s", detail)
    for _ in range(charge.tries):
        try:
            _write_down(charge, end, why, detail, clock())
            break
        except LedgerError as error:
            log.error("the ledger does not take it yet: %s", error)
            if end == "silent" and killed is not None:
                # It hangs in the middle of writing, and nobody gets past it. Whatever it was about to do, it must not go on unblocked.
                killed()
            await asyncio.sleep(0.1)
    for wait in LATE_S:
        await asyncio.sleep(wait)
        if _taken_over(charge):
            break
        await cancel_everything(exchange, charge.reach.symbols, charge.tries, stops=False)
    return end


def _taken_over(charge: Charge) -> bool:
    """Whether another worker has the account: what stands then is its own."""
    try:
        with Ledger(charge.ledger_url) as ledger, ledger_control.reached(ledger), ledger.read() as connection:
            return any(lease.account == charge.reach.account and lease.epoch != charge.epoch for lease in ledger_control.leases(connection))
    except LedgerError:
        return False


def _write_down(charge: Charge, end: str, why: str, detail: str, now: int) -> None:
    """Raises `LedgerError`."""
    account = charge.reach.account
    with Ledger(charge.ledger_url, wait_s=1.0) as ledger, ledger_control.reached(ledger):
        if end == "silent":
            ledger_control.latch(ledger, account, why, "guard", now)
        ledger_control.tell(ledger, account, Incident(ts=now, kind="guard", detail=detail))


def _read(seconds: float) -> bytes | None:
    import select

    ready, _, _ = select.select([0], [], [], seconds)
    return os.read(0, 4096) if ready else None


async def main() -> None:
    worker = os.getppid()

    def killed() -> None:
        if os.getppid() == worker:  # else it is gone already, and its number may be somebody else's
            log.error("ending the worker, process %d", worker)
            os.kill(worker, signal.SIGKILL)

    line = bytearray()
    while not line.endswith(b"\n"):  # one by one: what follows are beats, and a buffered reader would swallow the goodbye
        line += os.read(0, 1) or b"\n"
    charge = msgspec.json.decode(bytes(line), type=Charge)
    exchange = exchange_of(charge.reach, charge.key, charge.secret)
    try:
        await exchange.open()
        await watch(charge, exchange, _read, time.time_ns, killed)
    finally:
        await exchange.close()


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    asyncio.run(main())
