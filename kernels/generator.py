"""A seeded market that behaves, at a distance, like a liquid perpetual: `(state, noise) -> (state, records)`.

    first -> State -> simulate, chunk by chunk -> Records -> generator_frames.text -> the lines of raw frames

Events arrive by a Hawkes process with an exponential kernel (Hawkes 1971, Biometrika 58), drawn by thinning (Ogata 1981,
IEEE Trans. Inf. Theory 27), on a base rate that follows the hours of the day. Each event moves a latent price (a martingale
plus a small drift), re-quotes the book around it, and may carry a trade. Two Ornstein-Uhlenbeck processes of unit variance
tilt the sizes near the touch and the side of trades: `pressure`, which also drives the drift, and `noise`, which does not.

The signal is artificial and this is all of it: with sigma the volatility per root second and tau = `PRESSURE_S`, the drift
is sigma sqrt(signal / (2 tau)) pressure per second, and the martingale part has the variance sigma^2 (1 - signal). So the
long-run volatility is sigma whatever the signal, the share `signal` of it can be foretold, and at 0 nothing can be.
docs/generator.md has the numbers.
"""

from collections.abc import Iterator
from decimal import Decimal

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from core.market import NS, SYMBOL
from kernels.generator_events import LEVELS, WIDTH, requote, run

YEAR_S = 365 * 86_400.0
PRESSURE_S = 20.0  # relaxation time of what leads the drift
BRANCHING = 0.75  # events each event brings about, on average
FRAMES_PER_EVENT = 1.4  # a ticker always, a trade in two of five
EVENT_SHARE, DEPTH_SHARE, MARK_SHARE = 0.842, 0.125, 0.033  # of all frames
MIN_TICKS = 5_000  # below, the book of a liquid pair has no room above zero
CHUNK_FRAMES, CHUNK_LEVELS = 32_768, 1_000_000


class Market(Struct, frozen=True, kw_only=True):
    """What one symbol is like. `price` in quote currency, `volatility` annual (0.8 = 80 %), `signal` from 0 to 1.

    Raises `ValueError` where the symbol is none, tick or lot have over 8 decimals, or the price is under 5,000 ticks.
    """

    symbol: str
    price: float
    tick_size: float
    lot_size: float
    volatility: float
    signal: float
    frames_per_s: float

    def __post_init__(self) -> None:
        if not SYMBOL.fullmatch(self.symbol):
            raise ValueError(f"not a symbol: {self.symbol!r}")
        if max(grid(self.tick_size)[1], grid(self.lot_size)[1]) > 8:
            raise ValueError(f"{self.symbol}: tick {self.tick_size} and lot {self.lot_size} may have 8 decimals at most")
        if self.price < MIN_TICKS * self.tick_size:
            raise ValueError(f"{self.symbol}: the price {self.price} must be at least {MIN_TICKS:,} ticks of {self.tick_size}")

    @property
    def sigma(self) -> float:
        """Volatility per root second, as a fraction of the price."""
        return self.volatility / YEAR_S**0.5


class State(Struct, frozen=True, kw_only=True):
    """Where a market stands between two events; plain values, so that it can be kept as JSON.

    `price` in ticks; `ticks`, `lots` are [2][LEVELS], bids first, best first; `sent_…` is the book as the last diff left it.
    """

    price: float
    pressure: float
    noise: float
    excitation: float  # events/s that earlier events add to the base rate
    update_id: int
    trade_id: int
    sent_update_id: int
    ticks: list[list[int]]
    lots: list[list[int]]
    sent_ticks: list[list[int]]
    sent_lots: list[list[int]]


class Records(Struct, frozen=True):
    """Frames before they are text: `frames` int64 [n, WIDTH], see `generator_events`; levels int64 [m] in ticks and lots."""

    frames: NDArray[np.int64]
    level_ticks: NDArray[np.int64]
    level_lots: NDArray[np.int64]


def grid(size: float) -> tuple[int, int]:
    """A tick or lot as (units, decimals): 0.25 is 25 units of 10^-2."""
    exact = Decimal(repr(size)).normalize()
    exponent = exact.as_tuple().exponent
    if not isinstance(exponent, int):
        raise ValueError(f"not a size: {size}")
    decimals = max(0, -exponent)
    return int(exact.scaleb(decimals)), decimals


