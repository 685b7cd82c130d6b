"""What we hold and what it is worth, from fills alone, in whole numbers: nothing is made or lost by rounding.

    fills, funding, what the venue says we hold -> position, average price, realised, fees
    best bid and ask                            -> unrealised, equity, its peak, the day's first, the streak of losses

A day begins at midnight UTC of the engine's clock; its first equity is the first one known in it. A round trip goes from flat to flat, or
to the other side; less than a lot counts as flat. Spot and linear futures; a contract paid in its base asset raises `ValueError`.
"""

from collections.abc import Mapping
from math import fsum, isfinite, nan

from msgspec import Struct

from core.market import NS
from core.orders import Fill, Listing
from kernels.positions import FUNDING_UNIT, Position, at_risk, flat, pay, trade, value

DAY_NS = 86_400 * NS


class Holdings(Struct, kw_only=True):
    """An account. `capital` is the equity it began with; `day` counts days since 1970."""

    positions: dict[str, Position]
    capital: float
    day: int
    day_first: float  # nan until an equity is known in this day
    peak: float  # nan until an equity is known
    equity: float  # when last settled
    loss_streak: int = 0
    other_fees: dict[str, int] = {}  # 10^-8 of assets that are neither base nor quote: counted at the taker's rate


def init(listings: Mapping[str, Listing], capital: float, ts: int) -> Holdings:
    """Nothing held, of each listed symbol. Raises `ValueError` for an inverse contract, or capital that is not finite."""
    if not isfinite(capital):
        raise ValueError(f"capital is not a number: {capital}")
    return Holdings(
        positions={symbol: flat(listing) for symbol, listing in listings.items()},
        capital=capital, day=ts // DAY_NS, day_first=capital, peak=capital, equity=capital,
    )  # fmt: skip


def apply(holdings: Holdings, fill: Fill) -> bool:
    """Fold a fill in; False where its trade id was seen before. Raises `KeyError` for a symbol that is not listed, `ValueError` for a
    fill without size or price."""
    position = holdings.positions[fill.symbol]
    if fill.size <= 0 or fill.price <= 0:
        raise ValueError(f"a fill has a size and a price: {fill}")
    if fill.trade_id in position.trades:
        return False
    position.trades.add(fill.trade_id)
    if not at_risk(position):
        _begin_trip(position)
    before = position.owned
    trade(position, fill.size * fill.side.sign * position.to_base, fill.price)
    flipped = before * position.owned < 0
    other = pay(position, fill)
    if other:
        holdings.other_fees[fill.fee_asset] = holdings.other_fees.get(fill.fee_asset, 0) + other
    if abs(before) >= position.listing.lot * position.to_base and (flipped or not at_risk(position)):
        _end_trip(holdings, position)
    position.liquidation = 0.0  # what the venue stated was of another position
    value(position)
    return True


def _begin_trip(position: Position) -> None:
    position.opened_realised, position.opened_fees, position.opened_funding = position.realised, position.fees, position.funding


def _end_trip(holdings: Holdings, position: Position) -> None:
    made = (position.realised - position.opened_realised) / position.per_quote - (position.fees - position.opened_fees) / position.per_fee
    made += (position.funding - position.opened_funding) / FUNDING_UNIT
    holdings.loss_streak = holdings.loss_streak + 1 if made < 0 else 0
    _begin_trip(position)


def mark(holdings: Holdings, symbol: str, bid: int, ask: int, ts: int) -> None:
    """The best bid and ask in price units, known at `ts`. Where there is none (0, or crossed) the last middle stays, and grows old.

    Call it whenever the top changes, and at each timer for every symbol whose book is sound: what is held and was not marked for longer
    than a quote may be old makes equity unknown.
    """
    position = holdings.positions[symbol]
    if not 0 < bid < ask:
        return
    position.marked = ts
    if position.twice_mid != bid + ask:
        position.twice_mid = bid + ask
        value(position)


def fund(holdings: Holdings, symbol: str, amount: float) -> None:
    """Funding that came (went, below 0), quote currency. Raises `ValueError` where it is not finite."""
    if not isfinite(amount):
        raise ValueError(f"funding of {symbol} is not a number: {amount}")
    position = holdings.positions[symbol]
    position.funding += round(amount * FUNDING_UNIT)
    value(position)


def largest(holdings: Holdings) -> str:
    """The symbol of the position that is worth most; the first where nothing is held. Money that the venue does not name the position of is
    counted there: equity is right, whose it was is a guess."""
    return max(holdings.positions, key=lambda symbol: abs(holdings.positions[symbol].cost / holdings.positions[symbol].per_quote))


def adopt(holdings: Holdings, symbol: str, size: int, price: float, *, liquidation: float = 0.0) -> None:
    """The venue says we hold `size` (signed units): it is right. What differs is taken over at `price` (price units: the entry of a futures
    position that we knew nothing of, else the middle), and no fee. Raises `ValueError` where something differs and there is no price."""
    position = holdings.positions[symbol]
    if size != position.size:
        if not (isfinite(price) and price >= 1):
            raise ValueError(f"{symbol}: {size} cannot be taken over at a price of {price}")
        trade(position, (size - position.size) * position.to_base, round(price))
        _begin_trip(position)
        value(position)
    position.liquidation = liquidation


def equity_now(holdings: Holdings) -> float:
    """Capital and all profits and losses, at the middles last known; nan where something is held and was never marked."""
    return fsum([holdings.capital, *[position.pnl for position in holdings.positions.values()]])


def unseen(holdings: Holdings, now: int, max_age_ns: float) -> str | None:
    """A symbol that is held and whose middle is older than allowed, or was never known; None where all are seen."""
    for symbol, position in holdings.positions.items():
        if position.owned and not now - position.marked <= max_age_ns:
            return symbol
    return None


def settle(holdings: Holdings, ts: int) -> float:
    """Equity now, with its peak and the day's first brought up to date; nan changes neither. Days do not go back."""
    equity = holdings.equity = equity_now(holdings)
    day = ts // DAY_NS
    if day > holdings.day:
        holdings.day, holdings.day_first = day, nan
    if isfinite(equity):
        if not isfinite(holdings.day_first):
            holdings.day_first = equity
        if not holdings.peak >= equity:
            holdings.peak = equity
    return equity


def resume(holdings: Holdings, *, day: int, day_first: float, peak: float, loss_streak: int) -> None:
    """What a worker before this one knew. Another day's first equity does not count today."""
    if day == holdings.day and isfinite(day_first):
        holdings.day_first = day_first
    if isfinite(peak):
        holdings.peak = max(peak, holdings.peak)
    holdings.loss_streak = loss_streak


def count_anew(holdings: Holdings, ts: int) -> None:
    """After a person re-armed: losses count from here."""
    equity = settle(holdings, ts)
    holdings.day_first = holdings.peak = equity
    holdings.loss_streak = 0
