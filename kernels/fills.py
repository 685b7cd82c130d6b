"""Backtest of level 2 strategies: what we see, what the venue sees, and the time between them.

    events -> venue's book at ts_event -> fills and answers -> (response latency) ----\\
           -> our book at ts_recv (feed latency as recorded) -> strategy -> orders -> (entry latency) -> venue

A strategy is a compiled function of its own that lets time pass and acts, so any loop can be written:

    @njit(cache=True, nogil=True)
    def strategy(run, feed):
        while elapse(run, feed, 10_000_000):
            for i in range(run.clock[N_OPEN]): ... cancel(run, i)
            submit(run, BUY, price, size, LIMIT, GTX)

Up to the moment a strategy acts at, the venue never depends on what we have seen and our book never on our orders. So each side
runs through its events in a loop of its own (`kernels.fills_venue.step`, `kernels.fills_book.follow`), and only requests and
reports cross. At equal times the feed comes before requests at the venue, and both before the strategy acts.
"""

from typing import NamedTuple

import numpy as np
from numba import njit

from kernels import fills_arrivals, fills_latency
from kernels.fills_account import (
    ASKED_CANCEL,
    ASKED_NEW,
    AT_PRICE,
    DELIVERED,
    FILL_COLUMNS,
    HEAD,
    ID,
    LAST_ID,
    LAST_RECEIVED,
    LEFT,
    N_CANCELS,
    N_OPEN,
    N_ORDERS,
    NOW,
    OF_SIDE,
    POSITION,
    REQUEST,
    ROW,
    SEEN,
    SENT,
    STAMPED,
    STANDS,
    STARTED,
    TAIL,
    fills,
    learn,
    totals,
)
from kernels.fills_book import BEST, BUY, N_REPORTS, NONE, SELL, book, follow, price_of
from kernels.fills_venue import GTC, GTX, IOC, LIMIT, MARKET, PENDING, RECEIVED, TS, Rules, Venue, replay, venue

__all__ = ["AT_PRICE", "BUY", "FILL_COLUMNS", "GTC", "GTX", "IOC", "LEFT", "LIMIT", "MARKET", "NONE", "N_OPEN", "OF_SIDE", "POSITION",
           "SELL", "STANDS", "Rules", "Run", "best", "cancel", "elapse", "fills", "run", "submit", "totals"]  # fmt: skip

END = np.iinfo(np.int64).max
ARRIVES, WHAT, OF_ORDER, ON_SIDE, FOR_PRICE, FOR_SIZE, KIND, TIME_IN_FORCE = range(8)  # fields of a request


class Run(NamedTuple):
    """One backtest's state, changed in place. Sizes in lots, prices in ticks, times in ns."""

    rules: Rules
    venue: Venue
    levels: np.ndarray  # our book
    at: np.ndarray
    orders: np.ndarray  # our open orders as we know them [room, fields]: the first `clock[N_OPEN]`
    requests: np.ndarray  # ring of what is on its way to the venue
    latencies: np.ndarray  # measured ones [n, 3], see fills_latency; none: the constants of the rules hold
    latency_at: np.ndarray
    clock: np.ndarray
    account: np.ndarray  # as we know it; cash and notional in ticks times lots, whole numbers
    fills: np.ndarray  # [room, 7] as FILL_COLUMNS, in order of receipt


def run(rules: Rules, *, room: int = 64, most_fills: int = 1 << 20, latencies: np.ndarray | None = None) -> Run:
    """A backtest at its beginning, with room for so many open orders a side and fills (memory is taken as fills come)."""
    rules = Rules(*(kind(value) for kind, value in zip(Rules.__annotations__.values(), rules, strict=True)))
    if rules.last < 0 or rules.lot <= 0 or rules.tick <= 0 or min(rules.entry_ns, rules.response_ns) < 0:
        raise ValueError(f"a window, lot or tick without extent, or a latency below 0: {rules}")
    rows = np.zeros((0, 3), np.int64) if latencies is None else np.ascontiguousarray(latencies, np.int64)
    if (np.diff(rows, axis=1) < 0).any() or (np.diff(rows, axis=0) < 0).any():
        raise ValueError("latencies are rows of rising times: sent, at the venue, answered")
    levels, at = book(rules.last)
    ring = 1 << int(np.ceil(np.log2(4 * room)))
    return Run(
        rules, venue(rules, room=room), levels, at, np.zeros((2 * room, 8), np.int64), np.zeros((ring, 8), np.int64), rows,
        np.zeros(2, np.int64), np.zeros(16, np.int64), np.zeros(16, np.int64), np.empty((most_fills, 7), np.int64),
    )  # fmt: skip


@njit(cache=True, nogil=True, forceinline=True)
def best(run, side):
    """The best price of our book in ticks; NONE where a side is empty."""
    key = run.at[BEST + side]
    return key if key == NONE else price_of(side, key, run.rules.low, run.rules.last)


