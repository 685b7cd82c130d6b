"""Between the strategy and execution: what it sees of a symbol, and its targets in whole lots within the caps."""

from math import copysign, isfinite, nan

from core.events import Incident
from core.orders import Purpose
from kernels.engine_attend import attend
from kernels.engine_state import Decisions, Desk, State, held
from kernels.execution import FAR, on_tick
from kernels.strategies import Seen, Target, View


def consult(state: State, desk: Desk, out: Decisions) -> None:
    """Ask the strategy about a new signal, take its targets, and act on them."""
    view = View(state.clock.now, state.plan.symbols, desk.symbol, lambda symbol: seen(state, symbol))
    state.remembered, targets = state.strategy.step(state.remembered, view)
    for target in targets:
        of = state.desks.get(target.symbol)
        numbers = (target.size, target.take_profit, target.stop)
        fine = of is not None and all(map(isfinite, numbers)) and min(target.take_profit, target.stop, target.expires) >= 0
        if of is None or not fine or max(target.take_profit, target.stop) * of.listing.price_unit >= FAR:
            out.append(Incident(ts=state.clock.now, kind="bad_target", symbol=target.symbol, detail=str(target)))
            continue
        aim_at(state, of, target)
        if of is not desk:
            attend(state, of, out)
    attend(state, desk, out)


def seen(state: State, symbol: str) -> Seen:
    """One symbol as a strategy sees it."""
    desk, quote = state.desks[symbol], state.quote(symbol)
    listing, aim, position = desk.listing, desk.aim, state.position(symbol)
    known = 0 < quote.bid < quote.ask
    size = held(state, symbol, quote)
    rule, model = desk.rule, desk.model
    return Seen(
        symbol=symbol,
        ts_bar=desk.ts_bar,
        close=desk.close,
        bid=quote.bid / listing.price_unit if known else nan,
        ask=quote.ask / listing.price_unit if known else nan,
        rule=rule.direction if rule else 0,
        rule_score=rule.score if rule else 0.0,
        model=model.direction if model else 0,
        model_score=model.score if model else 0.0,
        fused=desk.fused.direction,
        strength=desk.fused.strength,
        fresh=state.clock.now <= desk.fresh_until,
        volatility=desk.volatility,
        features=desk.features,
        position=size / listing.size_unit,
        average=position.average_price if size else nan,
        target=aim.size / listing.size_unit,
        guarded=bool(aim.stop or aim.expires),
        cap=state.plan.caps.get(symbol, 0.0),
        spot=listing.spot,
        exited=aim.exited,
        exited_at=aim.exited_at,
    )


def aim_at(state: State, desk: Desk, target: Target) -> None:
    """Take a target over. While a stop, a time stop or a flatten is under way nothing else is wanted."""
    aim, listing = desk.aim, desk.listing
    if aim.out is not None and aim.out in (Purpose.STOP, Purpose.TIME_STOP, Purpose.FLATTEN):
        return
    size = sized(state, desk, target.size)
    if size != aim.size or target.urgency is not aim.urgency:
        aim.size, aim.urgency, aim.since = size, target.urgency, state.clock.now
    guarded = size != 0
    aim.take_profit = on_tick(round(target.take_profit * listing.price_unit), size, listing) if guarded else 0
    aim.stop = round(target.stop * listing.price_unit) if guarded else 0
    aim.expires = target.expires if guarded else 0


def sized(state: State, desk: Desk, size: float) -> int:
    """Signed units in whole lots, cut to the symbol's cap at the middle; nothing below 0 on spot. What is held may stay."""
    listing, position = desk.listing, state.position(desk.symbol)
    quote = state.quote(desk.symbol)
    if not size or not 0 < quote.bid < quote.ask:
        return 0
    if size < 0 and listing.spot:
        return 0
    cap = state.plan.caps.get(desk.symbol, 0.0)
    most = cap / ((quote.bid + quote.ask) / 2 * position.money * position.to_base)
    wanted = abs(size) * listing.size_unit
    already = abs(position.size) if position.size * size > 0 else 0
    units = int(min(wanted, max(most, already)) * (1 + 1e-12))
    return int(copysign(units // listing.lot * listing.lot, size))
