"""What an engine knows between two inputs. It is changed in place, and by `kernels.engine.step` alone."""

from collections import deque
from collections.abc import Sequence
from typing import Any

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from core.events import Decision, Mode
from core.market import NS
from core.orders import Held, Kind, Listing, Status
from kernels import risk, risk_limits, risk_orders
from kernels.engine_laps import Laps
from kernels.engine_plan import ModelFacts, Plan
from kernels.execution import Aim
from kernels.features import names
from kernels.fusion import Fused, Opinion
from kernels.holdings import Holdings, Position
from kernels.live_market import LiveMarket
from kernels.risk_limits import Quote
from kernels.risk_orders import Open, OpenOrders

QUIET = Fused(0, 0.0, False)


class Ours(Struct, kw_only=True):
    """Beside a row of open orders: what fills told of it, and what we asked."""

    row: Open
    seen: int = 0  # size of the fills that came
    told: int = 0  # filled, as the venue said last
    over: Status | None = None  # ended by the venue's word, with fills still to come
    cancelling_until: int = 0  # a cancel is on its way; after this it may be asked for again
    foreign: bool = False  # made by hand, or not of this session: never moved by execution
    orphan: bool = False  # of an earlier session: cancelled, again and again, until it is over


class Window(Struct, kw_only=True):
    """The last rows of features of one symbol, as one model wants them; `run` counts those complete and without a gap."""

    model: ModelFacts
    columns: NDArray[np.intp]
    rows: NDArray[np.float32]  # [2 x window, features]: the newest window lies in a row
    end: int = 0
    run: int = 0
    ts_bar: int = 0
    segment: int = -1
    asked: int = 0  # as_of of the answer that is awaited; 0: none is
    deadline: int = 0


class Scored(Struct, kw_only=True):
    """How one source of signals did alone: by the middle some bars later, before cost."""

    n: int = 0
    right: int = 0
    gross_bps: float = 0.0
    squares: float = 0.0


class Desk(Struct, kw_only=True):
    """One symbol. Opinions are about the bar `ts_bar`."""

    symbol: str
    code: int
    listing: Listing
    aim: Aim
    windows: list[Window]
    away: bool = False  # its feed is down, or frames of it were lost
    watching: bool = False  # its best prices, for a reason to look at it
    booked: bool = False  # a snapshot of its book came at least once
    owed: Held | None = None  # held by the venue's word, and not valued yet
    differs: tuple[int, int] = (0, 0)  # what the venue last said it holds more than we think, and how many fills were known then
    ts_bar: int = 0
    known_at: int = 0
    close: float = float("nan")
    rule: Opinion | None = None
    values: tuple[float, ...] = ()
    model: Opinion | None = None
    volatility: float = float("nan")
    fused: Fused = QUIET
    fresh_until: int = 0  # nothing is opened after it
    features: NDArray[np.float64] | None = None
    features_hash: str = ""
    signal_seq: int = 0
    stop_wait: int = 0  # the stop at the venue is not asked for again before
    pending: deque[tuple[int, float, tuple[tuple[str, int], ...]]]  # to be scored: bar, middle, directions


