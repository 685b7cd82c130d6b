"""What to hold of each symbol, decided once a bar for all of them at once.

    momentum   = tanh((macd - macd_signal) / std)                                Appel 1979, in deviations of the last 20 closes
    reversion  = (50 - rsi) / 100 - clip((close - sma) / (2 std), -1, 1) / 2     Wilder 1978; Bollinger 2001
    prediction = (up - down) x confidence                                        the model's
    score      = their average, weighted by the rule: -1 (down) to 1 (up)

    gain       = |score| x volatility                                            what the score promises, as a fraction of price
    cost       = spread / close + fees                                           of a round trip at the market
    edge       = gain - threshold x cost                                         x `hold` where the position already leans that way
    direction  = sign(score) where edge > 0, else 0
    wanted     = direction x min(1, edge / (aversion x volatility^2))            Merton 1969
    weight     = position, moved towards `wanted` by at most participation x volume x close / notional

A position that is held needs less than one that is opened, so that a score about the threshold does not trade to and fro (Davis & Norman
1990). Weight 1 is `notional` of quote currency. Any NaN or infinity in a symbol's row or indicators: score NaN, direction 0, and the
weight is the position (0 where that is unknown).
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from numpy.typing import NDArray

from kernels import signals
from kernels.indicators_compiled import MACD, RSI, SIGNAL, SMA, STD
from kernels.signals import CLOSE, CONFIDENCE, DOWN, POSITION, SPREAD, UP, VOLATILITY, VOLUME

Bars = Float[Array, "symbol bar"]
Indicators = Float[Array, "symbol indicator"]
Packed = Float[Array, " rule"]
TOLD = ("score", "direction", "weight")


class Rule(NamedTuple):
    """The numbers of the decision. Weights may be negative; only their proportions count. At least one is not 0."""

    momentum: float = 0.25
    reversion: float = 0.25
    prediction: float = 0.5
    fees: float = 10e-4  # of a round trip, as a fraction of notional
    threshold: float = 1.0  # costs that a gain must exceed
    hold: float = 0.25  # share of that where the position is held already
    aversion: float = 50.0  # to variance: 1 / what a sure edge of one variance is worth, in units of weight
    participation: float = 0.1  # of a bar's traded notional
    notional: float = 10_000.0  # quote currency of weight 1


def pack(rule: Rule) -> NDArray[np.float64]:
    """The rule as one array: changed numbers compile nothing anew. Raises `ValueError` for a rule that cannot decide."""
    packed = np.array(rule, dtype=np.float64)
    if not np.isfinite(packed).all() or not packed[:3].any() or rule.aversion <= 0 or rule.notional <= 0 or (packed[3:8] < 0).any():
        raise ValueError(f"a rule has finite numbers, a weight that is not 0, and none of the others below 0: {rule}")
    return packed


def valid(indicators: Indicators, bars: Bars) -> Float[Array, " symbol"]:
    """Whether everything of a symbol is known."""
    return jnp.isfinite(indicators).all(axis=1) & jnp.isfinite(bars).all(axis=1) & (bars[:, CLOSE] > 0)


def score(indicators: Indicators, bars: Bars, rule: Packed) -> Float[Array, " symbol"]:
    """-1 to 1, see the module; 0 where something is unknown. Differentiable in the rule, and in indicators and bars but at the clips."""
    fine = valid(indicators, bars)[:, None]
    seen, bar = jnp.where(fine, indicators, 0.0), jnp.where(fine, bars, 0.0)  # a NaN would poison the gradients of the others
    std = seen[:, STD]
    still = std <= 0
    unit = jnp.where(still, 1.0, std)
    momentum = jnp.where(still, 0.0, jnp.tanh((seen[:, MACD] - seen[:, SIGNAL]) / unit))
    beyond = jnp.where(still, 0.0, jnp.clip((bar[:, CLOSE] - seen[:, SMA]) / (2 * unit), -1, 1))
    reversion = (50 - seen[:, RSI]) / 100 - beyond / 2
    prediction = (bar[:, UP] - bar[:, DOWN]) * bar[:, CONFIDENCE]
    parts = jnp.stack([momentum, reversion, prediction], axis=1)
    return jnp.where(fine[:, 0], parts @ rule[:3] / jnp.abs(rule[:3]).sum(), 0.0)


def decide(indicators: Indicators, bars: Bars, rule: Packed) -> Float[Array, "symbol told"]:
    """Score, direction (-1, 0, 1) and weight to hold of each symbol, from its indicators (`signals.NAMES`) and bar (`signals.BAR`)."""
    fees, threshold, hold, aversion, participation, notional = rule[3:]
    fine = valid(indicators, bars)
    held = jnp.where(jnp.isfinite(bars[:, POSITION]), bars[:, POSITION], 0.0)
    bar = jnp.where(fine[:, None], bars, 1.0)
    towards = score(indicators, bars, rule)
    needed = threshold * (bar[:, SPREAD] / bar[:, CLOSE] + fees) * jnp.where(held * towards > 0, hold, 1.0)
    edge = jnp.abs(towards) * bar[:, VOLATILITY] - needed
    direction = jnp.where(fine & (edge > 0), jnp.sign(towards), 0.0)
    risk = aversion * bar[:, VOLATILITY] ** 2
    wanted = direction * jnp.minimum(1.0, edge / jnp.where(risk > 0, risk, 1.0))
    reach = participation * bar[:, VOLUME] * bar[:, CLOSE] / notional
    weight = held + jnp.clip(wanted - held, -reach, reach)
    return jnp.stack([jnp.where(fine, towards, jnp.nan), direction, jnp.where(fine, weight, held)], axis=1)


@jax.jit
def on_bar(state: signals.State, bars: Bars, rule: Packed) -> tuple[signals.State, Float[Array, "symbol told"]]:
    """One bar of every symbol: the new state, and score, direction, weight (`TOLD`), then the indicators, of each.

    Takes NumPy arrays as they are (float64); the second result is read by `np.asarray` without a copy. Compiled once for a number of
    symbols: call it once before it counts.
    """
    state, indicators = signals.step(state, bars)
    return state, jnp.concatenate([decide(indicators, bars, rule), indicators], axis=1)
