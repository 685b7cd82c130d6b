"""The trade-grain features of several symbols' trades as they came: one pass through the streaming step, each symbol with its own row of
the state and its own last top."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from kernels import trade_formulas as f
from kernels import trade_step as online
from kernels.trade_formulas import N_COMPARED
from kernels.trade_step import compiled

ROWS = 256  # of a block that is turned into columns


@compiled
def _interleaved(state, symbols, trades, top_symbols, tops, places, rows, out):
    ts_event, known_at, price, size, side, segment = trades
    top_known_at, bid, bid_size, ask, ask_size = tops
    floats = state.view(np.float64)
    last = np.full(len(state), -1)  # the top that each symbol knows
    j, block = 0, len(rows)
    for start in range(0, len(price), block):
        end = min(start + block, len(price))
        for i in range(start, end):
            if i > 0 and known_at[i] < known_at[i - 1]:
                raise ValueError("interleaved trades must be in order of known_at")
            while j < len(top_known_at) and top_known_at[j] < known_at[i]:
                last[top_symbols[j]] = j
                j += 1
            s = symbols[i]
            t = last[s]
            at, b, z, a, y = (top_known_at[t], bid[t], bid_size[t], ask[t], ask_size[t]) if t >= 0 else (0, 0, 0, 0, 0)
            online.fold(state, floats, s, ts_event[i], known_at[i], price[i], size[i], np.int64(side[i]), np.int64(segment[i]),
                at, b, z, a, y, rows, i - start)  # fmt: skip
        for k in range(rows.shape[1]):
            if places[k] >= 0:
                for i in range(start, end):
                    out[places[k], i] = rows[i - start, k]


def build_interleaved(
    symbols: NDArray[np.int64],
    trades: Sequence[NDArray],
    top_symbols: NDArray[np.int64],
    tops: Sequence[NDArray],
    *,
    n_symbols: int,
    price_decimals: int | Sequence[int],
    size_decimals: int | Sequence[int],
    max_age: int,
    names: Sequence[str] | None = None,
    out: NDArray[np.float64] | None = None,
) -> NDArray[np.float64]:
    """Features of trades of several symbols as they came, [len(names), n]: what `build` makes of each symbol alone, in one pass.

    `trades` and `tops` are the columns of `Trades` and `Tops` in order of `known_at`; `symbols` [n] and `top_symbols` say whose each
    row is, by number from 0. Raises `ValueError` where trades are out of order, `KeyError` for an unknown name, `OverflowError` where
    sums would not be exact.
    """
    places = f.chosen(names)
    out = np.empty((int(places.max()) + 1, len(symbols))) if out is None else out
    own = online.state(n_symbols, price_decimals=price_decimals, size_decimals=size_decimals, max_age=max_age)
    rows = np.empty((ROWS, N_COMPARED if places[N_COMPARED:].max() < 0 else f.N_FEATURES))
    events = tuple(map(f.read_only, trades))
    _interleaved(own, f.read_only(symbols), events, f.read_only(top_symbols), tuple(map(f.read_only, tops)), places, rows, out)
    return out
