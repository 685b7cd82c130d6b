"""The indicator rule of many symbols, bar by bar, in JAX: buy, sell or hold, and how strongly.

    sma_fast, sma_slow   means of the last 20 and 50 closes
    macd, macd_signal    EMA(12) - EMA(26) of closes, and its EMA(9)                            Appel 1979, seeded as TA-Lib seeds them
    rsi                  Wilder's index over 14 changes (1978); 0 where nothing moved
    volume_ratio         volume / mean of the last 20 volumes, this one included; 0 where none of them had any

    buy  (1)   where sma_fast > sma_slow, macd > macd_signal, rsi < overbought (70) and volume_ratio >= 1.2
    sell (-1)  where sma_fast < sma_slow, macd < macd_signal, rsi > oversold (30) and volume_ratio >= 1.2
    hold (0)   otherwise

    score = (tanh((sma_fast - sma_slow) / std) + tanh((macd - macd_signal) / std)) / 2 x min(1, volume_ratio / 1.2)

-1 to 1, with `std` the deviation of the slow window's closes; 0 where it points up and rsi >= overbought, or down and rsi <= oversold. A
buy has a score above 0, a sell one below. Until all is known the signal is 0 and the score nan. A nan close is a gap: its symbol starts
afresh after it. All periods and thresholds are `Rule`, one array: other numbers compile nothing anew.
"""

from kernels import jaxed  # isort: skip

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float
from numpy.typing import NDArray

from kernels.signals import average, strength

LONGEST = 60  # bars that are kept: no window of the rule is longer
TOLD = ("signal", "score", "sma_fast", "sma_slow", "macd", "macd_signal", "rsi", "volume_ratio")

# The columns of the state: closes and volumes, three averages (value, values seen before it, their sum), and strength (average gain and
# loss, changes seen before them, their sums).
VOLUMES = LONGEST
AVERAGES = 2 * LONGEST
STRENGTHS = AVERAGES + 9
WIDE = STRENGTHS + 5

State = Float[Array, "symbol state"]
Column = Float[Array, " symbol"]
Packed = Float[Array, " rule"]

assert jaxed.jax is jax


class Rule(NamedTuple):
    """Periods in bars, at most 60 for means and volumes; the fast ones are shorter than the slow ones."""

    sma_fast: int = 20
    sma_slow: int = 50
    ema_fast: int = 12
    ema_slow: int = 26
    ema_signal: int = 9
    rsi: int = 14
    overbought: float = 70.0
    oversold: float = 30.0
    volume_ratio: float = 1.2
    volume_window: int = 20


def pack(rule: Rule) -> NDArray[np.float64]:
    """The rule as one array. Raises `ValueError` for a rule that cannot decide."""
    packed = np.array(rule, dtype=np.float64)
    windows = packed[[0, 1, 2, 3, 4, 5, 9]]
    fine = np.isfinite(packed).all() and (windows >= 1).all() and (windows == np.floor(windows)).all()
    fine = fine and max(rule.sma_slow, rule.volume_window) <= LONGEST and rule.sma_fast < rule.sma_slow and rule.ema_fast < rule.ema_slow
    if not fine or not 0 <= rule.oversold < rule.overbought <= 100 or rule.volume_ratio <= 0:
        raise ValueError(f"periods are whole, fast ones below slow ones, windows at most {LONGEST}, oversold below overbought: {rule}")
    return packed


def packed(rule: Rule) -> Packed:
    """The rule as JAX keeps it. Raises as `pack`."""
    return jnp.asarray(pack(rule))


def init(n: int) -> State:
    """The state of `n` symbols that nothing is known of."""
    state = np.zeros((n, WIDE))
    state[:, :AVERAGES] = np.nan
    state[:, [AVERAGES, AVERAGES + 3, AVERAGES + 6, STRENGTHS, STRENGTHS + 1]] = np.nan
    return jnp.asarray(state)


def _window(rows: Float[Array, "symbol bar"], length: Float[Array, ""]) -> tuple[Column, Column]:
    """Mean and deviation of the last `length` columns, as distances from the last: exact sums where they are whole numbers."""
    last = rows[:, -1]
    within = jnp.arange(LONGEST) >= LONGEST - length
    away = jnp.where(within, rows - last[:, None], 0.0)
    total = away.sum(axis=1)
    variance = length * (away * away).sum(axis=1) - total * total
    return last + total / length, jnp.sqrt(jnp.maximum(variance, 0.0)) / length


