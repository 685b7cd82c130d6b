# pyright: reportMissingImports=false
"""The plain way: pandas for features, PyTorch as it comes for predictions, FastAPI for the service.

`python -m bench.migration_plain FOLDER PORT` serves a WebSocket: trades in, a prediction back after every fiftieth.
"""

import json
import sys
from collections import deque
from pathlib import Path
from typing import Any

import numpy as np

from bench.migration_job import EVERY, FIRST, MODEL, NAMES, WINDOW, ZIP, asked

KEPT = FIRST  # trades that averages are computed over: enough for what came before not to show


def features(price: Any) -> np.ndarray:
    """[n, 8] from a pandas Series of prices."""
    logs = np.log(price)
    fast, slow = price.ewm(span=12, adjust=False).mean(), price.ewm(span=26, adjust=False).mean()
    macd = fast - slow
    change = price.diff()
    gain = change.clip(lower=0).ewm(alpha=1 / 14, adjust=False).mean()
    loss = (-change.clip(upper=0)).ewm(alpha=1 / 14, adjust=False).mean()
    found = {
        "ret_1": logs.diff(),
        "ret_20": logs.diff(20),
        "sma_20": price.rolling(20).mean() / price - 1,
        "std_20": price.rolling(20).std(ddof=0) / price,
        "ema_12": fast / price - 1,
        "macd": macd / price,
        "macd_signal": macd.ewm(span=9, adjust=False).mean() / price,
        "rsi_14": gain / (gain + loss),
    }
    return np.column_stack([found[name] for name in NAMES]).astype(np.float32)


def network(folder: Path) -> Any:
    import torch

    from kernels import model

    torch.set_num_threads(1)
    found, _ = model.load(folder / MODEL)
    found.eval()

    def ask(windows: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            return found(torch.from_numpy(windows))[0].numpy()

    return ask


def job(folder: Path) -> Any:
    """The batch job: an archive in, predictions out, as a Parquet file."""
    import pandas as pd

    ask = network(folder)

    def once() -> dict[str, np.ndarray]:
        frame = pd.read_csv(folder / ZIP)
        made = features(frame["price"])
        at = asked(len(frame))
        windows = np.lib.stride_tricks.sliding_window_view(made, WINDOW, axis=0)[at - WINDOW + 1].transpose(0, 2, 1)
        direction = np.concatenate([ask(np.ascontiguousarray(windows[i : i + 64])) for i in range(0, len(at), 64)])
        told = pd.DataFrame(direction, columns=["down", "flat", "up"]).assign(ts=frame["transact_time"].to_numpy()[at])
        told.to_parquet(folder / "plain.parquet", compression="zstd")
        return {"direction": direction}

    return once


def serve(folder: Path, port: int) -> None:
    import pandas as pd
    import uvicorn
    from fastapi import FastAPI, WebSocket, WebSocketDisconnect

    app, ask = FastAPI(), network(folder)

    @app.websocket("/")
    async def feed(socket: WebSocket) -> None:
        await socket.accept()
        prices: deque[float] = deque(maxlen=KEPT)
        sizes: deque[float] = deque(maxlen=KEPT)
        n = 0
        try:
            while True:
                trade = json.loads(await socket.receive_text())
                prices.append(float(trade["p"]))
                sizes.append(float(trade["q"]))
                n += 1
                if n > FIRST and n % EVERY == 0:
                    window = features(pd.Series(prices))[-WINDOW:]
                    direction = ask(window[None])[0]
                    await socket.send_text(json.dumps({"a": trade["a"], "direction": direction.tolist()}))
        except WebSocketDisconnect:
            return

    uvicorn.run(app, host="127.0.0.1", port=port, log_level="warning")


if __name__ == "__main__":
    serve(Path(sys.argv[1]), int(sys.argv[2]))