@njit(cache=True, nogil=True, forceinline=True)
def _request(run, what, order, side, price, size, kind, tif):
    clock = run.clock
    mask = len(run.requests) - 1
    if clock[TAIL] - clock[HEAD] > mask:
        raise ValueError("more requests are on their way than there is room for: give run() more room")
    arrives = clock[NOW] + fills_latency.entry(clock[NOW], run.rules.entry_ns, run.latencies, run.latency_at, 0)
    if clock[TAIL] > clock[HEAD]:
        arrives = max(arrives, run.requests[(clock[TAIL] - 1) & mask, ARRIVES])
    row = run.requests[clock[TAIL] & mask]
    row[ARRIVES], row[WHAT], row[OF_ORDER], row[ON_SIDE] = arrives, what, order, side
    row[FOR_PRICE], row[FOR_SIZE], row[KIND], row[TIME_IN_FORCE] = price, size, kind, tif
    clock[TAIL] += 1


@njit(cache=True, nogil=True)
def submit(run, side, price, size, kind, tif):
    """Send an order now; returns its id. ValueError where there is no room for one more open order."""
    clock = run.clock
    if clock[N_OPEN] == len(run.orders):
        raise ValueError("there are more open orders than room: give run() more room")
    clock[LAST_ID] += 1
    order = run.orders[clock[N_OPEN]]
    order[ID], order[OF_SIDE], order[AT_PRICE], order[LEFT] = clock[LAST_ID], side, price, size
    order[STANDS], order[REQUEST], order[SENT] = PENDING, ASKED_NEW, clock[NOW]
    clock[N_OPEN] += 1
    run.account[N_ORDERS] += 1
    _request(run, ASKED_NEW, clock[LAST_ID], side, price, size, kind, tif)
    return clock[LAST_ID]


@njit(cache=True, nogil=True)
def cancel(run, i):
    """Ask now for the i-th open order to be cancelled; False where something is under way for it already."""
    order = run.orders[i]
    if order[REQUEST]:
        return False
    order[REQUEST] = ASKED_CANCEL
    run.account[N_CANCELS] += 1
    _request(run, ASKED_CANCEL, order[ID], order[OF_SIDE], 0, 0, 0, 0)
    return True


@njit(cache=True, nogil=True)
def _ask_venue(run):
    """The next request arrives at the venue."""
    row = run.requests[run.clock[HEAD] & (len(run.requests) - 1)]
    if row[WHAT] == ASKED_NEW:
        fills_arrivals.place(
            run.venue, run.rules, row[ARRIVES], row[OF_ORDER], row[ON_SIDE], row[FOR_PRICE], row[FOR_SIZE], row[KIND], row[TIME_IN_FORCE]
        )
    else:
        fills_arrivals.cancel(run.venue, run.rules, row[ARRIVES], row[OF_ORDER])
    run.clock[HEAD] += 1


@njit(cache=True, nogil=True)
def _stamp(run):
    """Give reports that have none the time of their receipt; what was reported first is received first."""
    clock, reports = run.clock, run.venue.reports
    if run.venue.at[N_REPORTS] - clock[DELIVERED] > len(reports):
        raise ValueError("more reports are on their way than there is room for: give run() more room")
    while clock[STAMPED] < run.venue.at[N_REPORTS]:
        row = reports[clock[STAMPED] & (len(reports) - 1)]
        latency = fills_latency.response(row[TS], run.rules.response_ns, run.latencies, run.latency_at, 1)
        clock[LAST_RECEIVED] = max(clock[LAST_RECEIVED], row[TS] + latency)
        row[RECEIVED] = clock[LAST_RECEIVED]
        clock[STAMPED] += 1


@njit(cache=True, nogil=True, forceinline=True)
def elapse(run, feed, ns):
    """Let `ns` pass; False when nothing is left to come, neither events nor answers. The first call begins with the first event."""
    clock, events, order = run.clock, feed.events, feed.order
    n, mask = len(events), len(run.requests) - 1
    if not clock[STARTED]:
        clock[STARTED] = 1
        if n:
            first = events[order[0] if len(order) else 0].ts_recv
            clock[NOW] = min(events[0].ts_event, first)
    until = clock[NOW] + ns
    while True:
        arrives = run.requests[clock[HEAD] & mask, ARRIVES] if clock[HEAD] < clock[TAIL] else END
        clock[ROW] = replay(run.venue, run.rules, events, clock[ROW], min(arrives, until))
        if arrives > until:
            break
        _ask_venue(run)
    _stamp(run)
    reports = run.venue.reports
    while clock[DELIVERED] < clock[STAMPED]:
        row = reports[clock[DELIVERED] & (len(reports) - 1)]
        if row[RECEIVED] > until:
            break
        learn(run, row)
        clock[DELIVERED] += 1
    clock[SEEN] = follow(run.levels, run.at, run.rules.low, run.rules.last, events, order, clock[SEEN], until)
    if clock[ROW] == n and clock[SEEN] == n and clock[HEAD] == clock[TAIL] and clock[DELIVERED] == clock[STAMPED]:
        return False
    clock[NOW] = until
    return True
