"""What the worker needs of a place to trade: one protocol, several adapters, and one suite of tests that holds for each.

listings, snapshot, feed -> the engine's inputs;  Approved -> send -> Answer;  order, open_orders, fills, held -> reconcile
"""

from collections.abc import Callable, Sequence
from typing import Protocol

from msgspec import Struct

from core.events import Approved
from core.orders import Balance, Fill, Held, Listing, Order, Standing


class Answer(Struct, frozen=True, kw_only=True):
    """What came back. `known` is False where nothing did (or nothing that tells): the order's state is UNKNOWN.

    `code` and `reason` are the venue's where it rejected. `fills` are those that the answer itself told.
    """

    known: bool
    standing: Standing | None = None
    fills: tuple[Fill, ...] = ()
    code: int = 0
    reason: str = ""

    @property
    def rejected(self) -> bool:
        return self.known and self.code != 0


class Whole(Struct, frozen=True, kw_only=True):
    """A snapshot: the answer as received (it is recorded), and when."""

    symbol: str
    text: bytes
    ts_recv: int


class AccountEvent(Struct, frozen=True, kw_only=True):
    """User data: what became of an order, and the fill that did it, if one did.

    `funding`: symbol (empty where the venue does not say whose it was), quote currency, and when it was paid (ms, the venue's clock): told
    twice, it is one.
    """

    standing: Standing | None = None
    fill: Fill | None = None
    funding: tuple[str, float, int] | None = None


Frames = Callable[[Sequence[bytes], int], None]  # payloads that arrived together, ts_recv


class Exchange(Protocol):
    """All calls may raise `ExchangeError` with what to do about it; those about orders answer `Answer(known=False)` instead.

    `feed` and `account` run until cancelled: they reconnect by themselves (backoff with jitter) and tell of each change by `linked`.
    """

    venue: str  # our name of it: instruments are (venue, symbol)

    @property
    def clock_offset_ns(self) -> int:
        """The venue's clock less ours."""
        ...

    async def open(self) -> dict[str, Listing]:
        """Measure the clock, check the keys, and return what is listed, by symbol."""
        ...

    async def close(self) -> None: ...

    async def snapshot(self, symbol: str) -> Whole: ...

    async def feed(self, symbols: Sequence[str], told: Frames, linked: Callable[[bool, str], None]) -> None:
        """Market frames (trades, diffs, tickers, marks), as received."""
        ...

    async def account(self, told: Callable[[AccountEvent], None], linked: Callable[[bool, str], None]) -> None:
        """User data."""
        ...

    async def send(self, approved: Approved) -> Answer: ...

    def rehearse(self, order: Order) -> None:
        """What `send` does before the bytes leave, as far as it changes nothing: so that it is quick when it counts."""
        ...

    async def cancel(self, symbol: str, order_id: str) -> Answer: ...

    async def cancel_all(self, symbols: Sequence[str], *, stops: bool = True) -> Answer:
        """`stops`: also those that wait behind positions; without, they stay."""
        ...

    async def order(self, symbol: str, order_id: str) -> Standing | None:
        """How an order stands; None where the venue knows of none by that id."""
        ...

    async def open_orders(self, symbols: Sequence[str]) -> list[Standing]: ...

    async def fills(self, symbol: str, *, from_id: int = 0, since: int = 0) -> list[Fill]:
        """Our fills of a symbol in order, from a trade id on, or since a time (ns); all pages of them."""
        ...

    async def held(self) -> tuple[list[Held], list[Balance]]: ...

    async def dead_man(self, symbols: Sequence[str], seconds: float) -> bool:
        """The venue cancels everything unless called again in time (0: never mind); False where it has no such thing."""
        ...


class ExchangeError(RuntimeError):
    """The venue could not be asked, or refused; the message says what to do."""
