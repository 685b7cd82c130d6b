"""What we know: our open orders, fills and position as reports of the venue are received."""

import numpy as np
from numba import njit

from kernels.fills_venue import EXPIRED, FILLED, MAKER, NEW, ORDER, PARTIAL, PRICE, RECEIVED, REJECTED, REST, SIDE, SIZE, STATUS, TS

ID, OF_SIDE, AT_PRICE, LEFT, STANDS, REQUEST, SENT = range(7)  # fields of an open order
ASKED_NEW, ASKED_CANCEL = 1, 2  # REQUEST: what is under way
NOW, ROW, SEEN, HEAD, TAIL, STAMPED, DELIVERED, LAST_ID, N_OPEN, STARTED, LAST_RECEIVED = range(11)  # places of the clock
POSITION, CASH, MADE, TAKEN, N_FILLS, VOLUME, N_ORDERS, N_CANCELS, N_EXPIRED, N_REJECTED = range(
    10
)  # of the account; MADE, TAKEN: notional as maker and taker
FILL_COLUMNS = ("ts_event", "ts_recv", "order", "side", "price", "size", "maker")


@njit(cache=True, nogil=True)
def learn(run, row):
    """One report is received."""
    clock, account, status = run.clock, run.account, row[STATUS]
    if status in (FILLED, PARTIAL):
        if account[N_FILLS] == len(run.fills):
            raise ValueError("there are more fills than room: give run() a larger most_fills")
        sign, notional = 1 - 2 * row[SIDE], row[PRICE] * row[SIZE]
        entry = run.fills[account[N_FILLS]]
        entry[0], entry[1], entry[2], entry[3] = row[TS], row[RECEIVED], row[ORDER], row[SIDE]
        entry[4], entry[5], entry[6] = row[PRICE], row[SIZE], row[MAKER]
        account[N_FILLS] += 1
        account[POSITION] += sign * row[SIZE]
        account[CASH] -= sign * notional
        account[VOLUME] += row[SIZE]
        account[MADE if row[MAKER] else TAKEN] += notional
    account[N_EXPIRED] += status == EXPIRED
    account[N_REJECTED] += status == REJECTED
    for i in range(clock[N_OPEN]):
        order = run.orders[i]
        if order[ID] != row[ORDER]:
            continue
        if status == NEW:
            order[STANDS], order[REQUEST] = NEW, 0
        elif status == PARTIAL:
            order[STANDS], order[LEFT] = PARTIAL, row[REST]
        elif status == REJECTED and order[REQUEST] == ASKED_CANCEL:
            order[REQUEST] = 0
        else:
            clock[N_OPEN] -= 1
            run.orders[i] = run.orders[clock[N_OPEN]]
        break


def fills(run) -> np.ndarray:
    """Our fills so far, in order of receipt [n, 7]: see FILL_COLUMNS."""
    return run.fills[: run.account[N_FILLS]]


def totals(run) -> dict[str, float]:
    """Position in base asset, cash, fee and notional in quote currency, and counts."""
    account, rules = run.account, run.rules
    unit = rules.tick * rules.lot
    return {
        "position": float(account[POSITION] * rules.lot),
        "cash": float(account[CASH] * unit),
        "fee": float((account[MADE] * rules.maker_fee + account[TAKEN] * rules.taker_fee) * unit),
        "notional": float((account[MADE] + account[TAKEN]) * unit),
        **{name: int(account[at]) for name, at in (("fills", N_FILLS), ("orders", N_ORDERS), ("cancels", N_CANCELS),
                                                   ("expired", N_EXPIRED), ("rejected", N_REJECTED))},
    }  # fmt: skip
