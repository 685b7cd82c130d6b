"""Windows of a hundred trades (and the flow of twenty) over a block: sums carried along, extremes by doubling."""

import numpy as np
from numba import njit

from kernels import trade_formulas as f
from kernels.trade_formulas import LONG, SHORT

compiled = njit(cache=True, nogil=True, error_model="numpy")


@compiled
def flow_short(ts_event, size, side, share, seconds):
    """Signed share of the last `SHORT` trades and the time they took; columns begin `SHORT` rows before the block."""
    flow, volume = 0, 0
    for k in range(SHORT):
        flow, volume = flow + size[k] * side[k], volume + size[k]
    for k in range(len(share)):
        flow += size[k + SHORT] * side[k + SHORT] - size[k] * side[k]
        volume += size[k + SHORT] - size[k]
        share[k] = f.share(flow, volume)
    for k in range(len(seconds)):
        seconds[k] = float(ts_event[k + SHORT] - ts_event[k]) * 1e-9


@compiled
def flow_long(size, side, size_unit, share, buys, volume_sum, flows, volumes):
    """Signed share, share of buyers' trades and volume of the last `LONG`; columns begin `LONG` rows before the block."""
    flow, volume, bought = 0, 0, 0
    for k in range(LONG):
        flow, volume, bought = flow + size[k] * side[k], volume + size[k], bought + (1 if side[k] > 0 else 0)
    for k in range(len(share)):
        z, gone = size[k + LONG], size[k]
        flow += z * side[k + LONG] - gone * side[k]
        volume += z - gone
        bought += (1 if side[k + LONG] > 0 else 0) - (1 if side[k] > 0 else 0)
        flows[k], volumes[k], buys[k] = flow, volume, float(bought)
    for k in range(len(share)):
        share[k] = f.share(flows[k], volumes[k])
    for k in range(len(share)):
        buys[k] = buys[k] / LONG
    for k in range(len(share)):
        volume_sum[k] = float(volumes[k]) / size_unit


@compiled
def volatility(price, out, totals, squares):
    """Relative deviation of the last `LONG` prices; `price` begins `LONG` rows before the block."""
    s, q = 0, 0
    for k in range(LONG):
        s, q = s + price[k], q + price[k] * price[k]
    for k in range(len(out)):
        p, old = price[k + LONG], price[k]
        s += p - old
        q += p * p - old * old
        totals[k], squares[k] = s, q
    for k in range(len(out)):
        out[k] = f.relative_deviation(squares[k], totals[k], LONG)


@compiled
def _doubled(values, made, step, smallest):
    """made[k]: the extreme of values[k - step] and values[k]."""
    later, made = values[step:], made[step:]
    if smallest:
        for k in range(len(later)):
            made[k] = min(values[k], later[k])
    else:
        for k in range(len(later)):
            made[k] = max(values[k], later[k])


@compiled
def _extreme(price, one, two, smallest):
    """Extremes of the last `LONG` = 64 + 36 prices, by doubling windows up to 64."""
    _doubled(price, one, 1, smallest)
    _doubled(one, two, 2, smallest)
    _doubled(two, one, 4, smallest)
    _doubled(one, two, 8, smallest)
    _doubled(two, one, 16, smallest)
    _doubled(one, two, 32, smallest)
    _doubled(two, one, LONG - 64, smallest)


@compiled
def range_position(price, out, scratch):
    """Where the price stands in the range of its last `LONG`; `price` begins `LONG` rows before the block; `scratch` [4, BLOCK + LONG]."""
    m = len(price)
    low, high, a, b = scratch[0, :m], scratch[1, :m], scratch[2, :m], scratch[3, :m]
    _extreme(price, low, a, True)
    _extreme(price, high, b, False)
    price, low, high = price[LONG:], low[LONG:], high[LONG:]
    for k in range(len(out)):
        out[k] = f.position(price[k], low[k], high[k])


@compiled
def all_long(ts_event, price, size, side, size_unit, columns, scratch):
    """The windows that are not among the seventeen; columns of rows begin `LONG` before the block, `columns` [7] take them."""
    flow_20, seconds, vol_100, flow_100, buys_100, volume_100, position_100 = columns
    near = LONG - SHORT
    flow_short(ts_event[near:], size[near:], side[near:], flow_20, seconds)
    m = len(vol_100)
    volatility(price, vol_100, scratch[0, :m], scratch[1, :m])
    flow_long(size, side, size_unit, flow_100, buys_100, volume_100, scratch[0, :m], scratch[1, :m])
    range_position(price, position_100, scratch)


def scratch(block: int) -> np.ndarray:
    return np.empty((4, block + LONG), np.int64)
