"""Whether an order may be sent: the only maker of `Approved`. It fails closed, and everything it refuses has a reason code.

    order, open orders, holdings, quote, limits, clock, mode -> Approved | Refused(code, detail)

Exposure is the worst case: the position plus every order of a side that may still fill, live, intended or `UNKNOWN`. An order that can only
make a position smaller (`reduces`) is held to everything but the limits on what is held and lost, so that there is always a way out. Orders
made by hand take the same path. Each code is explained in docs/risk.md.

HALTED refuses everything but a `FLATTEN` order that reduces; REDUCING everything that does not reduce. A mode becomes stricter by itself
(`mode_after`), and laxer only from a REDUCING that is not latched.
"""

from msgspec import Struct

from core.events import Approved, Mode, ModeChanged, Refused
from core.market import NS
from core.orders import Order
from kernels import risk_account, risk_rules
from kernels.holdings import Holdings
from kernels.risk_limits import BACK_NS, Code, Limits, Quote, pack
from kernels.risk_orders import OpenOrders
from kernels.risk_rules import Case, reduces

__all__ = ["Clock", "Code", "Limits", "Quote", "check", "mode_after", "pack", "reduces", "tick"]


class Clock(Struct, kw_only=True):
    """The engine's time, ns, and from when on it is trusted."""

    now: int
    trusted_from: int = 0

    @property
    def trusted(self) -> bool:
        return self.now >= self.trusted_from


def tick(clock: Clock, ts: int, limits: Limits) -> bool:
    """Time moves to `ts`; call it with each input. False where it jumped: further on than `max_clock_jump_s`, or back by more than 100 ms.

    After a jump nothing is approved until `max_clock_jump_s` have gone by without another. A smaller step back is taken as no step.
    """
    step, most = ts - clock.now, limits.max_clock_jump_s * NS
    if -BACK_NS <= step <= most:
        clock.now = max(ts, clock.now)
        return True
    clock.now = ts
    clock.trusted_from = ts + int(most)
    return False


def check(
    order: Order, *, orders: OpenOrders, holdings: Holdings, quote: Quote, limits: Limits, clock: Clock, mode: Mode
) -> Approved | Refused:
    """The verdict on one order; changes nothing. After an approval enter the order with `risk_orders.enter` before the next check.

    `quote` is the top of the order's book, with the time when the venue was last heard of it; `order.ts` is the engine's time of deciding.
    """
    try:
        case = Case(order, orders, holdings, quote, limits, clock.now, clock.trusted, mode)
        refusal = risk_rules.refusal(case)
    except Exception as error:  # whatever went wrong, it is no reason to send: the refusal tells it
        refusal = Code.EXCEPTION, f"{type(error).__name__}: {error}"
    if refusal is None:
        return Approved(ts=clock.now, order=order)
    return Refused(ts=clock.now, order=order, code=refusal[0], detail=refusal[1])


def mode_after(mode: Mode, latched: bool, *, orders: OpenOrders, holdings: Holdings, limits: Limits, clock: Clock) -> ModeChanged | None:
    """The mode that limits ask for now; None where nothing changes. Call it after `holdings.settle`.

    HALTED, latched: loss of the day, or drawdown. REDUCING, latched: streak of losses. REDUCING until it is over: equity unknown, clock not
    trusted, worst-case exposure, leverage or distance to liquidation beyond limits (prices moved).
    """
    now = clock.now
    if mode is Mode.HALTED:
        return None
    lost = risk_account.losses(holdings, holdings.equity, limits)
    if lost and lost[0] in risk_account.HALTING:
        return ModeChanged(ts=now, mode=Mode.HALTED, reason=f"{lost[0]}: {lost[1]}", latched=True)
    if latched:
        return None
    if lost and lost[0] is Code.LOSS_STREAK:
        return ModeChanged(ts=now, mode=Mode.REDUCING, reason=f"{lost[0]}: {lost[1]}", latched=True)
    over = lost
    if not clock.trusted:
        over = over or (Code.CLOCK_JUMP, "the clock jumped a moment ago")
    over = over or risk_account.passing(orders, holdings, limits, now, risk_account.SLACK if mode is Mode.ACTIVE else 1.0)
    if over and mode is Mode.ACTIVE:
        return ModeChanged(ts=now, mode=Mode.REDUCING, reason=f"{over[0]}: {over[1]}", latched=False)
    if over is None and mode is Mode.REDUCING:
        return ModeChanged(ts=now, mode=Mode.ACTIVE, reason="within limits again", latched=False)
    return None
