# pyright: reportMissingImports=false
"""One trade in, its features out, called from Python: the live worker's step, for one symbol and for a hundred in one call."""

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from bench.harness import Arrays, Bench, Pass, Row, Variant, same
from bench.streaming_python import Plain

DECIMALS, MAX_AGE = {"price_decimals": 2, "size_decimals": 3}, 10_000_000_000
EVENTS, CALLS, SYMBOLS = 2_000, 500, 100
FOUR = ("rsi_14", "macd", "sma_20", "bollinger_upper_20")


def make(folder: Path, size: int) -> Mapping[str, float]:
    """`size` trades, each with the top it sees: the columns of `trade_step.EVENT`."""
    rng = np.random.default_rng(2)
    ts_event = np.cumsum(rng.integers(1, 2_000_000, size))
    price = 6_000_000 + np.cumsum(rng.integers(-3, 4, size))
    bid = price - rng.integers(0, 4, size)
    events = np.column_stack([
        ts_event, ts_event + 1_000_000, price, rng.integers(1, 10**6, size), rng.choice([-1, 1], size), np.zeros(size, np.int64),
        ts_event + 500_000, bid, rng.integers(1, 10**5, size), bid + rng.integers(1, 4, size), rng.integers(1, 10**5, size),
    ])  # fmt: skip
    np.save(folder / "events.npy", events)
    return {"events": min(size, EVENTS), "calls": min(size, CALLS)}


def rows_of(folder: Path, n: int) -> list[tuple[int, ...]]:
    return [tuple(row) for row in np.load(folder / "events.npy")[:n].tolist()]


def one(folder: Path, width: int = 17) -> Pass:
    from kernels import trade_formulas, trade_step

    events, step = rows_of(folder, EVENTS), trade_step.step
    made = np.empty((len(events), width))
    work = list(zip(events, made, strict=True))

    def run() -> Arrays:
        state = trade_step.state(**DECIMALS, max_age=MAX_AGE)
        for event, out in work:
            step(state, 0, *event, out)
        return dict(zip(trade_formulas.NAMES, made.T, strict=False))

    return run


def many(folder: Path, width: int = 17) -> Pass:
    """A hundred symbols a call; every symbol gets the same trades, so each must say what one alone says."""
    from kernels import trade_formulas, trade_step

    events, step_many = np.load(folder / "events.npy")[:CALLS], trade_step.step_many
    packed = [np.ascontiguousarray(np.tile(event, (SYMBOLS, 1))) for event in events]
    symbols, out = np.arange(SYMBOLS), np.empty((SYMBOLS, width))
    state = trade_step.state(SYMBOLS, **DECIMALS, max_age=MAX_AGE)
    empty = state.copy()

    def run() -> Arrays:
        state[:] = empty
        for event in packed:
            step_many(state, symbols, event, out)
        return dict(zip(trade_formulas.NAMES, out.T, strict=False))

    return run


def plain(folder: Path) -> Pass:
    events = rows_of(folder, EVENTS)

    def run() -> Arrays:
        feature = Plain(100.0, MAX_AGE)
        made = [feature.step(*event) for event in events]
        return dict(zip(Plain.NAMES, np.array(made).T, strict=True))

    return run


def prices(folder: Path) -> list[float]:
    return (np.load(folder / "events.npy")[:EVENTS, 2] / 100.0).tolist()


def four(made: list) -> Arrays:
    values = [[np.nan] * 4 if None in row else [row[0], row[1][0], row[2], row[3][0]] for row in made]
    return dict(zip(FOUR, np.array(values).T, strict=True))


def wickra(folder: Path) -> Pass:
    """Four indicators of a library in Rust: the strength index, macd, an average and Bollinger's bands."""
    import wickra as w

    series = prices(folder)

    def run() -> Arrays:
        a, b, c, d = (x.update for x in (w.RSI(14), w.MACD(12, 26, 9), w.SMA(20), w.BollingerBands(20, 2.0)))
        return four([(a(x), b(x), c(x), d(x)) for x in series])

    return run


def talib_stream(folder: Path) -> Pass:
    """The same four by TA-Lib's own streams (new in 0.8), started on a still market."""
    from talib import stream

    series = prices(folder)
    start = np.full(260, series[0])

    def run() -> Arrays:
        made = stream.RSI(start, 14), stream.MACD(start, 12, 26, 9), stream.SMA(start, 20), stream.BBANDS(start, 20, 2.0, 2.0)
        a, b, c, d = (x.update for x in made)
        return four([(a(x), b(x), c(x), d(x)) for x in series])

    return run


def check(results: Mapping[str, Arrays]) -> str:
    whole, seventeen = results["step, all"], results["step"]
    for name, values in seventeen.items():
        same(f"{name} of step, all", values, whole[name])
        same(f"{name} of plain Python", values, results["plain Python"][name], within=1e-9)
        same(f"{name} of 100 symbols", np.full(SYMBOLS, values[CALLS - 1]), results["100 symbols"][name])
    for name, values in results["100 symbols, all"].items():
        same(f"{name} of 100 symbols, all", np.full(SYMBOLS, whole[name][CALLS - 1]), values)
    for name in FOUR:
        same(f"{name} of wickra", seventeen[name], results["wickra, 4 indicators"][name], within=1e-9, skip=500)
        same(f"{name} of talib.stream", seventeen[name], results["talib.stream, 4 indicators"][name], within=1e-9, skip=500)
    return "17 features after every trade, to 1e-9; a symbol among 100 bit for bit as alone"


def variant(name: str, prepare: Callable[[Path], Pass], *, peer: bool = False) -> Variant:
    return Variant(name, prepare, peer=peer, repeats=20, seconds=1.0)


VARIANTS = (
    variant("step", one),
    variant("step, all", lambda folder: one(folder, 26)),
    variant("100 symbols", many),
    variant("100 symbols, all", lambda folder: many(folder, 26)),
    variant("plain Python", plain, peer=True),
    variant("wickra, 4 indicators", wickra, peer=True),
    variant("talib.stream, 4 indicators", talib_stream, peer=True),
)
PEERS = ("plain Python", "wickra, 4 indicators", "talib.stream, 4 indicators")
BENCH = Bench(
    name="streaming",
    about="features one trade at a time, from Python",
    make=make,
    small=EVENTS,
    large=EVENTS,
    variants=VARIANTS,
    rows=(
        Row("step, one symbol", "us", "step", ("plain Python",), "events", at_most=0.5),
        Row("step, one symbol, against four indicators", "us", "step", PEERS[1:], "events", at_most=0.5),
        Row("step, one symbol, all 26", "us", "step, all", ("plain Python",), "events", at_most=0.5),
        Row("step, 100 symbols in a call", "us", "100 symbols", (), "calls", at_most=3),
        Row("step, 100 symbols in a call, all 26", "us", "100 symbols, all", (), "calls"),
    ),
    check=check,
)
