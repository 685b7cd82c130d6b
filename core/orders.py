"""Words of what we do: orders, their states, what a venue says of them, fills, positions.

Prices and sizes are int64 units of the instrument's decimals (`core.market.Instrument`); times are int64 UTC ns. Fees are whole
numbers of 10^-8 of the asset they are paid in, as venues state them.
"""

from enum import StrEnum

from msgspec import Struct

from core.market import Instrument, Side

FEE_DECIMALS = 8


class Kind(StrEnum):
    LIMIT = "limit"
    MARKET = "market"
    STOP = "stop"  # waits at the venue for `stop_price`, then closes the position at the market, whatever its size is then (futures)


class Tif(StrEnum):
    """How long an order stands."""

    GTC = "gtc"  # until cancelled
    GTX = "gtx"  # post only: expires where it would take
    IOC = "ioc"  # now or not at all


class Status(StrEnum):
    """Where an order stands. `UNKNOWN` until the venue has been asked: it is never assumed."""

    INTENT = "intent"  # in the ledger, not sent
    SENT = "sent"  # sent, not answered
    UNKNOWN = "unknown"  # the answer did not come
    NEW = "new"
    PARTIAL = "partial"
    FILLED = "filled"
    CANCELLED = "cancelled"
    EXPIRED = "expired"
    REJECTED = "rejected"  # by the venue
    REFUSED = "refused"  # by our own risk: never sent

    @property
    def is_open(self) -> bool:
        """Whether it may still fill: what is not known to be over is open."""
        return self in OPEN


OPEN = frozenset({Status.INTENT, Status.SENT, Status.UNKNOWN, Status.NEW, Status.PARTIAL})


class Purpose(StrEnum):
    """Why an order is wanted."""

    ENTRY = "entry"
    EXIT = "exit"
    TAKE_PROFIT = "take_profit"
    STOP = "stop"
    VENUE_STOP = "venue_stop"  # waits at the venue for the case that we cannot act
    TIME_STOP = "time_stop"
    FLATTEN = "flatten"
    MANUAL = "manual"


class Listing(Struct, frozen=True, kw_only=True):
    """What a venue lets us trade, and on which grid; prices and sizes in the instrument's units."""

    instrument: Instrument
    tick: int
    lot: int
    min_size: int
    max_size: int
    min_notional: float = 0.0  # quote currency
    max_leverage: float = 1.0  # 1 on spot
    maintenance: float = 0.0  # share of notional below which a futures position is liquidated
    band: float = 0.1  # how far a limit price may be from the middle, as a share of it
    status: str = "TRADING"

    @property
    def spot(self) -> bool:
        return self.max_leverage <= 1

    @property
    def price_unit(self) -> float:
        return 10.0**self.instrument.price_decimals

    @property
    def size_unit(self) -> float:
        return 10.0**self.instrument.size_decimals


class Order(Struct, frozen=True, kw_only=True):
    """An intent. `order_id` is ours (the client order id): it is made before the order is sent, and never twice."""

    order_id: str
    symbol: str
    side: Side
    size: int
    price: int = 0  # of a limit
    kind: Kind = Kind.LIMIT
    tif: Tif = Tif.GTC
    reduce_only: bool = False
    purpose: Purpose = Purpose.ENTRY
    ts: int = 0  # when it was decided: the engine's clock
    signal: int = 0  # sequence number of the input that led to it
    stop_price: int = 0  # of a stop


class Fill(Struct, frozen=True, kw_only=True):
    """An execution of ours. One per (venue, symbol, trade_id): seeing it twice is seeing it once."""

    order_id: str
    symbol: str
    trade_id: int
    side: Side
    price: int
    size: int
    maker: bool
    fee: int  # units of 10^-8 of `fee_asset`; below 0 a rebate
    fee_asset: str
    ts_event: int
    ts_recv: int = 0


class Held(Struct, frozen=True, kw_only=True):
    """A position as the venue states it: signed size, and on futures the average entry price (quote currency, float)."""

    symbol: str
    size: int
    entry_price: float = 0.0
    liquidation_price: float = 0.0
    leverage: float = 1.0


class Balance(Struct, frozen=True, kw_only=True):
    asset: str
    free: str  # decimal text, as the venue states it
    locked: str = "0"


class Standing(Struct, frozen=True, kw_only=True):
    """What the venue says of one order: an answer, a user data event, or a row of open orders."""

    order_id: str  # ours; of an order placed elsewhere the venue's own client id
    symbol: str
    status: Status
    filled: int = 0  # all of it so far, size units
    venue_id: str = ""
    side: Side = Side.BUY
    price: int = 0
    size: int = 0
    reduce_only: bool = False
    ts_event: int = 0
    ts_recv: int = 0
    code: int = 0  # the venue's, of a rejection
    reason: str = ""


def client_id(epoch: int, n: int) -> str:
    """The n-th order of an epoch of the worker, `sc<epoch>-<n>` in base 36: at most 36 letters, the same after a replay."""
    return f"sc{base36(epoch)}-{base36(n)}"


def base36(n: int) -> str:
    if n < 0:
        raise ValueError(f"{n} is below 0")
    digits = ""
    while True:
        n, rest = divmod(n, 36)
        digits = "0123456789abcdefghijklmnopqrstuvwxyz"[rest] + digits
        if not n:
            return digits


def numbers_of(order_id: str) -> tuple[int, int] | None:
    """(epoch, n) of an order id of ours; None where it is someone else's."""
    head, dash, tail = order_id.partition("-")
    if not head.startswith("sc") or not dash:
        return None
    try:
        found = int(head[2:], 36), int(tail, 36)
    except ValueError:
        return None
    return found if min(found) >= 0 and client_id(*found) == order_id else None
