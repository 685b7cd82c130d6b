"""The stop that waits at the venue behind a futures position, for the case that we cannot act: it closes what is held, and nothing else.

    position, quote -> `wish`: the stop that should stand;   wish, the one that does -> `amiss`: why it should not

It is `bps` beyond the average price of what is held (trigger: the last trade's price). Where the market is beyond that already it is as far
from the market, and stays. A venue has one of a side at a time, so one that should be another is cancelled first: for the time of two
messages there is none.
"""

from typing import NamedTuple

from core.market import Side
from core.orders import Kind, Listing, Order, Purpose, Tif
from kernels.positions import Position
from kernels.risk_limits import Quote

SETTLE_NS = 1_000_000_000  # one that stands is left alone for so long, but where nothing is held
SLACK = 0.1  # of its distance: nearer than this to its place is good enough


class Stop(NamedTuple):
    side: Side
    size: int
    price: int
    by_average: bool  # else by the market


def wish(position: Position, quote: Quote, listing: Listing, bps: float) -> Stop | None:
    """None where nothing is held that could be closed. The quote has to be known."""
    size = min(abs(position.size), listing.max_size) // listing.lot * listing.lot
    if size < max(1, listing.min_size):
        return None
    long, away, tick = position.size > 0, bps * 1e-4, listing.tick
    price = position.average_price * listing.price_unit * (1 - away if long else 1 + away)
    by_average = price < quote.bid if long else price > quote.ask
    if not by_average:
        price = quote.bid * (1 - away) if long else quote.ask * (1 + away)
    on_tick = int(price) // tick * tick if long else -(-int(price) // tick) * tick
    return Stop(Side.SELL if long else Side.BUY, size, max(on_tick, tick), by_average)


def amiss(stop: Stop | None, order: Order, bps: float, now: int) -> str:
    """Why the one that stands should not; empty where it should."""
    if stop is None:
        return "nothing is held"
    if stop.side is not order.side:
        return "the position turned"
    if now - order.ts < SETTLE_NS:
        return ""
    if stop.size > order.size:
        return "more is held"
    far = SLACK * bps * 1e-4 * stop.price
    return "the average price moved" if stop.by_average and abs(stop.price - order.stop_price) > max(far, 1) else ""


def order_of(stop: Stop, order_id: str, symbol: str, ts: int, signal: int) -> Order:
    return Order(
        order_id=order_id, symbol=symbol, side=stop.side, size=stop.size, kind=Kind.STOP, tif=Tif.GTC, reduce_only=True,
        purpose=Purpose.VENUE_STOP, ts=ts, signal=signal, stop_price=stop.price,
    )  # fmt: skip
