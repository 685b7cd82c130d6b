"""What the book says at the close of each second: compiled passes over tops, books and trades, by receive time.

A second sees the rows known by its own `known_at`, and what happened in it is what became known since the second before closed.
A top or book that has not been heard of for longer than `max_age`, or that is unknown, says nothing.

Order-flow imbalance: Cont, Kukanov & Stoikov, "The price impact of order book events", J. Financial Econometrics 12 (2014), eq. 1-2.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import polars as pl
from numba import njit
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
NOTHING = -1
N_LEVELS = 20
LEVELS = ("bid_prices", "bid_sizes", "ask_prices", "ask_sizes")
LEVEL_COLUMNS = (
    "bid_total", "ask_total", "bid_levels", "ask_levels", "bid_vwap", "ask_vwap",
    "bid_total_5", "ask_total_5", "book_bid", "book_ask",
)  # fmt: skip


class Tops(NamedTuple):
    """Best bid and ask, [n], in order of `known_at` (ns); prices and sizes in units, 0 where unknown."""

    known_at: Ints
    bid: Ints
    bid_size: Ints
    ask: Ints
    ask_size: Ints


def tops(frame: pl.LazyFrame) -> Tops:
    """Rows of `clean_market__top` as arrays, in order of `known_at`."""
    columns = pl.col("bid", "bid_size", "ask", "ask_size").fill_null(0)
    made = frame.select(pl.col("known_at").to_physical(), columns).collect()
    if not made["known_at"].is_sorted():
        made = made.sort("known_at", maintain_order=True)
    return Tops(*(made[name].rechunk().to_numpy() for name in Tops._fields))


class TopSeconds(NamedTuple):
    """Per second, [s]: which top holds at its close (`NOTHING` if none does) and the order flow that became known in it."""

    row: Ints
    ofi: Ints  # sum of the signed size changes at the best levels, size units
    ofi_abs: Ints  # sum of their magnitudes


@njit(cache=True, nogil=True)
def _top_seconds(known_at, bid, bid_size, ask, ask_size, closed_at, max_age, row, ofi, ofi_abs):
    n = len(known_at)
    j = 0
    while j < n and known_at[j] <= closed_at[0]:
        j += 1  # before the first second closes there is no second to count it in
    if len(closed_at) and j > 0 and bid[j - 1] > 0 and ask[j - 1] > 0 and closed_at[0] - known_at[j - 1] <= max_age:
        row[0] = j - 1
    for s in range(1, len(closed_at)):
        while j < n and known_at[j] <= closed_at[s]:
            if (
                j > 0 and bid[j] > 0 and ask[j] > 0 and bid[j - 1] > 0 and ask[j - 1] > 0
                and known_at[j] - known_at[j - 1] <= max_age
            ):  # fmt: skip
                e = 0
                if bid[j] >= bid[j - 1]:
                    e += bid_size[j]
                if bid[j] <= bid[j - 1]:
                    e -= bid_size[j - 1]
                if ask[j] <= ask[j - 1]:
                    e -= ask_size[j]
                if ask[j] >= ask[j - 1]:
                    e += ask_size[j - 1]
                ofi[s] += e
                ofi_abs[s] += abs(e)
            j += 1
        if j > 0 and bid[j - 1] > 0 and ask[j - 1] > 0 and closed_at[s] - known_at[j - 1] <= max_age:
            row[s] = j - 1


def top_seconds(tops: Tops, closed_at: Ints, *, max_age: int) -> TopSeconds:
    """The top at the close of each second and the order flow of it; `closed_at` [s] rises, ns. Exact integers.

    What is known by the first close is counted in no second: where that matters, give one second more.
    """
    seconds = len(closed_at)
    made = TopSeconds(np.full(seconds, NOTHING, np.int64), np.zeros(seconds, np.int64), np.zeros(seconds, np.int64))
    if seconds:
        _top_seconds(*tops, closed_at, max_age, *made)
    return made


@njit(cache=True, nogil=True)
def _effective_spread(ts_recv, price, size, second, closed_at, known_at, bid, ask, max_age, weighted, weight):
    j = -1
    n = len(known_at)
    for i in range(len(ts_recv)):
        s = second[i]
        if s < 0 or s >= len(closed_at) or ts_recv[i] > closed_at[s]:
            continue
        while j + 1 < n and known_at[j + 1] < ts_recv[i]:
            j += 1
        while j >= 0 and known_at[j] >= ts_recv[i]:
            j -= 1  # receipts may go back a little: the trades are in order of the venue's time
        if j < 0 or bid[j] <= 0 or ask[j] <= 0 or ts_recv[i] - known_at[j] > max_age:
            continue
        both = bid[j] + ask[j]
        weighted[s] += size[i] * (2.0 * abs(2 * price[i] - both) / both)
        weight[s] += size[i]


def effective_spread(ts_recv: Ints, price: Ints, size: Ints, second: Ints, closed_at: Ints, tops: Tops, *, max_age: int) -> Floats:
    """Twice the distance of a trade from the middle of the top known before it, over that middle, weighted by size per second [s].

    Trades [n] in any order near that of their receipt; `second` is the index of each one's second. Late trades and those without
    a top are left out; a second without any is NaN. (Harris, Trading and Exchanges, 2003, ch. 21.)
    """
    weighted, weight = np.zeros(len(closed_at)), np.zeros(len(closed_at))
    _effective_spread(ts_recv, price, size, second, closed_at, tops.known_at, tops.bid, tops.ask, max_age, weighted, weight)
    return np.divide(weighted, weight, out=np.full(len(closed_at), np.nan), where=weight > 0)


@njit(cache=True, nogil=True)
def _one_side(offsets, prices, sizes, made, total, levels, vwap, total_5, best):
    for i in range(len(offsets) - 1):
        start, end = offsets[i], min(offsets[i + 1], offsets[i] + N_LEVELS)
        whole, near, away = 0.0, 0.0, 0.0
        for k in range(start, end):
            whole += sizes[k]
            if k < start + 5:
                near += sizes[k]
            away += sizes[k] * float(prices[k] - prices[start])  # from the best level: exact, however large the price
        made[i, levels] = end - start
        if whole > 0:
            made[i, total] = whole
            made[i, total_5] = near
            made[i, vwap] = prices[start] + away / whole
            made[i, best] = prices[start]


def level_columns(bids: tuple[Ints, Ints, Ints], asks: tuple[Ints, Ints, Ints]) -> Floats:
    """Sums over the best 20 levels of each of n books: [n, 10] in `LEVEL_COLUMNS`, in units, NaN where a side is empty.

    A side is (offsets [n + 1], prices, sizes), best level first, row i having `prices[offsets[i] : offsets[i + 1]]`.
    """
    made = np.full((len(bids[0]) - 1, len(LEVEL_COLUMNS)), np.nan)
    at = {name: k for k, name in enumerate(LEVEL_COLUMNS)}
    for name, side in (("bid", bids), ("ask", asks)):
        columns = (f"{name}_total", f"{name}_levels", f"{name}_vwap", f"{name}_total_5", f"book_{name}")
        _one_side(*side, made, *(at[c] for c in columns))
    return made


def _side(prices: pl.Series, sizes: pl.Series) -> tuple[Ints, Ints, Ints]:
    lengths = prices.list.len().fill_null(0).to_numpy()
    offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths, dtype=np.int64)])
    values = (s.drop_nulls().explode(empty_as_null=False).cast(pl.Int64).rechunk().to_numpy() for s in (prices, sizes))
    return offsets, *values  # type: ignore[return-value]


Reading = Callable[[NDArray[np.bool_]], pl.DataFrame]


def levels_at(books: pl.LazyFrame, closed_at: Ints, *, max_age: int, read: Reading | None = None) -> Floats:
    """`level_columns` of the book known at each close: [s, 10], NaN where none is known, or none was heard of for longer than `max_age`.

    `books` are rows of `clean_market__book`, of which only those that hold at some close are wanted with their levels: `read` is a
    quicker way to the `LEVELS` of the rows that a mask tells, in their order.
    """
    made = np.full((len(closed_at), len(LEVEL_COLUMNS)), np.nan)
    known = books.select(pl.col("known_at").to_physical(), "known").collect()
    at, is_known = known["known_at"].to_numpy(), known["known"].to_numpy()
    if not len(at):
        return made
    order = np.argsort(at, kind="stable")
    place = np.searchsorted(at[order], closed_at, side="right") - 1
    row = order[np.maximum(place, 0)]
    holds = (place >= 0) & is_known[row] & (closed_at - at[row] <= max_age)
    rows, which = np.unique(row[holds], return_inverse=True)
    wanted = np.zeros(len(at), np.bool_)
    wanted[rows] = True
    lists = read(wanted) if read else books.select(LEVELS).collect().filter(pl.Series(wanted))
    bids, asks = (_side(lists[f"{side}_prices"], lists[f"{side}_sizes"]) for side in ("bid", "ask"))
    made[holds] = level_columns(bids, asks)[which]
    return made
