"""The trade-grain features one trade at a time: what the live worker runs, and what interleaved rows of several symbols run through.

All that a symbol carries is one row of int64: the sums and extremes of its windows, its recurrences (as float64 of the same bits) and rings
of its last trades. `step` folds one trade in, `step_many` one trade of each of several symbols; both write features in the order
of `trade_formulas.NAMES` and are bit for bit what `trade_features.build` makes of the same trades.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numba import njit
from numba.extending import intrinsic
from numpy.typing import NDArray

from kernels import trade_formulas as f
from kernels.trade_formulas import LONG, N_COMPARED, SHORT

EVENT = ("ts_event", "known_at", "price", "size", "side", "segment", "top_known_at", "bid", "bid_size", "ask", "ask_size")

# A symbol's row: integers, then floats, then rings of the last `LONG` trades: their prices side by side (what looks for the lowest and the
# highest reads them eight at a time), then each one's (size, side, ts_event). PLACE is where the next trade goes.
COUNT, PLACE, SEGMENT, S_20, Q_20, N_20, V_20, F_20, S_100, Q_100, V_100, F_100, B_100, LOW, HIGH, LAST, MAX_AGE = range(17)
E_FAST, E_SLOW, E_SIGNAL, GAIN, LOSS, UNIT, SIZE_UNIT = range(17, 24)
PRICES = 24
REST = PRICES + LONG
WIDTH = REST + 3 * LONG


def state(
    n_symbols: int = 1, *, price_decimals: int | Sequence[int], size_decimals: int | Sequence[int], max_age: int
) -> NDArray[np.int64]:
    """An empty state, [n_symbols, WIDTH]; decimals for all or for each symbol, `max_age` of a top in ns."""
    room = np.zeros(n_symbols * WIDTH + 7, np.int64)
    first = -room.ctypes.data % 64 // 8  # a row begins where a line of the cache does
    made = room[first : first + n_symbols * WIDTH].reshape(n_symbols, WIDTH)
    made[:, SEGMENT] = -1
    made[:, MAX_AGE] = max_age
    floats = made.view(np.float64)
    floats[:, UNIT] = 10.0 ** np.asarray(price_decimals)
    floats[:, SIZE_UNIT] = 10.0 ** np.asarray(size_decimals)
    return made


compiled = njit(cache=True, nogil=True, error_model="numpy")
inlined = njit(cache=True, nogil=True, error_model="numpy", forceinline=True)


def _borrowed(_, array):
    """The same array without an owner, so that handing it on counts no references (atomic counts, several an event). The caller of the
    compiled function holds the array meanwhile."""

    def made(context, builder, signature, values):
        whole = context.make_array(array)(context, builder, values[0])
        whole.meminfo, whole.parent = whole.meminfo.type(None), whole.parent.type(None)
        return whole._getvalue()

    return array(array), made


borrowed: Any = intrinsic(_borrowed)


@compiled
def _extremes(ints, s):
    """Lowest and highest price of the last `LONG` trades."""
    low = high = ints[s, PRICES]
    for k in range(PRICES, PRICES + LONG):
        low, high = min(low, ints[s, k]), max(high, ints[s, k])
    return low, high


@inlined
def _places(ints, s):
    """Where the next trade goes (there stands the one that is `LONG` trades old), and where the one stands that is `SHORT` trades old."""
    at = ints[s, PLACE] & 127  # changes nothing, and shows the compiler that no index is negative
    return at, (at - SHORT if at >= SHORT else at + (LONG - SHORT)) & 127


@inlined
def fold(ints, floats, s, ts_event, known_at, price, size, side, segment, top_known_at, bid, bid_size, ask, ask_size, out, k):
    """Fold one trade into row `s` of the state (as `ints` and `floats`), write its features to row `k` of `out`: all, or seventeen.

    Arrays are passed whole with a row's number, `borrowed` where speed matters.
    """
    if segment != ints[s, SEGMENT]:
        for c in range(MAX_AGE):
            ints[s, c] = 0
        for c in range(E_FAST, UNIT):
            floats[s, c] = 0.0
        ints[s, SEGMENT] = segment
    if segment < 0:
        for c in range(out.shape[1]):
            out[k, c] = np.nan
        return
    if price <= 0 or price >= f.MOST_PRICE or size < 0 or size >= f.MOST_SIZE:
        raise OverflowError(f.TOO_WIDE)
    n = ints[s, COUNT]  # trades of the segment before this one
    ints[s, COUNT] = n + 1
    at, old = _places(ints, s)
    gone = ints[s, PRICES + at], ints[s, REST + 3 * at], ints[s, REST + 3 * at + 1]
    ints[s, PLACE] = at + 1 if at + 1 < LONG else 0
    ints[s, PRICES + at] = price
    ints[s, REST + 3 * at], ints[s, REST + 3 * at + 1], ints[s, REST + 3 * at + 2] = size, side, ts_event
    top = bid > 0 and ask > 0 and top_known_at < known_at and known_at - top_known_at <= ints[s, MAX_AGE]
    _windows(ints, floats, s, n, price, size, old, gone, out, k)
    _recurrences(floats, s, n, price, price - ints[s, LAST], out, k)
    ints[s, LAST] = price
    if top:
        unit, lean = floats[s, UNIT], f.share(bid_size - ask_size, bid_size + ask_size)
        out[k, f.MID] = f.middle(bid, ask, unit)
        out[k, f.SPREAD] = f.bps_of_middle(ask - bid, bid + ask)
        out[k, f.MICROPRICE] = f.microprice(bid, ask, lean, unit)
        out[k, f.IMBALANCE] = lean
        out[k, f.EFFECTIVE] = f.bps_of_middle(abs(2 * price - (bid + ask)), bid + ask)
    else:
        for c in range(f.MID, f.EFFECTIVE + 1):
            out[k, c] = np.nan
    if out.shape[1] > N_COMPARED:
        _extras(ints, floats, s, n, price, size, side, ts_event, old, gone, out, k)
        out[k, f.TOP_AGE] = float(known_at - top_known_at) * 1e-9 if top else np.nan


@inlined
def _windows(ints, floats, s, n, price, size, old, gone, out, k):
    unit = floats[s, UNIT]
    total, squares = ints[s, S_20] + price, ints[s, Q_20] + price * price
    worth, volume, long_volume = ints[s, N_20] + price * size, ints[s, V_20] + size, ints[s, V_100] + size
    low, high = min(ints[s, LOW], price), max(ints[s, HIGH], price)
    if n == 0:
        low, high = price, price
    out[k, f.RET_1] = f.log_return(price, ints[s, LAST]) if n >= 1 else np.nan
    out[k, f.RET_20] = np.nan
    if n >= SHORT:
        p, z = ints[s, PRICES + old], ints[s, REST + 3 * old]
        total, squares, worth, volume = total - p, squares - p * p, worth - p * z, volume - z
        out[k, f.RET_20] = f.log_return(price, p)
    if n >= LONG:
        p, z, _ = gone
        long_volume -= z
        if (p == ints[s, LOW] and price > p) or (p == ints[s, HIGH] and price < p):
            low, high = _extremes(ints, s)
    if not f.fits(low, high, long_volume):
        raise OverflowError(f.TOO_WIDE)
    ints[s, S_20], ints[s, Q_20], ints[s, N_20], ints[s, V_20] = total, squares, worth, volume
    ints[s, LOW], ints[s, HIGH], ints[s, V_100] = low, high, long_volume
    if n >= SHORT - 1:
        center, spread = f.mean(total, SHORT, unit), f.deviation(squares, total, SHORT, unit)
        out[k, f.SMA], out[k, f.STD] = center, spread
        out[k, f.UPPER], out[k, f.LOWER] = center + 2.0 * spread, center - 2.0 * spread
        out[k, f.VWAP] = f.average_price(price, worth, volume, unit)
    else:
        out[k, f.SMA], out[k, f.STD], out[k, f.UPPER], out[k, f.LOWER], out[k, f.VWAP] = np.nan, np.nan, np.nan, np.nan, np.nan


@inlined
def _recurrences(floats, s, n, price, change, out, k):
    """Each recurrence sums up its first values, is their average when it has its number of them, and smooths from then on."""
    unit = floats[s, UNIT]
    e_fast, e_slow, signal, gain, loss = f.recur(
        n, float(price) / unit, change, floats[s, E_FAST], floats[s, E_SLOW], floats[s, E_SIGNAL], floats[s, GAIN], floats[s, LOSS]
    )
    floats[s, E_FAST], floats[s, E_SLOW], floats[s, E_SIGNAL], floats[s, GAIN], floats[s, LOSS] = e_fast, e_slow, signal, gain, loss
    out[k, f.EMA_12] = e_fast if n >= f.FAST - 1 else np.nan
    out[k, f.EMA_26] = e_slow if n >= f.SLOW - 1 else np.nan
    out[k, f.MACD] = e_fast - e_slow if n >= f.SLOW - 1 else np.nan
    out[k, f.SIGNAL] = signal if n >= f.SEEDED - 1 else np.nan
    out[k, f.RSI] = f.strength(gain, loss, f.NEGLIGIBLE * unit) if n >= f.WILDER else np.nan


@inlined
def _extras(ints, floats, s, n, price, size, side, ts_event, old, gone, out, k):
    flow, long_flow, buys = ints[s, F_20] + side * size, ints[s, F_100] + side * size, ints[s, B_100] + (1 if side > 0 else 0)
    total, squares = ints[s, S_100] + price, ints[s, Q_100] + price * price
    first = price
    out[k, f.SECONDS] = np.nan
    if n >= SHORT:
        flow -= ints[s, REST + 3 * old] * ints[s, REST + 3 * old + 1]
        out[k, f.SECONDS] = float(ts_event - ints[s, REST + 3 * old + 2]) * 1e-9
    if n >= LONG:
        first, z, way = gone
        total, squares = total - first, squares - first * first
        long_flow -= z * way
        buys -= 1 if way > 0 else 0
    ints[s, F_20], ints[s, S_100], ints[s, Q_100], ints[s, F_100], ints[s, B_100] = flow, total, squares, long_flow, buys
    out[k, f.FLOW_20] = f.share(flow, ints[s, V_20]) if n >= SHORT - 1 else np.nan
    out[k, f.RET_100] = f.log_return(price, first) if n >= LONG else np.nan
    if n >= LONG - 1:
        out[k, f.VOL_100] = f.relative_deviation(squares, total, LONG)
        out[k, f.FLOW_100] = f.share(long_flow, ints[s, V_100])
        out[k, f.BUYS_100] = float(buys) / LONG
        out[k, f.VOLUME_100] = float(ints[s, V_100]) / floats[s, SIZE_UNIT]
        out[k, f.POSITION_100] = f.position(price, ints[s, LOW], ints[s, HIGH])
    else:
        for c in range(f.VOL_100, f.POSITION_100 + 1):
            out[k, c] = np.nan


@compiled
def _step(state, symbol, ts_event, known_at, price, size, side, segment, top_known_at, bid, bid_size, ask, ask_size, out):
    ints, row = borrowed(state), borrowed(out).reshape(1, out.size)
    floats = ints.view(np.float64)
    fold(ints, floats, symbol, ts_event, known_at, price, size, side, segment, top_known_at, bid, bid_size, ask, ask_size, row, 0)


@compiled
def _step_many(kept, whose, events, made):
    state, symbols, e, out = borrowed(kept), borrowed(whose), borrowed(events), borrowed(made)
    floats = state.view(np.float64)
    for k in range(len(symbols)):
        fold(
            state, floats, symbols[k], e[k, 0], e[k, 1], e[k, 2], e[k, 3], e[k, 4], e[k, 5], e[k, 6], e[k, 7], e[k, 8], e[k, 9], e[k, 10],
            out, k,
        )  # fmt: skip


step: Callable[..., None]
"""`step(state, symbol, *event, out)`: fold one trade of `symbol` in, `event` being the integers `EVENT` (the top: the last one known
strictly before the trade, zeros where there is none); `out` [17 or 26] float64 takes its features. Raises `OverflowError` where sums
would not be exact; the symbol then starts afresh with its next segment."""

step_many: Callable[..., None]
"""`step_many(state, symbols [k], events [k, 11], out [k, 17 or 26])`: `step` for each row of packed events, in order."""

SIGNATURES = {
    "step": (_step, "void(int64[:,::1], int64, " + "int64, " * len(EVENT) + "float64[::1])"),
    "step_many": (_step_many, "void(int64[:,::1], int64[::1], int64[:,::1], float64[:,::1])"),
}


def __getattr__(name: str) -> Callable[..., None]:
    """`step` and `step_many`, compiled (or read from the cache on disk) when first asked for.

    They are the compiled functions themselves: with fixed types, numba's look-up of a version by the arguments (0.3 us) is not needed.
    """
    if name not in SIGNATURES:
        raise AttributeError(name)
    compiled, signature = SIGNATURES[name]
    compiled.compile(signature)
    (version,) = compiled.overloads.values()
    globals()[name] = version.entry_point
    return version.entry_point
