"""Seven indicators of a hundred symbols: ours beside TA-Lib and polars-talib, core for core; the JAX replay beside them.

Each gets its inputs in the layout it likes: TA-Lib a contiguous column a symbol, ours [time, symbol]. What turning one into the other
costs is a row of its own.
"""
# pyright: reportMissingImports=false

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from bench.harness import Arrays, Bench, Pass, Row, Variant, same

SYMBOLS = 100
NAMES = ("sma_20", "std_20", "bollinger_upper", "bollinger_lower", "macd", "macd_signal", "rsi_14")
REPLAYED = 2_000  # rows of the JAX form: a step's time does not depend on how many there are


def make(folder: Path, size: int) -> Mapping[str, Any]:
    steps = np.random.default_rng(7).integers(-20, 21, (size, SYMBOLS))
    closes = (600_000 + np.cumsum(steps, axis=0)) / 10.0
    np.save(folder / "closes.npy", closes)
    np.save(folder / "columns.npy", np.ascontiguousarray(closes.T))
    return {"values": size * SYMBOLS, "replayed": min(size, REPLAYED) * SYMBOLS}


def result(of: np.ndarray) -> Arrays:
    """[7, time, symbol] by name."""
    return dict(zip(NAMES, of, strict=True))


def ours(threads: int) -> Callable[[Path], Pass]:
    def prepare(folder: Path) -> Pass:
        from kernels import indicators_batch as batch

        closes = np.load(folder / "closes.npy")
        out = np.zeros((len(NAMES), *closes.shape))

        def once() -> Arrays:
            batch.advance(closes, batch.init(closes.shape[1]), out, threads=threads)
            return result(out)

        return once

    return prepare


def ours_new(folder: Path) -> Pass:
    """With a new array for the results in each pass."""
    from kernels import indicators_batch as batch

    closes = np.load(folder / "closes.npy")
    return lambda: result(batch.batch(closes))


def turned(folder: Path) -> Pass:
    """From a column a symbol: turned over first."""
    from kernels import indicators_batch as batch

    columns = np.load(folder / "columns.npy")
    closes = np.zeros_like(columns.T, order="C")
    out = np.zeros((len(NAMES), *closes.shape))

    def once() -> Arrays:
        closes[:] = columns.T
        batch.advance(closes, batch.init(closes.shape[1]), out)
        return result(out)

    return once


def replayed(folder: Path) -> Pass:
    from kernels import signals

    closes = np.load(folder / "closes.npy")[:REPLAYED]
    bars = np.zeros((*closes.shape, len(signals.BAR)))
    bars[..., signals.CLOSE] = closes
    return lambda: result(np.moveaxis(np.asarray(signals.replay(bars)), -1, 0))


def of_symbol(close: np.ndarray) -> tuple[np.ndarray, ...]:
    import talib

    upper, _, lower = talib.BBANDS(close, 20, 2, 2)
    macd, signal, _ = talib.MACD(close, 12, 26, 9)
    return talib.SMA(close, 20), talib.STDDEV(close, 20), upper, lower, macd, signal, talib.RSI(close, 14)


def ta_lib(threads: int, *, kept: bool = True) -> Callable[[Path], Pass]:
    """A symbol at a time; `kept` holds all results until the pass ends, else each is dropped at once (kinder: no fresh memory)."""

    def prepare(folder: Path) -> Pass:
        import talib  # noqa: F401

        columns = np.load(folder / "columns.npy")
        one = of_symbol if kept else lambda close: len(of_symbol(close))
        pool = ThreadPoolExecutor(threads) if threads > 1 else None

        def once() -> Arrays | None:
            made = list(pool.map(one, columns) if pool else map(one, columns))
            return result(np.array(made).transpose(1, 2, 0)) if kept and len(columns[0]) < 10_000 else None

        return once

    return prepare


