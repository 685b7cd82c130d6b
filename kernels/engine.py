"""The engine: what reaches the worker in, what it should do out. It does no I/O, asks no clock and no chance.

    init(plan, ts) -> state;  step(state, input, plan) -> decisions

An input is a struct of `core.events` or a batch of market rows (`kernels.frames_live.Batch`: all that was received at one time). The same
plan and the same inputs make the same decisions, bit for bit: live, in paper and in replay. Market rows are followed in compiled code and
reach Python only where something has to be decided: a second closed, the best price left what is watched for, a book broke.
"""

from collections import deque
from collections.abc import Callable, Sequence

import numpy as np

from core.events import (
    Account,
    AnyInput,
    CancelFailed,
    Command,
    CommandKind,
    Connected,
    Decision,
    Disconnected,
    Filled,
    Funding,
    Incident,
    Mode,
    Ordered,
    Overflowed,
    Prediction,
    PredictionFailed,
    Snapshot,
    Timer,
    Unanswered,
)
from core.market import NS
from kernels import engine_commands as commands
from kernels import engine_orders as orders
from kernels import engine_plan, holdings, live_market, opening, risk, risk_orders, rule_signals
from kernels import engine_signals as signals
from kernels.engine_attend import attend
from kernels.engine_laps import BOOK, FEATURES, RULE, Laps
from kernels.engine_plan import ModelFacts, Plan
from kernels.engine_state import Decisions, Desk, State, forget, held, turn_back, windows
from kernels.execution import Aim
from kernels.frames_live import Batch, Live
from kernels.live_market import LiveMarket, Second
from kernels.strategies import convert, strategy

AHEAD = frozenset({CommandKind.KILL, CommandKind.FLATTEN})  # they come before all that waits: time does not go on with them

__all__ = ["Batch", "ModelFacts", "Plan", "State", "init", "scales", "step"]


def scales(plan: Plan) -> dict[str, tuple[int, int]]:
    """Symbol -> (price decimals, size decimals), in the order that the decoder of frames must have."""
    return {s: (of.instrument.price_decimals, of.instrument.size_decimals) for s, of in plan.listings.items()}


def init(plan: Plan, ts: int) -> State:
    """A state that nothing is known in. Compiles what it needs (seconds, once). Raises `ValueError` for a plan that cannot be traded by,
    `LookupError` for a strategy that is not there."""
    engine_plan.check(plan)
    module = strategy(plan.strategy)
    n = len(plan.listings)
    market = LiveMarket(scales(plan), lateness_ns=plan.lateness_ns, gap_ns=plan.gap_ns)
    state = State(
        plan=plan,
        desks={s: Desk(symbol=s, code=code, listing=of, aim=Aim(), windows=windows(plan.models), pending=deque())
               for code, (s, of) in enumerate(plan.listings.items())},
        market=market,
        orders=risk_orders.init(),
        ours={},
        holdings=holdings.init(plan.listings, plan.capital, ts),
        clock=risk.Clock(now=ts),
        usual_ns=int(plan.limits.max_clock_jump_s * NS),
        rule_state=rule_signals.init(n),
        rule=rule_signals.packed(plan.rule),
        bars=np.tile([np.nan, 0.0, 0.0], (n, 1)),
        strategy=module,
        remembered=module.init(convert(plan.params, module.Params), plan.symbols),
        mode=Mode.HALTED if plan.latched else Mode.ACTIVE,
        latched=bool(plan.latched),
        last_order=plan.first_order,
        tidied_at=ts,
    )  # fmt: skip
    if plan.opening is not None:
        opening.resume(state.holdings, plan.opening)
        for s, desk in state.desks.items():
            desk.aim.size = state.position(s).size  # what is held stays wanted, as where it is taken over from the venue
    rule_signals.step_packed(state.rule_state, state.bars, state.rule)
    return state


def compile_all(plan: Plan) -> None:
    """Compile, or load, what steps need, so that none of them has to (a minute the first time). Raises as `init`."""
    init(plan, 0).market.compile()
    Live(scales(plan)).decode([b"{}"], 0)


def timed(state: State, timer: Callable[[], int]) -> Laps:
    """Have a state tell how long the parts of its steps take, by a clock in ns. It decides the same."""
    state.laps = Laps(timer)
    state.market.timer = timer
    return state.laps


