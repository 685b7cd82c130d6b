"""How an account stood when a new worker takes it over: losses, peak and streak go on, a restart forgives nothing.

    equity as it was last written down + fills since -> capital (what is held aside);  all fills -> positions, average prices, streak

Funding of the trips under way is not in fills: it counts in equity, and not in whether a trip lost.
"""

from collections.abc import Mapping, Sequence
from math import fsum, nan

from msgspec import Struct

from core.orders import Fill, Listing
from kernels import holdings
from kernels.holdings import DAY_NS, Holdings
from kernels.positions import take_over


class Opening(Struct, frozen=True, kw_only=True):
    """`held`: what is owned of each symbol and its cost, as `kernels.positions` counts them (text: they may be longer than 64 bits).

    `ts`: of the equity that was written down. `day_first`, `peak`: None where losses count anew.
    """

    held: dict[str, tuple[str, str]]
    ts: int = 0
    day_first: float | None = None
    peak: float | None = None
    loss_streak: int = 0


def opened(
    listings: Mapping[str, Listing], fills: Sequence[Fill], equity: Mapping[str, float] | None, capital: float, rearmed_at: int
) -> tuple[float, Opening | None]:
    """(capital, opening) from an account's fills in order of time, its last row of equity, and when it was re-armed last (ns, 0: never).

    `capital`: what an account without history begins with; it has no opening (None).
    """
    if equity is None and not fills:
        return capital, None
    ts = int(equity["ts"]) if equity is not None else 0
    sums, before = holdings.init(listings, 0.0, 0), holdings.init(listings, 0.0, 0)
    counted_anew = False
    for fill in fills:
        if fill.symbol not in listings:
            continue
        at = fill.ts_recv or fill.ts_event
        if not counted_anew and at > rearmed_at:
            counted_anew, sums.loss_streak = True, 0
        holdings.apply(sums, fill)
        if at <= ts:  # it counted already when the equity was written down
            holdings.apply(before, fill)
    money = equity["equity"] - equity["unrealised"] - made(before) if equity is not None else capital
    held = {symbol: (str(position.owned), str(position.cost)) for symbol, position in sums.positions.items() if position.owned}
    kept = equity is not None and ts > rearmed_at
    return money + made(sums), Opening(
        held=held,
        ts=ts,
        day_first=equity["day_start"] if kept and equity is not None else None,
        peak=equity["peak"] if kept and equity is not None else None,
        loss_streak=sums.loss_streak if counted_anew else 0,
    )


def made(sums: Holdings) -> float:
    """Realised less fees, quote currency."""
    return fsum(position.realised_pnl - position.fees_paid for position in sums.positions.values())


def resume(state: Holdings, opening: Opening) -> None:
    """Let an account that was just begun go on where it was. What is held is worth nothing known before its first quote."""
    for symbol, (owned, cost) in opening.held.items():
        if (position := state.positions.get(symbol)) is not None:
            take_over(position, int(owned), int(cost))
    if any(position.owned for position in state.positions.values()):
        state.day_first = state.peak = nan
    holdings.resume(
        state,
        day=opening.ts // DAY_NS,
        day_first=nan if opening.day_first is None else opening.day_first,
        peak=nan if opening.peak is None else opening.peak,
        loss_streak=opening.loss_streak,
    )
