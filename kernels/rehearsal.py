"""A twin of the engine on a made-up market, gone through just before it counts: code and data are warm when the real second closes.

    init(plan, ts) -> twin;  beat(twin) -> the order that the twin was allowed, or None

What decides lies still between two seconds, and then takes four to seven times as long as when it was just used. The twin runs that very
code (the compiled rule, signal, strategy, execution, risk) on a state of its own. Nothing it decides is real, and the engine's own state is
not touched: what is decided does not depend on whether there is a twin.
"""

import json
from types import SimpleNamespace
from typing import Any

import msgspec
import numpy as np
from msgspec import Struct

from core.events import Account, Approved, Connected, Ordered, Timer
from core.market import NS
from core.orders import Order, Standing, Status
from kernels import engine, holdings, rule_signals
from kernels.engine_plan import Plan
from kernels.engine_state import State
from kernels.engine_targets import seen
from kernels.frames_live import Live
from kernels.strategies import Target, Urgency, View

WARM = 80  # beats until the rule speaks: its longest window has 60 bars
TIDY = 50  # beats after which orders that are over are forgotten
LOTS = 100  # what it trades, in smallest orders
FEW = 2  # symbols whose seconds close: the code is the same for all


class Twin(Struct, kw_only=True):
    """`orders` of it that are not over; `prices`: units of the best bid of each symbol that beats."""

    plan: Plan
    state: State
    live: Live
    prices: dict[str, int]
    ts: int
    beats: int = 0


def init(plan: Plan, ts: int) -> Twin:
    """A twin of an engine with this plan, as warm as it gets. Raises as `engine.init`."""
    limits = plan.limits._replace(max_orders_per_s=10**6)  # it acts far more often than its original
    of = msgspec.structs.replace(plan, models=(), opening=None, latched="", limits=limits, epoch=0, first_order=0)
    state = engine.init(of, ts)
    state.strategy, state.remembered = SimpleNamespace(step=wish), 0
    twin = Twin(plan=of, state=state, live=Live(engine.scales(of)), prices=prices(of), ts=ts)
    for told in (Connected(ts=ts, what="account"), Account(ts=ts, positions=(), balances=(), clean=True), Connected(ts=ts, what="market")):
        engine.step(state, told, of)
    for _ in range(WARM):
        beat(twin)
    return twin


def prices(plan: Plan) -> dict[str, int]:
    """A price at which half of a symbol's cap is a hundred times the least that may be ordered, on the tick."""
    found = {}
    for symbol in plan.symbols[:FEW]:
        of = plan.listings[symbol]
        price = plan.caps.get(symbol, 0.0) / 2 / (LOTS * max(of.min_size, of.lot) / of.size_unit)
        found[symbol] = max(round(price * of.price_unit) // of.tick, LOTS) * of.tick
    return found


def wish(n: int, view: View) -> tuple[int, list[Target]]:
    """As a strategy: half the cap and nothing by turns, patient and at once by turns."""
    seen = view.of(view.changed)
    if seen.bid != seen.bid:
        return n, []
    size = 0.5 * seen.cap / seen.mid if n % 2 == 0 else 0.0
    return n + 1, [Target(symbol=seen.symbol, size=size, urgency=Urgency.NOW if n % 4 else Urgency.PATIENT)]


def look(state: State) -> None:
    """Read what the next decision of the original will be made from, and change nothing."""
    np.asarray(rule_signals.step_packed(state.rule_state, state.bars, state.rule)[1])  # no bar is due
    for symbol in state.desks:
        seen(state, symbol)
    holdings.equity_now(state.holdings)


def beat(twin: Twin) -> Order | None:
    """One more second of the made-up market; an order that the twin would send, if it wanted one. The twin is rid of it again."""
    state = twin.state
    twin.ts, twin.beats = twin.ts + NS, twin.beats + 1
    batch = twin.live.decode(frames(twin), twin.ts)
    sent = [one.order for one in engine.step(state, batch, twin.plan) if isinstance(one, Approved)]
    for order in sent:
        gone = Standing(order_id=order.order_id, symbol=order.symbol, status=Status.EXPIRED, side=order.side, size=order.size)
        engine.step(state, Ordered(ts=twin.ts, standing=gone), twin.plan)
    if twin.beats % TIDY == 0:
        engine.step(state, Timer(ts=twin.ts), twin.plan)
    for desk in state.desks.values():  # it forgets that nothing came of it, or it would wait longer and longer
        desk.aim.failures = desk.aim.wait_until = desk.aim.placed = 0
    return sent[0] if sent else None


def frames(twin: Twin) -> list[bytes]:
    """A ticker and a trade of each symbol that beats, late enough to close the second before."""
    ms = (twin.ts + twin.plan.lateness_ns) // 1_000_000
    made = []
    for symbol, bid in twin.prices.items():
        of = twin.plan.listings[symbol]
        low, high = (shown(units, of.instrument.price_decimals) for units in (bid, bid + of.tick))
        size = shown(LOTS * max(of.min_size, of.lot), of.instrument.size_decimals)
        name, n = symbol.lower(), twin.beats
        ticker = {"e": "bookTicker", "u": n, "s": symbol, "b": low, "B": size, "a": high, "A": size, "T": ms, "E": ms}
        trade = {
            "e": "trade",
            "E": ms,
            "T": ms,
            "s": symbol,
            "t": n,
            "p": low if n % 2 else high,
            "q": size,
            "X": "MARKET",
            "m": bool(n % 2),
        }
        made += [written(f"{name}@bookTicker", ticker), written(f"{name}@trade", trade)]
    return made


def written(stream: str, data: dict[str, Any]) -> bytes:
    return json.dumps({"stream": stream, "data": data}, separators=(",", ":")).encode()


def shown(units: int, decimals: int) -> str:
    whole = f"{units:0{decimals + 1}d}"
    return f"{whole[:-decimals]}.{whole[-decimals:]}" if decimals else whole
