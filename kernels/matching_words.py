"""What is said to a simulated venue and what it says: orders as it keeps them, fills, updates, refusals with Binance's codes.

Prices and sizes are int64 units of the instrument's decimals, times int64 UTC ns. *Money* (balances, margins, realised results) is
whole numbers of 10^-`Matching.decimals` of its asset, so that nothing is ever rounded away; `text` writes it as venues do.
"""

from collections.abc import Sequence
from enum import StrEnum

from msgspec import Struct
from msgspec.structs import replace

from core.market import Side
from core.orders import Fill, Status, Tif


class Kind(StrEnum):
    """Kinds of orders; the last two wait for `stop_price` and are market orders then (USD-M only)."""

    LIMIT = "LIMIT"
    MARKET = "MARKET"
    STOP_MARKET = "STOP_MARKET"
    TAKE_PROFIT_MARKET = "TAKE_PROFIT_MARKET"

    @property
    def conditional(self) -> bool:
        return self in (Kind.STOP_MARKET, Kind.TAKE_PROFIT_MARKET)


class Working(StrEnum):
    """Which price triggers a conditional order: the last trade's, or the mark price."""

    CONTRACT = "CONTRACT_PRICE"
    MARK = "MARK_PRICE"


class Stp(StrEnum):
    """What happens where an order would trade with one of our own."""

    EXPIRE_MAKER = "EXPIRE_MAKER"
    EXPIRE_TAKER = "EXPIRE_TAKER"
    EXPIRE_BOTH = "EXPIRE_BOTH"
    NONE = "NONE"


class New(Struct, frozen=True, kw_only=True):
    """An order as asked for. `tif` GTX is post only (spot's LIMIT_MAKER too).

    `quote_size`: money (10^-`Matching.decimals`) to spend or get by a spot market order, in place of `size`. `close_position`: a
    conditional order that closes whatever is held when it triggers, in place of `size`. A `reduce_only` order that arrives larger than
    the position is cut to it; later it never takes off more than is left then, and ends where nothing is.
    """

    client_id: str
    symbol: str
    side: Side
    kind: Kind = Kind.LIMIT
    tif: Tif = Tif.GTC
    price: int = 0
    size: int = 0
    quote_size: int = 0
    stop_price: int = 0
    working: Working = Working.CONTRACT
    reduce_only: bool = False
    close_position: bool = False
    stp: Stp = Stp.EXPIRE_MAKER


class VenueOrder(Struct, kw_only=True):
    """An order as the venue keeps it. What callers get is a copy.

    `filled` size units so far, `notional` their price units times size units (10^-(price_decimals + size_decimals) quote).
    `status`: NEW, PARTIAL, FILLED, CANCELLED, EXPIRED or REJECTED; `why` says more of how it ended ("stp", "countdown", "reduce only",
    "liquidation", ...), empty where there is nothing to say. `ts_working`: since when it is in the book (0: never, or not triggered).
    """

    venue_id: int
    client_id: str
    symbol: str
    side: Side
    kind: Kind
    tif: Tif
    price: int
    size: int
    quote_size: int = 0
    stop_price: int = 0
    working: Working = Working.CONTRACT
    reduce_only: bool = False
    close_position: bool = False
    stp: Stp = Stp.EXPIRE_MAKER
    status: Status = Status.NEW
    filled: int = 0
    notional: int = 0
    ts_created: int = 0
    ts_updated: int = 0
    ts_working: int = 0
    triggered: bool = False
    why: str = ""

    @property
    def left(self) -> int:
        return self.size - self.filled

    @property
    def is_open(self) -> bool:
        return self.status in (Status.NEW, Status.PARTIAL)

    @property
    def average(self) -> float:
        """Average price of what is filled, in price units; 0 where nothing is."""
        return self.notional / self.filled if self.filled else 0.0

    def copy(self) -> "VenueOrder":
        return replace(self)


class VenueFill(Fill, frozen=True, kw_only=True):
    """A fill, with the venue's order id and (futures) the money it realised, fee not taken off."""

    venue_id: int
    realised: int = 0


class Execution(StrEnum):
    """What an order update is about (Binance's `x`)."""

    NEW = "NEW"
    TRADE = "TRADE"
    CANCELED = "CANCELED"
    EXPIRED = "EXPIRED"
    TRIGGERED = "TRIGGERED"  # a conditional order became a market order


class OrderUpdate(Struct, frozen=True, kw_only=True):
    """What user data tells of an order: its state after the event, and the fill where there was one."""

    ts: int
    execution: Execution
    order: VenueOrder
    fill: VenueFill | None = None


class Money(Struct, frozen=True, kw_only=True):
    """One asset's balance. Futures: `free` is what is left for orders (cross margin), `wallet` the balance without unrealised results."""

    asset: str
    free: int
    locked: int
    wallet: int


class Position(Struct, frozen=True, kw_only=True):
    """A futures position, one way. `entry_price`, `liquidation_price`, `mark_price`: quote currency, 0 where there is none."""

    symbol: str
    size: int
    entry_price: float
    mark_price: float
    liquidation_price: float
    leverage: int
    realised: int  # so far, fees not taken off
    unrealised: int
    initial_margin: int
    maintenance_margin: int
    ts_updated: int


class AccountUpdate(Struct, frozen=True, kw_only=True):
    """What user data tells of balances and positions that changed; `reason` as Binance's `m` (ORDER, FUNDING_FEE, DEPOSIT).

    `amount`: the money of a funding fee (below 0: paid) or deposit.
    """

    ts: int
    reason: str
    balances: tuple[Money, ...]
    positions: tuple[Position, ...] = ()
    symbol: str = ""
    amount: int = 0


class Placed(Struct, frozen=True, kw_only=True):
    """An accepted order as it stands after its arrival (it may be filled or expired already), and the fills of that moment."""

    order: VenueOrder
    fills: tuple[VenueFill, ...] = ()


class Refusal(Struct, frozen=True):
    """The venue's error code and message; nothing was changed."""

    code: int
    text: str


def text(units: int, decimals: int, places: int = 8) -> str:
    """Units of 10^-decimals as decimal text with so many places, cut towards zero."""
    sign, units = ("-" if units < 0 else ""), abs(units)
    units = units * 10 ** (places - decimals) if places >= decimals else units // 10 ** (decimals - places)
    if not places:
        return f"{sign if units else ''}{units}"
    whole, rest = divmod(units, 10**places)
    return f"{sign if units else ''}{whole}.{rest:0{places}d}"


def total(moneys: Sequence[Money]) -> int:
    """Wallet of several balances of one asset."""
    return sum(m.wallet for m in moneys)
