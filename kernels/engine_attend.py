"""Looking at one symbol: what should stand, what risk says to it, and what to watch the market for."""

from core.events import Approved, Cancel, CancelAll, Mode
from core.market import NS
from core.orders import Kind, Order, Purpose, Status, Tif, client_id
from kernels import execution, execution_stop, risk, risk_orders
from kernels.engine_laps import RISK
from kernels.engine_state import Decisions, Desk, Ours, State, held
from kernels.execution import Act, Room
from kernels.risk_limits import BACK_NS
from kernels.strategies import Urgency

AGAIN_NS = 1_000_000_000  # a cancel that brought nothing is asked for again after so long


def attend(state: State, desk: Desk, out: Decisions) -> None:
    """Bring the symbol's orders nearer to what is wanted."""
    symbol, aim, plan, now = desk.symbol, desk.aim, state.plan, state.clock.now
    idle = not aim.size and aim.out is None and not state.orders.of.get(symbol) and not state.position(symbol).size
    if idle and not desk.watching:
        return
    for order_id in list(state.orders.of.get(symbol, ())):
        ours = state.ours[order_id]
        if ours.orphan and ours.over is None and now >= ours.cancelling_until:
            cancel(state, order_id, "of an earlier session", out)
    if plan.handling.venue_stop_bps and not desk.listing.spot:
        keep_stop(state, desk, out)
    standing = state.mine(symbol)
    if state.mode is Mode.HALTED and not state.flattening:
        cancel_each(state, symbol, "halted", out)
        return
    quote = state.quote(symbol)
    limits = plan.limits
    heard = -BACK_NS <= now - quote.ts <= limits.max_quote_age_s * NS
    if not 0 < quote.bid < quote.ask or not heard or not state.accounted or desk.owed is not None:
        cancel_each(state, symbol, "no quote to trade by" if state.accounted else "the account is not known", out)
        unwatch(state, desk)
        return
    size = held(state, symbol, quote)
    if aim.out is not None and not size and not standing:  # it went without a fill of ours, or is too little to sell now
        aim.exited, aim.exited_at, aim.out = str(aim.out), now, None
        aim.size = aim.take_profit = aim.stop = aim.expires = 0
    if not (size or aim.size or aim.out or standing):
        unwatch(state, desk)
        return
    if state.flattening and size and aim.out is not Purpose.FLATTEN:  # also where a stop was on its way: HALTED lets nothing else out
        aim.out, aim.size, aim.since = Purpose.FLATTEN, 0, now
    if aim.out is None and (why := execution.ended(aim, size, quote, now)) is not None:
        aim.out, aim.size, aim.since, aim.wait_until, aim.failures = why, 0, now, 0, 0
    _give_up(aim, size, plan.handling, now)
    opens = state.mode is Mode.ACTIVE and not state.paused and now <= desk.fresh_until
    room = room_of(state, desk, (quote.bid + quote.ask) / 2)
    wanted = execution.wish(aim, size, quote, desk.listing, plan.handling, room, now, opens=opens)
    step = execution.move(wanted, standing, aim, plan.handling, now)
    if step.act is Act.CANCEL:
        cancel(state, step.order_id, step.reason, out)
    elif step.act is Act.PLACE and wanted is not None and execution.within(wanted, quote, room):
        signal = desk.signal_seq if wanted.purpose in (Purpose.ENTRY, Purpose.EXIT) else state.seq
        aim.placed = now
        if not place(state, execution.order_of(wanted, next_id(state), symbol, now, signal), out):
            execution.failed(aim, plan.handling, now)
    standing = state.mine(symbol) if step.act is not Act.WAIT else standing
    watched = execution.bounds(wanted, standing, aim, size, plan.handling, now)
    if watched == execution.OPEN_WIDE:
        unwatch(state, desk)
    else:
        desk.watching = True
        state.market.watch(symbol, *watched)


