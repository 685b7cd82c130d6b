"""What a backtest is judged by: every fill and where the market went after it, equity second by second, and what was refused."""

import asyncio
from math import isfinite, nan

import msgspec
from msgspec import Struct

from core.events import Approved, Decision, Filled, Incident, Input, ModeChanged, Ordered, Refused, Signal, Timer
from core.market import NS
from core.orders import Fill, Status
from kernels.engine_state import State
from serving.virtual import VirtualLoop

LATE_NS = 10_000_000  # a middle looked at later than this after its time is none


class Sample(Struct, frozen=True):
    """The account at one time. Money in quote currency, `size` in base units (contracts)."""

    ts: int
    equity: float
    size: float
    middle: float


class Seen(Struct, frozen=True):
    """A fill, and the middle `horizons` after the venue made it (NaN where the tape was over, or the book unknown)."""

    fill: Fill
    notional: float
    middles: tuple[float, ...]


class Watched:
    """Hears what a worker publishes. `state` is the worker's; it is only read."""

    def __init__(self, symbol: str, feed_ns: int, horizons_s: tuple[float, ...], loop: VirtualLoop) -> None:
        self.symbol, self.feed_ns, self.horizons_s, self.loop = symbol, feed_ns, horizons_s, loop
        self.state: State | None = None
        self.samples: list[Sample] = []
        self.fills: list[Seen] = []
        self.refused: dict[str, int] = {}  # by our risk: code -> how often
        self.rejected: dict[str, int] = {}  # by the venue
        self.incidents: dict[str, int] = {}
        self.modes: list[ModeChanged] = []
        self.n_signals = self.n_orders = 0
        self.filled_orders: set[str] = set()
        self._middles: list[list[float]] = []
        self._told: list[Fill] = []
        self._due: list[asyncio.TimerHandle] = []

    def hear(self, told: Input | Decision) -> None:
        match told:
            case Timer():
                if not self.samples or told.ts // NS != self.samples[-1].ts // NS:
                    self._sample(told.ts)
            case Filled():
                self._fill(told.fill)
            case Signal():
                self.n_signals += 1
            case Approved():
                self.n_orders += 1
            case Refused():
                self.refused[told.code] = self.refused.get(told.code, 0) + 1
            case Ordered():
                if told.standing.status is Status.REJECTED:
                    why = f"{told.standing.code} {told.standing.reason}"
                    self.rejected[why] = self.rejected.get(why, 0) + 1
            case Incident():
                self.incidents[told.kind] = self.incidents.get(told.kind, 0) + 1
            case ModeChanged():
                self.modes.append(told)

    def end(self) -> None:
        """Take stock at the end of the tape."""
        for handle in self._due:
            handle.cancel()
        self._sample(self.loop.clock())
        unit = self._unit()
        for fill, middles in zip(self._told, self._middles, strict=True):
            self.fills.append(Seen(fill, fill.price * fill.size * unit, tuple(middles)))

    def _unit(self) -> float:
        assert self.state is not None
        of = self.state.desks[self.symbol].listing.instrument
        return 10.0 ** -(of.price_decimals + of.size_decimals)

    def _middle(self) -> float:
        assert self.state is not None
        quote = self.state.quote(self.symbol)
        listing = self.state.desks[self.symbol].listing
        return (quote.bid + quote.ask) / 2 / listing.price_unit if 0 < quote.bid < quote.ask else nan

    def _sample(self, ts: int) -> None:
        assert self.state is not None
        size = self.state.position(self.symbol).size / self.state.desks[self.symbol].listing.size_unit
        self.samples.append(Sample(ts, self.state.holdings.equity, size, self._middle()))

    def _fill(self, fill: Fill) -> None:
        """The middle of the venue's book `h` after the fill is the one that we know of a feed latency later."""
        self._told.append(fill)
        self.filled_orders.add(fill.order_id)
        middles = [nan] * len(self.horizons_s)
        self._middles.append(middles)
        for k, horizon in enumerate(self.horizons_s):
            due = fill.ts_event + self.feed_ns + round(horizon * NS)
            if due >= self.loop.clock() - LATE_NS:
                self._due.append(self.loop.call_later(self.loop.until(due), self._look, middles, k))

    def _look(self, middles: list[float], k: int) -> None:
        middles[k] = self._middle()


class Summary(Struct, frozen=True, kw_only=True):
    """A run in numbers: money in quote currency, `markouts_bps` by seconds after the fill (mean, weighted by notional; above 0 is good),
    `maker_share` and `turnover` of notional. Fees and spread are paid."""

    queue: str
    n_frames: int
    n_signals: int
    n_orders: int
    n_filled: int  # orders that filled, at least in part
    n_fills: int
    n_refused: int
    n_rejected: int
    pnl: float
    fees: float
    max_drawdown: float
    turnover: float
    maker_share: float
    position: float  # at the end, base units
    markouts_bps: dict[str, float | None]
    refused: dict[str, int]
    rejected: dict[str, int]
    incidents: dict[str, int]
    modes: list[str]
    failed: dict[str, str]


def summary(watched: Watched, *, queue: str, n_frames: int, failed: dict[str, str], capital: float) -> Summary:
    fills = watched.fills
    turnover = sum(seen.notional for seen in fills)
    equity = [sample.equity for sample in watched.samples if isfinite(sample.equity)]
    assert watched.state is not None
    return Summary(
        queue=queue, n_frames=n_frames, n_signals=watched.n_signals, n_orders=watched.n_orders, n_filled=len(watched.filled_orders),
        n_fills=len(fills), n_refused=sum(watched.refused.values()), n_rejected=sum(watched.rejected.values()),
        pnl=(equity[-1] if equity else capital) - capital,
        fees=watched.state.position(watched.symbol).fees_paid, max_drawdown=drawdown([capital, *equity]), turnover=turnover,
        maker_share=sum(seen.notional for seen in fills if seen.fill.maker) / turnover if turnover else nan,
        position=watched.samples[-1].size,
        markouts_bps={f"{h:g}": markout(fills, k, watched.state.desks[watched.symbol].listing.price_unit)
                      for k, h in enumerate(watched.horizons_s)},
        refused=watched.refused, rejected=watched.rejected, incidents=watched.incidents,
        modes=[f"{told.mode}: {told.reason}" for told in watched.modes], failed=failed,
    )  # fmt: skip


def drawdown(equity: list[float]) -> float:
    """The most that was lost from a peak."""
    peak = worst = 0.0
    for n, value in enumerate(equity):
        peak = value if not n else max(peak, value)
        worst = max(worst, peak - value)
    return worst


def markout(fills: list[Seen], k: int, price_unit: float) -> float | None:
    """Mean of side x (middle / price - 1) in basis points, weighted by notional; None where no middle is known."""
    total = weight = 0.0
    for seen in fills:
        middle = seen.middles[k]
        if isfinite(middle):
            total += seen.notional * seen.fill.side.sign * (middle * price_unit / seen.fill.price - 1) * 1e4
            weight += seen.notional
    return total / weight if weight else None


def as_dict(told: Summary) -> dict[str, object]:
    return msgspec.to_builtins(told)
