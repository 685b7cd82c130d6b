"""What a person asks for, what limits ask for by themselves, and what becomes of the links to the venue."""

from msgspec.structs import replace

from core.events import Command, CommandKind, Connected, Disconnected, Incident, Mode, ModeChanged, Overflowed, Resync, Snapshot
from core.orders import Purpose
from kernels import holdings, risk
from kernels.engine_attend import attend, cancel, cancel_everything, next_id, place
from kernels.engine_state import Decisions, State, held


def command(state: State, told: Command, out: Decisions) -> None:
    """Done once by its key. KILL and FLATTEN halt and latch; PAUSE only keeps from opening; REARM undoes all three and needs a reason."""
    if told.key in state.commands:
        return
    state.commands[told.key] = state.clock.now
    why = f"{told.who}: {told.reason or told.kind}"
    match told.kind:
        case CommandKind.KILL | CommandKind.FLATTEN:
            state.flattening = told.kind is CommandKind.FLATTEN
            halt(state, f"{told.kind} by {why}", out)
        case CommandKind.REARM:
            rearm(state, told, out)
        case CommandKind.PAUSE:
            state.paused = True
            if state.mode is Mode.ACTIVE:
                change(state, ModeChanged(ts=state.clock.now, mode=Mode.REDUCING, reason=f"paused by {why}", latched=False), out)
        case CommandKind.RESUME:
            state.paused = False
            if state.mode is Mode.REDUCING and not state.latched:
                change(state, ModeChanged(ts=state.clock.now, mode=Mode.ACTIVE, reason=f"resumed by {why}", latched=False), out)
        case CommandKind.ORDER:
            by_hand(state, told, out)
        case CommandKind.CANCEL:
            if told.order is not None and told.order.order_id in state.ours:
                cancel(state, told.order.order_id, f"by {why}", out)
            else:
                out.append(Incident(ts=state.clock.now, kind="no_such_order", detail=told.order.order_id if told.order else ""))
        case CommandKind.CANCEL_ALL:
            cancel_everything(state, f"by {why}", out)
            want_no_more(state)
    attend_all(state, out)


def rearm(state: State, told: Command, out: Decisions) -> None:
    if not told.reason.strip():
        out.append(Incident(ts=state.clock.now, kind="rearm_refused", detail=f"{told.who} gave no reason"))
        return
    state.latched = state.paused = state.flattening = False
    for desk in state.desks.values():
        desk.aim.out = None
    want_no_more(state)
    holdings.count_anew(state.holdings, state.clock.now)
    change(state, ModeChanged(ts=state.clock.now, mode=Mode.ACTIVE, reason=f"re-armed by {told.who}: {told.reason}", latched=False), out)


def by_hand(state: State, told: Command, out: Decisions) -> None:
    """An order made by hand takes the same path as any other."""
    if told.order is None:
        out.append(Incident(ts=state.clock.now, kind="no_such_order", detail=f"{told.who} named no order"))
        return
    symbol = told.order.symbol
    if symbol not in state.desks:
        out.append(Incident(ts=state.clock.now, kind="unlisted", symbol=symbol, detail=f"{told.who} asked for an order of it"))
        return
    place(state, replace(told.order, order_id=next_id(state), purpose=Purpose.MANUAL, ts=state.clock.now, signal=state.seq), out)


def want_no_more(state: State) -> None:
    """Hold what is held, and nothing else."""
    for symbol, desk in state.desks.items():
        if desk.aim.out is None:
            desk.aim.size = held(state, symbol, state.quote(symbol))


def halt(state: State, reason: str, out: Decisions) -> None:
    if state.mode is not Mode.HALTED or not state.latched:
        change(state, ModeChanged(ts=state.clock.now, mode=Mode.HALTED, reason=reason, latched=True), out)
    else:
        cancel_everything(state, reason, out)


def change(state: State, to: ModeChanged, out: Decisions) -> None:
    """Another mode. Halting cancels everything in the same step."""
    state.mode, state.latched = to.mode, to.latched
    out.append(to)
    if to.mode is Mode.HALTED:
        cancel_everything(state, to.reason, out)


def keep_limits(state: State, out: Decisions) -> None:
    """Equity afresh, and the mode that limits ask for."""
    now = state.clock.now
    holdings.settle(state.holdings, now)
    latched = state.latched or state.paused
    to = risk.mode_after(state.mode, latched, orders=state.orders, holdings=state.holdings, limits=state.plan.limits, clock=state.clock)
    if to is not None:
        change(state, to, out)
        attend_all(state, out)


def attend_all(state: State, out: Decisions) -> None:
    for desk in state.desks.values():
        attend(state, desk, out)


def mark_all(state: State) -> None:
    """Every symbol that is heard of, at its middle."""
    for symbol in state.desks:
        quote = state.quote(symbol)
        holdings.mark(state.holdings, symbol, quote.bid, quote.ask, quote.ts)


def snapshot(state: State, told: Snapshot, out: Decisions) -> None:
    desk = state.desks.get(told.symbol)
    if desk is None:
        return
    desk.booked = True
    bids, asks = (state.levels(side) for side in (told.bids, told.asks))
    if state.market.snapshot(told.symbol, told.ts, told.update_id, bids, asks):
        desk.away = False
        attend(state, desk, out)
    else:
        lost(state, told.symbol, "the snapshot does not meet the diffs", out)


def lost(state: State, symbol: str, reason: str, out: Decisions) -> None:
    """The book of one symbol is unknown: its quotes go, and it alone is fetched afresh."""
    state.desks[symbol].away = True
    out.append(Resync(ts=state.clock.now, symbol=symbol, reason=reason))
    attend(state, state.desks[symbol], out)


def connected(state: State, told: Connected, out: Decisions) -> None:
    if told.what == "account":
        state.deaf = False
        attend_all(state, out)
        return
    for symbol in told.symbols or state.plan.symbols:
        if (desk := state.desks.get(symbol)) is None:
            continue
        if state.market.stale(symbol):
            out.append(Resync(ts=state.clock.now, symbol=symbol, reason="connected"))
            desk.away = desk.booked
        else:
            desk.away = False
        attend(state, desk, out)


def disconnected(state: State, told: Disconnected, out: Decisions) -> None:
    """Nothing is quoted blind, and nothing without hearing what becomes of it."""
    if told.what == "account":
        state.deaf = True
        attend_all(state, out)
        return
    symbols = [symbol for symbol in told.symbols or state.plan.symbols if symbol in state.desks]
    state.market.disconnected(symbols)
    for symbol in symbols:
        state.desks[symbol].away = True
        attend(state, state.desks[symbol], out)


def overflowed(state: State, told: Overflowed, out: Decisions) -> None:
    symbols = [symbol for symbol in told.symbols if symbol in state.desks]
    state.market.overflowed(symbols)
    for symbol in symbols:
        lost(state, symbol, "frames were dropped", out)
