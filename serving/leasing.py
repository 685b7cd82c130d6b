"""One worker for an account: who takes it, and who waits for it."""

import asyncio
import os
import socket
from collections.abc import Callable

from core.ledger import Lease, Ledger, LedgerError
from core.market import NS

LEASE_SLACK_S = 0.5  # beyond a lease: then somebody renews it


def holder() -> str:
    """Who we are, to the next one who wants the account."""
    return f"{socket.gethostname()}:{os.getpid()}"


async def taken(ledger: Ledger, account: str, seconds: float, clock: Callable[[], int], told: Callable[[str], None]) -> Lease:
    """The account, ours. That of a killed worker ends by itself: it is waited for. Raises `LedgerError` where one lives."""
    until = clock() + round((seconds + LEASE_SLACK_S) * NS)
    waits = False
    while True:
        try:
            return ledger.take(account, holder(), clock(), seconds)
        except LedgerError as error:
            if clock() > until:
                raise
            if not waits:
                told(f"{error}; waiting for that")
                waits = True
        await asyncio.sleep(0.1)
