"""ccxt's `watch_...` calls, kept going: each in a task of its own, begun again after errors, and what is up told as one."""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Sequence

import ccxt

from serving.reconnect import Backoff, Linked

log = logging.getLogger(__name__)
QUIET_S = 1.0  # a subscription that says nothing is taken to be up after so long


async def keep_watching(
    watched: Sequence[Callable[[], Awaitable[None]]], linked: Linked, rng: random.Random, *, quiet: bool = False
) -> None:
    """Call each again and again, until cancelled. What ccxt raises is waited out; anything else is a surprise, and raised.

    It is up when each has answered once since its last error. `quiet`: silence is an answer (user data may have nothing to tell).
    """
    waiting = set(range(len(watched)))
    is_up = False
    was_told = False

    def answered(number: int) -> None:
        nonlocal is_up, was_told
        waiting.discard(number)
        if not waiting and not is_up:
            is_up = was_told = True
            linked(True, "")

    def failed(number: int, reason: str) -> None:
        nonlocal is_up, was_told
        waiting.add(number)
        if is_up or not was_told:
            is_up, was_told = False, True
            linked(False, reason)
        log.warning("disconnected: %s", reason)

    async def one(number: int, watch: Callable[[], Awaitable[None]]) -> None:
        loop, backoff = asyncio.get_running_loop(), Backoff(rng=rng)
        while True:
            timer = loop.call_later(QUIET_S, answered, number) if quiet and number in waiting else None
            try:
                await watch()
            except ccxt.BaseError as error:
                failed(number, str(error))
                await asyncio.sleep(backoff.wait_s())
            else:
                answered(number)
                backoff.reset()
            finally:
                if timer is not None:
                    timer.cancel()

    async with asyncio.TaskGroup() as group:
        for number, watch in enumerate(watched):
            group.create_task(one(number, watch), name="watch")
