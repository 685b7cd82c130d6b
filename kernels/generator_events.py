"""The generated market's events, compiled: arrivals, price, book, trades and quotes as rows of integers.

All of it stands in one file because numba's cache notices a change only in the file of the function it kept.

A frame is `WIDTH` int64: kind, receive time (ns), E and T (ms), then by kind
    TICKER    update id, bid tick, bid lots, ask tick, ask lots
    TRADE     trade id, tick, lots, 1 if the buyer is the maker
    DEPTH     first, last and previous update id, start of its levels, number of bids, number of asks
    SNAPSHOT  update id, -, -, start of its levels, number of bids, number of asks
    MARK      mark, index and settlement price (10^-8 of quote currency), funding rate (10^-8), funding time (ms)
"""

import numba
import numpy as np
from numpy.typing import NDArray

TICKER, TRADE, DEPTH, SNAPSHOT, MARK = range(5)
WIDTH = 10
LEVELS = 25  # a side

TOUCH_LOTS, TOUCH_SPREAD, DEEPER = 2_000.0, 0.6, 0.1  # log-normal: median lots at the touch, sd of the log, growth per level
TILT, TILT_LEVELS = 0.9, 3.0  # log(bid size / ask size) at the touch per unit of tilt; levels over which it fades
DECAY = 1.0  # 1/s: how fast an event's excitation fades
NOISE_S, NOISE_SHARE = 4.0, 0.7  # relaxation time and weight of the tilt that means nothing
TRADE_SHARE = 0.4  # of events
TRADE_LOTS, TRADE_SPREAD = 40.0, 1.3  # log-normal: median lots, sd of the log
IMPACT, FLOW = 0.9, 0.6  # log-odds of a buy per standard deviation of the move it comes with, and per unit of tilt
SPREAD_2, SPREAD_3 = 0.15, 0.04  # share of quotes wider than one tick, and than two
RESPREAD = 0.03  # share of events that draw the spread anew though the price stays
SLACK = 0.25  # ticks the price may leave the spread by before the quote follows
LATENCY_NS, JITTER_NS, SPIKE_NS, MAX_LATENCY_NS = 2_500_000, 1_200_000, 15_000_000, 45_000_000
SPIKES = 0.001
QUIET_NS = 60_000_000  # before the end, so that every frame is received within its day
SOCKET_NS = 400  # between two frames read from the socket
FLOOR_TICKS = 4_000.0
DAY_NS, FUNDING_MS, MS = 86_400_000_000_000, 8 * 3_600_000, 1_000_000
BUSIEST = 1.6  # the largest `season`
BASIS, FUNDING_E8 = 0.0004, 10_000

Ints = NDArray[np.int64]


@numba.njit(cache=True)
def season(ns: int) -> float:
    """How busy the hour is, 1 on the average of a day: quiet before the European morning, busiest at 15:00 UTC."""
    turn = 2 * np.pi * ((ns % DAY_NS) / DAY_NS - 15 / 24)
    return 1 + 0.45 * np.cos(turn) + 0.15 * np.cos(2 * turn)


@numba.njit(cache=True)
def next_arrival(rng: np.random.Generator, t: float, excitation: float, base: float, begin: int) -> tuple[float, float]:
    """Time (s after `begin`) of the event after `t` and the excitation then, by Ogata's thinning: the rate only falls between events."""
    while True:
        bound = base * BUSIEST + excitation
        dt = rng.standard_exponential() / bound
        t += dt
        excitation *= np.exp(-DECAY * dt)
        if rng.random() * bound <= base * season(begin + int(t * 1e9)) + excitation:
            return t, excitation


@numba.njit(cache=True)
def received(rng: np.random.Generator, ns: int, last: int) -> int:
    """When a frame sent at `ns` is read here: some milliseconds later, now and then tens, never before the frame ahead of it."""
    latency = LATENCY_NS + JITTER_NS * rng.standard_exponential()
    if rng.random() < SPIKES:
        latency += SPIKE_NS * rng.standard_exponential()
    return max(last + SOCKET_NS, ns + int(min(latency, MAX_LATENCY_NS)))


@numba.njit(cache=True)
def size_at(level: int, side: int, tilt: float, rng: np.random.Generator) -> int:
    """Lots of a fresh level: log-normal, larger away from the touch, tilted to one side near it."""
    lean = 0.5 * TILT * tilt * np.exp(-level / TILT_LEVELS) * (1 - 2 * side)
    return max(1, int(TOUCH_LOTS * (1 + DEEPER * level) * np.exp(lean + TOUCH_SPREAD * rng.standard_normal())))


