"""Our way of the same job: exact compiled features, ONNX Runtime, and a feed that hands over what arrived together.

`python -m bench.migration_ours FOLDER PORT` serves a WebSocket: trades in, a prediction back after every fiftieth.
"""

import asyncio
import sys
import time
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from bench.migration_job import EVERY, FIRST, MODEL, NAMES, PRICE_DECIMALS, SIZE_DECIMALS, SYMBOL, WINDOW, ZIP, asked

RAW = ("ret_1", "ret_20", "sma_20", "std_20", "ema_12", "macd", "macd_signal", "rsi_14")
MAX_AGE = 10**10


def scaled(raw: np.ndarray, price: np.ndarray, out: np.ndarray) -> None:
    """Features of trades [8, n] as the model takes them, [n, 8] float32: what is in quote currency, as a share of the price."""
    out[:, :2] = raw[:2].T
    out[:, 2] = raw[2] / price - 1
    out[:, 3] = raw[3] / price
    out[:, 4] = raw[4] / price - 1
    out[:, 5:7] = (raw[5:7] / price).T
    out[:, 7] = raw[7] / 100


def network(folder: Path) -> Any:
    from tasks.export import session

    return session(folder / MODEL / "model.onnx")


def job(folder: Path) -> Any:
    """The batch job: an archive in, predictions out, as a Parquet file."""
    import polars as pl

    from kernels import trade_features
    from kernels.archive_rows import INTS
    from kernels.book_features import Tops
    from tasks.archive_batches import Tally, batches, looked

    ask = network(folder)
    none = np.empty(0, np.int64)

    def once() -> dict[str, np.ndarray]:
        _, places = looked(folder / ZIP, whole=False)
        kept = [
            (batch.rows.ints[:, : batch.n].copy(), batch.rows.side[: batch.n].copy())
            for batch in batches(folder / ZIP, places, Tally(), settled=True)
        ]
        columns = dict(zip(INTS, np.concatenate([ints for ints, _ in kept], axis=1), strict=True))
        ts, price, n = columns["ts_event"], columns["price"], len(columns["price"])
        side = np.concatenate([side for _, side in kept])
        trades = trade_features.Trades(ts, ts, price, columns["size"], side, np.zeros(n, np.int32))
        raw = trade_features.build(
            trades, Tops(none, none, none, none, none), price_decimals=places[0], size_decimals=places[1], max_age=MAX_AGE, names=RAW
        )
        made = np.empty((n, len(NAMES)), np.float32)
        scaled(raw, price / 10.0 ** places[0], made)
        at = asked(n)
        windows = np.lib.stride_tricks.sliding_window_view(made, WINDOW, axis=0)[at - WINDOW + 1].transpose(0, 2, 1)
        direction = np.concatenate([ask(np.ascontiguousarray(windows[i : i + 64])).direction for i in range(0, len(at), 64)])
        told = pl.DataFrame({"ts": ts[at]}).with_columns(pl.DataFrame(direction, schema=["down", "flat", "up"]))
        told.write_parquet(folder / "ours.parquet", compression="zstd")
        return {"direction": direction}

    return once


class Worker:
    """Trades in, predictions out: the streaming features, a ring of the last windows, the network in this process."""

    def __init__(self, folder: Path) -> None:
        from kernels import trade_step
        from kernels.frames_live import Live
        from kernels.trade_formulas import COMPARED

        self.step = trade_step.step
        self.decoder = Live({SYMBOL: (PRICE_DECIMALS, SIZE_DECIMALS)})
        self.state = trade_step.state(price_decimals=PRICE_DECIMALS, size_decimals=SIZE_DECIMALS, max_age=MAX_AGE)
        self.row = np.empty(len(COMPARED))
        self.chosen = [COMPARED.index(name) for name in RAW]
        self.raw, self.price = np.empty((WINDOW, len(RAW))), np.empty(WINDOW)
        self.window = np.empty((1, WINDOW, len(NAMES)), np.float32)
        self.ask, self.n = network(folder), 0

    def take(self, payloads: list[bytes]) -> list[bytes]:
        """The answers to frames that arrived together."""
        from kernels.frames_live_scan import EVENT, ID, PRICE, SIDE, SIZE

        answers = []
        for r in self.decoder.decode(payloads, time.time_ns()).rows.tolist():
            self.step(self.state, 0, r[EVENT], r[EVENT], r[PRICE], r[SIZE], r[SIDE], 0, 0, 0, 0, 0, 0, self.row)
            at = self.n % WINDOW
            self.raw[at] = self.row[self.chosen]
            self.price[at] = r[PRICE]
            self.n += 1
            if self.n > FIRST and self.n % EVERY == 0:
                order = np.arange(self.n - WINDOW, self.n) % WINDOW
                scaled(self.raw[order].T, self.price[order] / 10.0**PRICE_DECIMALS, self.window[0])
                answers.append(msgspec.json.encode({"a": r[ID], "direction": self.ask(self.window).direction[0].tolist()}))
        return answers


async def serve(folder: Path, port: int) -> None:
    from picows import WSFrame, WSListener, WSMsgType, WSTransport, ws_create_server

    worker = Worker(folder)
    loop = asyncio.get_running_loop()

    class Feed(WSListener):
        def __init__(self) -> None:
            self.waiting: list[bytes] = []

        def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
            if frame.msg_type == WSMsgType.CLOSE:
                transport.disconnect()
                return
            if not self.waiting:
                loop.call_soon(self.flush, transport)
            self.waiting.append(frame.get_payload_as_bytes())

        def flush(self, transport: WSTransport) -> None:
            payloads, self.waiting = self.waiting, []
            for answer in worker.take(payloads):
                transport.send(WSMsgType.TEXT, answer)

    server = await ws_create_server(lambda _: Feed(), "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    import uvloop

    uvloop.run(serve(Path(sys.argv[1]), int(sys.argv[2])))