def polars_talib(folder: Path) -> Pass:
    import polars as pl
    import polars_talib as plta

    columns = np.load(folder / "columns.npy")
    n, rows = columns.shape
    long = pl.DataFrame({"symbol": np.repeat(np.arange(n), rows), "close": columns.ravel()}).lazy()
    c = pl.col("close")
    bands, macd = plta.bbands(c, 20, 2.0, 2.0), plta.macd(c, 12, 26, 9)
    made = [
        plta.sma(c, 20).over("symbol").alias("sma_20"),
        plta.stddev(c, 20).over("symbol").alias("std_20"),
        bands.over("symbol").alias("bands"),
        macd.over("symbol").alias("macds"),
        plta.rsi(c, 14).over("symbol").alias("rsi_14"),
    ]

    def once() -> Arrays | None:
        frame = long.select(made).collect()
        if rows >= 10_000:
            return None
        frame = frame.with_columns(
            bollinger_upper=pl.col("bands").struct.field("upperband"),
            bollinger_lower=pl.col("bands").struct.field("lowerband"),
            macd=pl.col("macds").struct.field("macd"),
            macd_signal=pl.col("macds").struct.field("macdsignal"),
        )
        return {k: frame[k].fill_null(np.nan).to_numpy().reshape(n, rows).T for k in NAMES}

    return once


def copied(threads: int) -> Callable[[Path], Pass]:
    """The limit: as many bytes read and written as the seven columns are made from and make."""

    def prepare(folder: Path) -> Pass:
        closes = np.load(folder / "closes.npy")
        half = np.ones((4, *closes.shape))  # 8 arrays' worth of bytes in all: one read, seven written, as 4 read and 4 written
        to = np.zeros_like(half)
        if threads == 1:
            return lambda: np.copyto(to, half)
        pool = ThreadPoolExecutor(threads)

        def once() -> None:
            list(pool.map(lambda k: np.copyto(to[k], half[k]), range(4)))

        return once

    return prepare


def check(found: Mapping[str, Arrays]) -> str:
    mine = found["ours"]
    for name, theirs in found.items():
        rows = len(theirs["rsi_14"])
        for k in NAMES:
            # TA-Lib hides the macd until its signal is there, and its variance is a difference of large sums.
            same(f"{name}, {k}", mine[k][:rows], theirs[k], within=1e-9 if "polars" not in name else 1e-8, skip=33)
    return "seven columns of every symbol to 1e-9 after the warm-up"


BENCH = Bench(
    name="indicators",
    about="SMA, standard deviation, Bollinger bands, MACD, its signal and RSI of 100 symbols",
    make=make,
    small=2_000,
    large=100_000,
    variants=(
        Variant("ours", ours(1)),
        Variant("ours 2", ours(2), threads=2),
        Variant("ours, new memory", ours_new, repeats=3, seconds=0.5),
        Variant("ours, turned over first", turned, repeats=3, seconds=0.5),
        Variant("ours in JAX", replayed, repeats=3, seconds=0.5),
        Variant("TA-Lib", ta_lib(1), peer=True, repeats=3),
        Variant("TA-Lib 2", ta_lib(2), peer=True, threads=2, repeats=3),
        Variant("TA-Lib, dropped", ta_lib(1, kept=False), peer=True, checked=False, repeats=3),
        Variant("TA-Lib 2, dropped", ta_lib(2, kept=False), peer=True, threads=2, checked=False, repeats=3),
        Variant("polars-talib", polars_talib, peer=True, repeats=2, seconds=0.5),
        Variant("copy", copied(1), checked=False, seconds=0.5),
        Variant("copy 2", copied(2), threads=2, checked=False, seconds=0.5),
    ),
    rows=(
        Row("seven indicators, 1 core", "values/s", "ours", ("TA-Lib", "TA-Lib, dropped", "polars-talib"), "values", 6.0, "copy"),
        Row("seven indicators, 2 cores", "values/s", "ours 2", ("TA-Lib 2", "TA-Lib 2, dropped"), "values", 6.0, "copy 2"),
        Row("seven indicators, results in new memory", "values/s", "ours, new memory", ("TA-Lib",), "values"),
        Row("seven indicators, columns turned over first", "values/s", "ours, turned over first", ("TA-Lib",), "values"),
        Row("seven indicators in JAX (scan)", "values/s", "ours in JAX", (), "replayed"),
    ),
    check=check,
    rounds=1,  # a round of it takes minutes
)
