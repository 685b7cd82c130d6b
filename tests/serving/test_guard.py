"""The guard sees from outside that a worker hangs or is gone, and takes its orders away."""

import asyncio
import os
import signal
import time
from pathlib import Path

import pytest

from core import ledger_reader, ledger_tables
from core.ledger import Ledger, url_of
from serving.exchange import Answer, ExchangeError
from serving.killing import cancel_everything

from .drills import ACCOUNT, SYMBOL, Child, child, come, latched, venue, worker

pytestmark = pytest.mark.server


def incidents(folder: Path) -> list[str]:
    with Ledger(url_of(folder)) as ledger, ledger.read() as connection:
        rows = ledger_reader.rows(connection, ledger_tables.incidents, ACCOUNT)
    return [str(row["detail"]) for row in rows if row["kind"] == "guard"]


async def gone(one: Child) -> bool:
    await asyncio.sleep(0.5)
    return one.process.returncode is not None


def test_a_worker_that_hangs_is_blocked_and_its_orders_are_gone_before_it_can_say_a_word(tmp_path: Path):
    async def drill() -> None:
        async with venue(1.0) as at, child(tmp_path, at, guard_s=1.4) as hangs:
            await hangs.until("resting {")
            await come(lambda: bool(at.matching.open_orders(SYMBOL)), 5.0, lambda: "no order stands")
            hangs.kill(signal.SIGSTOP)
            began = time.monotonic()
            await come(lambda: not at.matching.open_orders(SYMBOL), 10.0, lambda: "orders stand")
            print(f"a hanging worker's orders were gone {time.monotonic() - began:.2f} s after it stopped")
            await come(lambda: latched(tmp_path), 10.0, lambda: "not latched")
            sent = len(at.matching.all_orders(SYMBOL))
            hangs.kill(signal.SIGCONT)
            if await gone(hangs):
                return  # it was stopped while it held the ledger: the guard ended it, else nobody could have written
            await hangs.until("giving")  # it goes on with what it was about to do, and is refused
            assert len(at.matching.all_orders(SYMBOL)) == sent
            assert "approved" not in next(line for line in hangs.told if line.startswith("giving"))
            assert "no sign of life" in incidents(tmp_path)[0]

    asyncio.run(drill())


def test_a_worker_that_was_killed_leaves_no_order_behind_and_the_next_one_may_trade(tmp_path: Path):
    async def drill() -> None:
        async with venue(1.0) as at, child(tmp_path, at, guard_s=1.4) as dies:
            await dies.until("resting {")
            await come(lambda: bool(at.matching.open_orders(SYMBOL)), 5.0, lambda: "no order stands")
            dies.kill()
            began = time.monotonic()
            await come(lambda: not at.matching.open_orders(SYMBOL), 5.0, lambda: "orders stand")
            print(f"a killed worker's orders were gone after {time.monotonic() - began:.2f} s")
            await come(lambda: bool(incidents(tmp_path)), 10.0, lambda: "no incident")
            assert "the worker's process is gone" in incidents(tmp_path)[0]
            assert not latched(tmp_path)
            async with worker(tmp_path, at) as next_one:
                await come(lambda: next_one.worker.state.accounted, 10.0, next_one.worker.health)
                assert next_one.worker.state.mode == "active"

    asyncio.run(drill())


def test_a_worker_that_ends_in_order_needs_no_guard_any_more(tmp_path: Path):
    async def drill() -> None:
        async with venue(1.0) as at, child(tmp_path, at, guard_s=1.4, stops=True) as ends:
            await ends.until("ready")
            ends.kill(signal.SIGTERM)
            assert await ends.ended() == 0, ends.told
            await come(lambda: not alive(ends.told), 10.0, lambda: ends.told)
            assert not latched(tmp_path)
            assert not incidents(tmp_path)

    asyncio.run(drill())


def alive(told: list[str]) -> bool:
    pid = next(int(line.split()[1]) for line in told if line.startswith("guard "))
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_what_fails_is_tried_again_and_told_when_it_never_works():
    class Deaf:
        asked = 0

        async def cancel_all(self, symbols: tuple[str, ...], *, stops: bool = True) -> Answer:
            self.asked += 1
            if self.asked == 1:
                raise ExchangeError("the line is dead")
            return Answer(known=False, reason="no answer") if self.asked == 2 else Answer(known=True)

    once = Deaf()
    assert asyncio.run(cancel_everything(once, (SYMBOL,), 3)) == ""  # type: ignore[arg-type]
    assert once.asked == 3
    assert asyncio.run(cancel_everything(Deaf(), (SYMBOL,), 2)) == "no answer"  # type: ignore[arg-type]
