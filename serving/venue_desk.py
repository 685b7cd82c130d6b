"""What requests are answered from: listings, books, the matching, and the clock; and how their parameters are read."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import NamedTuple, TypeVar

from core.orders import Listing
from kernels.matching import Matching
from kernels.matching_words import Refusal, VenueOrder
from serving.venue_faults import Faults
from serving.venue_keys import Weights
from serving.venue_market import Book, Markets
from serving.venue_tape import Kind
from serving.venue_words import MS, Scale, Unserved

Params = Mapping[str, str]
LISTEN_KEY_MS = 3_600_000
Found = TypeVar("Found")


class Latency(NamedTuple):
    """ms: added to what the streams send, to an order on its way in, and to the answer on its way back."""

    feed: float = 0.0
    order: float = 0.0
    response: float = 0.0


@dataclass
class Desk:
    kind: Kind
    scales: Mapping[str, Scale]
    matching: Matching
    markets: Markets
    weights: Weights
    keys: Mapping[str, str]
    clock: Callable[[], int]  # the venue's, ns, skew included
    wall: Callable[[], int]
    told: Callable[[], None]  # sends user data of what has happened
    latency: Latency
    faults: Faults = field(default_factory=Faults)
    listen_keys: dict[str, float] = field(default_factory=dict)  # -> good until, ms
    own_clock: bool = False  # the market's times are not ours (kept or shifted): a time stamp by either clock will do
    late_ms: float = 0.0  # a new order is not found for so long
    n_asked: int = 0

    @property
    def spot(self) -> bool:
        return self.kind == "spot"

    @property
    def now_ms(self) -> int:
        return self.clock() // MS

    def scale(self, params: Params) -> Scale:
        symbol = word(params, "symbol").upper()
        if symbol not in self.scales:
            raise Unserved(-1121, "Invalid symbol.")
        return self.scales[symbol]

    def book(self, params: Params) -> Book:
        return self.markets.books[self.scale(params).symbol]

    def visible(self, order: VenueOrder) -> bool:
        return not self.late_ms or self.clock() - order.ts_created >= self.late_ms * MS

    def new_id(self, prefix: str) -> str:
        self.n_asked += 1
        return f"{prefix}{self.n_asked}"


def word(params: Params, name: str) -> str:
    """A parameter that must be there. Raises `Unserved`."""
    if not (found := params.get(name, "")):
        raise Unserved(-1102, f"Mandatory parameter '{name}' was not sent, was empty/null, or malformed.")
    return found


def number(params: Params, name: str, default: int) -> int:
    if name not in params:
        return default
    try:
        return int(params[name])
    except ValueError as error:
        raise Unserved(-1130, f"Data sent for parameter '{name}' is not valid.") from error


def truth(params: Params, name: str) -> bool:
    return params.get(name, "false").lower() == "true"


def units(params: Params, name: str, decimals: int, *, needed: bool = True) -> int:
    """Decimal text as whole units of 10^-decimals; 0 where it need not be there. Raises `Unserved`."""
    if not needed and not params.get(name):
        return 0
    try:
        value = Decimal(word(params, name)).scaleb(decimals)
    except InvalidOperation as error:
        raise Unserved(
            -1100, f"Illegal characters found in parameter '{name}'; legal range is '^([0-9]{{1,20}})(\\.[0-9]{{1,20}})?$'."
        ) from error
    if not value.is_finite() or value < 0:
        raise Unserved(-1100, f"Illegal characters found in parameter '{name}'; legal range is '^([0-9]{{1,20}})(\\.[0-9]{{1,20}})?$'.")
    if value != value.to_integral_value():
        raise Unserved(-1111, "Precision is over the maximum defined for this asset.")
    return int(value)


def done(answer: Found | Refusal) -> Found:
    """What the matching did. Raises its refusal as `Unserved`."""
    if isinstance(answer, Refusal):
        raise Unserved(answer.code, answer.text)
    return answer


def decimals_of(listing: Listing) -> tuple[int, int]:
    return listing.instrument.price_decimals, listing.instrument.size_decimals
