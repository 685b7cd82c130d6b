"""The market's events as the simulation takes them: one record of 32 bytes each, in order of the venue's time.

A file of them (`np.save`) can be opened with `np.load(..., mmap_mode="r")` by any number of runs at once.
"""

from typing import NamedTuple

import numpy as np

from kernels.fills_book import BUY, CLEAR, DEPTH, SELL, TRADE

EVENT = np.dtype(
    [("ts_event", "i8"), ("ts_recv", "i8"), ("size", "i8"), ("price", "i4"), ("kind", "i2"), ("side", "i2")]
)  # times ns, prices in ticks, sizes in lots; sides BUY (bids, buying aggressor) and SELL


class Feed(NamedTuple):
    """Events in order of `ts_event`, and their rows in order of receipt: empty where that is the same order."""

    events: np.ndarray  # EVENT
    order: np.ndarray  # int32


class FeedError(ValueError):
    """Events that cannot be simulated; the message says which and why."""


def made(ts_event, ts_recv, kind, side, price, size) -> np.ndarray:
    """Events of columns (numbers or arrays), sorted by the venue's time, equal times in the order given."""
    columns = np.broadcast_arrays(*(np.asarray(c) for c in (ts_event, ts_recv, size, price, kind, side)))
    events = np.empty(len(columns[0]), EVENT)
    for name, column in zip(("ts_event", "ts_recv", "size", "price", "kind", "side"), columns, strict=True):
        events[name] = column
    return events[np.argsort(events["ts_event"], kind="stable")]


def feed(events: np.ndarray) -> Feed:
    """The feed of events, which may be memory-mapped. FeedError where they are not in order of the venue's time or make no sense."""
    events = events.view(np.ndarray)
    if events.dtype != EVENT:
        raise FeedError(f"events are {events.dtype}, not fills_events.EVENT")
    times = events["ts_event"]
    if len(times) and (times[1:] < times[:-1]).any():
        raise FeedError(
            f"events are not in order of ts_event: row {int(np.flatnonzero(times[1:] < times[:-1])[0]) + 1} is before its predecessor"
        )
    if len(events) and (events["size"].min() < 0 or not np.isin(events["kind"], (DEPTH, TRADE, CLEAR)).all()):
        raise FeedError("events have a negative size or an unknown kind")
    if len(events) and not np.isin(events["side"], (BUY, SELL)).all():
        raise FeedError("events have a side that is neither 0 (buy) nor 1 (sell)")
    received = events["ts_recv"]
    order = np.empty(0, np.int32)
    if len(received) and (received[1:] < received[:-1]).any():
        order = np.argsort(received, kind="stable").astype(np.int32)
    if events.flags.writeable:  # one compiled form for arrays in memory and in files
        events = events.view()
        events.flags.writeable = False
    return Feed(events, order)


def window(events: np.ndarray, *, beyond: int = 64) -> tuple[int, int]:
    """(lowest, highest) price that the events have, and `beyond` ticks more either way: what the dense books have to hold."""
    prices = events["price"][events["kind"] != CLEAR]
    if not len(prices):
        return 0, 2 * beyond
    return max(0, int(prices.min()) - beyond), int(prices.max()) + beyond


def settled(ts_event: np.ndarray, ts_recv: np.ndarray, *, least: int) -> np.ndarray:
    """Receive times moved by one constant so that no event is received earlier than `least` ns after the venue's time.

    What is to be done where the recorder's clock was behind the venue's; times that need no moving are returned as they are.
    """
    shortest = int((ts_recv - ts_event).min()) if len(ts_event) else least
    return ts_recv if shortest >= least else ts_recv + (least - shortest)
