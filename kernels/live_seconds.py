"""The features of one second as it closes: the formulas of `kernels.features`, one symbol and second at a time, compiled.

The batch build makes them as expressions over a day. Windows, recurrences and sums over book levels are the same compiled functions
here; what is an expression there is written out here, and a property test holds the two together.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from kernels.features import BPS
from kernels.indicators_compiled import cold, ema_rows, rsi_rows
from kernels.live_seconds_windows import (
    NULL,
    RING,
    exact_share,
    exact_sum,
    keep,
    last,
    log_return,
    of,
    signed_share,
    window_median,
    window_std,
    window_sum,
)

FEATURES = (
    "ret_1", "ret_5", "ret_20", "sma_5", "sma_20", "sma_5_rel", "sma_20_rel", "vol_20", "rsi_14", "macd", "macd_signal", "macd_hist",
    "macd_hist_bps", "bollinger_upper", "bollinger_lower", "bollinger_position", "regime", "hour", "minute",
    "volume", "volume_avg_5", "volume_sum_60", "volume_ratio", "signed_flow", "flow_share_1", "flow_share_20", "effective_spread_bps",
    "quoted_spread_bps", "microprice", "microprice_bps", "imbalance_1", "ofi", "ofi_share_1", "ofi_share_5", "mid_ret_1", "mid_ret_5",
    "realised_vol_60",
    "bid_volume_20", "bid_volume_avg_20", "bid_vwap_20", "bid_depth_bps", "ask_volume_20", "ask_volume_avg_20", "ask_vwap_20",
    "ask_depth_bps", "bid_ask_ratio_20", "imbalance_5", "imbalance_20",
)  # fmt: skip
(
    RET_1, RET_5, RET_20, SMA_5, SMA_20, SMA_5_REL, SMA_20_REL, VOL_20, RSI_14, MACD, MACD_SIGNAL, MACD_HIST,
    MACD_HIST_BPS, UPPER, LOWER, POSITION, REGIME, HOUR, MINUTE,
    VOLUME, VOLUME_AVG_5, VOLUME_SUM_60, VOLUME_RATIO, SIGNED_FLOW, FLOW_SHARE_1, FLOW_SHARE_20, EFFECTIVE_SPREAD,
    QUOTED_SPREAD, MICROPRICE, MICROPRICE_BPS, IMBALANCE_1, OFI, OFI_SHARE_1, OFI_SHARE_5, MID_RET_1, MID_RET_5, REALISED_VOL,
    BID_VOLUME, BID_VOLUME_AVG, BID_VWAP, BID_DEPTH, ASK_VOLUME, ASK_VOLUME_AVG, ASK_VWAP, ASK_DEPTH,
    RATIO_20, IMBALANCE_5, IMBALANCE_20,
) = range(48)  # fmt: skip

# Rings of floats and of integers, [column, 2 x RING].
R_CLOSE, R_RET, R_VOL, R_MID, R_MID_RET, R_MID_SQUARE, FLOAT_RINGS = range(7)
R_CLOSE_UNITS, R_VOLUME, R_SIGNED, R_TRADED, R_OFI, R_OFI_ABS, WHOLE_RINGS = range(7)
# Recurrences: rows of the state of three averages and an index.
FAST, SLOW, SMOOTH, STRENGTH, RECURRENCES = 0, 3, 6, 9, 15
# What a second is given, float64: the top, what it was worth to trade, and the book's sums (`book_features.LEVEL_COLUMNS`, in their order).
(G_BID, G_ASK, G_MID, G_BID_SIZE, G_ASK_SIZE, G_SPREAD, G_TOP_AGE, G_LEVELS, GIVEN) = (0, 1, 2, 3, 4, 5, 6, 7, 17)
# And int64, `NULL` where it is not there.
G_CLOSE, G_VOLUME, G_BUYS, G_SELLS, G_OFI, G_OFI_ABS, WHOLES = range(7)
HOUR_NS, MINUTE_NS = 3_600_000_000_000, 60_000_000_000


def cold_rings(n: int) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.float64]]:
    """Rings of floats and of integers, and recurrences, of `n` symbols that nothing is known of."""
    averages = np.concatenate([cold(3), cold(3), cold(3), cold(6)])
    return (
        np.full((n, FLOAT_RINGS, 2 * RING), np.nan),
        np.full((n, WHOLE_RINGS, 2 * RING), NULL, np.int64),
        np.repeat(averages[np.newaxis], n, axis=0),
    )


@njit(cache=True, nogil=True)
def _average(value, window, lead, state, room):
    room[0, 0] = value
    ema_rows(room[:1], window, lead, state, room[1:], 0, 1)
    return room[1, 0]


@njit(cache=True, nogil=True)
def _strength(value, window, state, room):
    room[0, 0] = value
    rsi_rows(room[:1], window, state, room[1:], 0, 1)
    return room[1, 0]


@njit(cache=True, nogil=True, error_model="numpy")
def _prices(n, whole, price_unit, floats, wholes, recur, room, out):
    close = of(whole[G_CLOSE], price_unit)
    before = wholes[R_CLOSE_UNITS, last(n) - 1]
    keep(floats[R_CLOSE], n, close)
    keep(wholes[R_CLOSE_UNITS], n, whole[G_CLOSE])
    known = whole[G_CLOSE] != NULL and before != NULL
    out[RET_1] = log_return(float(whole[G_CLOSE]), float(before)) if known else np.nan
    keep(floats[R_RET], n, out[RET_1])
    out[RET_5], out[RET_20] = window_sum(floats[R_RET], n, 5), window_sum(floats[R_RET], n, 20)
    out[SMA_5] = of(exact_sum(wholes[R_CLOSE_UNITS], n, 5), price_unit * 5)
    out[SMA_20] = of(exact_sum(wholes[R_CLOSE_UNITS], n, 20), price_unit * 20)
    out[SMA_5_REL], out[SMA_20_REL] = close / out[SMA_5] - 1, close / out[SMA_20] - 1
    out[VOL_20] = window_std(floats[R_RET], n, 20, 1)
    keep(floats[R_VOL], n, out[VOL_20])
    out[RSI_14] = _strength(close, 14, recur[STRENGTH:RECURRENCES], room)
    out[MACD] = _average(close, 12, 14, recur[FAST:SLOW], room) - _average(close, 26, 0, recur[SLOW:SMOOTH], room)
    out[MACD_SIGNAL] = _average(out[MACD], 9, 0, recur[SMOOTH:STRENGTH], room)
    out[MACD_HIST] = out[MACD] - out[MACD_SIGNAL]
    out[MACD_HIST_BPS] = out[MACD_HIST] / close * BPS
    band = window_std(floats[R_CLOSE], n, 20, 0)
    out[UPPER], out[LOWER] = out[SMA_20] + 2 * band, out[SMA_20] - 2 * band
    out[POSITION] = signed_share(2 * (close - out[SMA_20]), out[UPPER] - out[LOWER])
    median, distance = window_median(floats[R_VOL], n, 60), (out[SMA_5] - out[SMA_20]) / close
    if np.isnan(median) or np.isnan(distance):
        out[REGIME] = np.nan
    else:
        out[REGIME] = 3.0 * (out[VOL_20] > median) + 1.0 * (distance > out[VOL_20]) - 1.0 * (distance < -out[VOL_20]) + 1.0


@njit(cache=True, nogil=True, error_model="numpy")
def _flow(n, given, whole, size_unit, wholes, out):
    volume, buys, sells = whole[G_VOLUME], whole[G_BUYS], whole[G_SELLS]
    there = volume != NULL
    signed, traded = (buys - sells, buys + sells) if there else (NULL, NULL)
    keep(wholes[R_VOLUME], n, volume)
    keep(wholes[R_SIGNED], n, signed)
    keep(wholes[R_TRADED], n, traded)
    out[VOLUME] = of(volume, size_unit)
    out[VOLUME_AVG_5] = of(exact_sum(wholes[R_VOLUME], n, 5), size_unit * 5)
    out[VOLUME_SUM_60] = of(exact_sum(wholes[R_VOLUME], n, 60), size_unit)
    out[VOLUME_RATIO] = signed_share(60 * out[VOLUME_AVG_5], out[VOLUME_SUM_60])
    out[SIGNED_FLOW] = of(signed, size_unit)
    out[FLOW_SHARE_1] = exact_share(signed, traded)
    out[FLOW_SHARE_20] = exact_share(exact_sum(wholes[R_SIGNED], n, 20), exact_sum(wholes[R_TRADED], n, 20))
    out[EFFECTIVE_SPREAD] = given[G_SPREAD] * BPS


@njit(cache=True, nogil=True, error_model="numpy")
def _top(n, given, whole, size_unit, floats, wholes, out):
    bid, ask, mid, bid_size, ask_size = given[G_BID], given[G_ASK], given[G_MID], given[G_BID_SIZE], given[G_ASK_SIZE]
    before = floats[R_MID, last(n) - 1]
    keep(floats[R_MID], n, mid)
    keep(wholes[R_OFI], n, whole[G_OFI])
    keep(wholes[R_OFI_ABS], n, whole[G_OFI_ABS])
    out[QUOTED_SPREAD] = (ask - bid) / mid * BPS
    out[MICROPRICE] = (bid * ask_size + ask * bid_size) / (bid_size + ask_size)
    out[MICROPRICE_BPS] = (out[MICROPRICE] / mid - 1) * BPS
    out[IMBALANCE_1] = signed_share(bid_size - ask_size, bid_size + ask_size)
    out[OFI] = of(whole[G_OFI], size_unit)
    out[OFI_SHARE_1] = exact_share(whole[G_OFI], whole[G_OFI_ABS])
    out[OFI_SHARE_5] = exact_share(exact_sum(wholes[R_OFI], n, 5), exact_sum(wholes[R_OFI_ABS], n, 5))
    out[MID_RET_1] = log_return(mid, before)
    keep(floats[R_MID_RET], n, out[MID_RET_1])
    keep(floats[R_MID_SQUARE], n, out[MID_RET_1] ** 2)
    out[MID_RET_5] = window_sum(floats[R_MID_RET], n, 5)
    out[REALISED_VOL] = np.sqrt(window_sum(floats[R_MID_SQUARE], n, 60))


@njit(cache=True, nogil=True, error_model="numpy")
def _book(given, price_unit, size_unit, out):
    at = G_LEVELS
    bid_total, ask_total = given[at] / size_unit, given[at + 1] / size_unit
    bid_vwap, ask_vwap = given[at + 4] / price_unit, given[at + 5] / price_unit
    bid_near, ask_near = given[at + 6] / size_unit, given[at + 7] / size_unit
    middle = (given[at + 8] / price_unit + given[at + 9] / price_unit) * 0.5
    out[BID_VOLUME], out[BID_VOLUME_AVG], out[BID_VWAP] = bid_total, bid_total / given[at + 2], bid_vwap
    out[ASK_VOLUME], out[ASK_VOLUME_AVG], out[ASK_VWAP] = ask_total, ask_total / given[at + 3], ask_vwap
    out[BID_DEPTH], out[ASK_DEPTH] = (bid_vwap / middle - 1) * BPS, (ask_vwap / middle - 1) * BPS
    out[RATIO_20] = bid_total / ask_total
    out[IMBALANCE_5] = signed_share(bid_near - ask_near, bid_near + ask_near)
    out[IMBALANCE_20] = signed_share(bid_total - ask_total, bid_total + ask_total)


@njit(cache=True, nogil=True, error_model="numpy")
def features_of(n, ts_bar, given, whole, price_unit, size_unit, floats, wholes, recur, room, out):
    """Fill `out` [48], the features of the n-th second, from what it is `given`, and keep of it what later seconds need.

    `given` [GIVEN] is in quote currency and base units but for the book's sums (units); NaN and `NULL` are "not there", all of them
    where the feed was away. `floats`, `wholes`, `recur` are one symbol's of `cold_rings`, `room` [2, 1] is room to work in.
    """
    _prices(n, whole, price_unit, floats, wholes, recur, room, out)
    _flow(n, given, whole, size_unit, wholes, out)
    _top(n, given, whole, size_unit, floats, wholes, out)
    _book(given, price_unit, size_unit, out)
    if whole[G_VOLUME] == NULL:
        out[:] = np.nan
        return
    out[HOUR], out[MINUTE] = float(ts_bar // HOUR_NS % 24), float(ts_bar // MINUTE_NS % 60)
    for k in range(len(out)):
        if not np.isfinite(out[k]):
            out[k] = np.nan