class State(Struct, kw_only=True):
    plan: Plan
    desks: dict[str, Desk]
    market: LiveMarket
    orders: OpenOrders
    ours: dict[str, Ours]
    holdings: Holdings
    clock: risk.Clock
    usual_ns: int  # a step of the clock that is no jump
    rule_state: Any
    rule: Any  # JAX's, handed over once
    bars: NDArray[np.float64]  # [symbols, 3], what the rule is given: close, volume, 1 where due
    strategy: Any  # the module
    remembered: Any  # by the strategy
    mode: Mode = Mode.ACTIVE
    latched: bool = False
    paused: bool = False
    flattening: bool = False
    known: bool = False  # the venue said what we hold, once at least
    deaf: bool = False  # user data are cut off
    last_order: int = 0
    seq: int = 0  # inputs so far, each market row counting as one
    commands: dict[str, int] = {}  # keys done
    scores: dict[str, Scored] = {}
    tidied_at: int = 0
    laps: Laps | None = None  # for whoever wants to know how long it took
    ended: dict[str, tuple[Ours, int]] = {}  # orders that are over: a fill may still come

    @property
    def accounted(self) -> bool:
        """Whether we know what we hold, and hear what becomes of it."""
        return self.known and not self.deaf

    def quote(self, symbol: str) -> Quote:
        """The best bid and ask, 0 where unknown, and when the venue was last heard of them."""
        if self.desks[symbol].away:
            return risk_limits.UNKNOWN
        top = self.market.top(symbol)
        return Quote(top.bid, top.ask, max(top.known_at, self.market.heard(symbol)))

    def position(self, symbol: str) -> Position:
        return self.holdings.positions[symbol]

    @staticmethod
    def levels(side: Sequence[tuple[int, int]]) -> NDArray[np.int64]:
        """[2, n]: prices and sizes."""
        return np.array(side, np.int64).reshape(-1, 2).T

    def mine(self, symbol: str) -> list[tuple[Open, bool]]:
        """The symbol's orders that execution may move, and whether a cancel of each is on its way."""
        found = []
        for order_id, row in self.orders.of.get(symbol, {}).items():
            ours = self.ours[order_id]
            if not ours.foreign and row.order.kind is not Kind.STOP:
                found.append((row, self.clock.now < ours.cancelling_until))
        return found


Decisions = list[Decision]


def held(state: State, symbol: str, quote: Quote) -> int:
    """The position in whole lots that can be traded away, signed units; what is too little for the venue is nothing."""
    position, listing = state.position(symbol), state.desks[symbol].listing
    size = position.size
    if not size or abs(size) < max(listing.lot, listing.min_size):
        return 0
    if listing.spot and quote.bid and abs(size) * quote.bid * position.money * position.to_base < listing.min_notional:
        return 0
    return size


def turn_back(state: State, by: int) -> None:
    """The clock went back: what waits for a time goes back with it, or cancels and stops would wait until the old time comes again."""
    now = state.clock.now
    for ours in state.ours.values():
        ours.cancelling_until = 0
    for desk in state.desks.values():
        aim = desk.aim
        aim.wait_until, aim.since, aim.placed = min(aim.wait_until, now), min(aim.since, now), min(aim.placed, now)
        aim.exited_at = min(aim.exited_at, now)
        aim.expires = aim.expires and max(aim.expires - by, 1)
        desk.fresh_until = desk.stop_wait = 0
        for window in desk.windows:
            window.deadline = min(window.deadline, now)
    state.tidied_at = min(state.tidied_at, now)
    state.orders.sent.clear()  # nothing is approved for longer than a second after a jump
    state.orders.intents = {intent: min(ts, now) for intent, ts in state.orders.intents.items()}


def windows(models: Sequence[ModelFacts]) -> list[Window]:
    """Empty windows. Raises `ValueError` for a model that wants features there are not."""
    place = {name: n for n, name in enumerate(names())}
    made = []
    for model in models:
        if unknown := [name for name in model.features if name not in place]:
            raise ValueError(f"model {model.version} wants features that are not made: {', '.join(unknown)}")
        columns = np.array([place[name] for name in model.features])
        made.append(Window(model=model, columns=columns, rows=np.zeros((2 * model.window, len(columns)), np.float32)))
    return made


def forget(state: State) -> None:
    """Drop what is too old to matter, once a minute."""
    now = state.clock.now
    if now - state.tidied_at < 60 * NS:
        return
    state.tidied_at = now
    risk_orders.forget(state.orders, now - 600 * NS)
    state.ended = {order_id: (ours, ts) for order_id, (ours, ts) in state.ended.items() if now - ts < 600 * NS}
    state.commands = {key: ts for key, ts in state.commands.items() if now - ts < 86_400 * NS}
