"""An event loop whose clock jumps: nothing ever waits, and everything happens in one order, the same each time.

The real worker runs in it, so what is simulated is what trades. Threads and sockets are out of its reach: whoever needs them cannot
be simulated, and waiting for them raises `Deadlock`.
"""

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

NS = 1_000_000_000
Result = TypeVar("Result")


class Deadlock(RuntimeError):
    """Nothing is left to happen and the work is not done."""


class _Jumps(selectors.SelectSelector):
    """Instead of waiting, time passes."""

    loop: "VirtualLoop"

    def select(self, timeout: float | None = None) -> list[Any]:
        if timeout is None:
            raise Deadlock("everybody waits for something that will not come")
        if timeout > 0:
            self.loop.jump(timeout)
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """`clock()` is UTC nanoseconds from `start` on; whole nanoseconds are kept, so that time adds up exactly."""

    def __init__(self, start: int) -> None:
        jumps = _Jumps()
        super().__init__(jumps)
        jumps.loop = self
        self._start, self._elapsed = start, 0

    def time(self) -> float:
        return self._elapsed / NS

    def clock(self) -> int:
        return self._start + self._elapsed

    def jump(self, seconds: float) -> None:
        self._elapsed += max(1, round(seconds * NS))

    def until(self, ts: int) -> float:
        """Seconds until a time, for `asyncio.sleep`."""
        return max(0, ts - self.clock()) / NS

    def next_due(self) -> int:
        """When the next timer is due (ns); far away where there is none. What is ready now is due now."""
        if self._ready:  # type: ignore[attr-defined]
            return self.clock()
        scheduled = self._scheduled  # type: ignore[attr-defined]
        return self._start + round(scheduled[0].when() * NS) if scheduled else 2**62

    def pass_to(self, ts: int) -> None:
        """Let time pass without looking at anything: only where `next_due` says that nothing happens before."""
        self._elapsed = max(self._elapsed, ts - self._start)


def run(work: Coroutine[Any, Any, Result], loop: VirtualLoop) -> Result:
    """Run to the end; what is left over is cancelled."""
    asyncio.set_event_loop(loop)
    try:
        return loop.run_until_complete(work)
    finally:
        left = asyncio.all_tasks(loop)
        for task in left:
            task.cancel()
        if left:
            loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
        asyncio.set_event_loop(None)
        loop.close()