def step(state: State, told: AnyInput | Batch, plan: Plan) -> Sequence[Decision]:
    """Fold one input in; what to do about it, in order. `plan` is the one that the state was made with."""
    out: Decisions = []
    if isinstance(told, Batch):
        _tick(state, told.ts_recv, out)
        _market(state, told, out)
        return out
    if not (isinstance(told, Command) and told.kind in AHEAD):
        _tick(state, told.ts, out)
    state.seq += 1
    match told:
        case Timer():
            _timer(state, out)
        case Prediction():
            signals.predicted(state, told, out)
        case PredictionFailed():
            signals.failed(state, told, out)
        case Ordered():
            orders.ordered(state, told, out)
        case Filled():
            orders.filled(state, told, out)
            commands.keep_limits(state, out)
        case Unanswered():
            orders.unanswered(state, told, out)
        case CancelFailed():
            orders.cancel_failed(state, told, out)
        case Account():
            orders.account(state, told, out)
        case Snapshot():
            commands.snapshot(state, told, out)
        case Connected():
            commands.connected(state, told, out)
        case Disconnected():
            commands.disconnected(state, told, out)
        case Overflowed():
            commands.overflowed(state, told, out)
        case Funding():
            if (of := told.symbol or holdings.largest(state.holdings)) in state.desks:
                holdings.fund(state.holdings, of, told.amount)
                commands.keep_limits(state, out)
        case Command():
            commands.command(state, told, out)
    return out


def _tick(state: State, ts: int, out: Decisions) -> None:
    """Time goes on, nearly always by a little."""
    was = state.clock.now
    if 0 <= ts - was <= state.usual_ns:
        state.clock.now = ts
    elif not risk.tick(state.clock, ts, state.plan.limits):
        if ts < was:
            turn_back(state, was - ts)
        out.append(Incident(ts=ts, kind="clock_jump", detail="time went back, or on by more than allowed: nothing is sent for a while"))


def _market(state: State, batch: Batch, out: Decisions) -> None:
    """All rows of one receipt."""
    market, rows, levels, ts_recv = state.market, batch.rows, batch.levels, batch.ts_recv
    before, at = state.seq, 0
    closed: list[Second] = []
    laps = state.laps
    while True:
        if laps is None:
            at, why, code = market.advance(rows, levels, at, ts_recv)
        else:
            began = laps.timer()
            at, why, code = market.advance(rows, levels, at, ts_recv)
            laps.took(BOOK, began + market.closing_ns)
            laps.spent[FEATURES] += market.closing_ns
        state.seq = before + at
        if why == live_market.SECOND:
            if any(one.code == code for one in closed):
                _closed(state, closed, out)
                closed = []
            closed.append(market.closed)
            continue
        if closed:
            _closed(state, closed, out)
            closed = []
        if why == live_market.END:
            return
        symbol = market.symbols[code]
        if why == live_market.TOP:
            state.desks[symbol].watching = False
            _marked(state, symbol)
            attend(state, state.desks[symbol], out)
        else:
            commands.lost(state, symbol, "a sequence gap" if why == live_market.BROKEN else "the book crossed", out)


def _closed(state: State, closed: list[Second], out: Decisions) -> None:
    """Seconds of different symbols that closed with one receipt: the rule is asked once for all of them."""
    for one in closed:
        _marked(state, one.symbol)
    commands.keep_limits(state, out)
    began = state.laps.timer() if state.laps is not None else 0
    told = signals.ruled(state, closed)
    if state.laps is not None:
        state.laps.took(RULE, began)
    for one in closed:
        signals.second(state, one, told[one.code], out)


def _marked(state: State, symbol: str) -> None:
    quote = state.quote(symbol)
    holdings.mark(state.holdings, symbol, quote.bid, quote.ask, quote.ts)


def _timer(state: State, out: Decisions) -> None:
    commands.mark_all(state)
    for desk in state.desks.values():
        orders.owed(state, desk, out)
    commands.keep_limits(state, out)
    for desk in state.desks.values():
        signals.give_up(state, desk, out)
        attend(state, desk, out)
    if state.flattening and not state.orders.by_id and not any(held(state, symbol, state.quote(symbol)) for symbol in state.desks):
        state.flattening = False
        out.append(Incident(ts=state.clock.now, kind="flattened", detail="nothing is held that could be sold, and no order is open"))
    forget(state)
