"""What a simulated history is made of: everything that is drawn from a seed, and what does not change from one to the next."""

import random

import numpy as np
from msgspec import Struct

from core.market import NS, Instrument
from core.orders import Listing
from kernels import generator, generator_frames
from kernels.risk_limits import Limits
from kernels.rule_signals import Rule
from serving.simulated import Faults, Frame, Latency
from serving.worker import Rules

START = 1_767_225_600 * NS  # 2026-01-01 00:00 UTC
ACCOUNT = "simulated/one"
SYMBOL = "SIMUSDT"
CAPITAL = 100_000.0
QUICK = Rule(sma_fast=2, sma_slow=3, ema_fast=2, ema_slow=3, ema_signal=2, rsi=2, volume_window=2)  # warm within a few bars
LIMITS = Limits(
    max_order=2_000, max_position=3_000, max_gross=3_000, max_net=3_000, max_daily_loss=1e6, max_drawdown=1e6, max_loss_streak=10**6
)
RULES = Rules(timer_ms=250, reconcile_s=2.0, answer_timeout_s=1.0, horizon_s=5.0, dead_man_s=0, mute_s=60.0)


class History(Struct, frozen=True, kw_only=True):
    """What is drawn from a seed. Times in seconds from the start."""

    seed: int
    seconds: float
    spot: bool
    latency: Latency
    faults: Faults
    killed_at: tuple[float, ...]  # the process dies, and starts again a little later
    kill_switch_at: float  # 0: never
    stop_bps: float = 0.0  # a stop at the venue so far behind each position; 0: none


def drawn(seed: int) -> History:
    """A history: each fault is there in half of them, up to its worst."""
    chance = random.Random(seed)

    def share(worst: float) -> float:
        return chance.random() * worst if chance.random() < 0.5 else 0.0

    seconds = 40.0
    faults = Faults(
        lost_answer=share(0.3), lost_request=share(0.3), lost_event=share(0.3), twice=share(0.5), late=share(0.5), refused=share(0.3),
        failed=share(0.3), gap=share(0.01), disconnect=share(0.005), foreign=share(0.002),
    )  # fmt: skip
    latency = Latency(
        feed=chance.randrange(100_000, 20_000_000), entry=chance.randrange(100_000, 50_000_000),
        response=chance.randrange(100_000, 50_000_000), jitter=chance.choice([0, 10_000_000, 200_000_000]),
    )  # fmt: skip
    killed = sorted(chance.uniform(8, seconds - 5) for _ in range(chance.choice([0, 0, 1, 1, 2])))
    switch = chance.uniform(10, seconds - 5) if chance.random() < 0.15 else 0.0
    return History(
        seed=seed,
        seconds=seconds,
        spot=chance.random() < 0.3,
        latency=latency,
        faults=faults,
        killed_at=tuple(killed),
        kill_switch_at=switch,
        stop_bps=chance.choice([2.0, 10.0, 100.0]) if chance.random() < 0.4 else 0.0,
    )


def tape(seed: int, seconds: float) -> list[Frame]:
    market = generator.Market(symbol=SYMBOL, price=60_000.0, tick_size=0.1, lot_size=0.001, volatility=2.0, signal=0.3, frames_per_s=12.0)
    rng = np.random.Generator(np.random.PCG64(seed))
    state = generator.first(market, rng)
    made: list[Frame] = []
    for _, records in generator.simulate(market, state, rng, START, START + round(seconds * NS)):
        for line in generator_frames.text(market, records).splitlines():
            ts, _, payload = line.partition(b" ")
            made.append(Frame(int(ts), payload))
    return made


def listing(spot: bool) -> Listing:
    instrument = Instrument(
        venue="simulated", symbol=SYMBOL, price_decimals=1, size_decimals=3, tick_size=0.1, lot_size=0.001, base="SIM", quote="USDT",
        settlement="" if spot else "USDT", maker_bps=1.0, taker_bps=4.0,
    )  # fmt: skip
    return Listing(
        instrument=instrument, tick=1, lot=1, min_size=1, max_size=100_000, min_notional=5.0, max_leverage=1.0 if spot else 20.0,
        maintenance=0.0 if spot else 0.004,
    )  # fmt: skip
