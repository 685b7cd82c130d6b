"""One position, averaged, in whole numbers: what `holdings` keeps of each symbol.

A size is kept in 10^-base_decimals of the base asset (8 or finer, so that a fee paid in the base asset comes off it exactly), money in
10^-(price_decimals + base_decimals) of quote currency; `contract_multiplier` is applied at the end. An addition adds its cost, a
reduction takes its share of the cost away, rounded down; at size 0 nothing is left, and always

    realised = proceeds of what was sold - cost of what was bought + cost of what is held
"""

from math import nan

from msgspec import Struct

from core.orders import FEE_DECIMALS, Fill, Listing

FUNDING_UNIT = 10**FEE_DECIMALS


class Position(Struct, kw_only=True):
    """One symbol. `owned` is signed and exact; `size` is it in whole units of the instrument, towards 0. Money is whole (see module)."""

    listing: Listing
    to_base: int  # base units in one size unit
    money: float  # quote currency of one money unit of this contract
    per_quote: float  # money units in one of quote currency: dividing rounds once
    per_fee: float  # the same of fees: `contract_multiplier` does not apply to them
    per_unit: float  # size units times price units in one of quote currency: a notional is divided by it
    spot: bool
    owned: int = 0
    size: int = 0
    cost: int = 0  # of what is owned, signed as it is
    realised: int = 0
    fees: int = 0
    funding: int = 0  # 10^-8 of quote currency
    opened_realised: int = 0  # when the round trip began
    opened_fees: int = 0
    opened_funding: int = 0
    twice_mid: int = 0  # bid + ask when last known, 0 before: a middle between two ticks is exact too
    marked: int = 0  # when
    liquidation: float = 0.0  # price, as the venue states it; 0: unknown
    pnl: float = 0.0  # realised - fees + funding + unrealised, quote currency; nan: held, and never marked
    trades: set[int] = set()

    @property
    def mid(self) -> float:
        """In price units, as last known; nan before."""
        return self.twice_mid / 2 if self.twice_mid else nan

    @property
    def average_price(self) -> float:
        """Of what is held, quote currency of one base unit; nan when flat."""
        if not self.owned:
            return nan
        return self.cost / self.owned / self.listing.price_unit

    @property
    def realised_pnl(self) -> float:
        """Quote currency, before fees and funding."""
        return self.realised / self.per_quote

    @property
    def fees_paid(self) -> float:
        """Quote currency; below 0 where rebates were more."""
        return self.fees / self.per_fee

    @property
    def funding_paid(self) -> float:
        """Quote currency that funding brought us (took, below 0)."""
        return self.funding / FUNDING_UNIT

    @property
    def unrealised_pnl(self) -> float:
        """Quote currency at the middle last known; 0 when flat, nan where something is held and no middle was ever known."""
        if not self.owned:
            return 0.0
        return (self.owned * self.twice_mid - 2 * self.cost) / (2 * self.per_quote) if self.twice_mid else nan


def flat(listing: Listing) -> Position:
    """Nothing held. Raises `ValueError` for an inverse contract."""
    instrument = listing.instrument
    if instrument.inverse:
        raise ValueError(f"{instrument.symbol} is paid in its base asset: only spot and linear futures can be held")
    base_decimals = max(FEE_DECIMALS, instrument.size_decimals)
    whole = 10.0 ** (instrument.price_decimals + base_decimals)
    return Position(
        listing=listing,
        to_base=10 ** (base_decimals - instrument.size_decimals),
        money=instrument.contract_multiplier / whole,
        per_quote=whole / instrument.contract_multiplier,
        per_fee=whole,
        per_unit=10.0 ** (instrument.price_decimals + instrument.size_decimals) / instrument.contract_multiplier,
        spot=listing.spot,
    )


def trade(position: Position, size: int, price: int) -> None:
    """Signed base units at a price: reduce what is held, then add what is left of it."""
    owned, cost = position.owned, position.cost
    reduced = 0
    if owned * size < 0:
        reduced = min(abs(owned), abs(size)) * (1 if owned > 0 else -1)
        gone = cost if reduced == owned else cost * reduced // owned
        position.realised += reduced * price - gone
        cost -= gone
    position.cost = cost + (size + reduced) * price
    position.owned = owned + size
    position.size = _towards_zero(position.owned, position.to_base)


def take_over(position: Position, owned: int, cost: int) -> None:
    """What another worker held, to the last digit."""
    position.owned, position.cost = owned, cost
    position.size = _towards_zero(owned, position.to_base)
    value(position)


def pay(position: Position, fill: Fill) -> int:
    """The fee of a fill. In the base asset of a spot market it comes off what is owned, as if sold at the fill's price; in an asset that is
    neither base nor quote it is counted at the taker's rate, and returned."""
    instrument = position.listing.instrument
    finer = 10 ** max(0, instrument.size_decimals - FEE_DECIMALS)
    if not fill.fee or not fill.fee_asset or fill.fee_asset == (instrument.quote or instrument.settlement or fill.fee_asset):
        position.fees += fill.fee * 10**instrument.price_decimals * finer
        return 0
    if fill.fee_asset == instrument.base and position.spot:
        paid = fill.fee * finer
        trade(position, -paid, fill.price)
        position.fees += paid * fill.price
        return 0
    notional = fill.size * position.to_base * fill.price * instrument.contract_multiplier
    position.fees += round(notional * instrument.taker_bps / 10_000)
    return fill.fee


def _towards_zero(n: int, unit: int) -> int:
    return n // unit if n >= 0 else -(-n // unit)


def at_risk(position: Position) -> bool:
    """Whether a lot or more is held."""
    return abs(position.owned) >= position.listing.lot * position.to_base


def value(position: Position) -> None:
    """`pnl` afresh."""
    position.pnl = position.realised_pnl - position.fees_paid + position.funding_paid + position.unrealised_pnl
