"""What a venue lets us ask, kept before it complains: counted as it counts, corrected by what it says of itself.

    rateLimits -> Limits;  spend before each request;  read its headers after it;  hold where it says 429 or 418

Windows are those of the venue's clock (a minute begins at :00). Queries leave a share to orders and cancels.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from msgspec import Struct

SECONDS = {"SECOND": 1, "MINUTE": 60, "HOUR": 3_600, "DAY": 86_400}
QUERIES = 0.7  # the share of a limit that queries may use
ORDERS = 0.95  # and that anything may: the venue's count and ours may differ at the edge of a window
LEAST_HOLD_S = 1.0
NS = 1_000_000_000


class RateLimit(Struct, frozen=True):
    """As `exchangeInfo` tells it."""

    rateLimitType: str
    interval: str
    intervalNum: int
    limit: int

    @property
    def seconds(self) -> int:
        return self.intervalNum * SECONDS[self.interval]

    @property
    def header(self) -> str:
        what = "x-mbx-used-weight" if self.rateLimitType == "REQUEST_WEIGHT" else "x-mbx-order-count"
        return f"{what}-{self.intervalNum}{self.interval[0].lower()}"


COUNTED = ("REQUEST_WEIGHT", "ORDERS")


@dataclass
class Window:
    of: RateLimit
    number: int = -1
    used: int = 0

    def at(self, now: int) -> int:
        return now // (self.of.seconds * NS)

    def turn(self, now: int) -> None:
        if (number := self.at(now)) != self.number:
            self.number, self.used = number, 0


@dataclass
class Limits:
    """Times are the venue's, ns. Before anything is `told` there are no limits but `hold`."""

    windows: list[Window] = field(default_factory=list)
    held_until: int = 0
    why: str = ""
    n_held: int = 0  # requests that had to wait or were not sent

    def told(self, limits: Iterable[RateLimit]) -> None:
        known = {window.of: window for window in self.windows}
        wanted = [of for of in limits if of.rateLimitType in COUNTED and of.interval in SECONDS]
        self.windows = [known.get(of) or Window(of) for of in wanted]

    def spend(self, now: int, weight: int, *, orders: int = 0, urgent: bool = False) -> int:
        """Count a request that is about to leave: 0; or, where it must not, for how long it has to wait (ns): then nothing is counted."""
        if now < self.held_until:
            self.n_held += 1
            return self.held_until - now
        costs = [(window, weight if window.of.rateLimitType == "REQUEST_WEIGHT" else orders) for window in self.windows]
        for window, cost in costs:
            window.turn(now)
            share = ORDERS if urgent else QUERIES
            if cost and window.used + cost > max(share * window.of.limit, cost if not window.used else 0):
                self.n_held += 1
                self.why = f"{window.used} of {window.of.limit} {window.of.rateLimitType} per {window.of.intervalNum} {window.of.interval}"
                return (window.number + 1) * window.of.seconds * NS - now
        for window, cost in costs:
            window.used += cost
        return 0

    def read(self, headers: Mapping[str, str], sent: int, now: int) -> None:
        """What the venue counted, unless a window ended while the request was on its way."""
        for window in self.windows:
            used = headers.get(window.of.header)
            if used is not None and used.isdigit() and window.at(sent) == window.at(now):
                window.turn(now)
                window.used = max(window.used, int(used))

    def hold(self, now: int, seconds: float, why: str) -> None:
        """The venue said so: nothing at all is sent until then."""
        self.held_until = max(self.held_until, now + round(max(seconds, LEAST_HOLD_S) * NS))
        self.why = why
