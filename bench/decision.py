"""The decision over a hundred symbols, once a bar: indicators updated and a weight for each, from NumPy arrays to a NumPy array.

The plain way beside it is pandas and NumPy: rolling columns over the last 300 bars (so many that the seeds of its averages
are forgotten to 1e-6), of which the last row counts (what a team writes first), and the same arithmetic for the decision.
"""
# pyright: reportMissingImports=false

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from bench.harness import Arrays, Bench, Pass, Row, Variant, same

SYMBOLS, WARM, DEEP = 100, 300, 300  # bars before the timed one; bars that the plain way looks at (what is before them is forgotten)
CLOSE, VOLUME, SPREAD, DOWN, FLAT, UP, CONFIDENCE, VOLATILITY, POSITION = range(9)
MOMENTUM, REVERSION, PREDICTION = 0.25, 0.25, 0.5
FEES, THRESHOLD, HOLD, AVERSION, PARTICIPATION, NOTIONAL = 10e-4, 1.0, 0.25, 50.0, 0.1, 10_000.0


def make(folder: Path, size: int) -> Mapping[str, Any]:
    rng = np.random.default_rng(11)
    bars = rng.random((WARM + size, SYMBOLS, 9))
    bars[..., CLOSE] = (600_000 + np.cumsum(rng.integers(-20, 21, bars.shape[:2]), axis=0)) / 10.0
    bars[..., DOWN : UP + 1] = rng.dirichlet([1, 1, 1], bars.shape[:2])
    bars[..., VOLATILITY] *= 0.01
    bars[..., POSITION] = 2 * bars[..., POSITION] - 1
    np.save(folder / "bars.npy", bars)
    return {"bars": size}


def ours(folder: Path) -> Pass:
    from kernels import decisions, signals

    bars, rule = list(np.load(folder / "bars.npy")), decisions.pack(decisions.Rule())
    state, at = signals.init(SYMBOLS), WARM
    for row in bars[:WARM]:
        state, _ = decisions.on_bar(state, row, rule)

    def once() -> Arrays:
        nonlocal state, at
        state, told = decisions.on_bar(state, bars[at], rule)
        at = at + 1 if at + 1 < len(bars) else WARM
        return {"told": np.asarray(told)[:, :3]}

    return once


def decided(sma: Any, std: Any, macd: Any, signal: Any, rsi: Any, bar: np.ndarray) -> Arrays:
    """The decision's arithmetic in NumPy."""
    momentum = np.tanh((macd - signal) / std)
    beyond = np.clip((bar[:, CLOSE] - sma) / (2 * std), -1, 1)
    reversion = (50 - rsi) / 100 - beyond / 2
    prediction = (bar[:, UP] - bar[:, DOWN]) * bar[:, CONFIDENCE]
    score = MOMENTUM * momentum + REVERSION * reversion + PREDICTION * prediction
    held = bar[:, POSITION]
    needed = THRESHOLD * (bar[:, SPREAD] / bar[:, CLOSE] + FEES) * np.where(held * score > 0, HOLD, 1.0)
    edge = np.abs(score) * bar[:, VOLATILITY] - needed
    direction = np.where(edge > 0, np.sign(score), 0.0)
    wanted = direction * np.minimum(1.0, edge / (AVERSION * bar[:, VOLATILITY] ** 2))
    reach = PARTICIPATION * bar[:, VOLUME] * bar[:, CLOSE] / NOTIONAL
    return {"told": np.column_stack([score, direction, held + np.clip(wanted - held, -reach, reach)])}


def plain(folder: Path) -> Pass:
    import pandas as pd

    bars = np.load(folder / "bars.npy")
    at = WARM

    def once() -> Arrays:
        nonlocal at
        close = pd.DataFrame(bars[at - DEEP : at + 1, :, CLOSE])
        macd = close.ewm(span=12, adjust=False).mean() - close.ewm(span=26, adjust=False).mean()
        signal = macd.ewm(span=9, adjust=False).mean()
        change = close.diff()
        gain = change.clip(lower=0).ewm(alpha=1 / 14, adjust=False).mean()
        loss = (-change.clip(upper=0)).ewm(alpha=1 / 14, adjust=False).mean()
        rsi = 100 * gain / (gain + loss)
        last = close.iloc[-20:]
        now = (frame.iloc[-1].to_numpy() for frame in (macd, signal, rsi))
        made = decided(last.mean().to_numpy(), last.std(ddof=0).to_numpy(), next(now), next(now), next(now), bars[at])
        at = at + 1 if at + 1 < len(bars) else WARM
        return made

    return once


def stateful(folder: Path) -> Pass:
    """The better plain way: NumPy with the averages carried from bar to bar."""
    bars = np.load(folder / "bars.npy")
    fast, slow = (bars[0, :, CLOSE].copy() for _ in range(2))
    signal, gain, loss = (np.zeros(SYMBOLS) for _ in range(3))
    at = 0

    def once() -> Arrays:
        nonlocal fast, slow, signal, gain, loss, at
        at = at + 1 if at + 1 < len(bars) else WARM
        x = bars[at, :, CLOSE]
        change = x - bars[at - 1, :, CLOSE]
        fast = fast + (x - fast) * (2 / 13)
        slow = slow + (x - slow) * (2 / 27)
        signal = signal + (fast - slow - signal) * 0.2
        gain = (gain * 13 + np.maximum(change, 0)) / 14
        loss = (loss * 13 + np.maximum(-change, 0)) / 14
        last = bars[max(at - 19, 0) : at + 1, :, CLOSE]
        with np.errstate(invalid="ignore", divide="ignore"):
            return decided(last.mean(axis=0), last.std(axis=0), fast - slow, signal, 100 * gain / (gain + loss), bars[at])

    for _ in range(WARM - 1):
        once()
    return once


def floor(folder: Path) -> Pass:
    """The limit: the smallest jitted function of the same inputs, called the same way."""
    from kernels import jaxed

    bars = np.load(folder / "bars.npy")[0]
    told: Callable[..., Any] = jaxed.jax.jit(lambda state, bar: (state + 1.0, bar[:, :3] + state[:, :3]))
    state = jaxed.jax.numpy.zeros((SYMBOLS, 34))

    def once() -> None:
        nonlocal state
        state, made = told(state, bars)
        np.asarray(made)

    return once


def check(found: Mapping[str, Arrays]) -> str:
    for name in ("pandas", "NumPy"):
        same(name, found["ours"]["told"], found[name]["told"], within=1e-6)
    return "score, direction and weight to 1e-6 (the plain ways seed their averages with the first value)"


BENCH = Bench(
    name="decision",
    about="the decision of a bar over 100 symbols",
    make=make,
    small=10,
    large=1_000,
    variants=(
        Variant("ours", ours, seconds=2.0),
        Variant("pandas", plain, peer=True),
        Variant("NumPy", stateful, peer=True),
        Variant("an empty call", floor, checked=False),
    ),
    rows=(Row("decision over 100 symbols (JAX)", "us", "ours", ("pandas", "NumPy"), limit="an empty call", at_most=150.0),),
    check=check,
)
