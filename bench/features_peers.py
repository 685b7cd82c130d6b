# pyright: reportMissingImports=false
"""The seventeen trade-grain features as users of pandas, Polars, TA-Lib and polars-talib would write them, on float columns."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from bench.harness import Arrays, Pass

MAX_AGE = 10_000_000_000


def quoted(bid: Any, ask: Any, bid_size: Any, ask_size: Any, price: Any) -> dict[str, Any]:
    """Of the top each trade sees: the same arithmetic on pandas columns, Polars expressions and NumPy arrays."""
    mid = (bid + ask) / 2
    depth = bid_size + ask_size
    return {
        "mid": mid,
        "spread_bps": (ask - bid) / mid * 1e4,
        "microprice": (bid * ask_size + ask * bid_size) / depth,
        "imbalance": (bid_size - ask_size) / depth,
        "effective_spread_bps": 2e4 * abs(price - mid) / mid,
    }


def read(folder: Path, name: str) -> Any:
    import polars as pl

    return pl.read_ipc(folder / f"{name}.arrow").rechunk()


def frames(folder: Path) -> tuple[Any, Any]:
    trades, tops = (read(folder, f"{name}_float") for name in ("trades", "tops"))
    return trades, tops


def joined_pandas(folder: Path) -> Any:
    import pandas as pd

    trades, tops = (frame.to_pandas() for frame in frames(folder))

    def join() -> Any:
        return pd.merge_asof(trades, tops, on="known_at", allow_exact_matches=False, tolerance=MAX_AGE)

    return join


def pandas(folder: Path) -> Pass:
    import numpy as np

    join = joined_pandas(folder)

    def run() -> Arrays:
        f = join()
        p, z = f["price"], f["size"]
        made = quoted(f["bid"], f["ask"], f["bid_size"], f["ask_size"], p)
        windows = p.rolling(20)
        mean, deviation = windows.mean(), windows.std(ddof=0)
        fast, slow = (p.ewm(span=n, adjust=False).mean() for n in (12, 26))
        macd = fast - slow
        change = p.diff()
        gain, loss = (x.ewm(alpha=1 / 14, adjust=False).mean() for x in (change.clip(lower=0), (-change).clip(lower=0)))
        made |= {
            "ret_1": np.log(p / p.shift(1)), "ret_20": np.log(p / p.shift(20)), "sma_20": mean, "std_20": deviation,
            "bollinger_upper_20": mean + 2 * deviation, "bollinger_lower_20": mean - 2 * deviation, "ema_12": fast, "ema_26": slow,
            "macd": macd, "macd_signal": macd.ewm(span=9, adjust=False).mean(), "rsi_14": 100 * gain / (gain + loss),
            "vwap_20": (p * z).rolling(20).sum() / z.rolling(20).sum(),
        }  # fmt: skip
        return {name: column.to_numpy() for name, column in made.items()}

    return run


def expressions(over: str | None = None) -> dict[str, Any]:
    """The features as Polars expressions, over each symbol where one is named."""
    import polars as pl

    def of(expression: pl.Expr) -> pl.Expr:
        return expression.over(over) if over else expression

    p, z = pl.col("price"), pl.col("size")
    mean, deviation = p.rolling_mean(20), p.rolling_std(20, ddof=0)
    fast, slow = (p.ewm_mean(span=n, adjust=False) for n in (12, 26))
    macd = fast - slow
    change = p.diff()
    gain, loss = (x.ewm_mean(alpha=1 / 14, adjust=False) for x in (change.clip(lower_bound=0), (-change).clip(lower_bound=0)))
    return {
        "ret_1": of((p / p.shift(1)).log()), "ret_20": of((p / p.shift(20)).log()), "sma_20": of(mean), "std_20": of(deviation),
        "bollinger_upper_20": of(mean + 2 * deviation), "bollinger_lower_20": of(mean - 2 * deviation), "ema_12": of(fast),
        "ema_26": of(slow), "macd": of(macd), "macd_signal": of(macd.ewm_mean(span=9, adjust=False)),
        "rsi_14": of(100 * gain / (gain + loss)), "vwap_20": of((p * z).rolling_sum(20) / z.rolling_sum(20)),
    }  # fmt: skip


def selected(trades: Any, tops: Any, made: Mapping[str, Any], **by: Any) -> Pass:
    import polars as pl

    top = quoted(*(pl.col(name) for name in ("bid", "ask", "bid_size", "ask_size", "price")))

    def run() -> Arrays:
        seen = trades.lazy().join_asof(tops.lazy(), on="known_at", allow_exact_matches=False, tolerance=MAX_AGE, **by)
        frame = seen.select(**top, **made).collect()
        return {name: frame[name].to_numpy() for name in frame.columns}

    return run


def polars(folder: Path) -> Pass:
    return selected(*frames(folder), expressions())


def polars_over(folder: Path) -> Pass:
    whose = (read(folder, name) for name in ("of_trade", "of_top"))
    trades, tops = (frame.with_columns(of["symbol"]) for frame, of in zip(frames(folder), whose, strict=True))
    return selected(trades, tops, expressions("symbol"), by="symbol", check_sortedness=False)


def pandas_talib(folder: Path) -> Pass:
    import talib

    join = joined_pandas(folder)

    def run() -> Arrays:
        f = join()
        p, z = f["price"].to_numpy(), f["size"].to_numpy()
        made = quoted(**{name: f[name].to_numpy() for name in ("bid", "ask", "bid_size", "ask_size")}, price=p)
        upper, mean, lower = talib.BBANDS(p, 20, 2, 2)
        macd, signal, _ = talib.MACD(p, 12, 26, 9)
        ret_1, ret_20 = np.full(len(p), np.nan), np.full(len(p), np.nan)
        np.log(p[1:] / p[:-1], out=ret_1[1:])
        np.log(p[20:] / p[:-20], out=ret_20[20:])
        return made | {
            "ret_1": ret_1, "ret_20": ret_20, "sma_20": mean, "std_20": talib.STDDEV(p, 20), "bollinger_upper_20": upper,
            "bollinger_lower_20": lower, "ema_12": talib.EMA(p, 12), "ema_26": talib.EMA(p, 26), "macd": macd, "macd_signal": signal,
            "rsi_14": talib.RSI(p, 14), "vwap_20": talib.SUM(p * z, 20) / talib.SUM(z, 20),
        }  # fmt: skip

    return run


def polars_talib(folder: Path) -> Pass:
    import polars as pl
    import polars_talib as ta

    p, z = pl.col("price"), pl.col("size")
    bands, macd = ta.bbands(p, 20, 2.0, 2.0), ta.macd(p, 12, 26, 9)
    made = expressions() | {
        "sma_20": bands.struct.field("middleband"), "std_20": ta.stddev(p, 20), "bollinger_upper_20": bands.struct.field("upperband"),
        "bollinger_lower_20": bands.struct.field("lowerband"), "ema_12": ta.ema(p, 12), "ema_26": ta.ema(p, 26),
        "macd": macd.struct.field("macd"), "macd_signal": macd.struct.field("macdsignal"), "rsi_14": ta.rsi(p, 14),
        "vwap_20": ta.sum(p * z, 20) / ta.sum(z, 20),
    }  # fmt: skip
    return selected(*frames(folder), made)