def fold(state: State, closes: Column, volumes: Column, rule: Packed) -> tuple[State, Float[Array, "symbol told"]]:
    """`step` as it is traced."""
    fast, slow, ema_fast, ema_slow, ema_signal, period, overbought, oversold, least, volume_window = rule
    change = closes - state[:, LONGEST - 1]
    bars = jnp.concatenate([state[:, 1:LONGEST], closes[:, None]], axis=1)
    traded = jnp.concatenate([state[:, VOLUMES + 1 : AVERAGES], volumes[:, None]], axis=1)
    kept = state[:, AVERAGES:].T
    quick = average(closes, *kept[0:3], window=ema_fast, lead=ema_slow - ema_fast)
    steady = average(closes, *kept[3:6], window=ema_slow, lead=jnp.zeros(()))
    macd = quick[0] - steady[0]
    smooth = average(macd, *kept[6:9], window=ema_signal, lead=jnp.zeros(()))
    strengths, rsi = strength(change, *kept[9:], window=period)
    sma_fast, _ = _window(bars, fast)
    sma_slow, std = _window(bars, slow)
    usual, _ = _window(traded, volume_window)
    ratio = jnp.where(usual > 0, volumes / jnp.where(usual > 0, usual, 1.0), jnp.where(jnp.isnan(usual), jnp.nan, 0.0))

    trend, momentum = sma_fast - sma_slow, macd - smooth[0]
    known = jnp.isfinite(trend + momentum + rsi + ratio)
    active = ratio >= least
    up = (trend > 0) & (momentum > 0) & (rsi < overbought) & active
    down = (trend < 0) & (momentum < 0) & (rsi > oversold) & active
    signal = jnp.where(known, up.astype(float) - down.astype(float), 0.0)
    still = std <= 0
    unit = jnp.where(still, 1.0, std)
    lean = (jnp.tanh(trend / unit) + jnp.tanh(momentum / unit)) / 2 * jnp.minimum(1.0, ratio / least)
    spent = still | ((lean > 0) & (rsi >= overbought)) | ((lean < 0) & (rsi <= oversold))
    score = jnp.where(known, jnp.where(spent, 0.0, lean), jnp.nan)

    rows = jnp.stack([*quick, *steady, *smooth, *strengths], axis=1)
    told = jnp.stack([signal, score, sma_fast, sma_slow, macd, smooth[0], rsi, ratio], axis=1)
    return jnp.concatenate([bars, traded, rows], axis=1), told


@jax.jit
def step(
    state: State, closes: Column, volumes: Column, rule: Packed, due: Bool[Array, " symbol"]
) -> tuple[State, Float[Array, "symbol told"]]:
    """Fold one bar of every symbol in: the new state, and the columns `TOLD` of each.

    A symbol that is not `due` has no bar now: its state stays, and what is told of it is nan (signal 0). Takes NumPy arrays as they are
    (float64, bool). Compiled once for a number of symbols: call it once before it counts.
    """
    after, told = fold(state, closes, volumes, rule)
    nothing = jnp.full(len(TOLD), jnp.nan).at[0].set(0.0)
    return jnp.where(due[:, None], after, state), jnp.where(due[:, None], told, nothing)


@jax.jit
def step_packed(state: State, given: Float[Array, "symbol 3"], rule: Packed) -> tuple[State, Float[Array, "symbol told"]]:
    """`step`, its columns (close, volume, due or 0) in one array: each array of NumPy's that is handed over costs as much as the sums."""
    return step(state, given[:, 0], given[:, 1], rule, given[:, 2] != 0)


@jax.jit
def replay(closes: Float[Array, "time symbol"], volumes: Float[Array, "time symbol"], rule: Packed) -> Float[Array, "time symbol told"]:
    """What is told of recorded bars, oldest first: `step` scanned. Compiled once a shape."""

    def one(state: State, bar: tuple[Column, Column]) -> tuple[State, Float[Array, "symbol told"]]:
        return fold(state, *bar, rule)

    return jax.lax.scan(one, init(closes.shape[1]), (closes, volumes))[1]
