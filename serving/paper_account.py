"""The account of trading on paper: its terms, and how it goes on after a restart by what the ledger has of it."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from msgspec import Struct
from msgspec.structs import replace

from core.orders import Fill, Listing, Order, Standing, Status
from kernels.matching import Matching, Queue
from kernels.matching_resume import resume
from serving.matched import Matched


class Terms(Struct, frozen=True, kw_only=True):
    """What the account is like. Latencies in ms; `maker_bps`, `taker_bps`: None for what the exchange charges; balances in whole
    currency, `base_balance` of each asset that spot trades."""

    order_ms: float = 30.0
    response_ms: float = 30.0
    maker_bps: float | None = None
    taker_bps: float | None = None
    quote_balance: float = 100_000.0
    base_balance: float = 0.0
    leverage: int = 5
    queue: Queue = "pessimistic"


class Past(NamedTuple):
    """What the ledger has of the account: all fills in order of time, and the orders that were open when it ended."""

    fills: Sequence[Fill] = ()
    orders: Sequence[Order] = ()


def begun(listings: Mapping[str, Listing], terms: Terms, past: Past, clock: Callable[[], int]) -> tuple[Matched, dict[str, Standing]]:
    """The account as its past left it, and how the orders stand that ended with the process before."""
    spot = next(iter(listings.values())).spot
    bases = {of.instrument.base: f"{terms.base_balance:.8f}" for of in listings.values()} if spot else {}
    newest = max((fill.trade_id for fill in past.fills), default=0)
    matching = Matching(
        listings, kind="spot" if spot else "usdm", quote_balance=f"{terms.quote_balance:.8f}", base_balances=bases, queue=terms.queue,
        leverage=1 if spot else max(1, min(terms.leverage, *(int(of.max_leverage) for of in listings.values()))),
        first_id=max(newest + 1, clock() // 1_000),  # by the clock: also what the ledger never heard of has an id of its own
    )  # fmt: skip
    resume(matching, past.fills)
    left: dict[str, Standing] = {}
    filled: dict[str, int] = {}
    for fill in past.fills:
        filled[fill.order_id] = filled.get(fill.order_id, 0) + fill.size
    for order in past.orders:
        left[order.order_id] = Standing(
            order_id=order.order_id, symbol=order.symbol, side=order.side, price=order.price, size=order.size,
            reduce_only=order.reduce_only, filled=(so_far := filled.get(order.order_id, 0)), ts_event=clock(),
            status=Status.FILLED if so_far >= order.size else Status.EXPIRED, reason="the paper account ended with its process",
        )  # fmt: skip
    return Matched(matching, clock), left


def charged(listing: Listing, terms: Terms) -> Listing:
    """The listing with the fees of the account."""
    of = listing.instrument
    maker = of.maker_bps if terms.maker_bps is None else terms.maker_bps
    taker = of.taker_bps if terms.taker_bps is None else terms.taker_bps
    return replace(listing, instrument=replace(of, maker_bps=maker, taker_bps=taker))
