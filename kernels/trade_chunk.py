"""One chunk of rows of the trade-grain features: finds the segments, runs their first trades and their blocks, carries the recurrences.

The first `HEAD` trades of a segment go through `trade_step.fold`; past them every window is full. A recurrence is carried from block to
block. A chunk that starts in the middle of a segment guesses it by running it over the `HALO` rows before; `mend` runs it again from
what the chunk before ended with, up to where the two meet: mostly they have met before the first row, bit for bit.
"""

import numpy as np

from kernels import trade_blocks as blocks
from kernels import trade_formulas as f
from kernels import trade_step as online
from kernels.trade_blocks import column, compiled
from kernels.trade_formulas import LONG, N_COMPARED, SHORT
from kernels.trade_long import all_long

BLOCK, HEAD, HALO = 1024, 128, 1024
N_CARRIED = 5  # fast and slow average, signal, gain, loss


@compiled
def position(segment, i):
    """How many rows right before row `i` belong to its segment, counted up to `HALO`."""
    n = 0
    while n < HALO and i - n > 0 and segment[i - n - 1] == segment[i]:
        n += 1
    return n


@compiled
def chunk(lo, hi, trades, tops, state, places, out, ends):
    """Features of rows [lo, hi) into `out`; `lo` is a multiple of `BLOCK`. `state` is an empty one of one symbol.

    `ends` [ceil(n / BLOCK), 5] takes the recurrences after each block's last row, where its segment goes on. Returns what they were
    guessed to be before row `lo`, all NaN where nothing had to be guessed.
    """
    price, segment = trades[2], trades[5]
    ints, spare = np.empty((blocks.N_SCRATCH, BLOCK), np.int64), np.empty((f.N_FEATURES, BLOCK))
    long_ints = np.empty((4, BLOCK + LONG), np.int64)
    carried, guess = np.zeros(N_CARRIED), np.full(N_CARRIED, np.nan)
    floats = state.view(np.float64)
    j = np.searchsorted(tops[0], trades[1][lo]) if lo < hi else 0
    i = lo
    while i < hi:
        end = i + 1
        while end < hi and segment[end] == segment[i]:
            end += 1
        n = position(segment, i)
        if segment[i] < 0:
            for k in range(f.N_FEATURES):
                if places[k] >= 0:
                    out[places[k], i:end] = np.nan
            i = end
            continue
        if n < HEAD:
            stop = min(end, i - n + HEAD)
            j = _head(i - n, i, stop, trades, tops, j, state, floats, ints, places, out)
            carried[:] = floats[0, online.E_FAST : online.E_FAST + N_CARRIED]
            i = stop
        else:
            _run(price[i - n : i], n < HALO, floats[0, online.UNIT], carried)
            if n == HALO:
                guess[:] = carried
        while i < end:
            stop = min(end, (i // BLOCK + 1) * BLOCK)
            j = _block(i, stop, trades, tops, j, state, floats, ints, long_ints, spare, carried, places, out)
            ends[(stop - 1) // BLOCK] = carried
            i = stop
    return guess


@compiled
def _head(start, i, stop, trades, tops, j, state, floats, ints, places, out):
    """The first trades of a segment, [start, stop), through the streaming step; those from `i` on are written."""
    ts_event, known_at, price, size, side, segment = trades
    rows = np.empty((1, f.N_FEATURES))
    state[0, online.SEGMENT] = -1
    j = blocks.find_tops(known_at[start:stop], tops, j, ints)
    for r in range(start, stop):
        k = r - start
        online.fold(
            state, floats, 0, ts_event[r], known_at[r], price[r], size[r], np.int64(side[r]), np.int64(segment[r]),
            known_at[r] - ints[blocks.AGES, k], ints[blocks.BIDS, k], ints[blocks.BID_SIZES, k], ints[blocks.ASKS, k],
            ints[blocks.ASK_SIZES, k], rows, 0,
        )  # fmt: skip
        if r >= i:
            for c in range(f.N_FEATURES):
                if places[c] >= 0:
                    out[places[c], r] = rows[0, c]
    return j


@compiled
def _run(price, whole, unit, carried):
    """The recurrences after these prices: all of a segment so far (`whole`), or its last ones, started anyhow."""
    fast = slow = 0.0 if whole else float(price[0]) / unit
    signal, gain, loss = 0.0, 0.0, 0.0
    last = price[0]
    for k in range(len(price)):
        n = k if whole else f.SEEDED
        fast, slow, signal, gain, loss = f.recur(n, float(price[k]) / unit, price[k] - last, fast, slow, signal, gain, loss)
        last = price[k]
    carried[0], carried[1], carried[2], carried[3], carried[4] = fast, slow, signal, gain, loss


@compiled
def _block(i, stop, trades, tops, j, state, floats, ints, long_ints, spare, carried, places, out):
    """Rows [i, stop), at most `BLOCK`, all in one segment that has `HEAD` rows before them."""
    ts_event, known_at, price, size, side, _ = trades
    unit, max_age = floats[0, online.UNIT], state[0, online.MAX_AGE]
    blocks.check(price[i - LONG + 1 : stop], size[i - LONG + 1 : stop], LONG - 1)
    if places[: f.EFFECTIVE + 1].max() >= 0 or places[f.TOP_AGE] >= 0:
        j = blocks.find_tops(known_at[i:stop], tops, j, ints)
        blocks.quoted(
            price[i:stop], ints, max_age, unit,
            column(out, places, f.MID, spare, i, stop), column(out, places, f.SPREAD, spare, i, stop),
            column(out, places, f.MICROPRICE, spare, i, stop), column(out, places, f.IMBALANCE, spare, i, stop),
            column(out, places, f.EFFECTIVE, spare, i, stop),
            column(out, places, f.TOP_AGE, spare, i, stop if places[f.TOP_AGE] >= 0 else i),
        )  # fmt: skip
    for feature, back in ((f.RET_1, 1), (f.RET_20, SHORT), (f.RET_100, LONG)):
        if places[feature] >= 0:
            blocks.log_returns(price[i:stop], price[i - back : stop - back], column(out, places, feature, spare, i, stop))
    if places[f.SMA : f.LOWER + 1].max() >= 0 or places[f.VWAP] >= 0:
        blocks.short_sums(price[i - SHORT : stop], size[i - SHORT : stop], ints)
        blocks.banded(
            price[i:stop], ints, unit, column(out, places, f.SMA, spare, i, stop), column(out, places, f.STD, spare, i, stop),
            column(out, places, f.UPPER, spare, i, stop), column(out, places, f.LOWER, spare, i, stop),
            column(out, places, f.VWAP, spare, i, stop),
        )  # fmt: skip
    if places[f.EMA_12 : f.RSI + 1].max() >= 0:
        blocks.smooth(
            price[i - 1 : stop], unit, carried,
            column(out, places, f.EMA_12, spare, i, stop), column(out, places, f.EMA_26, spare, i, stop),
            column(out, places, f.MACD, spare, i, stop), column(out, places, f.SIGNAL, spare, i, stop),
            column(out, places, f.RSI, spare, i, stop),
        )  # fmt: skip
    if places[N_COMPARED:].max() >= 0:
        all_long(
            ts_event[i - LONG : stop], price[i - LONG : stop], size[i - LONG : stop], side[i - LONG : stop], floats[0, online.SIZE_UNIT],
            (
                column(out, places, f.FLOW_20, spare, i, stop), column(out, places, f.SECONDS, spare, i, stop),
                column(out, places, f.VOL_100, spare, i, stop), column(out, places, f.FLOW_100, spare, i, stop),
                column(out, places, f.BUYS_100, spare, i, stop), column(out, places, f.VOLUME_100, spare, i, stop),
                column(out, places, f.POSITION_100, spare, i, stop),
            ),
            long_ints,
        )  # fmt: skip
    return j


@compiled
def mend(lo, hi, trades, unit, carried, places, out, ends):
    """Run the recurrences of rows [lo, hi) again from what they really were before `lo`, up to where they are what they had been."""
    price, segment = trades[2], trades[5]
    fast, slow, signal, gain, loss = carried[0], carried[1], carried[2], carried[3], carried[4]
    for i in range(lo, hi):
        if segment[i] != segment[lo]:
            return
        fast, slow, signal, gain, loss = f.recur(f.SEEDED, float(price[i]) / unit, price[i] - price[i - 1], fast, slow, signal, gain, loss)
        made = (fast, slow, fast - slow, signal, f.strength(gain, loss, f.NEGLIGIBLE * unit))
        for k in range(N_CARRIED):
            if places[f.EMA_12 + k] >= 0:
                out[places[f.EMA_12 + k], i] = made[k]
        if (i + 1) % BLOCK == 0 or i + 1 == hi:
            block = ends[i // BLOCK]
            if block[0] == fast and block[1] == slow and block[2] == signal and block[3] == gain and block[4] == loss:
                return
            block[0], block[1], block[2], block[3], block[4] = fast, slow, signal, gain, loss
