"""The rules about the account as a whole: what is lost, and what positions and orders add up to at worst.

    leverage             = gross / equity
    liquidation distance = (equity - maintenance) / (gross + maintenance)

The distance is the share by which all prices may move against us at once before equity is the maintenance margin: a short that moves by d
has equity E - d G = M (1 + d); a long has a little more room. It holds for cross margin: all of the equity stands
behind all positions.
"""

from math import isfinite

from core.market import NS
from kernels.holdings import Holdings, equity_now, unseen
from kernels.positions import Position
from kernels.risk_exposure import Worst, exposure, worst_now
from kernels.risk_limits import Code, Limits, Refusal
from kernels.risk_orders import OpenOrders

HALTING = frozenset({Code.DAILY_LOSS, Code.DRAWDOWN})
SLACK = 1.05  # prices move what is held a little past a limit that it was allowed to reach: only more than this changes the mode


def standing(holdings: Holdings, equity: float, limits: Limits, now: int) -> Refusal | None:
    """Nothing is opened while equity is not known, or too much is lost."""
    symbol = unseen(holdings, now, limits.max_quote_age_s * NS)
    if symbol is not None:
        return Code.EQUITY_UNKNOWN, f"{symbol} is held, and what it is worth is not known now"
    return losses(holdings, equity, limits)


def losses(holdings: Holdings, equity: float, limits: Limits) -> Refusal | None:
    """Loss of the day (from its first equity), drawdown (from the peak of equity), and round trips lost one after another."""
    lost, fallen = holdings.day_first - equity, holdings.peak - equity
    if not (isfinite(lost) and isfinite(fallen)):
        return Code.EQUITY_UNKNOWN, f"equity {equity}, the day's first {holdings.day_first}, peak {holdings.peak}"
    if not lost < limits.max_daily_loss:
        return Code.DAILY_LOSS, f"{lost:.2f} lost today, {limits.max_daily_loss} allowed"
    if not fallen < limits.max_drawdown:
        return Code.DRAWDOWN, f"{fallen:.2f} below the peak, {limits.max_drawdown} allowed"
    if not holdings.loss_streak < limits.max_loss_streak:
        return Code.LOSS_STREAK, f"{holdings.loss_streak} round trips lost one after another, {limits.max_loss_streak} allowed"
    return None


def beyond(
    holdings: Holdings, orders: OpenOrders, limits: Limits, replaced: dict[str, Worst], equity: float, slack: float
) -> Refusal | None:
    """A limit on the sum of all symbols, or on one of those `replaced`, that is exceeded by more than `slack` times."""
    for symbol, of in replaced.items():
        if not of.gross <= limits.max_position * slack:
            return Code.POSITION_NOTIONAL, f"{of.gross:.2f} of {symbol} at worst, {limits.max_position} allowed"
    whole = exposure(holdings, orders, replaced)
    if not isfinite(whole.gross):
        return Code.EQUITY_UNKNOWN, "a symbol that is held, or has orders, was never quoted"
    if not whole.gross <= limits.max_gross * slack:
        return Code.GROSS_NOTIONAL, f"{whole.gross:.2f} of all symbols at worst, {limits.max_gross} allowed"
    if not whole.net <= limits.max_net * slack:
        return Code.NET_NOTIONAL, f"{whole.net:.2f} on one side at worst, {limits.max_net} allowed"
    most = min(limits.max_leverage, whole.max_leverage) * slack
    if not whole.gross <= most * equity:
        return Code.LEVERAGE, f"{whole.gross:.2f} on an equity of {equity:.2f}: {most:g} times are allowed"
    if whole.maintenance:
        room = (equity - whole.maintenance) / (whole.gross + whole.maintenance)
        if not room * slack >= limits.min_liquidation_distance:
            return Code.LIQUIDATION, f"prices {room:.4f} against us would liquidate, {limits.min_liquidation_distance} is kept"
    return None


def near(position: Position, mid: float, limits: Limits) -> Refusal | None:
    """Whether the liquidation price that the venue states is too near."""
    if position.liquidation and position.size and not abs(mid - position.liquidation) >= limits.min_liquidation_distance * mid:
        return Code.LIQUIDATION, f"the venue liquidates at {position.liquidation}, the middle is {mid}"
    return None


def passing(orders: OpenOrders, holdings: Holdings, limits: Limits, now: int, slack: float) -> Refusal | None:
    """What asks for REDUCING until it is over."""
    symbol = unseen(holdings, now, limits.max_quote_age_s * NS)
    if symbol is not None:
        return Code.EQUITY_UNKNOWN, f"{symbol} is held, and what it is worth is not known now"
    of = {}
    for symbol, position in holdings.positions.items():
        if position.size:
            of[symbol] = worst_now(position, symbol, orders)
            no = near(position, position.mid, limits)
            if no:
                return no
    return beyond(holdings, orders, limits, of, equity_now(holdings), slack)
