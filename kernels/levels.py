"""Levels judged and told apart, row by row, before they reach a book."""

import numpy as np
from numba import njit

from kernels.book import Ints, Side

GOOD, BAD_PRICE, BAD_SIZE, ABSURD = 0, 1, 2, 3


@njit(cache=True, nogil=True)
def _faults(offsets, prices, sizes, max_price, max_size, found):
    for i in range(len(found)):
        for j in range(offsets[i], offsets[i + 1]):
            if found[i]:
                break
            if prices[j] <= 0:
                found[i] = BAD_PRICE
            elif sizes[j] < 0:
                found[i] = BAD_SIZE
            elif prices[j] > max_price or sizes[j] > max_size:
                found[i] = ABSURD


def level_faults(bids: Side, asks: Side, *, max_price: int, max_size: int) -> np.ndarray:
    """Per row `GOOD`, or what is wrong with its first wrong level (limits in units of the prices and sizes)."""
    found = np.zeros(len(bids.offsets) - 1, np.int8)
    for side in (bids, asks):
        _faults(*side, max_price, max_size, found)
    return found


@njit(cache=True, nogil=True)
def _fingerprints(offsets, prices, sizes, found):
    for i in range(len(found)):
        h = found[i] ^ (offsets[i + 1] - offsets[i])
        for j in range(offsets[i], offsets[i + 1]):
            # FNV-1a over 64-bit words with a final shift: equal levels, equal fingerprint.
            h = (h ^ prices[j]) * 1099511628211
            h = (h ^ sizes[j]) * 1099511628211
            h ^= h >> 29
        found[i] = h


def fingerprints(bids: Side, asks: Side) -> Ints:
    """64 bits per row that tell its levels from others'."""
    found = np.full(len(bids.offsets) - 1, 1469598103934665603, np.int64)
    for side in (bids, asks):
        _fingerprints(*side, found)
    return found
