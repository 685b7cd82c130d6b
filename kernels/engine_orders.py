"""What the venue says of our orders, fills and holdings, folded into the order table.

A fill counts once, by its trade id. An order is over when the venue says so and all the fills it told of have come; until then what is
missing counts as open. What is not ours is told as an incident, and counted: the venue is right.
"""

from core.events import Account, CancelFailed, Filled, Incident, Ordered, Unanswered
from core.market import NS, Side
from core.orders import Held, Kind, Order, Purpose, Standing, Status, Tif, numbers_of
from kernels import holdings, risk_orders
from kernels.engine_attend import AGAIN_NS, attend, cancel
from kernels.engine_state import Decisions, Desk, Ours, State, held
from kernels.execution import FORCED, Aim, failed
from kernels.execution_stop import SETTLE_NS

RETRY_NS = NS // 2  # before a cancel that failed is asked for again
CLOSING = FORCED | {Purpose.TAKE_PROFIT, Purpose.VENUE_STOP}


def ordered(state: State, told: Ordered, out: Decisions) -> None:
    standing = told.standing
    ours = state.ours.get(standing.order_id)
    desk = state.desks.get(standing.symbol)
    if ours is None:
        if standing.order_id not in state.ended and standing.status.is_open:
            _found(state, standing, desk, out)
        return
    row = ours.row
    if standing.status in (Status.UNKNOWN, Status.SENT, Status.INTENT):
        _unknown(state, ours)
    else:
        ours.told = max(ours.told, standing.filled)
        if standing.status.is_open:
            if ours.over is None:  # else it is news from before the end
                so_far = Status.PARTIAL if max(ours.told, ours.seen) else Status.NEW
                risk_orders.stands(
                    state.orders, row.order.order_id, so_far, row.order.size - ours.seen
                )  # told and not yet seen is in no position
        else:
            ours.over = standing.status
            _settle(state, ours)
    if desk is not None:
        rejected = standing.status in (Status.REJECTED, Status.REFUSED)
        expired = standing.status is Status.EXPIRED and not max(ours.told, ours.seen)  # post-only that would take: not at once again
        if row.order.kind is Kind.STOP:
            desk.stop_wait = state.clock.now + SETTLE_NS if rejected else 0
        elif (rejected or expired) and not ours.foreign:
            failed(desk.aim, state.plan.handling, state.clock.now)
        elif max(ours.told, ours.seen):
            desk.aim.failures = 0
        attend(state, desk, out)


def _unknown(state: State, ours: Ours) -> None:
    """Not answered; what was heard of it by another way stays."""
    if ours.row.status in (Status.INTENT, Status.SENT):
        risk_orders.stands(state.orders, ours.row.order.order_id, Status.UNKNOWN)


def _settle(state: State, ours: Ours) -> None:
    """Take an order out that is over, when no fill of it is missing."""
    order_id, status = ours.row.order.order_id, ours.over
    if status is None:
        return
    whole = status is Status.FILLED and ours.row.order.kind is not Kind.STOP  # a stop closes what is held then, more or less than it said
    missing = (ours.row.order.size if whole else ours.told) - ours.seen
    if missing > 0:
        risk_orders.stands(state.orders, order_id, Status.PARTIAL, missing)
        return
    risk_orders.stands(state.orders, order_id, status, 0)
    del state.ours[order_id]
    state.ended[order_id] = (ours, state.clock.now)


def _found(state: State, standing: Standing, desk: Desk | None, out: Decisions) -> None:
    """An open order that we did not know of: it counts, and one of an earlier worker is cancelled."""
    if desk is None or standing.size <= standing.filled:
        return
    order = Order(
        order_id=standing.order_id, symbol=standing.symbol, side=standing.side, size=standing.size, price=standing.price,
        kind=Kind.LIMIT if standing.price else Kind.MARKET, tif=Tif.GTC, reduce_only=standing.reduce_only, purpose=Purpose.MANUAL,
        ts=state.clock.now, signal=state.seq,
    )  # fmt: skip
    row = risk_orders.enter(state.orders, order, state.clock.now, status=standing.status, filled=standing.filled)
    orphan = numbers_of(standing.order_id) is not None
    state.ours[order.order_id] = Ours(row=row, seen=standing.filled, told=standing.filled, foreign=True, orphan=orphan)
    if orphan:
        cancel(state, standing.order_id, "of an earlier session", out)
    else:
        detail = f"{standing.order_id}: {standing.side} {standing.size} at {standing.price}"
        out.append(Incident(ts=state.clock.now, kind="foreign_order", symbol=standing.symbol, detail=detail))