@numba.njit(cache=True)
def requote(ticks: Ints, lots: Ints, side: int, best: int, tilt: float, gap: float, rng: np.random.Generator) -> None:
    """Make `best` the best tick of a side (0 bid, 1 ask), in place: better levels go, fresh ones fill the way to those left.

    `ticks`, `lots` are int64 [LEVELS], best first; what no longer fits falls off the far end.
    """
    outward = 2 * side - 1
    left_ticks, left_lots = ticks.copy(), lots.copy()
    left = 0
    while left < len(ticks) and (left_ticks[left] - best) * outward < 0:
        left += 1
    tick, joined = best, False
    for n in range(len(ticks)):
        joined = joined or (left < len(ticks) and (tick - left_ticks[left]) * outward >= 0)
        if joined and left < len(ticks):
            tick = left_ticks[left]
            ticks[n], lots[n] = tick, left_lots[left]
            left += 1
        else:
            ticks[n], lots[n] = tick, size_at(n, side, tilt, rng)
        tick += outward * (1 + int(gap * rng.standard_exponential()))


@numba.njit(cache=True)
def changes(old_ticks: Ints, old_lots: Ints, ticks: Ints, lots: Ints, side: int, out_ticks: Ints, out_lots: Ints, at: int) -> int:
    """Write the levels of one side that differ between two books, 0 lots for one that went; returns the next free place."""
    outward = 2 * side - 1
    i = j = 0
    while i < len(old_ticks) or j < len(ticks):
        if j == len(ticks) or (i < len(old_ticks) and (old_ticks[i] - ticks[j]) * outward < 0):
            out_ticks[at], out_lots[at] = old_ticks[i], 0
            at += 1
            i += 1
            continue
        same = i < len(old_ticks) and old_ticks[i] == ticks[j]
        if not same or old_lots[i] != lots[j]:
            out_ticks[at], out_lots[at] = ticks[j], lots[j]
            at += 1
        i += 1 if same else 0
        j += 1
    return at


@numba.njit(cache=True)
def trade(rng: np.random.Generator, book: Ints, move: float, tilt: float) -> tuple[int, int, bool]:
    """One market order against the best level: its tick, lots, and whether it sells; a level it empties is filled anew."""
    sells = rng.random() * (1 + np.exp(-IMPACT * move - FLOW * tilt)) > 1
    side = 0 if sells else 1
    wanted = max(1, int(TRADE_LOTS * np.exp(TRADE_SPREAD * rng.standard_normal())))
    tick, lots = book[0, side, 0], min(wanted, book[1, side, 0])
    book[1, side, 0] -= lots
    if book[1, side, 0] == 0:
        book[1, side, 0] = size_at(0, side, tilt, rng)
    return tick, lots, sells


@numba.njit(cache=True)
def quote(rng: np.random.Generator, book: Ints, price: float, tilt: float, gap: float, traded: bool) -> None:
    """Bring the book round to the price (in ticks): new best levels where it moved, fresh sizes where it stayed."""
    if price < book[0, 0, 0] - SLACK or price > book[0, 1, 0] + SLACK or rng.random() < RESPREAD:
        draw = rng.random()
        spread = 3 if draw < SPREAD_3 else 2 if draw < SPREAD_2 else 1
        bid = int(np.floor(price - 0.5 * (spread - 1)))
        requote(book[0, 0], book[1, 0], 0, bid, tilt, gap, rng)
        requote(book[0, 1], book[1, 1], 1, bid + spread, tilt, gap, rng)
    elif not traded:
        side = int(rng.random() * 2)
        book[1, side, 0] = size_at(0, side, tilt, rng)
    side = int(rng.random() * 2)
    level = 1 + int(rng.random() * (book.shape[2] - 1))
    book[1, side, level] = size_at(level, side, tilt, rng)