def event_rate(market: Market) -> float:
    """Events per second, on the average of a day."""
    return market.frames_per_s * EVENT_SHARE / FRAMES_PER_EVENT


def first(market: Market, rng: np.random.Generator) -> State:
    """The market as it opens on its first day."""
    price = market.price / market.tick_size
    ticks = np.empty((2, LEVELS), np.int64)
    ticks[0], ticks[1] = 2**62, -(2**62)  # better than any best, so that nothing of it is left
    lots = np.zeros((2, LEVELS), np.int64)
    pressure, noise = rng.standard_normal(2)
    for side in (0, 1):
        requote(ticks[side], lots[side], side, int(price) + side, 0.0, level_gap(market), rng)
    book = {"ticks": ticks.tolist(), "lots": lots.tolist(), "sent_ticks": ticks.tolist(), "sent_lots": lots.tolist()}
    ids = [int(i) for i in rng.integers(10**9, 10**10, 2)]
    return State(
        price=price,
        pressure=float(pressure),
        noise=float(noise),
        excitation=BRANCHING * event_rate(market),
        update_id=ids[0],
        trade_id=ids[1] // 100,
        sent_update_id=ids[0],
        **book,
    )


def level_gap(market: Market) -> float:
    """Mean empty ticks between levels: a quarter of what the price moves in a second, so that diffs stay short."""
    return 0.25 * market.sigma * market.price / market.tick_size


def simulate(market: Market, state: State, rng: np.random.Generator, begin_ns: int, end_ns: int) -> Iterator[tuple[State, Records]]:
    """The market from `begin_ns` to `end_ns` (UTC, ns), in chunks of some 30,000 frames; each comes with the state after it.

    One REST snapshot stands after the second diff. All frames are received before `end_ns`. The randomness comes from `rng` alone.
    """
    rate = event_rate(market)
    floats = np.array([state.price, state.pressure, state.noise, state.excitation, 0.0, -1.0])
    depth_ns = max(1, round(10 / (market.frames_per_s * DEPTH_SHARE))) * NS // 10  # on a grid of 100 ms
    mark_ns = max(1, round(1 / (market.frames_per_s * MARK_SHARE))) * NS
    ints = np.array([state.update_id, state.trade_id, state.sent_update_id, 0, begin_ns + depth_ns, begin_ns + mark_ns, 2], np.int64)
    book = np.array([state.ticks, state.lots], np.int64)
    sent = np.array([state.sent_ticks, state.sent_lots], np.int64)
    units, decimals = grid(market.tick_size)
    tick_e8 = units * 10 ** (8 - decimals)
    knobs = np.array(
        [
            rate * (1 - BRANCHING),
            BRANCHING,
            market.sigma * ((1 - market.signal) / rate) ** 0.5,
            market.sigma * (market.signal / (2 * PRESSURE_S)) ** 0.5,
            PRESSURE_S,
            level_gap(market),
        ]
    )
    done = False
    while not done:
        frames = np.empty((CHUNK_FRAMES, WIDTH), np.int64)
        level_ticks, level_lots = np.empty(CHUNK_LEVELS, np.int64), np.empty(CHUNK_LEVELS, np.int64)
        out = frames, level_ticks, level_lots
        done, n, m = run(rng, floats, ints, book, sent, knobs, tick_e8, begin_ns, end_ns, depth_ns, mark_ns, *out)
        after = State(
            price=float(floats[0]),
            pressure=float(floats[1]),
            noise=float(floats[2]),
            excitation=float(floats[3]),
            update_id=int(ints[0]),
            trade_id=int(ints[1]),
            sent_update_id=int(ints[2]),
            ticks=book[0].tolist(),
            lots=book[1].tolist(),
            sent_ticks=sent[0].tolist(),
            sent_lots=sent[1].tolist(),
        )
        yield after, Records(frames[:n], level_ticks[:m], level_lots[:m])


def stream(seed: int, symbol: str, day: int) -> np.random.Generator:
    """The randomness of one symbol on one day (days since 1970): independent of all other symbols, days and seeds."""
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed, spawn_key=(*symbol.encode(), day))))
