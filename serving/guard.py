"""The guard: a process of its own that hears the worker's heart, and cancels everything at the venue when it stops.

    worker --beat--> guard;   silent for too long: latch the kill switch, cancel all;   worker dead: cancel all;   "bye": nothing

It shares nothing with the worker but the ledger and the venue, so a worker that hangs, in whichever task, is seen from outside.
"""

import asyncio
import contextlib
import logging
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from core import ledger_control
from core.events import Incident
from core.ledger import Ledger
from serving.exchange import Exchange, ExchangeError

log = logging.getLogger(__name__)
BEAT, BYE = b".", b"!"


class Charge(msgspec.Struct, kw_only=True):
    """What a guard is told, on its first line: whom it guards, and how to reach ledger and venue."""

    account: str
    symbols: tuple[str, ...]
    ledger_url: str
    exchange: dict[str, str | float | int]  # as `serving.adapters.made` takes it
    silent_s: float = 2.0
    tries: int = 10


async def cancel_everything(exchange: Exchange, symbols: tuple[str, ...], tries: int) -> str:
    """Cancel all orders of these symbols, again and again where it fails; returns what failed last, empty where it is done."""
    why = ""
    for attempt in range(tries):
        if attempt:
            await asyncio.sleep(min(0.1 * 2**attempt, 2.0))
        try:
            answer = await asyncio.wait_for(exchange.cancel_all(symbols), 2.0)
        except (ExchangeError, TimeoutError) as error:
            why = str(error) or "no answer within 2 s"
            continue
        if answer.known and not answer.rejected:
            return ""
        why = answer.reason
    return why


class Guard:
    """The worker's end: `beat` a few times a second; `close` when all is well, or not at all."""

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

    def close(self) -> None:
        with contextlib.suppress(BlockingIOError, BrokenPipeError):
            os.write(self._pipe, BYE)
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(5)


async def watch(charge: Charge, exchange: Exchange, read: Callable[[float], bytes | None], clock: Callable[[], int]) -> str:
    """Until the worker says goodbye, dies or falls silent. `read(seconds)`: what came, empty at the end, None where nothing came in time.

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
    # The venue first: it is what costs money. The ledger may be slow, or gone.
    failed = await cancel_everything(exchange, charge.symbols, charge.tries)
    took = (clock() - began) / 1e6
    log.warning("%s: %s", why, f"orders may stand: {failed}" if failed else f"all orders cancelled in {took:.0f} ms")
    with Ledger(charge.ledger_url) as ledger:
        if end == "silent":
            ledger_control.latch(ledger, charge.account, why, "guard", clock())
        detail = f"{why}; " + (f"orders may stand: {failed}" if failed else f"all orders cancelled in {took:.0f} ms")
        ledger_control.tell(ledger, charge.account, Incident(ts=clock(), kind="guard", detail=detail))
    return end


def _read(seconds: float) -> bytes | None:
    import select

    ready, _, _ = select.select([0], [], [], seconds)
    return os.read(0, 4096) if ready else None


async def main() -> None:
    from serving import adapters

    line = bytearray()
    while not line.endswith(b"\n"):  # one by one: what follows are beats, and a buffered reader would swallow the goodbye
        line += os.read(0, 1) or b"\n"
    charge = msgspec.json.decode(bytes(line), type=Charge)
    exchange = adapters.made(**charge.exchange)
    try:
        await exchange.open()
        await watch(charge, exchange, _read, time.time_ns)
    finally:
        await exchange.close()


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    asyncio.run(main())
