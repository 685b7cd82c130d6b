"""The gate before live trading: two keys and the evidence. What is missing is named, with what to do about it.

settings, ledger, champion -> what is missing (nothing: orders may go to the exchange)
"""

from msgspec import Struct
from sqlalchemy import Connection

from core import ledger_control
from core.market import NS

HOUR_S = 3_600.0
DRILL_S = 24 * HOUR_S
LOCAL = "local"


class Missing(Struct, frozen=True):
    what: str
    do: str


def keys(name: str, live: bool, confirm: str) -> list[Missing]:
    """The two keys: SCALP_LIVE, and the exchange's name once more."""
    missing: list[Missing] = []
    if not live:
        missing.append(Missing(f"trading on {name} is live trading", "set SCALP_LIVE=true; paper is --venue local"))
    if confirm != name:
        said = f"it says {confirm!r}" if confirm else "it is empty"
        missing.append(Missing(f"the second key of {name} ({said})", f"set SCALP_EXCHANGE__CONFIRM={name}"))
    return missing


def evidence(connection: Connection, account: str, now: int, *, paper_hours: float, champion: str) -> list[Missing]:
    """What the ledger has to show before `account` trades for money. `champion`: version id of the model that trades, empty without."""
    missing: list[Missing] = []
    reconciled = ledger_control.last_noted(connection, account, "reconciled") or ledger_control.last_noted(connection, "", "reconciled")
    if reconciled is None:
        missing.append(Missing("no comparison with a venue yet", "run scalp live --venue local"))
    elif not reconciled[0]:
        missing.append(Missing("the last comparison found differences", "see the incidents, and trade on when one was clean"))
    _, drilled = ledger_control.noted(connection, "", "kill_drill", now - round(DRILL_S * NS))
    if not drilled:
        missing.append(
            Missing("no kill drill within 24 h", "while scalp live --venue local runs: scalp kill --reason drill, then scalp rearm")
        )
    seconds, _ = ledger_control.noted(connection, "", "paper_seconds")
    if seconds < paper_hours * HOUR_S:
        done = f"{seconds / HOUR_S:.1f} of {paper_hours:g} hours of paper trading"
        missing.append(Missing(f"only {done}", "run scalp live --venue local for longer (SCALP_STREAM__PAPER_HOURS says how long)"))
    if not champion:
        missing.append(Missing("no champion model", "scalp run deploys one; a shadow does not trade"))
    if (latch := ledger_control.latched(connection, account)) is not None:
        missing.append(Missing(f"the kill switch is on since {latch['who']} said: {latch['reason']}", "scalp rearm --reason ..."))
    return missing