def filled(state: State, told: Filled, out: Decisions) -> None:
    fill = told.fill
    desk = state.desks.get(fill.symbol)
    if desk is None:
        out.append(Incident(ts=state.clock.now, kind="foreign_fill", symbol=fill.symbol, detail=f"trade {fill.trade_id}: not listed"))
        return
    quote = state.quote(fill.symbol)
    before = held(state, fill.symbol, quote)
    if not holdings.apply(state.holdings, fill):
        return
    ours = state.ours.get(fill.order_id)
    known = ours or (state.ended[fill.order_id][0] if fill.order_id in state.ended else None)
    if ours is not None:
        ours.seen += fill.size
        left = ours.row.order.size - ours.seen
        if ours.over is None:
            risk_orders.stands(state.orders, fill.order_id, Status.PARTIAL, left)
            if ours.seen >= ours.row.order.size:
                ours.over = Status.FILLED
        _settle(state, ours)
    elif known is not None:
        known.seen += fill.size
    else:
        detail = f"trade {fill.trade_id} of order {fill.order_id}: {fill.side} {fill.size} at {fill.price}"
        out.append(Incident(ts=state.clock.now, kind="foreign_fill", symbol=fill.symbol, detail=detail))
    after = held(state, fill.symbol, quote)
    _aim_after(desk.aim, known, fill.size if fill.side is Side.BUY else -fill.size, before, after, state.clock.now)
    attend(state, desk, out)


def _aim_after(aim: Aim, ours: Ours | None, by: int, before: int, after: int, now: int) -> None:
    """What is wanted after a fill: what a person or the venue did is not traded back, and what was closed is not opened again."""
    purpose = ours.row.order.purpose if ours is not None and not ours.foreign else Purpose.MANUAL
    aim.failures = 0
    if purpose is Purpose.MANUAL and aim.out is None:
        aim.size += by
    elif purpose in CLOSING:
        aim.size = after if aim.out is None else 0
    if before and (not after or before * after < 0):
        aim.out, aim.exited, aim.exited_at = None, str(purpose), now
        if aim.size * before >= 0:
            aim.size = after
            aim.take_profit = aim.stop = aim.expires = 0


def unanswered(state: State, told: Unanswered, out: Decisions) -> None:
    ours = state.ours.get(told.order_id)
    if ours is None:
        return
    _unknown(state, ours)
    out.append(Incident(ts=state.clock.now, kind="unknown_order", symbol=told.symbol, detail=f"{told.order_id}: {told.reason}"))


def cancel_failed(state: State, told: CancelFailed, out: Decisions) -> None:
    """It is asked for again later, if it still stands then."""
    ours = state.ours.get(told.order_id)
    if ours is not None:
        ours.cancelling_until = state.clock.now + (RETRY_NS if told.code else AGAIN_NS)


def account(state: State, told: Account, out: Decisions) -> None:
    """What the venue holds. The first time it is taken as it is; later where it differs twice alike and no fill came between."""
    first = not state.known
    state.known = True
    of = {position.symbol: position for position in told.positions}
    for symbol, desk in state.desks.items():
        position = state.position(symbol)
        venue = of.get(symbol) or (None if desk.listing.spot else Held(symbol=symbol, size=0))
        if venue is None:
            continue
        by = venue.size - position.size
        seen = by, len(position.trades)
        if by == 0 or first or desk.differs == seen:
            _adopt(state, desk, venue, by, first, out)
            seen = 0, 0
        desk.differs = seen
    for desk in state.desks.values():
        attend(state, desk, out)


def owed(state: State, desk: Desk, out: Decisions) -> None:
    """Take over what could not be valued so far."""
    if desk.owed is not None:
        _adopt(state, desk, desk.owed, desk.owed.size - state.position(desk.symbol).size, True, out)


def _adopt(state: State, desk: Desk, venue: Held, by: int, first: bool, out: Decisions) -> None:
    symbol, quote, now = desk.symbol, state.quote(desk.symbol), state.clock.now
    position, listing = state.position(symbol), desk.listing
    price = position.mid
    if 0 < quote.bid < quote.ask:
        price = (quote.bid + quote.ask) / 2
    if venue.entry_price > 0 and (first or not price > 0):
        price = venue.entry_price * listing.price_unit
    desk.owed = None
    if by and not price >= 1:
        desk.owed = venue  # taken over with the first quote; until then nothing of this symbol is sent
        return
    holdings.adopt(state.holdings, symbol, venue.size, price, liquidation=venue.liquidation_price * listing.price_unit)
    if not by:
        return
    if not first:
        out.append(Incident(ts=now, kind="position_differs", symbol=symbol, detail=f"{by:+d} units taken over from the venue"))
    if first or desk.aim.size:
        desk.aim.size = venue.size
