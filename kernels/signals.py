"""The indicators of many symbols, bar by bar, in JAX: what the live decision is made from, and what can be differentiated.

`step` folds one bar of every symbol in, `replay` is `step` scanned over a day, so that live and replayed agree. They agree with
`indicators_batch`, the fast way to make these columns for a whole day: exactly where closes are whole numbers (price units) as far as
sums go, to rounding in the rest. NaN is "no close": its symbol starts afresh after it.
"""

from kernels import jaxed  # isort: skip

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from kernels.indicators_batch import NAMES
from kernels.indicators_compiled import FAST, NEGLIGIBLE, SLOW, SMOOTH, STRENGTH, WIDTH, WINDOW

BAR = ("close", "volume", "spread", "down", "flat", "up", "confidence", "volatility", "position")
CLOSE, VOLUME, SPREAD, DOWN, FLAT, UP, CONFIDENCE, VOLATILITY, POSITION = range(len(BAR))

# The columns of the state: the last 20 closes, three averages (value, values seen before it, their sum), and strength (average gain and
# loss, changes seen before them, their sums).
AVERAGES = WINDOW
STRENGTHS = AVERAGES + 9
WIDE = STRENGTHS + 5

State = Float[Array, "symbol state"]
Column = Float[Array, " symbol"]
Scalar = Float[Array, ""]

assert jaxed.jax is jax


def init(n: int) -> State:
    """The state of `n` symbols that nothing is known of."""
    state = np.zeros((n, WIDE))
    state[:, :WINDOW] = np.nan
    state[:, [AVERAGES, AVERAGES + 3, AVERAGES + 6, STRENGTHS, STRENGTHS + 1]] = np.nan
    return jnp.asarray(state)


def average(
    x: Column, value: Column, seen: Column, total: Column, window: int | Scalar, lead: int | Scalar
) -> tuple[Column, Column, Column]:
    """One more value into an exponential average; NaN until `lead + window` values have come without a break."""
    known = ~jnp.isnan(x)
    warm = ~jnp.isnan(value) & known
    seen = jnp.where(known & ~warm, seen + 1, 0.0)
    total = jnp.where(seen > lead, total + x, 0.0)
    seeded = seen == lead + window
    value = jnp.where(warm, (x - value) * (2.0 / (window + 1.0)) + value, jnp.where(seeded, total / window, jnp.nan))
    return value, jnp.where(seeded, 0.0, seen), jnp.where(seeded, 0.0, total)


def strength(
    change: Column, gain: Column, loss: Column, seen: Column, gained: Column, lost: Column, window: int | Scalar
) -> tuple[list[Column], Column]:
    """One more change into Wilder's averages, and the index they make."""
    known = ~jnp.isnan(change)
    warm = ~jnp.isnan(gain) & known
    up, down = jnp.maximum(change, 0.0), jnp.maximum(-change, 0.0)
    counting = known & ~warm
    seen = jnp.where(counting, seen + 1, 0.0)
    gained, lost = jnp.where(counting, gained + up, 0.0), jnp.where(counting, lost + down, 0.0)
    seeded = seen == window

    def next_of(value: Column, total: Column, by: Column) -> Column:
        return jnp.where(warm, (value * (window - 1) + by) / window, jnp.where(seeded, total / window, jnp.nan))

    gain, loss = next_of(gain, gained, up), next_of(loss, lost, down)
    whole = gain + loss
    still = whole < NEGLIGIBLE
    index = jnp.where(still, 0.0, 100.0 * gain / jnp.where(still, 1.0, whole))
    return [gain, loss, *(jnp.where(seeded, 0.0, c) for c in (seen, gained, lost))], index


def fold(rows: Float[Array, "state symbol"], x: Column) -> tuple[Float[Array, "state symbol"], Float[Array, "indicator symbol"]]:
    """`step` with the symbols last, as the machine likes them: a state turned over and the closes in, both turned over out."""
    before, closes = rows[WINDOW - 1], jnp.concatenate([rows[1:WINDOW], x[None]])
    # As distances from the oldest: small whole numbers where closes are whole, and nothing to cancel.
    away = closes - closes[0]
    total = away.sum(axis=0)
    variance = WINDOW * (away * away).sum(axis=0) - total * total
    still = variance <= 0.0
    std = jnp.where(still, 0.0, jnp.sqrt(jnp.where(still, 1.0, variance))) / WINDOW
    sma = (WINDOW * closes[0] + total) / WINDOW
    fast = average(x, *rows[AVERAGES : AVERAGES + 3], window=FAST, lead=SLOW - FAST)
    slow = average(x, *rows[AVERAGES + 3 : AVERAGES + 6], window=SLOW, lead=0)
    macd = fast[0] - slow[0]
    signal = average(macd, *rows[AVERAGES + 6 : AVERAGES + 9], window=SMOOTH, lead=0)
    strengths, rsi = strength(x - before, *rows[STRENGTHS:], window=STRENGTH)
    indicators = jnp.stack([sma, std, sma + WIDTH * std, sma - WIDTH * std, macd, signal[0], rsi])
    return jnp.concatenate([closes, jnp.stack([*fast, *slow, *signal, *strengths])]), indicators


def step(state: State, bars: Float[Array, "symbol bar"]) -> tuple[State, Float[Array, "symbol indicator"]]:
    """Fold one bar of every symbol in (columns `BAR`, of which only the close counts here): the new state, and the indicators `NAMES`."""
    rows, indicators = fold(state.T, bars[:, CLOSE])
    return rows.T, indicators.T


@jax.jit
def replay(bars: Float[Array, "time symbol bar"]) -> Float[Array, "time symbol indicator"]:
    """The indicators of recorded bars, oldest first: `step` scanned. Compiled once a shape."""
    return jax.lax.scan(fold, init(bars.shape[1]).T, bars[:, :, CLOSE])[1].transpose(0, 2, 1)


__all__ = ["BAR", "NAMES", "init", "replay", "step"]
