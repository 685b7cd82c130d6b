"""Trade-grain features with the quotes joined as of: the seventeen that every peer makes too, on ten million trades and tops."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from bench import features_peers as peers
from bench.harness import Arrays, Bench, Pass, Row, Variant, same

DECIMALS, UNIT, MAX_AGE = {"price_decimals": 2, "size_decimals": 3}, 100.0, 10_000_000_000
SYMBOLS = 10
LARGE = 10_000_000
BYTES_IN, BYTES_ALL = 6 * 8 + 5 * 8, 6 * 8 + 5 * 8 + 17 * 8  # a row of inputs as it is held (small columns counted as 8), and with outputs
LIBRARIES = 400  # MB: Python, Polars, numba and its compiler, before the first row


def make(folder: Path, size: int) -> Mapping[str, float]:
    import polars as pl

    rng = np.random.default_rng(1)

    def walk(step: int) -> np.ndarray:
        return 6_000_000 + np.cumsum(rng.integers(-step, step + 1, size))

    middle = walk(2)
    ts_event = np.cumsum(rng.integers(1, 2_000_000, size))
    trades = pl.DataFrame({
        "ts_event": ts_event, "known_at": ts_event + 1_000_000, "price": walk(3), "size": rng.integers(1, 1_000_000, size),
        "side": rng.choice(np.array([-1, 1], np.int8), size), "segment": np.zeros(size, np.int32),
    })  # fmt: skip
    known_at = np.sort(rng.integers(0, int(ts_event[-1]), size))
    tops = pl.DataFrame({
        "known_at": known_at, "bid": middle - 1, "bid_size": rng.integers(1, 100_000, size), "ask": middle + rng.integers(0, 3, size),
        "ask_size": rng.integers(1, 100_000, size),
    })  # fmt: skip
    prices = {"price": pl.col("price") / UNIT, "size": pl.col("size") / 1000}
    floats = {"bid": pl.col("bid") / UNIT, "ask": pl.col("ask") / UNIT, "bid_size": pl.col("bid_size") / 1000.0}
    floats |= {"ask_size": pl.col("ask_size") / 1000.0}
    of_trade, of_top = (pl.Series("symbol", rng.integers(0, SYMBOLS, size)) for _ in range(2))
    for name, frame in {
        "trades": trades, "tops": tops, "of_trade": of_trade.to_frame(), "of_top": of_top.to_frame(),
        "trades_float": trades.with_columns(**prices).select("known_at", "price", "size"), "tops_float": tops.with_columns(**floats),
    }.items():  # fmt: skip
        frame.write_ipc(folder / f"{name}.arrow", compression="uncompressed")
    return {"rows": size}


def ours(folder: Path, names: tuple[str, ...] | None = None, threads: int = 1) -> Pass:
    """From Polars frames, on their memory, into an array that is there."""
    from kernels import trade_features
    from kernels.book_features import Tops

    trades, tops = (peers.read(folder, name) for name in ("trades", "tops"))
    chosen = trade_features.COMPARED if names is None else names
    out = np.zeros((len(chosen), len(trades)))

    def run() -> Arrays:
        columns = Tops(*(tops[name].to_numpy(allow_copy=False) for name in Tops._fields))
        trade_features.build(trade_features.trades(trades), columns, **DECIMALS, max_age=MAX_AGE, names=chosen, out=out, threads=threads)
        return dict(zip(chosen, out, strict=True))

    return run


def whole(folder: Path, threads: int = 1) -> Pass:
    from kernels import trade_features

    return ours(folder, trade_features.names(), threads)


def interleaved(folder: Path) -> Pass:
    from kernels import trade_features, trade_interleaved
    from kernels.book_features import Tops

    trades, tops, of_trade, of_top = (peers.read(folder, name) for name in ("trades", "tops", "of_trade", "of_top"))
    names = trade_features.COMPARED
    out = np.zeros((len(names), len(trades)))

    def run() -> Arrays:
        columns = Tops(*(tops[name].to_numpy(allow_copy=False) for name in Tops._fields))
        codes = (frame["symbol"].to_numpy(allow_copy=False) for frame in (of_trade, of_top))
        of_trades, of_tops = codes
        trade_interleaved.build_interleaved(
            of_trades, trade_features.trades(trades), of_tops, columns,
            n_symbols=SYMBOLS, **DECIMALS, max_age=MAX_AGE, names=names, out=out,
        )  # fmt: skip
        return dict(zip(names, out, strict=True))

    return run


def stream(folder: Path, n_out: int = 17) -> Pass:
    """The least there is to do: the eight columns read, as many columns written as there are features, on two threads."""
    from concurrent.futures import ThreadPoolExecutor

    trades, tops = (peers.read(folder, name) for name in ("trades", "tops"))
    inputs = tuple(trades[n].to_numpy() for n in ("known_at", "price", "size")) + tuple(tops[n].to_numpy() for n in tops.columns)
    out, n = np.ones((n_out, len(trades))), len(trades)

    def part(k: int) -> int:
        lo, hi = n * k // 2, n * (k + 1) // 2
        total = sum(int(column[lo:hi].sum()) for column in inputs)
        for row in out:
            row[lo:hi].view(np.uint8).fill(0)  # memset: writes without reading first
        return total

    pool = ThreadPoolExecutor(2)

    def run() -> None:
        list(pool.map(part, range(2)))

    return run


def check(results: Mapping[str, Arrays]) -> str:
    mine = results["ours"]
    for name in ("ours, all", "ours, 2 threads", "ours, all, 2 threads"):
        for feature, values in mine.items():
            same(f"{feature} of {name}", values, results[name][feature])
    # A peer's running float sums drift (pandas' deviation by up to 4e-4 over ten million rows), and averages forget their seeds.
    tolerance = {"pandas": {"std_20": 1e-4, "bollinger_upper_20": 1e-4, "bollinger_lower_20": 1e-4}}
    for name in ("pandas", "polars", "pandas with TA-Lib", "polars-talib", "polars, 2 threads", "polars-talib, 2 threads"):
        for feature, values in mine.items():
            same(f"{feature} of {name}", values, results[name][feature], within=tolerance.get(name, {}).get(feature, 1e-9), skip=1000)
    for feature, values in results["ours, interleaved"].items():
        same(f"{feature} of polars, interleaved", values, results["polars, interleaved"][feature], within=1e-9, skip=10_000)
    return "17 features on every row past the seeds, to 1e-9 (pandas' deviation to 1e-4); ours bit for bit for 1 and 2 threads"


VARIANTS = (
    Variant("ours", ours, repeats=5, seconds=1.0),
    Variant("ours, all", whole, repeats=5, seconds=1.0),
    Variant("ours, 2 threads", lambda folder: ours(folder, threads=2), threads=2, repeats=5),
    Variant("ours, all, 2 threads", lambda folder: whole(folder, 2), threads=2, repeats=5),
    Variant("stream", stream, threads=2, checked=False, repeats=5),
    Variant("stream, all", lambda folder: stream(folder, 26), threads=2, checked=False, repeats=5),
    Variant("pandas", peers.pandas, peer=True, repeats=1, seconds=0),
    Variant("polars", peers.polars, peer=True, repeats=2, seconds=0),
    Variant("pandas with TA-Lib", peers.pandas_talib, peer=True, repeats=2, seconds=0),
    Variant("polars-talib", peers.polars_talib, peer=True, repeats=2, seconds=0),
    Variant("polars, 2 threads", peers.polars, peer=True, threads=2, repeats=2, seconds=0),
    Variant("polars-talib, 2 threads", peers.polars_talib, peer=True, threads=2, repeats=2, seconds=0),
    Variant("ours, interleaved", interleaved, repeats=2, seconds=0),
    Variant("polars, interleaved", peers.polars_over, peer=True, repeats=1, seconds=0),
    Variant("polars, interleaved, 2 threads", peers.polars_over, peer=True, threads=2, repeats=1, seconds=0, checked=False),
)
ONE = ("pandas", "polars", "pandas with TA-Lib", "polars-talib")
TWO = ("pandas", "polars, 2 threads", "pandas with TA-Lib", "polars-talib, 2 threads")
MOST_17, MOST_26 = (LARGE * (BYTES_IN + 8 * k) / 1e6 + LIBRARIES for k in (17, 26))
ROWS = (
    Row("features, one core, against pandas", "rows/s", "ours", ("pandas",), "rows", target=10),
    Row("features, one core", "rows/s", "ours", ONE, "rows", target=2.5),
    Row("features, two threads, against pandas", "rows/s", "ours, 2 threads", ("pandas",), "rows", target=20),
    Row("features, two threads", "rows/s", "ours, 2 threads", TWO, "rows", target=4, limit="stream", share=0.35),
    Row("features, all 26, one core", "rows/s", "ours, all", ONE, "rows"),
    Row("features, all 26, two threads", "rows/s", "ours, all, 2 threads", TWO, "rows", limit="stream, all"),
    Row("features, ten symbols interleaved", "rows/s", "ours, interleaved", ("polars, interleaved",), "rows", target=10),
    Row("features, interleaved, polars on two threads", "rows/s", "ours, interleaved", ("polars, interleaved, 2 threads",), "rows"),
    Row("features, peak memory", "MB", "ours", ONE, at_most=MOST_17),
    Row("features, all 26, peak memory", "MB", "ours, all", ONE, at_most=MOST_26),
)
BENCH = Bench(
    name="features",
    about="windowed features over trades with quotes joined as of",
    make=make,
    small=200_000,
    large=LARGE,
    variants=VARIANTS,
    rows=ROWS,
    check=check,
    rounds=1,  # a round of it takes minutes
)
