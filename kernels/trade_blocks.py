"""The trade-grain features of whole columns: blocks of rows that stay in the nearest cache, one loop per feature over each.

Every window of every row is full here (`trade_chunk` sees to the first trades of a segment), so no loop asks whether it is; window sums
are exact integers, so a block sums its first windows anew. The formulas are those of the streaming step.
"""

import numpy as np
from numba import njit

from kernels import trade_formulas as f
from kernels.trade_formulas import LONG, SHORT, formula

BIDS, BID_SIZES, ASKS, ASK_SIZES, AGES, TOTAL, SQUARES, WORTH, VOLUME = range(9)  # scratch of a block
N_SCRATCH = 9
compiled = njit(cache=True, nogil=True, error_model="numpy")


@formula
def advance(top_known_at, j, t):
    """How many tops are known strictly before `t`, looked for from `j` on: four at a time, without a branch for each."""
    m = len(top_known_at)
    while j + 4 <= m:
        passed = 0
        for k in range(4):
            passed += 1 if top_known_at[j + k] < t else 0
        j += passed
        if passed < 4:
            break
    else:
        while j < m and top_known_at[j] < t:
            j += 1
    while j > 0 and top_known_at[j - 1] >= t:
        j -= 1  # receipts may go back a little: trades are in order of the venue's time
    return j


@compiled
def find_tops(known_at, tops, j, ints):
    """The top that each trade of a block sees, prices 0 where none, and its age; `j` tops were known before. Returns how many are now."""
    top_known_at, bid, bid_size, ask, ask_size = tops
    bids, bid_sizes, asks, ask_sizes, ages = ints[BIDS], ints[BID_SIZES], ints[ASKS], ints[ASK_SIZES], ints[AGES]
    for k in range(len(known_at)):
        j = advance(top_known_at, j, known_at[k])
        if j > 0:
            t = j - 1
            bids[k], bid_sizes[k], asks[k], ask_sizes[k] = bid[t], bid_size[t], ask[t], ask_size[t]
            ages[k] = known_at[k] - top_known_at[t]
        else:
            bids[k], bid_sizes[k], asks[k], ask_sizes[k], ages[k] = 0, 0, 0, 0, 0
    return j


@compiled
def quoted(price, ints, max_age, unit, mid, spread, micro, lean, effective, top_age):
    bids, bid_sizes, asks, ask_sizes, ages = ints[BIDS], ints[BID_SIZES], ints[ASKS], ints[ASK_SIZES], ints[AGES]
    m = len(price)
    for k in range(m):
        known = (bids[k] > 0) & (asks[k] > 0) & (ages[k] <= max_age)
        bids[k] = bids[k] if known else 0
    for k in range(m):
        mid[k] = f.middle(bids[k], asks[k], unit) if bids[k] > 0 else np.nan
    for k in range(m):
        lean[k] = f.share(bid_sizes[k] - ask_sizes[k], bid_sizes[k] + ask_sizes[k]) if bids[k] > 0 else np.nan
    for k in range(m):
        micro[k] = f.microprice(bids[k], asks[k], lean[k], unit) if bids[k] > 0 else np.nan
    for k in range(m):
        spread[k] = f.bps_of_middle(asks[k] - bids[k], bids[k] + asks[k]) if bids[k] > 0 else np.nan
    for k in range(m):
        both = bids[k] + asks[k]
        effective[k] = f.bps_of_middle(abs(2 * price[k] - both), both) if bids[k] > 0 else np.nan
    for k in range(len(top_age)):
        top_age[k] = float(ages[k]) * 1e-9 if bids[k] > 0 else np.nan


@compiled
def log_returns(price, before, out):
    wide = 0
    for k in range(len(out)):
        s = f.half_ratio(price[k], before[k])
        wide += 1 if abs(s) > f.NARROW else 0
        out[k] = f.log_narrow(s)
    if wide:
        for k in range(len(out)):
            out[k] = f.log_return(price[k], before[k])


@compiled
def short_sums(price, size, ints):
    """Sums over the last `SHORT` of columns that begin `SHORT` rows before the block."""
    total, squares, worth, volume = ints[TOTAL], ints[SQUARES], ints[WORTH], ints[VOLUME]
    s, q, w, v = 0, 0, 0, 0
    for k in range(SHORT):
        s, q, w, v = s + price[k], q + price[k] * price[k], w + price[k] * size[k], v + size[k]
    for k in range(len(price) - SHORT):
        p, z, old, gone = price[k + SHORT], size[k + SHORT], price[k], size[k]
        s += p - old
        q += p * p - old * old
        w += p * z - old * gone
        v += z - gone
        total[k], squares[k], worth[k], volume[k] = s, q, w, v


@compiled
def smooth(price, unit, carried, fast, slow, macd, signal, rsi):
    """The recurrences over a block of trades past the seeds; `price` begins one row before it.

    What does not depend on the row before is done in loops of its own, in columns that are not yet needed, so that it vectorises.
    """
    a, b, c, gain, loss = carried[0], carried[1], carried[2], carried[3], carried[4]
    m = len(fast)
    for k in range(m):
        rsi[k] = float(price[k + 1]) / unit
    for k in range(m):
        a, b, c, gain, loss = f.recur(f.SEEDED, rsi[k], price[k + 1] - price[k], a, b, c, gain, loss)
        fast[k], slow[k], signal[k], rsi[k], macd[k] = a, b, c, gain, loss
    carried[0], carried[1], carried[2], carried[3], carried[4] = a, b, c, gain, loss
    negligible = f.NEGLIGIBLE * unit
    for k in range(m):
        rsi[k] = f.strength(rsi[k], macd[k], negligible)
    for k in range(m):
        macd[k] = fast[k] - slow[k]


@compiled
def banded(price, ints, unit, mean, deviation, upper, lower, average):
    total, squares, worth, volume = ints[TOTAL], ints[SQUARES], ints[WORTH], ints[VOLUME]
    m = len(price)
    for k in range(m):
        mean[k] = f.mean(total[k], SHORT, unit)
    for k in range(m):
        deviation[k] = f.deviation(squares[k], total[k], SHORT, unit)
    for k in range(m):
        upper[k] = mean[k] + 2.0 * deviation[k]
    for k in range(m):
        lower[k] = mean[k] - 2.0 * deviation[k]
    for k in range(m):
        average[k] = f.average_price(price[k], worth[k], volume[k], unit)


@compiled
def check(price, size, first):
    """Raise where the sums of a row from `first` on would not be exact. Loosely over all rows, then row by row if that fails."""
    low, high, most, least = price[0], price[0], size[0], size[0]
    for k in range(len(price)):
        low, high = min(low, price[k]), max(high, price[k])
        most, least = max(most, size[k]), min(least, size[k])
    if low <= 0 or high >= f.MOST_PRICE or least < 0 or most >= f.MOST_SIZE:
        raise OverflowError(f.TOO_WIDE)
    if f.fits(low, high, most * LONG):
        return
    for k in range(first, len(price)):
        window, sizes = price[max(0, k - LONG + 1) : k + 1], size[max(0, k - LONG + 1) : k + 1]
        if not f.fits(window.min(), window.max(), sizes.sum()):
            raise OverflowError(f.TOO_WIDE)


@compiled
def column(out, places, feature, spare, start, end):
    """Where a feature of rows [start, end) goes: its row of the result, or one that is thrown away."""
    return out[places[feature], start:end] if places[feature] >= 0 else spare[feature, : end - start]
