"""The worst that positions and open orders can come to: every order of one side fills, none of the other.

A reduce-only order of a futures venue only takes away from what is held. Sizes are valued at the middle, or at the highest limit price of
their side where that is higher. A symbol that is held or has orders, and whose middle was never known, makes everything nan.
"""

from math import inf, nan
from typing import NamedTuple

from kernels.holdings import Holdings
from kernels.positions import Position
from kernels.risk_orders import NOTHING, Committed, OpenOrders


class Worst(NamedTuple):
    """Of one symbol, signed quote currency: after all its buys, and after all its sells."""

    long: float
    short: float

    @property
    def gross(self) -> float:
        return max(abs(self.long), abs(self.short))


class Exposure(NamedTuple):
    """Of the account, quote currency: the sum of the symbols' worst sides, the worse of all buys and all sells filling, the maintenance
    margin that the gross asks for, and the least of the leverages that the venue allows."""

    gross: float
    net: float
    maintenance: float
    max_leverage: float


def worst_sizes(size: int, buys: Committed, sells: Committed, spot: bool) -> tuple[int, int]:
    """The largest and the smallest signed size that a position can come to. On spot nobody holds a reduce-only order to its word."""
    most, least = size + buys.free, size - sells.free
    if spot:
        return most + buys.reducing, least - sells.reducing
    if size < 0:
        return most + min(buys.reducing, -size), least
    return most, least - min(sells.reducing, size)


def worst(position: Position, buys: Committed, sells: Committed, mid: float) -> Worst:
    """Quote currency at `mid` (price units), or at the limit prices where they are higher."""
    most, least = worst_sizes(position.size, buys, sells, position.spot)
    unit = position.per_unit
    above, below = buys.highest, sells.highest
    long = most * (above if above > mid and most > 0 else mid)
    short = least * (below if below > mid and least < 0 else mid)
    return Worst(long / unit, short / unit)


def worst_now(position: Position, symbol: str, orders: OpenOrders) -> Worst:
    """`worst` with the open orders, at the middle last known."""
    return worst(position, *orders.committed.get(symbol, NOTHING), position.twice_mid / 2 or nan)


def exposure(holdings: Holdings, orders: OpenOrders, replaced: dict[str, Worst]) -> Exposure:
    """Of all symbols; `replaced` holds those worked out anew (the symbol of an order that is being checked)."""
    gross = long = short = maintenance = 0.0
    leverage = inf
    for symbol, position in holdings.positions.items():
        of = replaced.get(symbol)
        if of is not None:
            one_long, one_short = of
        elif orders.of.get(symbol):
            one_long, one_short = worst_now(position, symbol, orders)
        elif position.size:
            one_long = one_short = position.size * (position.twice_mid or nan) / (2 * position.per_unit)
        else:
            continue
        one = one_long if one_long > -one_short else -one_short
        gross += one
        long += one_long
        short += one_short
        listing = position.listing
        maintenance += one * listing.maintenance
        leverage = min(leverage, listing.max_leverage)
    return Exposure(gross, max(abs(long), abs(short)), maintenance, leverage)
