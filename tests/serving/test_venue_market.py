"""What the venue tells of its market is the recording: a book kept by a client's usual rule equals the tickers beside it."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from typer.testing import CliRunner

from scalp.main import app
from serving.venue import Venue
from serving.venue_bars import Print, add, coarser
from serving.venue_tape import recorded

OnVenue = Callable[..., None]


@pytest.mark.server
@pytest.mark.recordings
@pytest.mark.parametrize("kind", ["spot", "usdm"])
def test_a_book_from_snapshot_and_diffs_equals_the_tickers(shared: Path, kind: str) -> None:
    async def run() -> int:
        tape = recorded(shared / "data" / "hftbacktest" / kind / "btcusdt_20240808.gz")
        async with Venue(tape, speed=10) as venue, aiohttp.ClientSession() as session:
            socket = await session.ws_connect(f"{venue.urls.ws}/stream?streams=btcusdt@depth@100ms/btcusdt@bookTicker")
            frames = [json.loads((await socket.receive()).data)["data"] for _ in range(200)]
            root = "/api/v3" if kind == "spot" else "/fapi/v1"
            async with session.get(f"{venue.urls.rest}{root}/depth?symbol=BTCUSDT&limit=1000") as answer:
                whole = await answer.json()
            frames += [json.loads((await socket.receive()).data)["data"] for _ in range(6_000)]
        return compared(whole, frames)

    assert asyncio.run(run()) > 20


def compared(whole: Any, frames: list[Any]) -> int:
    """Applies the diffs after the snapshot without a gap; returns how many tickers of the same update id were equal."""
    sides = [dict(whole[name]) for name in ("bids", "asks")]
    tickers = {frame["u"]: frame for frame in frames if "B" in frame}
    last, n = whole["lastUpdateId"], 0
    for frame in frames:
        if frame.get("e") != "depthUpdate" or frame["u"] <= last:
            continue
        assert frame["U"] <= last + 1 or frame.get("pu") == last
        for side, levels in zip(sides, (frame["b"], frame["a"]), strict=True):
            side |= dict(levels)
        last = frame["u"]
        if last in tickers:
            bid = max(float(price) for price, size in sides[0].items() if float(size))
            ask = min(float(price) for price, size in sides[1].items() if float(size))
            assert (bid, ask) == (float(tickers[last]["b"]), float(tickers[last]["a"]))
            n += 1
    return n


def test_bars_add_up() -> None:
    from collections import deque

    seconds: deque[Any] = deque()
    for n in range(200):
        add(seconds, Print(n, 100 + n % 7, 1 + n % 3, 500 * n, 1 if n % 2 else -1), 1)
    minutes = list(coarser(seconds, 60))
    assert [bar.s for bar in minutes] == [0, 60] and sum(bar.n for bar in minutes) == 200
    assert (minutes[0].open, minutes[0].close, minutes[0].high, minutes[0].low) == (100, 100 + 119 % 7, 106, 100)
    assert sum(bar.volume for bar in minutes) == sum(1 + n % 3 for n in range(200))
    assert sum(bar.taken for bar in minutes) == sum(1 + n % 3 for n in range(200) if n % 2)


@pytest.mark.usefixtures("data_dir")
@pytest.mark.parametrize(
    ("asked", "words"),
    [([], "give a recording"), (["--from", "nowhere"], "is not there"), (["--generated", "--times", "old"], "one of scaled")],
)
def test_the_verb_says_what_it_needs(asked: list[str], words: str) -> None:
    told = CliRunner().invoke(app, ["venue", *asked])
    assert told.exit_code == 2 and words in " ".join(told.output.split())


def test_its_help_has_an_example() -> None:
    assert "scalp venue --from" in CliRunner().invoke(app, ["venue", "--help"]).output
