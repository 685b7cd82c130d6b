"""Clients of /stream: `python -m bench.live_audience URL N SYMBOL ...` opens N sockets, says `{}`, and counts until its input ends."""

import asyncio
import json
import os
import sys
from typing import Any

from picows import WSFrame, WSListener, WSMsgType, WSTransport, ws_connect

MOST_S, TOGETHER = 240.0, 50


class Client(WSListener):
    heard = 0

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type == WSMsgType.TEXT:
            Client.heard += 1


async def listen(url: str, n: int, symbols: list[str]) -> None:
    links: list[Any] = []
    for at in range(0, n, TOGETHER):
        urls = (f"{url}?symbols={symbols[i % len(symbols)]}&types=signal" for i in range(at, min(at + TOGETHER, n)))
        links += await asyncio.gather(*(ws_connect(Client, one) for one in urls))
    print("{}", flush=True)
    before = Client.heard
    await asyncio.wait([asyncio.ensure_future(asyncio.to_thread(sys.stdin.readline))], timeout=MOST_S)
    print(json.dumps({"heard": Client.heard - before, "clients": len(links)}), flush=True)
    os._exit(0)


def main() -> None:
    os.nice(10)
    url, n, *symbols = sys.argv[1:]
    asyncio.run(listen(url, int(n), symbols))


if __name__ == "__main__":
    main()
