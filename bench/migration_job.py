"""The job that both sides of the migration benchmark do: eight features of each trade, a window of sixty, a prediction.

Shared by both environments, so it imports NumPy alone. The trades are made up: Binance `aggTrade`s of one symbol.
"""

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

NAMES = ("ret_1", "ret_20", "sma_20", "std_20", "ema_12", "macd", "macd_signal", "rsi_14")
WINDOW, EVERY, FIRST = 60, 50, 1_000  # trades: of a window, between predictions, before the first
RATE, WARM_S, STEADY_S = 2_000, 3.0, 10.0  # trades a second of the steady load
PRICE_DECIMALS, SIZE_DECIMALS = 1, 3
SYMBOL = "BTCUSDT"
ZIP, MODEL, ROWS = f"{SYMBOL}-aggTrades-2024-01-01.zip", "model", "trades.npz"
START_MS = 1_704_067_200_000


def made(folder: Path, n: int) -> dict[str, Any]:
    """Trades as arrays and as a zip of the venue's archive, and a network with random weights, in every form that is asked."""
    import torch

    from kernels import export, model

    rng = np.random.default_rng(11)
    price = 600_000 + np.cumsum(rng.integers(-3, 4, n))
    size, maker = rng.integers(1, 9_000, n), rng.random(n) < 0.5
    ts = START_MS + np.sort(rng.integers(0, 86_400_000, n))
    np.savez(folder / ROWS, price=price, size=size, maker=maker, ts=ts)
    lines = [
        f"{i},{p // 10}.{p % 10},{q // 1000}.{q % 1000:03d},{i},{i},{t},{'true' if m else 'false'}"
        for i, (p, q, t, m) in enumerate(zip(price.tolist(), size.tolist(), ts.tolist(), maker.tolist(), strict=True))
    ]
    head = "agg_trade_id,price,quantity,first_trade_id,last_trade_id,transact_time,is_buyer_maker"
    with zipfile.ZipFile(folder / ZIP, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as file:
        file.writestr(ZIP.replace(".zip", ".csv"), "\n".join((head, *lines, "")))
    torch.manual_seed(5)
    shape = model.ModelConfig(n_features=len(NAMES), window=WINDOW, feature_names=NAMES)
    network = model.new(shape).eval()
    (folder / MODEL).mkdir()
    model.save(folder / MODEL, network, shape)
    (folder / MODEL / "model.onnx").write_bytes(export.onnx(network, shape))
    return {"n": n, "predictions": len(asked(n))}


def asked(n: int) -> np.ndarray:
    """The trades (by number, from 0) after which a prediction is made."""
    return np.arange(FIRST + EVERY - 1, n, EVERY)


def frames(folder: Path) -> list[bytes]:
    """The trades as the venue sends them."""
    with np.load(folder / ROWS) as rows:
        columns = [rows[name].tolist() for name in ("price", "size", "ts", "maker")]
    return [
        json.dumps(
            {
                "e": "aggTrade", "E": t + 1, "s": SYMBOL, "a": i, "p": f"{p // 10}.{p % 10}", "q": f"{q // 1000}.{q % 1000:03d}",
                "f": i, "l": i, "T": t, "m": m, "M": True,
            },
            separators=(",", ":"),
        ).encode()
        for i, (p, q, t, m) in enumerate(zip(*columns, strict=True))
    ]  # fmt: skip
