"""How a wanted position becomes orders, one symbol at a time: what order should stand now, and what to do about the one that does.

    target, position, quote -> `wish`: the one order that should stand, or none
    wish, the order that stands -> `move`: place it, cancel that one, or wait

At most one order of a symbol stands at a time (those made by hand aside), so nothing is ever wanted twice.

    out of the position first where the target is smaller or of the other sign, then into it
    entry    post-only at the best price, moved at most every `reprice_ns`; after `patience_ns` what is left is given up
    exit     reduce-only, the same, but after `patience_ns` it takes
    urgent   an immediate order, at most `ioc_slip_bps` through the best
    profit   rests reduce-only at its price while the position is as wanted; takes where the market is there already
    stop, time stop, flatten   immediate and reduce-only; the target is nothing from then on
"""

from collections.abc import Iterable
from enum import StrEnum
from typing import NamedTuple

from msgspec import Struct

from core.market import Side
from core.orders import Listing, Order, Purpose, Status, Tif
from kernels.risk_limits import Quote
from kernels.risk_orders import Open
from kernels.strategies import Urgency

FAR = 2**62
FORCED = frozenset({Purpose.STOP, Purpose.TIME_STOP, Purpose.FLATTEN})
LONGEST_WAIT_NS = 30_000_000_000


class Handling(Struct, frozen=True, kw_only=True):
    """`retry_ns`: after a refusal or a rejection, doubled each time in a row. `venue_stop_bps`: how far behind a futures position a stop
    waits at the venue; 0: none does."""

    reprice_ns: int = 500_000_000
    patience_ns: int = 3_000_000_000
    ioc_slip_bps: float = 5.0
    retry_ns: int = 250_000_000
    venue_stop_bps: float = 0.0


class Aim(Struct, kw_only=True):
    """What is wanted of one symbol, in units, and how far we are. 0 is none."""

    size: int = 0  # signed
    urgency: Urgency = Urgency.PATIENT
    take_profit: int = 0  # on the tick
    stop: int = 0
    expires: int = 0
    since: int = 0  # when this was wanted: patience counts from here
    out: Purpose | None = None  # out at any price, and why
    placed: int = 0  # when the last order was made
    wait_until: int = 0
    failures: int = 0  # in a row
    exited: str = ""
    exited_at: int = 0


class Wish(NamedTuple):
    side: Side
    size: int
    price: int
    tif: Tif
    reduce_only: bool
    purpose: Purpose


class Act(StrEnum):
    WAIT = "wait"
    PLACE = "place"
    CANCEL = "cancel"


class Move(NamedTuple):
    act: Act
    reason: str = ""
    order_id: str = ""


class Bounds(NamedTuple):
    """Best prices between which (inclusive) nothing has to be decided."""

    bid_low: int = 0
    bid_high: int = FAR
    ask_low: int = 0
    ask_high: int = FAR


class Room(NamedTuple):
    """What an order may be: `largest` size of one that adds, `band` share of the middle that a price may be away."""

    largest: int
    band: float


OPEN_WIDE = Bounds()
STAY = Move(Act.WAIT)


def ended(aim: Aim, size: int, quote: Quote, now: int) -> Purpose | None:
    """Why a position has to go at once, if it has to."""
    if aim.out is not None or not size:
        return aim.out
    if aim.stop and (quote.bid <= aim.stop if size > 0 else quote.ask >= aim.stop):
        return Purpose.STOP
    if aim.expires and now >= aim.expires:
        return Purpose.TIME_STOP
    return None


def wish(aim: Aim, size: int, quote: Quote, listing: Listing, handling: Handling, room: Room, now: int, *, opens: bool) -> Wish | None:
    """The order that should stand now; None where none should. `opens`: whether anything may be added to a position."""
    wanted = 0 if aim.out is not None else aim.size
    turns = wanted * size < 0
    if turns or abs(wanted) < abs(size):
        leaving = _lots(abs(size) if turns else abs(size - wanted), listing)
        takes = aim.out is not None or aim.urgency is Urgency.NOW or now - aim.since >= handling.patience_ns
        side = Side.SELL if size > 0 else Side.BUY
        out = _order(side, leaving, quote, listing, handling, aim.out or Purpose.EXIT, takes=takes, reduce_only=True)
        if out is not None or turns:
            return out
    elif opens and now - aim.since < handling.patience_ns:
        side = Side.BUY if wanted > 0 else Side.SELL
        adding = _lots(min(abs(wanted - size), room.largest), listing)
        entry = _order(side, adding, quote, listing, handling, Purpose.ENTRY, takes=aim.urgency is Urgency.NOW, reduce_only=False)
        if entry is not None:
            return entry
    if size and aim.take_profit and aim.out is None:
        return _profit(aim.take_profit, size, quote, listing, handling)
    return None


def _order(
    side: Side, size: int, quote: Quote, listing: Listing, handling: Handling, purpose: Purpose, *, takes: bool, reduce_only: bool
) -> Wish | None:
    """At the best of its own side, or through that of the other; None where the venue would not take so little."""
    if not size:
        return None
    if takes:
        slip = handling.ioc_slip_bps * 1e-4
        far = quote.ask * (1 + slip) if side is Side.BUY else quote.bid * (1 - slip)
        price = int(far) // listing.tick * listing.tick
        price = max(price, quote.ask) if side is Side.BUY else max(price, listing.tick)
    else:
        price = quote.bid if side is Side.BUY else quote.ask
    small = size * price < listing.min_notional * listing.price_unit * listing.size_unit / listing.instrument.contract_multiplier
    if small and (listing.spot or not reduce_only):
        return None
    return Wish(side, min(size, listing.max_size), price, Tif.IOC if takes else Tif.GTX, reduce_only, purpose)


