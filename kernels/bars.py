"""Events into a feed's clock, trades into one-second bars: exact integers, and `known_at` by one rule.

A bar stamped t holds the trades with t - 1 s <= ts_event < t. It closes at the first event (trade, quote or book row whose time is
the venue's own) received with ts_event >= t + lateness, and `known_at` is that event's receive time. Trades of the bar received
after that are late: left out, and counted. Where the data ends first, the end closes the bar: `known_at` is the last receive time
plus the lateness. A live worker that knows only what it has received so far decides the same.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import polars as pl
from numba import njit
from numpy.typing import NDArray

from core.market import NS
from core.tables import TS, table

Ints = NDArray[np.int64]
OVERFLOW = 2.0**62  # a sum estimated beyond this may not fit an int64
NEVER = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Feed:
    """When each second was closed and where the feed was away; all int64 ns, receive times but for `seconds`."""

    seconds: Ints  # closes t, rising, for which an event with ts_event in [t + lateness, t + lateness + 1 s) was received
    closed_at: Ints  # the earliest receipt of any event with ts_event >= t + lateness, so it never falls
    opened_at: Ints  # of each second from the first to the last with an event: the earliest receipt of any with ts_event >= its begin
    gap_ends: Ints  # first receipt after each silence of every table for longer than the allowed gap
    first_close: int  # close of the second that holds the first event
    last_close: int
    last_recv: int
    lateness: int

    def known_at(self, closes: Ints) -> Ints:
        """Receive time of the event that closed each of these seconds, ns [n]; the end of the data closes what is left open."""
        ended = max(self.last_recv + self.lateness, int(self.closed_at[-1]) if len(self.closed_at) else 0)
        found = np.searchsorted(self.seconds, closes, side="left")
        return np.append(self.closed_at, ended)[found]


@njit(cache=True, nogil=True)
def _fold(ts_event, ts_recv, own, lateness, first_close, earliest, first_second, opening, width, first_slot, first, last):
    for i in range(len(ts_event)):
        if own[i]:
            k = (ts_event[i] - lateness) // NS - first_close
            earliest[k] = min(earliest[k], ts_recv[i])
            k = ts_event[i] // NS - first_second
            opening[k] = min(opening[k], ts_recv[i])
        k = ts_recv[i] // width - first_slot
        first[k] = min(first[k], ts_recv[i])
        last[k] = max(last[k], ts_recv[i])


def times(of: pl.LazyFrame) -> tuple[Ints, Ints, NDArray[np.bool_]]:
    """`ts_event` and `ts_recv` of a table's rows, ns, and whether the time is the venue's own."""
    estimated = "ts_estimated" in of.collect_schema().names()
    own = ~pl.col("ts_estimated") if estimated else pl.lit(True)
    made = of.select(pl.col("ts_event").to_physical(), pl.col("ts_recv").to_physical(), own=own).collect().rechunk()
    return made["ts_event"].to_numpy(), made["ts_recv"].to_numpy(), np.array(made["own"].to_numpy(), dtype=np.bool_)


def feed(*tables: pl.LazyFrame, lateness: int, gap: int) -> Feed:
    """Fold the rows of clean trades, quotes and book, in any order, into the feed's clock; `lateness` and `gap` in ns.

    Without any row there is no second either. A `gap` under 20 ms raises `ValueError`.
    """
    if gap < NS // 50:
        raise ValueError(f"a gap of {gap} ns is too short to tell: at least 20 ms")
    found = [rows for rows in map(times, tables) if len(rows[0])]
    if not found:
        none = np.zeros(0, np.int64)
        return Feed(none, none, none, none, first_close=NS, last_close=0, last_recv=0, lateness=lateness)
    width = min(NS, gap // 2)  # two receipts in one such slot are never a gap apart
    event = [min(int(t[0].min()) for t in found), max(int(t[0].max()) for t in found)]
    recv = [min(int(t[1].min()) for t in found), max(int(t[1].max()) for t in found)]
    first_close, first_slot = (event[0] - lateness) // NS, recv[0] // width
    earliest = np.full((event[1] - lateness) // NS - first_close + 1, NEVER)
    first_second = event[0] // NS
    opening = np.full(event[1] // NS - first_second + 1, NEVER)
    first = np.full(recv[1] // width - first_slot + 1, NEVER)
    last = np.full(len(first), -NEVER)
    for rows in found:
        _fold(*rows, lateness, first_close, earliest, first_second, opening, width, first_slot, first, last)
    closing = np.flatnonzero(earliest < NEVER)
    heard = first < NEVER
    first, last = first[heard], last[heard]
    return Feed(
        seconds=(first_close + closing) * NS,
        closed_at=np.minimum.accumulate(earliest[closing][::-1])[::-1],
        opened_at=np.minimum.accumulate(opening[::-1])[::-1],
        gap_ends=first[1:][first[1:] - last[:-1] > gap],
        first_close=(event[0] // NS + 1) * NS,
        last_close=(event[1] // NS + 1) * NS,
        last_recv=recv[1],
        lateness=lateness,
    )


def grid(of: Feed, first: int, last: int) -> pl.DataFrame:
    """Every second from close `first` to close `last` (ns): `ts_event`, `known_at` and `segment`.

    A second is away (`segment` null) where a gap ended between the receipt of the first event from its begin on and its close: something
    of it may have been missed in the silence. Segments number the unbroken runs from 0.
    """
    closes = np.arange(first, last + 1, NS, dtype=np.int64)
    known = of.known_at(closes)
    opened = of.opened_at[(closes - of.first_close) // NS]
    away = np.searchsorted(of.gap_ends, opened, side="left") < np.searchsorted(of.gap_ends, known, side="right")
    broken = away & ~np.append(False, away[:-1])
    segment = np.cumsum(broken) - (1 if len(away) and away[0] else 0)
    frame = pl.DataFrame({"ts_event": closes, "known_at": known, "segment": segment, "away": away})
    return frame.select(
        pl.col("ts_event").cast(TS),
        pl.col("known_at").cast(TS),
        segment=pl.when(~pl.col("away")).then(pl.col("segment").cast(pl.Int32)),
    )


@njit(cache=True, nogil=True)
def _bars(ts_event, ts_recv, price, size, side, first_second, known, made, about):
    n, late, all_late = -1, 0, 0
    current = np.int64(-1)
    for i in range(len(ts_event)):
        second = ts_event[i] // NS - first_second
        if second != current:
            current = second
            late = 0
            n += 1
            made[n, :] = 0
            made[n, 0] = second
            about[n] = 0.0
        if ts_recv[i] > known[second]:
            late += 1
            all_late += 1
            made[n, 9] = late
            continue
        p, q = price[i], size[i]
        if made[n, 8] == 0:
            made[n, 1] = p
            made[n, 2] = p
            made[n, 3] = p
        made[n, 2] = max(made[n, 2], p)
        made[n, 3] = min(made[n, 3], p)
        made[n, 4] = p
        made[n, 5] += q
        if side[i] > 0:
            made[n, 6] += q
        elif side[i] < 0:
            made[n, 7] += q
        made[n, 8] += 1
        made[n, 10] += p * q
        about[n] += float(p) * float(q)
    return n + 1, all_late


class Made(NamedTuple):
    bars: pl.DataFrame  # columns of `clean_market__1s_bars`, in order of time
    n_late: int  # all late trades, also of seconds that have no bar for it


def bars(trades: pl.LazyFrame, of: Feed) -> Made:
    """One-second bars of clean trades, by the rule above, in one compiled pass.

    `notional` is the exact sum of price x size, in units of 10^-(price_decimals + size_decimals); one that does not fit an int64 raises
    `OverflowError`. A second whose trades are all late has no bar.
    """
    needed = (pl.col("ts_event").to_physical(), pl.col("ts_recv").to_physical(), pl.col("price", "size"), pl.col("side").cast(pl.Int8))
    rows = trades.select(*needed).collect().rechunk()
    if not rows["ts_event"].is_sorted():
        rows = rows.sort("ts_event", maintain_order=True)
    decimals = trades.select("price_decimals", "size_decimals").head(1).collect()
    closes = np.arange(of.first_close, of.last_close + 1, NS, dtype=np.int64)
    known = of.known_at(closes)
    made, about = np.empty((len(closes), 11), np.int64), np.empty(len(closes))
    ts_event, ts_recv, price, size, side = (column.to_numpy() for column in rows)
    n, n_late = _bars(ts_event, ts_recv, price, size, side, of.first_close // NS - 1, known, made, about)
    made, about = made[:n], about[:n]
    if n and np.abs(about).max() >= OVERFLOW:
        bar = int(np.abs(about).argmax())
        raise OverflowError(f"the notional of the bar of {closes[made[bar, 0]]} ns does not fit 64 bits: {about[bar]:.3g} units")
    made = made[made[:, 8] > 0]
    names = ("open", "high", "low", "close", "volume", "buy_volume", "sell_volume", "n_trades", "n_late", "notional")
    frame = pl.DataFrame({"ts_event": closes[made[:, 0]], "known_at": known[made[:, 0]]} | {c: made[:, k + 1] for k, c in enumerate(names)})
    scale = {c: pl.lit(decimals[c][0] if decimals.height else 0, pl.Int8) for c in decimals.columns}
    shape = table("clean_market__1s_bars").columns
    return Made(frame.with_columns(pl.col("ts_event", "known_at").cast(TS), **scale).select(*shape), n_late)
