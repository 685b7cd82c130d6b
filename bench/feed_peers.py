"""The peers' ways from payload, or socket, to price and size: json, orjson, msgspec with typed floats; websockets, aiohttp, picows."""

# pyright: reportMissingImports=false

import asyncio
import json
from collections.abc import Callable
from typing import Any

import numpy as np

Decode = Callable[[bytes], tuple]
Told = Callable[[bytes], Any]


def from_dict(loads: Callable[[bytes], Any]) -> Decode:
    """Price, size, side and time of a trade, as a user of json or orjson takes them out."""

    def trade(payload: bytes) -> tuple:
        data = loads(payload)["data"]
        return float(data["p"]), float(data["q"]), -1 if data["m"] else 1, data["T"]

    return trade


def book_from_dict(loads: Callable[[bytes], Any]) -> Decode:
    def book(payload: bytes) -> tuple:
        data = loads(payload)["data"]
        return [(float(p), float(q)) for p, q in data["b"]], [(float(p), float(q)) for p, q in data["a"]], data["u"]

    return book


def typed() -> tuple[Decode, Decode]:
    """msgspec at its best: structs without garbage collection, numbers read straight from their strings."""
    import msgspec

    class Trade(msgspec.Struct, gc=False):
        p: float
        q: float
        m: bool
        T: int
        s: str
        a: int

    class Book(msgspec.Struct, gc=False):
        b: list[tuple[float, float]]
        a: list[tuple[float, float]]
        u: int
        s: str

    class OfTrade(msgspec.Struct, gc=False):
        data: Trade

    class OfBook(msgspec.Struct, gc=False):
        data: Book

    trades = msgspec.json.Decoder(OfTrade, strict=False).decode
    books = msgspec.json.Decoder(OfBook, strict=False).decode

    def trade(payload: bytes) -> tuple:
        data: Any = trades(payload).data
        return data.p, data.q, -1 if data.m else 1, data.T

    def book(payload: bytes) -> tuple:
        data: Any = books(payload).data
        return data.b, data.a, data.u

    # A struct is an event already: what is timed is `trades` and `books`; these name its values for the comparison.
    trade.timed, book.timed = trades, books  # type: ignore[attr-defined]
    return trade, book


def named(name: str) -> tuple[Decode, Decode]:
    """(trade, book) of a peer."""
    if name == "msgspec":
        return typed()
    if name == "orjson":
        import orjson

        return from_dict(orjson.loads), book_from_dict(orjson.loads)
    return from_dict(json.loads), book_from_dict(json.loads)


def trade_arrays(found: list[tuple]) -> dict[str, np.ndarray]:
    price, size, side, time = zip(*found, strict=True)
    return {"price": np.array(price), "size": np.array(size), "side": np.array(side), "time": np.array(time)}


def book_arrays(found: list[tuple]) -> dict[str, np.ndarray]:
    bids, asks, ids = zip(*found, strict=True)
    return {"bids": np.array(bids), "asks": np.array(asks), "id": np.array(ids)}


async def by_websockets(url: str, n: int, told: Told) -> None:
    from websockets.asyncio.client import connect

    async with connect(url, compression=None, max_queue=1024, ping_interval=None) as socket:
        for _ in range(n):
            told(await socket.recv(decode=False))


async def by_aiohttp(url: str, n: int, told: Told) -> None:
    import aiohttp

    async with aiohttp.ClientSession() as session, session.ws_connect(url, compress=0, autoping=False) as socket:
        for _ in range(n):
            told((await socket.receive()).data)


async def by_picows(url: str, n: int, told: Told) -> None:
    from picows import WSListener, ws_connect

    done, left = asyncio.Event(), n

    class Client(WSListener):
        def on_ws_frame(self, transport, frame) -> None:
            nonlocal left
            told(frame.get_payload_as_bytes())
            left -= 1
            if not left:
                done.set()

    transport, _ = await ws_connect(Client, url)
    await done.wait()
    transport.disconnect()


CLIENTS = {"websockets": by_websockets, "aiohttp": by_aiohttp, "picows": by_picows}