def _profit(price: int, size: int, quote: Quote, listing: Listing, handling: Handling) -> Wish | None:
    side, leaving = (Side.SELL if size > 0 else Side.BUY), _lots(abs(size), listing)
    if not leaving:
        return None
    there = quote.bid >= price if size > 0 else quote.ask <= price
    if there:
        return _order(side, leaving, quote, listing, handling, Purpose.TAKE_PROFIT, takes=True, reduce_only=True)
    price = on_tick(price, size, listing)
    return _order(side, leaving, Quote(price, price, 0), listing, handling, Purpose.TAKE_PROFIT, takes=False, reduce_only=True)


def on_tick(price: int, size: int, listing: Listing) -> int:
    """The price of a profit on a position of that sign, rounded towards more profit."""
    return -(-price // listing.tick) * listing.tick if size > 0 else price // listing.tick * listing.tick


def _lots(size: int, listing: Listing) -> int:
    whole = size // listing.lot * listing.lot
    return whole if whole >= max(1, listing.min_size) else 0


def move(wanted: Wish | None, standing: Iterable[tuple[Open, bool]], aim: Aim, handling: Handling, now: int) -> Move:
    """What to do. `standing`: the orders of this symbol that are ours to move, and whether a cancel of each is on its way."""
    move = None
    for row, cancelling in standing:
        if cancelling or row.status not in (Status.NEW, Status.PARTIAL):
            move = move or STAY  # nothing can be said of it yet
        elif reason := _amiss(wanted, row, aim, handling, now):
            return Move(Act.CANCEL, reason, row.order.order_id)
        else:
            move = move or STAY
    if move is not None:
        return move
    return Move(Act.PLACE) if wanted is not None and now >= aim.wait_until else STAY


def _amiss(wanted: Wish | None, row: Open, aim: Aim, handling: Handling, now: int) -> str:
    """Why an order should not stand any longer; empty where it should."""
    order = row.order
    if wanted is None:
        return "not wanted"
    if wanted.side is not order.side or wanted.purpose is not order.purpose:
        return f"{wanted.purpose} wanted"
    if row.left > wanted.size:
        return "too much"
    if wanted.tif is Tif.IOC:
        meets = order.purpose is Purpose.TAKE_PROFIT and order.price == aim.take_profit  # the market comes to it
        return "" if meets else "out of patience"
    if wanted.price != order.price and (order.purpose is Purpose.TAKE_PROFIT or now - aim.placed >= handling.reprice_ns):
        return "reprice"
    return ""


def within(wanted: Wish, quote: Quote, room: Room) -> bool:
    """Whether the price is near enough to be placed now: a profit may be too far away yet. One that rests may stay."""
    middle = (quote.bid + quote.ask) / 2
    return abs(wanted.price - middle) <= room.band * middle


def order_of(wanted: Wish, order_id: str, symbol: str, ts: int, signal: int) -> Order:
    return Order(
        order_id=order_id, symbol=symbol, side=wanted.side, size=wanted.size, price=wanted.price, tif=wanted.tif,
        reduce_only=wanted.reduce_only, purpose=wanted.purpose, ts=ts, signal=signal,
    )  # fmt: skip


def failed(aim: Aim, handling: Handling, now: int) -> None:
    """An order was refused or rejected: wait, longer each time."""
    aim.wait_until = now + min(handling.retry_ns << min(aim.failures, 16), LONGEST_WAIT_NS if aim.out is None else 8 * handling.retry_ns)
    aim.failures += 1


def bounds(wanted: Wish | None, standing: Iterable[tuple[Open, bool]], aim: Aim, size: int, handling: Handling, now: int) -> Bounds:
    """Where the market has to go before this symbol has to be looked at again, timers aside."""
    bid_low, bid_high, ask_low, ask_high = OPEN_WIDE
    if aim.out is not None:
        return OPEN_WIDE  # answers and timers move it
    if size and aim.stop:
        bid_low, ask_high = (aim.stop + 1, FAR) if size > 0 else (0, aim.stop - 1)
    resting = wanted is not None and wanted.purpose is Purpose.TAKE_PROFIT and wanted.tif is Tif.GTX
    if size and aim.take_profit and not resting:
        bid_high, ask_low = (aim.take_profit - 1, ask_low) if size > 0 else (bid_high, aim.take_profit + 1)
    for row, cancelling in standing:
        order = row.order
        if cancelling or order.purpose is Purpose.TAKE_PROFIT or order.tif is not Tif.GTX or now - aim.placed < handling.reprice_ns:
            continue
        if row.status in (Status.NEW, Status.PARTIAL):
            if order.side is Side.BUY:
                bid_low, bid_high = max(bid_low, order.price), min(bid_high, order.price)
            else:
                ask_low, ask_high = max(ask_low, order.price), min(ask_high, order.price)
    return Bounds(bid_low, bid_high, ask_low, ask_high)
