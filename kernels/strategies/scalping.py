"""The shipped strategy: follow the fused signal for a few seconds, with a profit to take, a stop, and a time to give up.

flat, signal of at least `enter`  -> direction x strength x cap, patiently; on spot down is nothing
held, signal of at least `leave` the other way -> out
held without a guard (after a restart)         -> the same guards, from now
not yet held and the signal gone  -> the entry is given up
"""

from msgspec import Struct

from core.market import NS
from kernels.strategies import Seen, Target, View


class Params(Struct, frozen=True, forbid_unknown_fields=True):
    enter: float = 0.2  # strength that opens
    leave: float = 0.2  # strength the other way that closes
    take_profit_bps: float = 12.0  # from the middle at the time of the signal
    stop_bps: float = 10.0
    hold_s: float = 60.0
    cooldown_s: float = 3.0  # after a position was closed


def init(params: Params, symbols: tuple[str, ...]) -> Params:
    """It remembers nothing but its parameters: what it needs to know is in the view."""
    if min(params.enter, params.leave, params.cooldown_s) < 0 or min(params.take_profit_bps, params.stop_bps, params.hold_s) <= 0:
        raise ValueError(f"strengths and cooldown are at least 0; distances and holding time above 0: {params}")
    return params


def step(params: Params, view: View) -> tuple[Params, list[Target]]:
    seen = view.of(view.changed)
    if seen.bid != seen.bid or seen.ask != seen.ask:  # no quote
        return params, []
    direction = seen.fused if seen.strength >= params.enter and seen.fresh else 0
    if seen.spot and direction < 0:
        direction = 0
    if seen.position:
        against = seen.fused * seen.position < 0 and seen.strength >= params.leave
        if against:
            return params, [Target(symbol=seen.symbol, size=0.0)]
        return params, [] if seen.guarded or not seen.target else [guarded(seen, seen.position, params, view.ts)]
    if direction and not seen.target and view.ts - seen.exited_at >= params.cooldown_s * NS:
        return params, [guarded(seen, direction * min(seen.strength, 1.0) * seen.cap / seen.mid, params, view.ts)]
    if seen.target and seen.target * direction <= 0:
        return params, [Target(symbol=seen.symbol, size=0.0)]
    return params, []


def guarded(seen: Seen, size: float, params: Params, ts: int) -> Target:
    """A position with its profit, its stop and its end."""
    side = 1 if size > 0 else -1
    return Target(
        symbol=seen.symbol,
        size=size,
        take_profit=seen.mid * (1 + side * params.take_profit_bps * 1e-4),
        stop=seen.mid * (1 - side * params.stop_bps * 1e-4),
        expires=ts + int(params.hold_s * NS),
    )
