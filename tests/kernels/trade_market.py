"""Made-up trades and tops for the tests of the trade-grain features, and the plain way to them: one trade at a time."""

from typing import Any

import numpy as np

from kernels import trade_features, trade_step
from kernels.book_features import Tops
from kernels.trade_features import SPECS, Trades

OF: dict[str, Any] = {"price_decimals": 2, "size_decimals": 3, "max_age": 10**9}
AT = {name: k for k, name in enumerate(trade_features.names())}


def market(
    n: int, *, seed: int = 0, moves: int = 5, gaps: int = 0, start: int = 6_000_000, n_tops: int | None = None
) -> tuple[Trades, Tops]:
    rng = np.random.default_rng(seed)
    ts_event = np.cumsum(rng.integers(0, 10**8, n))
    known_at = ts_event + rng.integers(0, 2 * 10**7, n)  # goes back a little now and then
    price = np.maximum(start + np.cumsum(rng.integers(-moves, moves + 1, n)), 1)
    segment = np.zeros(n, np.int32)
    for at in rng.integers(0, max(n, 1), gaps):
        segment[at:] += 1
        segment[at : at + rng.integers(0, 30)] = -1
    trades = Trades(ts_event, known_at, price, rng.integers(1, 10**6, n), rng.integers(-1, 2, n).astype(np.int8), segment)
    m = n if n_tops is None else n_tops
    known = np.sort(rng.integers(0, 10**8 * max(n, 1) // 2 + 1, m))
    middle = start + np.cumsum(rng.integers(-3, 4, m))
    bid = np.where(rng.random(m) < 0.02, 0, middle - rng.integers(1, 4, m))
    return trades, Tops(known, bid, rng.integers(0, 1000, m), middle + rng.integers(0, 4, m), rng.integers(0, 1000, m))


def same(a: np.ndarray, b: np.ndarray) -> None:
    assert a.shape == b.shape
    different = ~((a == b) | (np.isnan(a) & np.isnan(b)))
    assert not different.any(), [(trade_features.names()[k], i, a[k, i], b[k, i]) for k, i in np.argwhere(different)[:5]]


def seen(trades: Trades, tops: Tops, i: int, max_age: int) -> int | None:
    """The last top known strictly before trade `i`, if it has both sides and is not too old."""
    before = [k for k in range(len(tops.known_at)) if tops.known_at[k] < trades.known_at[i]]
    if not before or trades.known_at[i] - tops.known_at[before[-1]] > max_age:
        return None
    return before[-1] if tops.bid[before[-1]] > 0 and tops.ask[before[-1]] > 0 else None


def stepped(trades: Trades, tops: Tops, width: int = len(SPECS)) -> np.ndarray:
    """One trade at a time, through `step`."""
    state, row = trade_step.state(**OF), np.empty(width)
    made = np.empty((width, len(trades.price)))
    for i in range(len(trades.price)):
        j = seen(trades, tops, i, 2**62)
        top = (0, 0, 0, 0, 0) if j is None else tuple(int(column[j]) for column in tops)
        trade_step.step(state, 0, *(int(column[i]) for column in trades), *top, row)
        made[:, i] = row
    return made
