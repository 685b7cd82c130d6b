"""A strategy that changes its mind by a fixed pattern, to try the machinery: it is not meant to earn, and its trades mean nothing.

The direction of each bar follows from its time and the seed alone, so a simulation is the same each time.
"""

from msgspec import Struct

from core.market import NS
from kernels.strategies import Target, Urgency, View


class Params(Struct, frozen=True, forbid_unknown_fields=True):
    seed: int = 1
    every_s: int = 2  # seconds between changes of mind
    share: float = 0.5  # of the cap


def init(params: Params, symbols: tuple[str, ...]) -> Params:
    if params.every_s < 1 or not 0 < params.share <= 1:
        raise ValueError(f"at least a second, and a share of the cap: {params}")
    return params


def step(params: Params, view: View) -> tuple[Params, list[Target]]:
    seen = view.of(view.changed)
    second = seen.ts_bar // NS
    if seen.bid != seen.bid or second % params.every_s:
        return params, []
    mixed = mix(second * 0x9E3779B97F4A7C15 + params.seed + sum(map(ord, seen.symbol)))
    direction = mixed % 3 - 1
    if seen.spot:
        direction = max(direction, 0)
    urgency = Urgency.NOW if mixed >> 8 & 1 else Urgency.PATIENT
    guarded = mixed >> 9 & 1
    size = direction * params.share * seen.cap / seen.mid
    stop = seen.mid * (1 - direction * 3e-4) if guarded else 0.0
    profit = seen.mid * (1 + direction * 3e-4) if guarded and direction else 0.0
    return params, [Target(symbol=seen.symbol, size=size, urgency=urgency, stop=stop, take_profit=profit)]


def mix(n: int) -> int:
    """64 bits, well mixed (the finaliser of SplitMix64; Steele, Lea & Flood 2014)."""
    n &= 2**64 - 1
    n = (n ^ n >> 30) * 0xBF58476D1CE4E5B9 & 2**64 - 1
    n = (n ^ n >> 27) * 0x94D049BB133111EB & 2**64 - 1
    return n ^ n >> 31