@numba.njit(cache=True)
def run(rng, floats, ints, book, sent, knobs, tick_e8, begin, end, depth_ns, mark_ns, frames, level_ticks, level_lots):
    """Go on from the state in `floats`, `ints`, `book` and `sent` (all changed in place) until `end` or until `frames` are full.

    floats: price, pressure, noise, excitation, time of the last and of the next event (s after `begin`, < 0: not drawn).
    ints: update id, trade id, update id of the last diff, last receive time, next diff and next mark (ns), diffs until the snapshot.
    book, sent: ticks and lots, [2, 2 sides, LEVELS]. knobs: base rate, branching, move per event, drift, pressure's time, gap.
    Returns (whether the end was reached, frames written, levels written).
    """
    base, branching, move_sd, drift, pressure_s, gap = knobs
    side_levels = book.shape[2]
    n = m = 0
    while n + 2 <= len(frames) and m + 6 * side_levels <= len(level_ticks):
        if floats[5] < 0:
            floats[5], floats[3] = next_arrival(rng, floats[4], floats[3], base, begin)
        event_ns = begin + int(floats[5] * 1e9)
        due = min(event_ns, ints[4], ints[5])
        at = due // MS
        if due >= end - QUIET_NS:
            return True, n, m
        if due == ints[4]:  # a diff: what changed since the last one
            ints[4] += depth_ns
            if ints[0] == ints[2]:
                continue
            start = m
            middle = changes(sent[0, 0], sent[1, 0], book[0, 0], book[1, 0], 0, level_ticks, level_lots, m)
            m = changes(sent[0, 1], sent[1, 1], book[0, 1], book[1, 1], 1, level_ticks, level_lots, middle)
            sent[:] = book
            ints[3] = received(rng, due, ints[3])
            frames[n] = (DEPTH, ints[3], at, at, ints[2] + 1, ints[0], ints[2], start, middle - start, m - middle)
            n += 1
            ints[2] = ints[0]
            ints[6] -= 1
            if ints[6] == 0:  # an answer over REST; its id lies within the diff to come
                ints[3] += SOCKET_NS
                frames[n] = (SNAPSHOT, ints[3], at, at, ints[2] + 1, 0, 0, m, side_levels, side_levels)
                n += 1
                for side in range(2):
                    level_ticks[m : m + side_levels], level_lots[m : m + side_levels] = book[0, side], book[1, side]
                    m += side_levels
            continue
        if due == ints[5]:
            ints[5] += mark_ns
            mark = (book[0, 0, 0] + book[0, 1, 0]) * tick_e8 // 2
            index = int(mark * (1 - BASIS * (1 + 0.1 * rng.standard_normal())))
            ints[3] = received(rng, due, ints[3])
            frames[n] = (MARK, ints[3], at, at, mark, index, index, FUNDING_E8, (at // FUNDING_MS + 1) * FUNDING_MS, 0)
            n += 1
            continue

        dt = floats[5] - floats[4]
        floats[4], floats[5] = floats[5], -1.0
        floats[3] += branching * DECAY
        move = rng.standard_normal()
        floats[0] = max(FLOOR_TICKS, floats[0] * (1 + drift * floats[1] * dt + move_sd * move))
        fade, fade_noise = np.exp(-dt / pressure_s), np.exp(-dt / NOISE_S)
        floats[1] = fade * floats[1] + np.sqrt(1 - fade * fade) * rng.standard_normal()
        floats[2] = fade_noise * floats[2] + np.sqrt(1 - fade_noise * fade_noise) * rng.standard_normal()
        tilt = floats[1] + NOISE_SHARE * floats[2]

        ints[3] = received(rng, due, ints[3])
        sent_at = at + (1 if rng.random() < 0.3 else 0)  # E: the clock of the stream may have ticked over after the match
        bid, bid_lots, ask, ask_lots = book[0, 0, 0], book[1, 0, 0], book[0, 1, 0], book[1, 1, 0]
        traded = rng.random() < TRADE_SHARE
        if traded:
            tick, lots, sells = trade(rng, book, move, tilt)
            ints[1] += 1
            frames[n] = (TRADE, ints[3], sent_at, at, ints[1], tick, lots, 1 if sells else 0, 0, 0)
            n += 1
            ints[3] += SOCKET_NS
        quote(rng, book, floats[0], tilt, gap, traded)
        ints[0] += 2 + int(15 * rng.standard_exponential())
        if bid != book[0, 0, 0] or ask != book[0, 1, 0] or bid_lots != book[1, 0, 0] or ask_lots != book[1, 1, 0]:
            frames[n] = (TICKER, ints[3], sent_at, at, ints[0], book[0, 0, 0], book[1, 0, 0], book[0, 1, 0], book[1, 1, 0], 0)
            n += 1
    return False, n, m
