"""The venue as a process: a line of JSON on standard output says where it is as soon as it answers; SIGTERM and Ctrl-C end it.

python -m serving.venue --from ../shared/data/hftbacktest/usdm --speed 4
"""

import argparse
import asyncio
import json
import logging
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from core import settings
from core.live_settings import Venue as Knobs
from core.settings import Generator
from kernels.generator import Market
from serving.venue import DAY_S, Venue, VenueError
from serving.venue_desk import Latency
from serving.venue_keys import KEY, SECRET
from serving.venue_replay import Pace
from serving.venue_tape import FEES, Tape, TapeError, generated, recorded
from serving.venue_times import Mode

TOLD_S = 2.0  # between lines of progress
Told = Callable[[dict[str, Any]], None]


def tape_of(source: Path | None, config: settings.Settings) -> Tape:
    """A recording's tape, or without one that of the generated market as it is set. Raises `TapeError`."""
    fees = {**FEES, **config.fees.by_venue}
    if source is not None:
        return recorded(source, config.venue.kind, fees)
    return generated(markets(config.generator), config.venue.seed, time.time_ns() // 10**9 * 10**9, fees)


def markets(made: Generator) -> list[Market]:
    return [
        Market(symbol=symbol, price=made.price, tick_size=made.tick_size, lot_size=made.lot_size, volatility=made.volatility,
               signal=made.signal, frames_per_s=made.frames_per_s)
        for symbol in made.symbols
    ]  # fmt: skip


def venue_of(tape: Tape, knobs: Knobs, *, ws_port: int = 0, times: Mode = "scaled", age_s: float = DAY_S, key: str = "",
             secret: str = "") -> Venue:  # fmt: skip
    """The venue that the settings describe; not started."""
    return Venue(
        tape, host=knobs.host, port=knobs.port, ws_port=ws_port, pace=Pace(knobs.speed, times, knobs.loop),
        latency=Latency(knobs.feed_ms, knobs.order_ms, knobs.response_ms), queue=knobs.queue, quote_balance=knobs.quote_balance,
        base_balance=knobs.base_balance, keys={key or KEY: secret or SECRET}, age_s=age_s,
    )  # fmt: skip


async def serve(venue: Venue, ready: Told, progress: Told) -> None:
    """Until SIGTERM or Ctrl-C. Raises `VenueError`, and whatever one of the venue's tasks raises."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    async with venue:
        for number in (signal.SIGINT, signal.SIGTERM):  # after Sanic has begun
            loop.add_signal_handler(number, stop.set)
        ready(venue.state())
        running = asyncio.ensure_future(venue.wait())
        stopping = asyncio.ensure_future(stop.wait())
        while not stop.is_set():
            await asyncio.wait(
                {running, stopping} if not running.done() else {stopping}, timeout=TOLD_S, return_when=asyncio.FIRST_COMPLETED
            )
            if running.done() and running.exception() is not None:
                running.result()
            progress(venue.state())
        running.cancel()


def main() -> None:
    """`python -m serving.venue`: exit codes 0 ended, 1 cannot start, 2 usage."""
    config = settings.load()
    knobs = config.venue
    parser = argparse.ArgumentParser(prog="python -m serving.venue", description=__doc__)
    parser.add_argument("--from", dest="source", type=Path)
    parser.add_argument("--host", default=knobs.host)
    parser.add_argument("--port", type=int, default=knobs.port)
    parser.add_argument("--ws-port", type=int, default=0)
    parser.add_argument("--speed", type=float, default=knobs.speed)
    parser.add_argument("--times", choices=("scaled", "shifted", "kept"), default="scaled")
    parser.add_argument("--loop", action="store_true", default=knobs.loop)
    parser.add_argument("--feed-ms", type=float, default=knobs.feed_ms)
    parser.add_argument("--order-ms", type=float, default=knobs.order_ms)
    parser.add_argument("--response-ms", type=float, default=knobs.response_ms)
    parser.add_argument("--quote-balance", type=float, default=knobs.quote_balance)
    parser.add_argument("--base-balance", type=float, default=knobs.base_balance)
    parser.add_argument("--age", type=float, default=DAY_S, help="seconds a connection may live")
    given = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s: %(message)s", stream=sys.stderr)
    named = ("host", "port", "speed", "loop", "feed_ms", "order_ms", "response_ms", "quote_balance", "base_balance")
    knobs = knobs.model_copy(update={name: getattr(given, name) for name in named})
    key, secret = os.environ.get("SCALP_EXCHANGE__API_KEY", ""), os.environ.get("SCALP_EXCHANGE__API_SECRET", "")
    try:
        venue = venue_of(
            tape_of(given.source, config), knobs, ws_port=given.ws_port, times=given.times, age_s=given.age, key=key, secret=secret
        )
        asyncio.run(serve(venue, lambda state: print(json.dumps(state), flush=True), lambda state: None))  # noqa: T201
    except (TapeError, VenueError) as error:
        sys.exit(f"error: {error}")
