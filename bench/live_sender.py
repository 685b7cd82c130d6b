"""The market of a busy day for a worker: a venue for its orders, and its frames sent by the clock, whatever the worker does.

    python -m bench.live_sender venue SOURCE SPEED     the venue simulator; prints where it is, and when its tape began
    python -m bench.live_sender frames SOURCE SPEED BEGAN TOLD

`frames` sends what that tape plays to the first that connects, by WebSocket, each frame at its moment on the tape: late or not, the next
one's moment stays (open loop). `TOLD` becomes an array [2, frames] of the intended and the real times of sending (ns). Both end with
their input, and by themselves after `MOST_S` seconds.
"""

import asyncio
import base64
import contextlib
import ctypes
import hashlib
import json
import os
import socket
import struct
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from serving.venue_tape import Tape

MOST_S = 300
GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455
AHEAD_S = 260.0  # of the tape, made before it begins
TIMER_SLACK = 29  # PR_SET_TIMERSLACK


def tape_of(source: str) -> "Tape":
    """A recording, or `generated:<symbols>:<frames a second of each>:<begin, s>`."""
    from serving.venue_tape import generated, recorded

    if not source.startswith("generated"):
        return recorded(Path(source))
    from kernels.generator import Market

    _, n, rate, begin = source.split(":")
    usual = {"price": 60_000.0, "tick_size": 0.1, "lot_size": 0.001, "volatility": 0.6, "signal": 0.05}
    markets = [Market(symbol=f"BENCH{i}USDT", frames_per_s=float(rate), **usual) for i in range(int(n))]
    return generated(markets, 7, int(begin) * 10**9)


async def venue(source: str, speed: float) -> None:
    from serving.venue import Venue
    from serving.venue_desk import Latency

    async with Venue(tape_of(source), speed=speed, latency=Latency(0.0, 0.5, 0.5), quote_balance=1e6) as one:
        said = {"urls": list(one.urls), "began": one.replay.times.wall, "kind": one.tape.kind}
        print(json.dumps(said), flush=True)
        await asyncio.wait([asyncio.ensure_future(asyncio.to_thread(sys.stdin.read))], timeout=MOST_S)


def framed(payload: bytes) -> bytes:
    """A WebSocket text frame as a server sends it."""
    n = len(payload)
    if n < 126:
        return bytes([0x81, n]) + payload
    return (struct.pack("!BBH", 0x81, 126, n) if n < 65_536 else struct.pack("!BBQ", 0x81, 127, n)) + payload


def made(source: str, speed: float, began: int) -> tuple[list[int], list[bytes]]:
    """(when each frame is due, ns; the bytes of it), with the times that the venue tells as well."""
    from serving.venue_times import Times

    tape = tape_of(source)
    times = Times(tape.begin, tape.lag, began, speed)
    from_now = time.time_ns() + 10**9
    due, sent = [], []
    for frame in tape.frames():
        if not frame.stream:
            continue
        at = times.due(frame.ts)
        if at < from_now:
            continue
        if at > began + AHEAD_S * 10**9:
            break
        due.append(at)
        sent.append(framed(b'{"stream":"%b","data":%b}' % (frame.stream.encode(), times.stamped(frame.data))))
    return due, sent


def opened(port_told: socket.socket) -> socket.socket:
    """The first client's connection, its handshake answered."""
    client, _ = port_told.accept()
    asked = b""
    while b"\r\n\r\n" not in asked:
        asked += client.recv(65_536)
    key = next(line.split(b":", 1)[1].strip() for line in asked.split(b"\r\n") if line.lower().startswith(b"sec-websocket-key:"))
    accept = base64.b64encode(hashlib.sha1(key + GUID).digest())
    client.sendall(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %b\r\n\r\n" % accept
    )
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return client


def frames(source: str, speed: float, began: int, told: Path) -> None:
    import numpy as np

    port = socket.create_server(("127.0.0.1", 0))
    due, sent = made(source, speed, began)
    print(json.dumps({"port": port.getsockname()[1], "frames": len(due)}), flush=True)
    client = opened(port)
    over = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), over.set()), daemon=True).start()
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(TIMER_SLACK, 1_000, 0, 0, 0)
    now = time.time_ns()
    at = next((i for i, moment in enumerate(due) if moment > now), len(due))
    first, real = at, []
    while at < len(due) and not over.is_set():
        now = time.time_ns()
        if due[at] > now:
            time.sleep((due[at] - now) / 1e9)
            continue
        end = at + 1
        while end < len(due) and due[end] <= now:
            end += 1
        try:
            client.sendall(b"".join(sent[at:end]))
        except OSError:
            break
        real += [time.time_ns()] * (end - at)
        at = end
    np.save(told, np.array([due[first:at], real], np.int64))
    over.wait(MOST_S)
    os._exit(0)  # a thread waits for the client


def main() -> None:
    if hasattr(os, "sched_setaffinity") and len(os.sched_getaffinity(0)) > 1:
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    what, source, speed, *more = sys.argv[1:]
    if what == "venue":
        asyncio.run(venue(source, float(speed)))
        os._exit(0)
    frames(source, float(speed), int(more[0]), Path(more[1]))


if __name__ == "__main__":
    main()
