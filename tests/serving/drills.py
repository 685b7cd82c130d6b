"""What crash drills share: a venue in this process, workers in others, and what must hold after one of them was killed."""

import asyncio
import contextlib
import json
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, NamedTuple

from core import ledger_control, ledger_reader
from core.ledger import Ledger, url_of
from core.orders import Status
from kernels.generator import Market
from serving.launch import Launched, launch
from serving.venue import Venue
from serving.venue_desk import Latency
from serving.venue_faults import Fault
from serving.venue_tape import generated

from .crashing import RULES, SYMBOL, exchange, wanted

ROOT = Path(__file__).resolve().parents[2]
ACCOUNT = "local/drill"


@contextlib.asynccontextmanager
async def venue(response_ms: float = 60.0) -> AsyncIterator[Venue]:
    """A made-up market; an order takes 60 ms to get there, and its answer as long."""
    market = Market(symbol=SYMBOL, price=60_000.0, tick_size=0.1, lot_size=0.001, volatility=0.5, signal=0.3, frames_per_s=10.0)
    tape = generated([market], 7, time.time_ns() // 10**9 * 10**9)
    async with Venue(tape, latency=Latency(0.0, 60.0, response_ms)) as started:
        yield started


class Child(NamedTuple):
    process: asyncio.subprocess.Process
    told: list[str]
    reading: asyncio.Task[None]

    @property
    def pid(self) -> int:
        return self.process.pid

    async def until(self, word: str, seconds: float = 90.0) -> None:
        end = time.monotonic() + seconds
        while not any(line.startswith(word) for line in self.told):
            assert self.process.returncode is None, f"the worker ended with {self.process.returncode}: {self.told}"
            assert time.monotonic() < end, f"no {word!r} within {seconds} s: {self.told}"
            await asyncio.sleep(0.02)

    def kill(self, number: int = signal.SIGKILL) -> None:
        if self.process.returncode is None:
            os.kill(self.pid, number)

    async def ended(self, seconds: float = 60.0) -> int:
        try:
            code = await asyncio.wait_for(self.process.wait(), seconds)
        except TimeoutError:
            self.kill(signal.SIGUSR1)  # it says where it is
            await asyncio.sleep(1.0)
            raise AssertionError(f"the worker did not end within {seconds:g} s: {self.told}") from None
        await self.reading
        return code


@contextlib.asynccontextmanager
async def child(folder: Path, at: Venue, point: str = "none", **more: Any) -> AsyncIterator[Child]:
    """A worker in a process of its own, that is killed at `point`."""
    told = {"folder": str(folder), "urls": list(at.urls), "account": ACCOUNT, "point": point} | more
    env = dict(os.environ) | {"PYTHONPATH": f"{ROOT}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"}
    script = str(Path(__file__).with_name("crashing.py"))
    process = await asyncio.create_subprocess_exec(
        sys.executable, script, json.dumps(told), env=env, cwd=ROOT, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    lines: list[str] = []

    async def read() -> None:
        assert process.stdout is not None
        async for line in process.stdout:
            lines.append(line.decode().rstrip())

    made = Child(process, lines, asyncio.create_task(read()))
    try:
        yield made
    finally:
        made.kill(signal.SIGCONT)
        made.kill()
        await process.wait()


@contextlib.asynccontextmanager
async def worker(folder: Path, at: Venue, stop_bps: float = 0.0) -> AsyncIterator[Launched]:
    """The next worker, here."""
    urls = list(at.urls)
    launched = await launch(wanted(folder, urls, ACCOUNT, stop_bps=stop_bps), exchange(urls), time.time_ns, lambda text: None)
    running = asyncio.create_task(launched.worker.run())
    try:
        yield launched
        assert not running.done() or running.result() is None
    finally:
        await launched.close()
        await running


async def come(true: Callable[[], bool], seconds: float, what: Callable[[], object]) -> float:
    """Wait for something; returns the seconds it took. Fails after `seconds`."""
    began = time.monotonic()
    while not true():
        assert time.monotonic() - began < seconds, f"not within {seconds} s: {what()}"
        await asyncio.sleep(0.02)
    return time.monotonic() - began


class Both(NamedTuple):
    """The same of the ledger and of the venue."""

    fills: tuple[set[Any], set[Any]]
    position: tuple[int, int]
    standing: tuple[set[str], set[str]]  # open orders
    ids: tuple[set[str], list[str]]  # of every order there ever was

    @property
    def differences(self) -> list[str]:
        found = [
            f"{name}: {ours} here, {theirs} there"
            for name, (ours, theirs) in zip(self._fields[:3], self[:3], strict=True)
            if ours != theirs
        ]
        if len(set(self.ids[1])) != len(self.ids[1]):
            found.append(f"an order is there twice: {self.ids[1]}")
        if unknown := set(self.ids[1]) - self.ids[0]:
            found.append(f"sent, and not in the ledger: {unknown}")
        return found


def both(folder: Path, at: Venue) -> Both:
    matching = at.matching
    with Ledger(url_of(folder)) as ledger, ledger.read() as connection:
        fills = ledger_reader.fills(connection, ACCOUNT)
        held = ledger_reader.positions(connection, ACCOUNT).get(SYMBOL, 0)
        standing = ledger_reader.open_orders(connection, ACCOUNT)
        theirs = matching.all_orders(SYMBOL)
        known = {order.client_id for order in theirs if ledger_reader.order(connection, order.client_id) is not None}
    trades = matching.my_trades(SYMBOL, limit=1_000)
    return Both(
        fills=({(f.trade_id, f.order_id, f.side, f.price, f.size, f.fee) for f in fills},
               {(f.trade_id, f.order_id, f.side, f.price, f.size, f.fee) for f in trades}),
        position=(held, sum(position.size for position in matching.positions())),
        standing=({order.order_id for order, _ in standing}, {order.client_id for order in matching.open_orders(SYMBOL)}),
        ids=(known, [order.client_id for order in theirs]),
    )  # fmt: skip


def latched(folder: Path) -> bool:
    with Ledger(url_of(folder)) as ledger, ledger.read() as connection:
        return ledger_control.latched(connection, ACCOUNT) is not None


__all__ = ["ACCOUNT", "RULES", "SYMBOL", "Child", "Fault", "Status", "both", "child", "come", "latched", "venue", "worker"]
