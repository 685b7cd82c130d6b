"""Who was the aggressor, where the venue does not say: the quote rule, then the tick rule.

C. Lee, M. Ready, "Inferring Trade Direction from Intraday Data", Journal of Finance 46 (1991): above the mid a trade is a buy, below it
a sell; at the mid it is told by the last price that differed.
"""

import numpy as np
import polars as pl
from numba import njit


@njit(cache=True, nogil=True)
def _infer(price, told, twice_mid, side):
    last, sign = 0, 0
    for i in range(len(price)):
        if last and price[i] != last:
            sign = 1 if price[i] > last else -1
        last = price[i]
        if told[i]:
            side[i] = told[i]
        elif twice_mid[i] and 2 * price[i] != twice_mid[i]:
            side[i] = 1 if 2 * price[i] > twice_mid[i] else -1
        else:
            side[i] = sign


def infer(price: np.ndarray, told: np.ndarray, twice_mid: np.ndarray) -> np.ndarray:
    """Sides (1 buy, -1 sell, 0 not to be told) of trades in order; `told` where known, `twice_mid` = bid + ask before it, 0 if unknown."""
    side = np.zeros(len(price), np.int8)
    _infer(price, told, twice_mid, side)
    return side


def with_sides(trades: pl.DataFrame, top: pl.DataFrame) -> pl.DataFrame:
    """Fill side 0 and add `side_inferred`. The quote is the top we knew when the trade was received, never a later one."""
    if not (trades["side"] == 0).any():
        return trades.with_columns(side_inferred=pl.lit(False))
    tops = top.lazy().select("known_at", mid=pl.col("bid") + pl.col("ask")).sort("known_at", maintain_order=True)
    joined = (
        trades.lazy()
        .with_row_index("_at")
        .select("_at", "ts_recv")
        .sort("ts_recv", maintain_order=True)
        .join_asof(tops, left_on="ts_recv", right_on="known_at", strategy="backward")
        .sort("_at")
        .collect()
    )
    mid = joined["mid"].fill_null(0).to_numpy().astype(np.int64)
    told = trades["side"].to_numpy().astype(np.int8)
    side = infer(trades["price"].to_numpy().astype(np.int64), told, mid)
    return trades.with_columns(side=pl.Series(side), side_inferred=pl.Series((told == 0) & (side != 0)))
