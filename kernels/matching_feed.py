"""Decoded frames of a recording or a live feed into a simulated venue."""

from typing import Protocol

import numpy as np

from kernels.frames_live import Batch
from kernels.frames_live_scan import (
    AGGREGATE,
    ASK,
    ASK_SIZE,
    ASKS,
    BIDS,
    BOOK,
    DIFF,
    EVENT,
    ID,
    KIND,
    MARK,
    MARKET,
    N_ASKS,
    N_BIDS,
    PRICE,
    QUOTE,
    SIDE,
    SIZE,
    SYMBOL,
    TRADE,
)

MARK_UNIT = 10**8  # mark prices come in 10^-8


class Fed(Protocol):
    """What takes market events (`kernels.matching.Matching`)."""

    def snapshot(self, ts: int, symbol: str, bids: np.ndarray, asks: np.ndarray, update_id: int = 0) -> None: ...
    def depth(self, ts: int, symbol: str, bids: np.ndarray, asks: np.ndarray, update_id: int = 0) -> None: ...
    def trade(self, ts: int, symbol: str, sign: int, price: int, size: int) -> None: ...
    def quote(self, ts: int, symbol: str, bid: int, bid_size: int, ask: int, ask_size: int, update_id: int = 0) -> None: ...
    def mark(self, ts: int, symbol: str, price: int) -> None: ...


def feed(into: Fed, decimals: dict[str, int], batch: Batch, ts: int) -> None:
    """All rows of the symbols in `decimals` (of their prices) in order, each at its own time or all at `ts` unless that is 0."""
    levels = batch.levels
    for row in batch.rows.tolist():
        kind = row[KIND]
        if kind < 0 or (symbol := batch.symbols[row[SYMBOL]]) not in decimals:
            continue
        at = ts or row[EVENT]
        if kind in (TRADE, AGGREGATE):
            if row[MARKET]:
                into.trade(at, symbol, row[SIDE], row[PRICE], row[SIZE])
        elif kind == QUOTE:
            into.quote(at, symbol, row[PRICE], row[SIZE], row[ASK], row[ASK_SIZE], row[ID])
        elif kind in (DIFF, BOOK):
            change = into.depth if kind == DIFF else into.snapshot
            bids, asks = levels[:, row[BIDS] : row[BIDS] + row[N_BIDS]], levels[:, row[ASKS] : row[ASKS] + row[N_ASKS]]
            change(at, symbol, bids, asks, row[ID])
        elif kind == MARK:
            into.mark(at, symbol, (row[PRICE] * 10 ** decimals[symbol] + MARK_UNIT // 2) // MARK_UNIT)
