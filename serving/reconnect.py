"""Connections that end and are made again: waits that grow, with jitter, so that a venue that comes back is not stormed."""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable

from picows import WSError

from serving.exchange import ExchangeError
from serving.wire import Lost, Unsent

log = logging.getLogger(__name__)
Linked = Callable[[bool, str], None]  # whether it is up, and why not
SETTLED_S = 10.0  # a connection that lasted so long begins the waits anew


class Backoff:
    """0.1 s, doubled each time up to `most_s`; of each a random half to whole."""

    def __init__(self, first_s: float = 0.1, most_s: float = 10.0, rng: random.Random | None = None) -> None:
        self.first_s, self.most_s, self.rng = first_s, most_s, rng or random.Random()
        self.n = 0

    def wait_s(self) -> float:
        whole = min(self.first_s * 2**self.n, self.most_s)
        self.n = min(self.n + 1, 30)
        return whole * self.rng.uniform(0.5, 1.0)

    def reset(self) -> None:
        self.n = 0


async def keep(session: Callable[[Callable[[], None]], Awaitable[str]], linked: Linked, backoff: Backoff) -> None:
    """Run a session again whenever it ends (with a reason), until cancelled.

    A session calls what it is given once it is up; each change is told once. What the venue or the network does (`ExchangeError`,
    `OSError`, a broken socket) ends a session; anything else is a surprise and is raised.
    """
    loop = asyncio.get_running_loop()
    up_at: float | None = None
    told_down = False

    def up() -> None:
        nonlocal up_at, told_down
        up_at, told_down = loop.time(), False
        linked(True, "")

    while True:
        try:
            reason = await session(up)
        except (OSError, TimeoutError, WSError, Lost, Unsent, ExchangeError) as error:
            reason = str(error) or type(error).__name__
        if up_at is not None and loop.time() - up_at >= SETTLED_S:
            backoff.reset()
        up_at = None
        if not told_down:
            told_down = True
            linked(False, reason)
            log.warning("disconnected: %s", reason)
        await asyncio.sleep(backoff.wait_s())
