"""Live frames: decoding alone, and from a socket to events on loopback, one core for the client, beside what Python users pick."""

# pyright: reportMissingImports=false

import asyncio
import atexit
import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from bench.harness import Arrays, Bench, Pass, Row, Variant, same
from bench.runner import ROOT

TOGETHER = 64  # payloads that arrive in one read of a busy feed
FLOOD = 100_000  # frames of one pass over the socket
SMALL = 2_000
MS = 1_723_161_256_322
SCALES = {"BTCUSDT": (2, 3)}


def make(folder: Path, size: int) -> Mapping[str, Any]:
    """`trades` and `books`: aggregated trades and books of 20 levels a side, as Binance sends them in a combined stream."""
    rng = np.random.default_rng(11)
    n_books = max(SMALL, size // 10)
    prices, sizes = 6_180_000 + np.cumsum(rng.integers(-3, 4, size)), rng.integers(1, 90_000, size)

    def wrapped(stream: str, data: dict[str, Any]) -> str:
        return json.dumps({"stream": f"btcusdt@{stream}", "data": data}, separators=(",", ":"))

    with (folder / "trades").open("w") as file:
        for i in range(size):
            data = {"e": "aggTrade", "E": MS + i, "s": "BTCUSDT", "a": 2_266_583_935 + i, "p": f"{prices[i] / 100:.2f}"}
            data |= {"q": f"{sizes[i] / 1000:.3f}", "f": 5_266_583_935 + 2 * i, "l": 5_266_583_936 + 2 * i, "T": MS + i, "m": bool(i % 3)}
            file.write(wrapped("aggTrade", data) + "\n")
    with (folder / "books").open("w") as file:
        for i in range(n_books):
            steps, volumes = np.cumsum(rng.integers(1, 20, 40)), rng.integers(1, 90_000, 40)
            middle = 6_180_000 + int(rng.integers(-500, 500))
            sides = [[[f"{(middle + sign * steps[j]) / 100:.2f}", f"{volumes[j] / 1000:.3f}"] for j in range(20)] for sign in (-1, 1)]
            data = {"e": "depthUpdate", "E": MS + i, "T": MS + i, "s": "BTCUSDT", "U": 5 * i + 9, "u": 5 * i + 13, "pu": 5 * i + 8}
            file.write(wrapped("depth20@100ms", data | {"b": sides[0], "a": sides[1]}) + "\n")
    return {"trades": size // TOGETHER * TOGETHER, "books": n_books // TOGETHER * TOGETHER, "flood": SMALL if size == SMALL else FLOOD}


def payloads(folder: Path, what: str) -> list[bytes]:
    found = (folder / what).read_bytes().splitlines()
    return found[: len(found) // TOGETHER * TOGETHER]


def ours(folder: Path, *, what: str, objects: bool = False, together: int = TOGETHER) -> Pass:
    from kernels.frames_live import Live

    live, given = Live(SCALES), payloads(folder, what)
    batches = [given[at : at + together] for at in range(0, len(given), together)]
    check = (folder / "trades").stat().st_size < 1_000_000

    def once() -> Arrays | None:
        if check:
            return values([live.decode(batch, 0) for batch in batches], what) if not objects and together > 1 else None
        for batch in batches:
            if objects:
                for _ in live.decode(batch, 0):
                    pass
            else:
                live.decode(batch, 0)
        return None

    if check:  # each batch is good until the next: copies are compared
        decode = live.decode
        live.decode = lambda some, recv: _copied(decode(some, recv))  # type: ignore[method-assign]
    return once


def _copied(batch: Any) -> Any:
    return type(batch)(batch.ts_recv, batch.rows.copy(), batch.levels.copy(), batch.refused, batch.symbols)


def values(batches: list[Any], what: str) -> Arrays:
    """Exact units as the nearest floats, which is what the peers hold."""
    from kernels.frames_live_scan import EVENT, ID, PRICE, SIDE, SIZE

    rows = np.concatenate([batch.rows for batch in batches])
    if what == "trades":
        return {"price": rows[:, PRICE] / 100, "size": rows[:, SIZE] / 1000, "side": rows[:, SIDE], "time": rows[:, EVENT] // 10**6}
    levels = np.concatenate([batch.levels for batch in batches], axis=1) / np.array([[100], [1000]])
    both = levels.T.reshape(-1, 2, 20, 2)
    return {"bids": both[:, 0], "asks": both[:, 1], "id": rows[:, ID]}


def peer(folder: Path, *, name: str, what: str) -> Pass:
    from bench.feed_peers import book_arrays, named, trade_arrays

    given = payloads(folder, what)
    decode = named(name)[what == "books"]
    timed = getattr(decode, "timed", decode)
    check = len(given) <= SMALL

    def once() -> Arrays | None:
        if check:
            return (trade_arrays if what == "trades" else book_arrays)([decode(p) for p in given])
        for payload in given:
            timed(payload)
        return None

    return once


def flooded(folder: Path, client: Callable[[int, int, int], Any]) -> Pass:
    """A pass that connects to a server in a process of its own, and ends when all frames have been decoded."""
    import uvloop

    server = subprocess.Popen(
        [sys.executable, "-m", "bench.feed_server", str(folder / "trades")],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    atexit.register(server.kill)
    if hasattr(os, "sched_setaffinity") and len(os.sched_getaffinity(0)) > 1:
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    port, raw = map(int, server.stdout.readline().split())  # type: ignore[union-attr]
    n = SMALL if (folder / "trades").stat().st_size < 1_000_000 else FLOOD
    return lambda: uvloop.run(asyncio.wait_for(client(port, raw, n), 60))


def over_socket(folder: Path, *, objects: bool) -> Pass:
    from picows import ws_connect

    from kernels.frames_live import Live
    from serving.feed import Feed

    live = Live(SCALES)

    async def client(port: int, raw: int, n: int) -> Arrays | None:
        done, seen, kept = asyncio.Event(), 0, []

        def told(batch: Any) -> None:
            nonlocal seen
            seen += len(batch)
            if n == SMALL:
                kept.append(_copied(batch))
            if objects:
                for _ in batch:
                    pass
            if seen >= n:
                done.set()

        transport, _ = await ws_connect(lambda: Feed(live, told), f"ws://127.0.0.1:{port}/{n}")
        await done.wait()
        transport.disconnect()
        return values(kept, "trades") if kept else None

    return flooded(folder, client)


def peer_over_socket(folder: Path, *, library: str, name: str) -> Pass:
    from bench.feed_peers import CLIENTS, named, trade_arrays

    decode = named(name)[0]
    timed = getattr(decode, "timed", decode)

    async def client(port: int, raw: int, n: int) -> Arrays | None:
        kept: list[tuple] = []
        told = (lambda payload: kept.append(decode(payload))) if n == SMALL else timed
        await CLIENTS[library](f"ws://127.0.0.1:{port}/{n}", n, told)
        return trade_arrays(kept) if kept else None

    return flooded(folder, client)


def raw_socket(folder: Path) -> Pass:
    """The same bytes read from a plain socket and thrown away: the limit."""
    size = sum(len(p) + 4 for p in payloads(folder, "trades"))
    n_payloads = len(payloads(folder, "trades"))

    async def client(port: int, raw: int, n: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", raw, limit=1 << 20)
        writer.write(f"{n}\n".encode())
        left = int(size * (n / n_payloads) * 0.999)
        while left > 0:
            left -= len(await reader.read(1 << 18))
        writer.close()

    return flooded(folder, client)


def check(found: Mapping[str, Arrays]) -> str:
    for name, arrays in found.items():
        mine = found["books in batches" if "bids" in arrays else "trades in batches"]
        n = min(len(next(iter(arrays.values()))), len(next(iter(mine.values()))))
        for key, value in arrays.items():
            same(f"{name}, {key}", mine[key][:n], value[:n])
    return "prices, sizes, sides, times and levels of all frames equal to the last bit"


DECODERS = ("json", "orjson", "msgspec")
SOCKETS = [("websockets", "orjson"), ("websockets", "json"), ("aiohttp", "orjson"), ("picows", "orjson"), ("picows", "msgspec")]
BENCH = Bench(
    name="feed",
    about="live payloads to events, and from a socket to events",
    make=make,
    small=SMALL,
    large=40_000,
    variants=(
        Variant("trades in batches", partial(ours, what="trades"), seconds=0.3),
        Variant("trades as events", partial(ours, what="trades", objects=True), checked=False, seconds=0.3),
        Variant("trades one by one", partial(ours, what="trades", objects=True, together=1), checked=False, seconds=0.3),
        Variant("books in batches", partial(ours, what="books"), seconds=0.3),
        *(Variant(f"{n}, trades", partial(peer, name=n, what="trades"), peer=True, seconds=0.3) for n in DECODERS),
        *(Variant(f"{n}, books", partial(peer, name=n, what="books"), peer=True, seconds=0.3) for n in DECODERS),
        Variant("socket", partial(over_socket, objects=False), seconds=0.5),
        Variant("socket to event objects", partial(over_socket, objects=True), checked=False, seconds=0.5),
        *(Variant(f"{a} + {b}", partial(peer_over_socket, library=a, name=b), peer=True, seconds=0.5, repeats=3) for a, b in SOCKETS),
        Variant("raw socket", raw_socket, checked=False, seconds=0.5),
    ),
    rows=(
        Row("decode a trade", "trades/s", "trades in batches", tuple(f"{n}, trades" for n in DECODERS), "trades"),
        Row("decode a trade to an object", "trades/s", "trades as events", tuple(f"{n}, trades" for n in DECODERS), "trades"),
        Row("decode a trade, one a call, to an object", "us", "trades one by one", tuple(f"{n}, trades" for n in DECODERS), "trades"),
        Row("decode a book of 20 levels", "books/s", "books in batches", tuple(f"{n}, books" for n in DECODERS), "books"),
        Row(
            "socket to decoded trade",
            "trades/s",
            "socket",
            tuple(f"{a} + {b}" for a, b in SOCKETS),
            "flood",
            limit="raw socket",
            at_least=1e6,
        ),
        Row(
            "socket to trade object",
            "trades/s",
            "socket to event objects",
            tuple(f"{a} + {b}" for a, b in SOCKETS),
            "flood",
            limit="raw socket",
        ),
    ),
    check=check,
    rounds=1,  # a round of it takes minutes
)
