"""One worker for an account: a second one is refused, and one whose account was taken over sends nothing any more."""

import asyncio
import signal
import time
from pathlib import Path

import pytest

from core.ledger import Ledger, LedgerError, url_of

from .crashing import exchange, wanted
from .drills import ACCOUNT, SYMBOL, both, child, come, venue, worker

pytestmark = pytest.mark.server


def test_a_second_worker_is_refused_while_the_first_one_lives(tmp_path: Path):
    async def drill() -> None:
        async with venue(1.0) as at, child(tmp_path, at, stops=True) as first:
            await first.until("ready")
            urls = list(at.urls)
            with pytest.raises(LedgerError, match=f"{ACCOUNT} is traded by .*:{first.pid} "):
                await asyncio.wait_for(asyncio.create_task(started(tmp_path, urls)), 30)
            assert first.process.returncode is None

    asyncio.run(drill())


async def started(folder: Path, urls: list[str]) -> None:
    from serving.launch import launch

    await launch(wanted(folder, urls, ACCOUNT), exchange(urls), time.time_ns, lambda text: None)


def test_a_worker_whose_account_was_taken_over_sends_nothing_and_ends(tmp_path: Path):
    async def drill() -> None:
        async with venue(1.0) as at, child(tmp_path, at) as first:
            await first.until("resting {")
            await come(lambda: bool(at.matching.open_orders(SYMBOL)), 5.0, lambda: "no order stands")
            first.kill(signal.SIGSTOP)  # it hangs, and its lease ends
            async with worker(tmp_path, at) as second:
                await come(lambda: second.worker.state.accounted and not at.matching.open_orders(SYMBOL), 10.0, second.worker.health)
                sent = len(at.matching.all_orders(SYMBOL))
                first.kill(signal.SIGCONT)
                await first.until("giving")  # by then it has tried to send, or has ended
                assert len(at.matching.all_orders(SYMBOL)) == sent
                assert not any(word in line for line in first.told[2:] for word in ("approved",))
                assert second.worker.healthy
                assert not both(tmp_path, at).differences

    asyncio.run(drill())


def test_the_lease_of_a_worker_that_was_killed_is_waited_for(tmp_path: Path):
    async def drill() -> None:
        async with venue(1.0) as at:
            async with child(tmp_path, at) as first:
                await first.until("resting {")
                first.kill()
            async with worker(tmp_path, at) as second:
                await come(lambda: second.worker.state.accounted, 10.0, second.worker.health)
                with Ledger(url_of(tmp_path)) as ledger, ledger.read() as connection:
                    from core.ledger_control import leases

                    assert [lease.epoch for lease in leases(connection)] == [2]

    asyncio.run(drill())
