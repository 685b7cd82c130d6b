"""Trades and the bars they make, as the venue keeps them for its klines and tickers."""

from collections import deque
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from serving.venue_words import Json, Scale

SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}


class Print(NamedTuple):
    trade_id: int
    price: int
    size: int
    ms: int
    sign: int  # of the aggressor


class Bar(NamedTuple):
    """Trades of a second or more, in units; `notional` is price units times size units."""

    s: int  # when it opened
    open: int
    high: int
    low: int
    close: int
    volume: int
    notional: int
    n: int
    taken: int  # of the volume, by buyers
    taken_notional: int


def joined(first: Bar, then: Bar) -> Bar:
    """Both as one, as of when the first opened."""
    high, low = max(first.high, then.high), min(first.low, then.low)
    return Bar(
        first.s, first.open, high, low, then.close, first.volume + then.volume, first.notional + then.notional, first.n + then.n,
        first.taken + then.taken, first.taken_notional + then.taken_notional,
    )  # fmt: skip


def add(bars: deque[Bar], trade: Print, seconds: int) -> None:
    """A trade into the newest of these bars, or into a new one. A late one counts as now."""
    s = trade.ms // 1_000
    taken = trade.size if trade.sign > 0 else 0
    at, money = trade.price, trade.price * trade.size
    bar = Bar(s - s % seconds, at, at, at, at, trade.size, money, 1, taken, taken * at)
    if bars and bars[-1].s >= bar.s:
        bars[-1] = joined(bars[-1], bar)
    else:
        bars.append(bar)


def coarser(bars: Iterable[Bar], seconds: int) -> Iterator[Bar]:
    """Bars of so many seconds, oldest first; those without a trade are missing."""
    now: Bar | None = None
    for bar in bars:
        s = bar.s - bar.s % seconds
        if now and now.s == s:
            now = joined(now, bar)
        else:
            if now:
                yield now
            now = bar._replace(s=s)
    if now:
        yield now


def seconds_of(interval: str) -> int | None:
    """Of "1m", "1h" ...; None for what is none."""
    number, unit = interval[:-1], interval[-1:]
    return int(number) * SECONDS[unit] if number.isdigit() and unit in SECONDS and int(number) else None


def kline(bar: Bar, seconds: int, scale: Scale) -> list[object]:
    price, size, money = scale.price, scale.size, scale.notional
    return [bar.s * 1_000, price(bar.open), price(bar.high), price(bar.low), price(bar.close), size(bar.volume),
            (bar.s + seconds) * 1_000 - 1, money(bar.notional), bar.n, size(bar.taken), money(bar.taken_notional), "0"]  # fmt: skip


def kline_event(bar: Bar, interval: str, scale: Scale, now_ms: int) -> Json:
    start, open_, high, low, close, volume, end, money, n, taken, taken_money, _ = kline(bar, seconds_of(interval) or 60, scale)
    told = {
        "t": start, "T": end, "s": scale.symbol, "i": interval, "f": 0, "L": 0, "o": open_, "c": close, "h": high, "l": low, "v": volume,
        "n": n, "x": now_ms > int(str(end)), "q": money, "V": taken, "Q": taken_money, "B": "0",
    }  # fmt: skip
    return {"e": "kline", "E": now_ms, "s": scale.symbol, "k": told}
