"""Triple-barrier labels on the executable path (Lopez de Prado, Advances in Financial Machine Learning, 2018, ch. 3), costs in.

An order decided on when a second's row was known reaches the venue `latency` later, at t0. A long pays the ask of the top that held at
t0 and gets out at the bid, a short sells at the bid and gets out at the ask; each pays the taker's fee on both notionals. With fee f,
entry p and exit q (fractions of p):

    long   gross = q / p - 1    net = gross - f - f q / p        short  gross = 1 - q / p    net = gross - f - f q / p

It takes its profit at the first top at which net >= take profit; it stops at the first at which it has lost `stop_loss` more than an
immediate round trip would have cost; else it ends at the last top of the horizon. (A stop on the net alone would be hit by the entry
itself wherever fees and spread exceed it.) The direction is that of the side that takes its profit, 1 long, -1 short, and 0 if none does.
Of an inverse contract the same is an approximation: returns in the quote currency, as if it were linear.
"""

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from core.market import NS

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


class Barriers(NamedTuple):
    """What is asked of a trade; ns, and fractions of the entry's notional."""

    horizon: int
    latency: int
    take_profit: float
    stop_loss: float
    fee: float  # taker's, of each of the two notionals
    max_age: int  # tops further apart than this are not one path


class Labels(NamedTuple):
    """Of each row [n]; where not `settled`, nothing is said. An outcome is known at `ts_entry` + horizon, when its volatility is."""

    settled: NDArray[np.bool_]
    ts_entry: Ints
    direction: Ints
    net_long: Floats
    net_short: Floats
    gross_long: Floats
    gross_short: Floats
    volatility: Floats  # root of the summed squared one-second log returns of the middle over (t0, t0 + horizon]


@njit(cache=True, nogil=True)
def _runs(known_at, bid, ask, max_age):
    """Number of the unbroken run of known tops each belongs to; an unknown top breaks it and belongs to none."""
    run = np.zeros(len(known_at), np.int64)
    for i in range(1, len(known_at)):
        whole = bid[i] > 0 and ask[i] > 0 and bid[i - 1] > 0 and ask[i - 1] > 0 and known_at[i] - known_at[i - 1] <= max_age
        run[i] = run[i - 1] if whole else run[i - 1] + 1
    return run


@njit(cache=True, nogil=True)
def _outcomes(
    known_at, bid, ask, run, decided_at, horizon, latency, take_profit, stop_loss, fee, max_age,
    settled, ts_entry, direction, net_long, net_short, gross_long, gross_short, volatility,
):  # fmt: skip
    n = len(known_at)
    entry, last = -1, -1
    for r in range(len(decided_at)):
        t0 = decided_at[r] + latency
        end = t0 + horizon
        ts_entry[r] = t0
        while entry + 1 < n and known_at[entry + 1] <= t0:
            entry += 1
        while last + 1 < n and known_at[last + 1] <= end:
            last += 1
        # The path is whole if one run of tops holds from the entry to beyond the horizon's end.
        if entry < 0 or bid[entry] <= 0 or ask[entry] <= 0 or t0 - known_at[entry] > max_age:
            continue
        if last + 1 >= n or run[last + 1] != run[entry]:
            continue
        settled[r] = True
        paid, got = float(ask[entry]), float(bid[entry])
        long_take = paid * (1.0 + fee + take_profit) / (1.0 - fee)
        short_take = got * (1.0 - fee - take_profit) / (1.0 + fee)
        long_stop = got - paid * stop_loss / (1.0 - fee)  # where net is an immediate round trip's less the stop
        short_stop = paid + got * stop_loss / (1.0 + fee)
        out_long, out_short = last, last
        won_long, won_short = False, False
        seeking_long, seeking_short = True, True
        for j in range(entry + 1, last + 1):
            if seeking_long and (bid[j] >= long_take or bid[j] <= long_stop):
                seeking_long = False
                out_long = j
                won_long = bid[j] >= long_take
            if seeking_short and (ask[j] <= short_take or ask[j] >= short_stop):
                seeking_short = False
                out_short = j
                won_short = ask[j] <= short_take
            if not (seeking_long or seeking_short):
                break
        if won_long and (not won_short or out_long < out_short):
            direction[r] = 1
        elif won_short:
            direction[r] = -1
        of_long, of_short = bid[out_long] / paid, ask[out_short] / got
        gross_long[r] = of_long - 1.0
        gross_short[r] = 1.0 - of_short
        net_long[r] = gross_long[r] - fee - fee * of_long
        net_short[r] = gross_short[r] - fee - fee * of_short
        at = entry
        before = float(bid[entry] + ask[entry])
        squares = 0.0
        t = t0
        while t < end:
            t = min(t + NS, end)
            while known_at[at + 1] <= t:
                at += 1
            now = float(bid[at] + ask[at])
            squares += np.log(now / before) ** 2
            before = now
        volatility[r] = np.sqrt(squares)


def labels(known_at: Ints, bid: Ints, ask: Ints, decided_at: Ints, of: Barriers) -> Labels:
    """Outcomes of an order at each of `decided_at` ([n], ns, rising), on the tops [m] in order of `known_at` (0 where unknown).

    Not settled, and so no label: where no top holds at the entry or it is older than `max_age`; where a top of the path is unknown or
    two are further apart than `max_age` (the feed was away); and where the data ends before the horizon does.
    """
    if of.horizon <= 0 or not 0 <= of.fee < 1:
        raise ValueError(f"horizon {of.horizon} ns and fee {of.fee}: the first has to be positive, the second a fraction below 1")
    n = len(decided_at)
    made = Labels(
        np.zeros(n, np.bool_), np.zeros(n, np.int64), np.zeros(n, np.int64),
        np.zeros(n), np.zeros(n), np.zeros(n), np.zeros(n), np.zeros(n),
    )  # fmt: skip
    run = _runs(known_at, bid, ask, of.max_age)
    _outcomes(known_at, bid, ask, run, decided_at, of.horizon, of.latency, of.take_profit, of.stop_loss, of.fee, of.max_age, *made)
    return made
