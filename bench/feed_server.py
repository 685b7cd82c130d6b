"""A venue that floods: `python -m bench.feed_server FILE` sends the frames of FILE, to each that connects.

A client of `/100000` gets so many WebSocket frames; one of the second port, which sends a line with the number, the same bytes with
nobody to read the frames (the limit). Both ports are the first line it prints; it ends with its input, and after `MOST_S` seconds.
"""

# pyright: reportMissingImports=false

import asyncio
import os
import struct
import sys
from pathlib import Path

MOST_S = 120
TOGETHER = 500  # frames of one write: as many as fill a socket's buffer


def framed(payload: bytes) -> bytes:
    """A WebSocket text frame as a server sends it."""
    n = len(payload)
    head = bytes([0x81, n]) if n < 126 else struct.pack("!BBH", 0x81, 126, n)
    return head + payload


async def serve(payloads: list[bytes]) -> None:
    from picows import WSListener, WSMsgType, ws_create_server

    frames = [framed(p) for p in payloads]
    blobs = [b"".join(frames[at : at + TOGETHER]) for at in range(0, len(frames) - TOGETHER + 1, TOGETHER)]

    async def flood(write, drained: asyncio.Event, n: int) -> None:
        for at in range(n // TOGETHER):
            write(blobs[at % len(blobs)])
            await drained.wait()
            if at % 8 == 0:
                await asyncio.sleep(0)

    class Flood(WSListener):
        def __init__(self, n: int) -> None:
            self.n, self.drained = n, asyncio.Event()
            self.drained.set()

        def on_ws_connected(self, transport) -> None:
            writing = flood(transport.underlying_transport.write, self.drained, self.n)
            self.task = asyncio.get_running_loop().create_task(writing)

        def on_ws_frame(self, transport, frame) -> None:
            if frame.msg_type == WSMsgType.CLOSE:  # who says goodbye waits for the answer
                transport.send_close(frame.get_close_code())
                transport.disconnect()

        def pause_writing(self) -> None:
            self.drained.clear()

        def resume_writing(self) -> None:
            self.drained.set()

    async def raw(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        n = int((await reader.readline()).strip())
        for at in range(n // TOGETHER):
            writer.write(blobs[at % len(blobs)])
            await writer.drain()
        await reader.read()
        writer.close()

    server = await ws_create_server(lambda request: Flood(int(request.path[1:])), "127.0.0.1", 0)
    plain = await asyncio.start_server(raw, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], plain.sockets[0].getsockname()[1], flush=True)
    await asyncio.wait([asyncio.ensure_future(asyncio.to_thread(sys.stdin.read))], timeout=MOST_S)


def main() -> None:
    import uvloop

    if hasattr(os, "sched_setaffinity") and len(os.sched_getaffinity(0)) > 1:
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    payloads = Path(sys.argv[1]).read_bytes().splitlines()
    uvloop.run(serve(payloads))
    os._exit(0)  # the thread that waits for the end of the input would keep it


if __name__ == "__main__":
    main()
