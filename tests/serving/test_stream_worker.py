"""The worker between socket and venue: what it does when too much comes, when the disk is full, when a book breaks."""

import asyncio
import errno
import json
import time
from typing import Any

import pytest

from core.events import Incident, Overflowed, Snapshot
from serving.worker import Rules

pytestmark = [pytest.mark.server, pytest.mark.recordings]


def ticker(n: int) -> bytes:
    data = {"e": "bookTicker", "u": n, "s": "BTCUSDT", "b": "61000.0", "B": "1.000", "a": "61000.1", "A": "1.000", "T": 1, "E": 1}
    return b'{"stream":"btcusdt@bookTicker","data":' + json.dumps(data, separators=(",", ":")).encode() + b"}"


def diff(n: int) -> bytes:
    now = time.time_ns() // 1_000_000
    data = {"e": "depthUpdate", "E": now, "T": now, "s": "BTCUSDT", "U": n, "u": n, "pu": n - 1, "b": [], "a": []}
    return b'{"stream":"btcusdt@depth@100ms","data":' + json.dumps(data, separators=(",", ":")).encode() + b"}"


def test_tickers_conflate_and_a_lost_diff_is_never_lost_in_silence(session: Any) -> None:
    async def run() -> None:
        async with session(rules=Rules(queue=1_000)) as trading:
            worker, told = trading.launched.worker, []
            await trading.quoted()
            before = worker.published
            worker.published = lambda said: (told.append(said), before(said))
            now = worker.clock()
            worker.frames([ticker(n) for n in range(900)], now)
            worker.frames([ticker(n) for n in range(900, 1_800)], now)
            assert worker.inbox.n_frames <= 1_000 and not any(isinstance(item, Overflowed) for item in worker.inbox.items)
            assert json.loads(worker.inbox.items[-1][0][-1])["data"]["u"] == 1_799, "the newest is kept"
            for _ in range(3):
                worker.frames([diff(n) for n in range(900)], now)
            assert isinstance(worker.inbox.items[-1], Overflowed)
            await trading.until(lambda: any(isinstance(said, Overflowed) for said in told), 10)
            await trading.until(lambda: any(isinstance(said, Snapshot) for said in told), 10)
            await trading.quoted()
            assert worker.healthy

    asyncio.run(run())


def test_a_full_disk_stops_the_recording_and_not_the_trading(session: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    async def run() -> None:
        async with session() as trading:
            worker, told = trading.launched.worker, []
            bid, _ = await trading.quoted()
            before = worker.published
            worker.published = lambda said: (told.append(said), before(said))

            def full(*_: Any) -> None:
                raise OSError(errno.ENOSPC, "No space left on device")

            monkeypatch.setattr(worker.session.journal, "frames", full)
            await trading.until(lambda: worker.session.state != "on", 10)
            assert "No space left" in (await trading.client.get("/healthz")).json()["recording"]
            assert [said.kind for said in told if isinstance(said, Incident)] == ["recording_stopped"]
            body = {"action": "order", "symbol": "BTCUSDT", "side": "buy", "size": "0.01", "price": f"{bid - 200:.1f}"}
            assert (await trading.execute(body, "still")).json()["outcome"] == "approved"
            await trading.until(lambda: len(trading.venue.matching.open_orders()) == 1)

    asyncio.run(run())


def test_a_book_that_breaks_again_and_again_is_asked_for_less_and_less_often(session: Any) -> None:
    async def run() -> None:
        async with session() as trading:
            worker, asked = trading.launched.worker, []
            await trading.quoted()
            snapshot = worker.exchange.snapshot

            async def counted(symbol: str) -> Any:
                asked.append(symbol)
                return await snapshot(symbol)

            worker.exchange.snapshot = counted
            for _ in range(150):
                worker.frames([diff(worker.state.market.top("BTCUSDT").update_id + 5)], worker.clock())
                await asyncio.sleep(0.01)
            assert 1 <= len(asked) <= 8
            await trading.until(lambda: not worker.state.market.stale("BTCUSDT"), 20)

    asyncio.run(run())