def keep_stop(state: State, desk: Desk, out: Decisions) -> None:
    """The stop at the venue follows the position. Where nothing is known of the market it stays as it is."""
    symbol, now, bps = desk.symbol, state.clock.now, state.plan.handling.venue_stop_bps
    position, quote = state.position(symbol), state.quote(symbol)
    stops = [
        row for row in state.orders.of.get(symbol, {}).values() if row.order.kind is Kind.STOP or state.ours[row.order.order_id].orphan
    ]
    known = 0 < quote.bid < quote.ask and state.accounted and desk.owed is None
    if state.mode is Mode.HALTED or not (known or (stops and not position.size)):
        return
    wanted = execution_stop.wish(position, quote, desk.listing, bps)
    for row in stops:
        ours = state.ours[row.order.order_id]
        if ours.orphan or ours.over is not None or ours.seen or now < ours.cancelling_until or row.status is not Status.NEW:
            continue
        if why := execution_stop.amiss(wanted, row.order, bps, now):
            cancel(state, row.order.order_id, why, out)
    if stops or wanted is None or now < desk.stop_wait:
        return
    if not place(state, execution_stop.order_of(wanted, next_id(state), symbol, now, state.seq), out):
        desk.stop_wait = now + execution_stop.SETTLE_NS


def unwatch(state: State, desk: Desk) -> None:
    if desk.watching:
        desk.watching = False
        state.market.unwatch(desk.symbol)


def _give_up(aim: execution.Aim, size: int, handling: execution.Handling, now: int) -> None:
    """What is left of an entry after its patience; what is held of it stays wanted."""
    entering = aim.size * size >= 0 and abs(aim.size) > abs(size)
    if entering and aim.out is None and now - aim.since >= handling.patience_ns:
        aim.size = size
        if not size:
            aim.take_profit = aim.stop = aim.expires = 0
            aim.urgency = Urgency.PATIENT


def room_of(state: State, desk: Desk, middle: float) -> Room:
    """How large one entry may be by the limit on orders, and how far from the middle a price by the bands (a little inside them)."""
    position, limits = state.position(desk.symbol), state.plan.limits
    unit = middle * position.money * position.to_base
    return Room(int(0.999 * limits.max_order / unit), 0.95 * min(limits.price_band, desk.listing.band))


def next_id(state: State) -> str:
    state.last_order += 1
    return client_id(state.plan.epoch, state.last_order)


def place(state: State, order: Order, out: Decisions) -> bool:
    """Ask risk; an approved order counts from here on."""
    began = state.laps.timer() if state.laps is not None else 0
    verdict = risk.check(
        order, orders=state.orders, holdings=state.holdings, quote=state.quote(order.symbol), limits=state.plan.limits,
        clock=state.clock, mode=state.mode,
    )  # fmt: skip
    if state.laps is not None:
        state.laps.took(RISK, began)
    out.append(verdict)
    if not isinstance(verdict, Approved):
        return False
    row = risk_orders.enter(state.orders, order, state.clock.now)
    state.ours[order.order_id] = Ours(row=row, foreign=order.purpose is Purpose.MANUAL)
    return True


def cancel(state: State, order_id: str, reason: str, out: Decisions) -> None:
    ours = state.ours[order_id]
    ours.cancelling_until = state.clock.now + AGAIN_NS
    out.append(Cancel(ts=state.clock.now, order_id=order_id, symbol=ours.row.order.symbol, reason=reason))


def cancel_each(state: State, symbol: str, reason: str, out: Decisions) -> None:
    """Cancel the symbol's orders that rest (all of them in HALTED, those made by hand too), asking again where nothing came of it."""
    now = state.clock.now
    for order_id, row in list(state.orders.of.get(symbol, {}).items()):
        ours = state.ours[order_id]
        if ours.over is not None or ((ours.foreign or row.order.kind is Kind.STOP) and state.mode is not Mode.HALTED):
            continue
        if row.order.tif is Tif.IOC and not ours.foreign:
            continue
        if now >= ours.cancelling_until:
            cancel(state, order_id, reason, out)


def cancel_everything(state: State, reason: str, out: Decisions) -> None:
    """One call to the venue for all symbols."""
    now = state.clock.now
    for order_id in state.orders.by_id:
        state.ours[order_id].cancelling_until = now + AGAIN_NS
    out.append(CancelAll(ts=now, symbols=state.plan.symbols, reason=reason))
