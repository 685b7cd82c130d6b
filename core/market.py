"""Words of the field: sides, instruments, and the exact integers prices and sizes are kept in."""

import re
from enum import StrEnum

from msgspec import Struct

SYMBOL = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,63}")
VENUE = re.compile(r"[a-z0-9][a-z0-9-]{0,31}")
GENERATED = "generated"  # the venue of the built-in market generator; its results are marked wherever they are shown
MAX_DECIMALS = 12
MAX_UNITS = 2**53  # largest scaled value: below it a float64 of the text round-trips exactly (at most 15 digits)
NS = 1_000_000_000


class Side(StrEnum):
    BUY = "buy"
    SELL = "sell"

    @property
    def sign(self) -> int:
        return 1 if self is Side.BUY else -1


class Instrument(Struct, frozen=True, kw_only=True):
    """What one (venue, symbol) means on one day.

    Prices are int64 in units of 10^-price_decimals, sizes in 10^-size_decimals (base asset, or contracts when
    `contract_multiplier` is not 1). `tick_size` and `lot_size` constrain orders only. Fees are in basis points of notional.
    """

    venue: str
    symbol: str
    price_decimals: int
    size_decimals: int
    tick_size: float
    lot_size: float
    contract_multiplier: float = 1.0
    inverse: bool = False  # paid in the base asset: one contract is worth `contract_multiplier` of quote currency
    base: str = ""
    quote: str = ""
    settlement: str = ""
    fee_tier: str = "default"
    maker_bps: float = 2.0
    taker_bps: float = 5.0

    @property
    def generated(self) -> bool:
        return self.venue == GENERATED
