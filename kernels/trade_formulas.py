"""What the trade-grain features are, number by number: scalar formulas that the batch pass and the streaming step both call.

Prices and sizes come as integers, window sums as exact integers; every formula ends in a few float64 operations in a fixed order, so
that whoever calls it with the same integers gets the same bits. A window's sums may wrap around 2^64 on the way: what is used of them
(20 Q - S^2, and N - p V) is small, and is exact as long as the bounds of `fits` hold.
"""

from collections.abc import Sequence

import numpy as np
from numba import njit
from numpy.typing import NDArray

SHORT, LONG = 20, 100  # windows, in trades
COMPARED = (
    "mid", "spread_bps", "microprice", "imbalance", "effective_spread_bps", "ret_1", "ret_20", "sma_20", "std_20", "bollinger_upper_20",
    "bollinger_lower_20", "ema_12", "ema_26", "macd", "macd_signal", "rsi_14", "vwap_20",
)  # fmt: skip
NAMES = (
    *COMPARED, "top_age_s", "flow_share_20", "seconds_20", "ret_100", "vol_100_bps", "flow_share_100", "buy_share_100", "volume_sum_100",
    "range_position_100",
)  # fmt: skip
(
    MID, SPREAD, MICROPRICE, IMBALANCE, EFFECTIVE, RET_1, RET_20, SMA, STD, UPPER, LOWER, EMA_12, EMA_26, MACD, SIGNAL, RSI, VWAP,
    TOP_AGE, FLOW_20, SECONDS, RET_100, VOL_100, FLOW_100, BUYS_100, VOLUME_100, POSITION_100,
) = range(len(NAMES))  # fmt: skip
N_COMPARED, N_FEATURES = len(COMPARED), len(NAMES)

FAST, SLOW, SMOOTH, WILDER = 12, 26, 9, 14
SEEDED = SLOW + SMOOTH - 1  # trades after which every recurrence runs
K_FAST, K_SLOW, K_SMOOTH, K_WILDER = 2.0 / (FAST + 1), 2.0 / (SLOW + 1), 2.0 / (SMOOTH + 1), 1.0 / WILDER
NEGLIGIBLE = 1e-14  # TA-Lib's own idea of zero (TA_EPSILON), in price

MOST_PRICE = 2**52  # a price and the sum of two are exact in float64
MOST_SIZE = 2**56  # and so 100 of them fit
MOST_RANGE = 60_000_000  # of the prices of 100 trades: (100 / 2)^2 x range^2 < 2^63 bounds 100 Q - S^2
MOST_WORTH = 2.0**62  # of that range times the volume of 100 trades
NARROW = 1.0 / 128.0  # of (now - before) / (now + before): up to there five terms of the series are exact to rounding
TOO_WIDE = (
    "a price or a size is out of bounds (0 < price < 2^52, 0 <= size < 2^56), or the prices of 100 trades in a row range over more than"
    " 6e7 units (or that range times their volume is over 2^62): their sums would not be exact; use fewer decimals"
)


def chosen(names: Sequence[str] | None) -> NDArray[np.int64]:
    """For each feature, in the order of `NAMES`, the row of a result that takes it; -1: none. An unknown name raises `KeyError`."""
    places = np.full(N_FEATURES, -1)
    at = {name: k for k, name in enumerate(NAMES)}
    for row, name in enumerate(NAMES if names is None else names):
        places[at[name]] = row
    return places


def read_only(column: NDArray) -> NDArray:
    """The same memory as an array nothing writes to: whatever came, one type, and so one compiled version."""
    view = np.ascontiguousarray(column)[:]
    view.flags.writeable = False
    return view


formula = njit(cache=True, nogil=True, error_model="numpy", forceinline=True)


@formula
def fits(low, high, volume):
    """Whether sums over a window with this range of prices and this volume are exact."""
    return high - low <= MOST_RANGE and float(high - low) * float(volume) < MOST_WORTH


@formula
def half_ratio(now, before):
    return float(now - before) / float(now + before)


@formula
def log_narrow(s):
    """ln of a ratio r from s = (r - 1) / (r + 1): 2 atanh(s), for |s| <= `NARROW`."""
    z = s * s
    return 2.0 * s * (1.0 + z * (1.0 / 3.0 + z * (0.2 + z * (1.0 / 7.0 + z * (1.0 / 9.0)))))


@formula
def log_return(now, before):
    s = half_ratio(now, before)
    return log_narrow(s) if abs(s) <= NARROW else np.log(float(now) / float(before))


@formula
def share(part, whole):
    """part / whole, 0 where the whole is 0: nothing leans where nothing is."""
    return float(part) / float(whole) if whole != 0 else 0.0


@formula
def middle(bid, ask, unit):
    return float(bid + ask) / (2.0 * unit)


@formula
def microprice(bid, ask, lean, unit):
    """(bid x ask size + ask x bid size) / (bid size + ask size), by the imbalance: the middle plus half the spread times it."""
    return (float(bid + ask) + float(ask - bid) * lean) / (2.0 * unit)


@formula
def bps_of_middle(distance, both):
    """`distance` over the middle, which is half of `both`, in basis points."""
    return float(distance) * (2e4 / float(both))


@formula
def mean(total, n, unit):
    return float(total) / (n * unit)


@formula
def deviation(squares, total, n, unit):
    """Standard deviation of the population, from the exact n Q - S^2."""
    return np.sqrt(float(n * squares - total * total)) / (n * unit)


@formula
def average_price(price, worth, volume, unit):
    """Average weighted by size, as the distance from the last price; no value where nothing was traded."""
    return (float(price) + float(worth - price * volume) / float(volume)) / unit


@formula
def smoothed(last, value, k):
    return last + (value - last) * k


@formula
def strength(gain, loss, negligible):
    whole = gain + loss
    return 100.0 * (gain / whole) if whole >= negligible else 0.0


@formula
def relative_deviation(squares, total, n):
    return np.sqrt(float(n * squares - total * total)) * (1e4 / float(total))


@formula
def position(price, low, high):
    """-1 at the lowest, 1 at the highest of the window; 0 where they meet."""
    return float(2 * price - low - high) / float(high - low) if high != low else 0.0


@formula
def recur(n, value, change, fast, slow, signal, gain, loss):
    """Advance the recurrences by the trade number `n` of its segment: each sums up its seed, then is its average, then smooths."""
    if n >= SEEDED:
        fast, slow = smoothed(fast, value, K_FAST), smoothed(slow, value, K_SLOW)
        signal = smoothed(signal, fast - slow, K_SMOOTH)
    else:
        fast = seeded(n, FAST, fast, value, K_FAST)
        slow = seeded(n, SLOW, slow, value, K_SLOW)
        if n >= SLOW - 1:
            signal = seeded(n - SLOW + 1, SMOOTH, signal, fast - slow, K_SMOOTH)
    if n >= 1:
        gain = seeded(n - 1, WILDER, gain, float(max(change, 0)), K_WILDER)
        loss = seeded(n - 1, WILDER, loss, float(max(-change, 0)), K_WILDER)
    return fast, slow, signal, gain, loss


@formula
def seeded(n, window, last, value, k):
    if n < window - 1:
        return last + value
    if n == window - 1:
        return (last + value) / window
    return smoothed(last, value, k)
