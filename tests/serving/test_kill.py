"""The kill switch, pulled from outside: with a worker, without one, and where the ledger is held by somebody else."""

import asyncio
import json
import os
import sqlite3
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from core import ledger_control
from core.ledger import Ledger, url_of
from core.ledger_control import KILL_FILE

from .drills import ACCOUNT, ROOT, SYMBOL, both, child, come, latched, venue, worker

pytestmark = pytest.mark.server


async def scalp(folder: Path, *words: str) -> tuple[int, str]:
    """Exit code and output of a verb in a process of its own."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("SCALP_")}
    env |= {"SCALP_DATA_DIR": str(folder), "PYTHONPATH": str(ROOT)}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", "from scalp.main import app; app()", *words, env=env, cwd=folder,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    out, _ = await asyncio.wait_for(process.communicate(), 90)
    return process.returncode or 0, out.decode()


async def killed(folder: Path, *words: str) -> dict[str, Any]:
    code, told = await scalp(folder, "kill", "--json", *words)
    assert code == 0, told
    (one,) = json.loads(told.splitlines()[-1])
    return one


def drills(folder: Path) -> float:
    with Ledger(url_of(folder)) as ledger, ledger.read() as connection:
        return ledger_control.noted(connection, ACCOUNT, "kill_drill")[1]


def test_a_kill_cancels_all_blocks_and_lasts_until_somebody_says_why_not(tmp_path: Path):
    async def drill() -> None:
        async with venue(1.0) as at:
            async with child(tmp_path, at, pauses=True) as trades:
                await trades.until("resting {")
                await come(lambda: bool(at.matching.open_orders(SYMBOL)), 5.0, lambda: "no order stands")
                told = await killed(tmp_path, "--reason", "a drill")
                assert (told["account"], told["latched"], told["worker"], told["cancelled"]) == (ACCOUNT, True, "done", "worker")
                assert told["standing"] == 0 == len(at.matching.open_orders(SYMBOL))
                print(f"scalp kill: nothing stood {told['ms']:.0f} ms after it was pulled")
                assert drills(tmp_path)
                trades.kill()
            async with worker(tmp_path, at) as next_one:  # a restart changes nothing
                state = next_one.worker.state
                await come(lambda: state.accounted, 10.0, next_one.worker.health)
                assert state.latched
                assert state.mode == "halted"
            code, said = await scalp(tmp_path, "rearm")
            assert code == 2, said
            assert "needs a reason" in said
            assert latched(tmp_path)
            code, said = await scalp(tmp_path, "rearm", "--reason", "it was a drill")
            assert code == 0, said
            assert not latched(tmp_path)
            assert not (tmp_path / KILL_FILE).exists()
            async with worker(tmp_path, at) as third:
                await come(lambda: third.worker.state.accounted, 10.0, third.worker.health)
                assert third.worker.state.mode == "active"

    asyncio.run(drill())


def test_without_a_worker_the_venue_is_asked_from_here(tmp_path: Path):
    async def drill() -> None:
        async with venue(1.0) as at:
            async with child(tmp_path, at) as dies:
                await dies.until("resting {")
                await come(lambda: bool(at.matching.open_orders(SYMBOL)), 5.0, lambda: "no order stands")
                dies.kill()
            await asyncio.sleep(1.5)  # its lease
            told = await killed(tmp_path)
            assert (told["worker"], told["cancelled"], told["standing"]) == ("", "here", 0)
            assert not at.matching.open_orders(SYMBOL)
            assert latched(tmp_path)
            async with worker(tmp_path, at) as next_one:
                await come(lambda: not both(tmp_path, at).standing[0], 10.0, lambda: both(tmp_path, at))
                assert next_one.worker.state.latched

    asyncio.run(drill())


def test_a_kill_does_not_wait_for_a_ledger_that_somebody_holds(tmp_path: Path):
    async def drill() -> None:
        async with venue(1.0) as at:
            async with child(tmp_path, at) as dies:
                await dies.until("resting {")
                await come(lambda: bool(at.matching.open_orders(SYMBOL)), 5.0, lambda: "no order stands")
                dies.kill()
            holds = sqlite3.connect(tmp_path / "ledger.db", isolation_level=None)
            holds.execute("BEGIN IMMEDIATE")
            killing = asyncio.create_task(killed(tmp_path, "--reason", "now"))
            await come(lambda: not at.matching.open_orders(SYMBOL), 20.0, lambda: "orders stand")
            assert not killing.done()  # it waits for the latch now, and the file blocks meanwhile
            assert (tmp_path / KILL_FILE).exists()
            holds.execute("ROLLBACK")
            holds.close()
            assert (await killing)["latched"]
            assert latched(tmp_path)

    asyncio.run(drill())


def test_the_file_stops_a_worker_and_keeps_the_next_one_from_trading(tmp_path: Path):
    async def drill() -> None:
        async with venue(1.0) as at, child(tmp_path, at, pauses=True) as trades:
            await trades.until("resting {")
            await come(lambda: bool(at.matching.open_orders(SYMBOL)), 5.0, lambda: "no order stands")
            began = time.monotonic()
            (tmp_path / KILL_FILE).write_text("somebody wrote this by hand")
            await come(lambda: latched(tmp_path) and not at.matching.open_orders(SYMBOL), 5.0, lambda: "orders stand")
            print(f"the file {KILL_FILE}: blocked, and nothing stood after {(time.monotonic() - began) * 1e3:.0f} ms")
            trades.kill()
            await trades.process.wait()
            await asyncio.sleep(1.5)  # its lease
            async with worker(tmp_path, at) as next_one:
                assert next_one.worker.state.latched

    asyncio.run(drill())


def test_an_order_that_was_on_its_way_when_the_switch_was_pulled_does_not_stay(tmp_path: Path):
    async def drill() -> None:
        async with venue(200.0) as at, child(tmp_path, at, "kill_latched_with_an_order_on_its_way") as trades:
            await trades.until("through")
            assert latched(tmp_path)
            await come(lambda: not at.matching.open_orders(SYMBOL), 5.0, lambda: "orders stand")
            await come(lambda: not both(tmp_path, at).differences, 5.0, lambda: both(tmp_path, at))

    asyncio.run(drill())


def test_flatten_also_gives_back_what_is_held(tmp_path: Path):
    async def drill() -> None:
        async with venue(1.0) as at, child(tmp_path, at, pauses=True, holds=True) as trades:
            await trades.until("holds")
            assert both(tmp_path, at).position[1] > 0
            await killed(tmp_path, "--flatten", "--reason", "home early")
            await come(lambda: both(tmp_path, at).position == (0, 0), 10.0, lambda: both(tmp_path, at))
            assert latched(tmp_path)

    asyncio.run(drill())
