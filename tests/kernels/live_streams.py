"""A stream of rows as a venue might send it, and what the batch kernels make of the same rows."""

from typing import Any, NamedTuple

import numpy as np
import polars as pl

from core.market import NS
from core.tables import TS
from kernels import bars, features
from kernels import book_features as books
from kernels import frames_live_scan as f
from kernels.book import NONE, Book
from kernels.live_market import END, SECOND, LiveMarket
from kernels.live_market import Second as Closed
from kernels.rebuild import SIDES, TOP, finish, init, step
from kernels.seconds import Scale, seconds
from kernels.top import top

SYMBOL, SCALE = "AUSDT", Scale(2, 3)
START, OFFSET, GAP, LATENESS = 1_700_000_000 * NS + 431_000_000, 1_269_000_000, 4 * NS, NS // 4
LISTS = pl.List(pl.Int64)


class Event(NamedTuple):
    kind: str  # trade, quote, diff, snapshot
    recv: int
    event: int  # 0: the venue gives none
    ids: tuple[int, int, int] = (NONE, NONE, NONE)  # own, first, previous
    numbers: tuple[int, ...] = ()  # price, size, side; bid, its size, ask, its size
    bids: tuple[tuple[int, int], ...] = ()
    asks: tuple[tuple[int, int], ...] = ()


def stream(seed: int, n: int, *, spot: bool) -> list[Event]:
    """Events in order of arrival: several may arrive together, some come late, ids skip, the feed falls silent."""
    random = np.random.default_rng(seed)
    made, recv, last, trade_id, lost = [], START, 1_000, 0, False

    def levels(low: int, few: int, zeros: bool) -> tuple[tuple[int, int], ...]:
        prices = random.choice(np.arange(low, low + 40), random.integers(0, few), replace=False)
        found = [(int(p), int(random.integers(0 if zeros else 1, 60))) for p in prices]
        return tuple(sorted(found, reverse=low < 10_000))

    def snapshot() -> Event:
        return Event("snapshot", recv, 0, (last, last, NONE), (), levels(9_950, 30, False), levels(10_000, 30, False))

    waits = int(random.integers(0, 4))  # so many diffs come before the snapshot that they continue
    early = last
    for at in range(n):
        recv += int(random.choice([0, 1_000_000, 150_000_000, 400_000_000, 3 * NS, 6 * NS], p=[0.2, 0.2, 0.35, 0.235, 0.01, 0.005]))
        event = recv + OFFSET - int(random.integers(0, 600_000_000))
        kind = random.choice(["trade", "quote", "diff"])
        if at < waits:
            kind = "diff"
        elif at == waits:
            recv += 1_000_000  # a snapshot arrives by itself
            made.append(snapshot()._replace(ids=(early, early, NONE)))
            recv += 1_000_000
        if kind == "trade":
            trade_id += 1
            numbers = int(random.integers(9_960, 10_030)), int(random.integers(1, 90)), int(random.choice([-1, 1]))
            made.append(Event("trade", recv, event, (trade_id, trade_id, trade_id), numbers))
            if random.random() < 0.05:
                made.append(made[-1])  # told twice
        elif kind == "quote":
            update = last + int(random.integers(-3, 4))
            numbers = int(random.integers(9_960, 9_990)), int(random.integers(1, 90)), 10_001, int(random.integers(1, 90))
            made.append(Event("quote", recv, 0 if spot else event, (update, NONE, 0), numbers))
        else:
            skip = at > waits and random.random() < 0.02
            lost = lost or skip
            first, before = last + 1 + 5 * skip, last + 5 * skip
            last = first + int(random.integers(0, 4))
            made.append(
                Event("diff", recv, event, (last, first, NONE if spot else before), (), levels(9_950, 8, True), levels(10_000, 8, True))
            )
        if lost and random.random() < 0.1 and made[-1].kind == "diff":
            recv, last = recv + 1_000_000, last + 1  # newer than all that waits for it
            made.append(snapshot())
            recv, lost = recv + 1_000_000, False
    return made


def lived(events: list[Event]) -> tuple[list[Closed], LiveMarket]:
    """The seconds that a live market closes; whatever arrives together is one batch, but for snapshots, which come by themselves."""
    market = LiveMarket({SYMBOL: (2, 3)}, lateness_ns=LATENESS, gap_ns=GAP, offset_ns=OFFSET)
    found, at = [], 0
    while at < len(events):
        together, ts_recv, kind = [], events[at].recv, events[at].kind
        if kind == "snapshot":
            one = events[at]
            bids, asks = (np.array(side, np.int64).reshape(-1, 2).T for side in (one.bids, one.asks))
            market.snapshot(SYMBOL, ts_recv, one.ids[0], bids, asks)
            at += 1
        while at < len(events) and events[at].recv == ts_recv and events[at].kind != "snapshot":
            together.append(events[at])
            at += 1
        followed(market, *batch(together), ts_recv, found)
    return found, market


def followed(market: LiveMarket, rows: np.ndarray, levels: np.ndarray, ts_recv: int, found: list[Closed]) -> list[int]:
    """Let the market follow a batch; returns why it stopped, each time but the last."""
    whys, start = [], 0
    while True:
        start, why, _ = market.advance(rows, levels, start, ts_recv)
        if why == END:
            return whys
        whys.append(why)
        if why == SECOND:
            found.append(market.closed)


def batch(events: list[Event], code: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Rows and levels as the decoder makes them."""
    rows, levels = np.zeros((len(events), f.FIELDS), np.int64), []
    for row, one in zip(rows, events, strict=True):
        own, first, before = one.ids
        row[[f.SYMBOL, f.EVENT, f.ID, f.FIRST, f.LAST, f.MARKET]] = code, one.event, own, first, before, 1
        if one.kind == "trade":
            row[[f.KIND, f.PRICE, f.SIZE, f.SIDE]] = f.TRADE, *one.numbers
        elif one.kind == "quote":
            row[[f.KIND, f.PRICE, f.SIZE, f.ASK, f.ASK_SIZE]] = f.QUOTE, *one.numbers
        else:
            row[f.KIND] = f.DIFF
            row[[f.BIDS, f.N_BIDS, f.ASKS, f.N_ASKS]] = len(levels), len(one.bids), len(levels) + len(one.bids), len(one.asks)
            levels += [*one.bids, *one.asks]
    return rows, np.ascontiguousarray(np.array(levels, np.int64).reshape(-1, 2).T)


def built(events: list[Event]) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The same events through the batch kernels: features of every second, and its bars."""

    def frame(kinds: tuple[str, ...], columns: dict[str, Any], unique: bool = False) -> pl.DataFrame:
        rows = [
            {
                "ts_event": e.event or e.recv + OFFSET, "ts_recv": e.recv, "known_at": e.recv, "ts_estimated": e.event == 0,
                "at_recv": e.recv, "at_source": 0, "at_row": n, **{name: of(e) for name, (of, _) in columns.items()},
            }
            for n, e in enumerate(events) if e.kind in kinds
        ]  # fmt: skip
        times = {"ts_event": pl.Int64, "ts_recv": pl.Int64, "known_at": pl.Int64, "ts_estimated": pl.Boolean}
        shape = times | dict.fromkeys(("at_recv", "at_source", "at_row"), pl.Int64) | {name: kind for name, (_, kind) in columns.items()}
        made = pl.DataFrame(rows, schema=shape)
        made = made.unique("trade_id", maintain_order=True, keep="first") if unique else made
        return made.with_columns(pl.col("ts_event", "ts_recv", "known_at").cast(TS))

    def number(at: int) -> tuple[Any, Any]:
        return (lambda e: e.numbers[at]), pl.Int64

    def own(at: int) -> tuple[Any, Any]:
        return (lambda e: None if e.ids[at] == NONE else e.ids[at]), pl.Int64

    decimals = {"price_decimals": ((lambda _: 2), pl.Int8), "size_decimals": ((lambda _: 3), pl.Int8)}
    trades = frame(("trade",), {"trade_id": own(0), "price": number(0), "size": number(1), "side": number(2)} | decimals, unique=True)
    trades = trades.sort("ts_event", "trade_id", maintain_order=True)
    quotes = frame(("quote",), {"update_id": own(0)} | {name: number(at) for at, name in enumerate(TOP)})
    sides = {
        column: ((lambda e, side=side, at=at: [level[at] for level in getattr(e, side)]), LISTS)
        for side, names in zip(("bids", "asks"), SIDES, strict=True)
        for at, column in enumerate(names)
    }
    marks = {"is_snapshot": ((lambda e: e.kind == "snapshot"), pl.Boolean), "emit": ((lambda _: True), pl.Boolean)}
    depth = frame(("diff", "snapshot"), marks | {"update_id": own(0), "first_id": own(1), "prev_id": own(2)} | sides)
    state, out = step(init(Book()), depth, keep=20)
    nothing = depth.clear().with_columns(known=pl.lit(True), **{name: pl.lit(None, pl.Int64) for name in TOP})
    told = pl.concat([nothing, *out.rows, *finish(state).rows], how="diagonal_relaxed")
    tops = books.tops(top(quotes, told).lazy())
    feed = bars.feed(trades.lazy(), quotes.lazy(), told.lazy(), lateness=LATENESS, gap=GAP)
    grid = bars.grid(feed, feed.first_close, feed.last_close)
    closed_at = grid["known_at"].to_physical().to_numpy()
    traded = bars.bars(trades.lazy(), feed).bars
    second = trades.select(pl.col("ts_event").to_physical() // NS + 1 - feed.first_close // NS).to_series().to_numpy()
    received = trades["ts_recv"].to_physical().to_numpy()
    spread = books.effective_spread(received, trades["price"].to_numpy(), trades["size"].to_numpy(), second, closed_at, tops, max_age=GAP)
    levels = books.levels_at(told.lazy(), closed_at, max_age=GAP)
    rows = seconds(grid, traded.lazy(), tops, books.top_seconds(tops, closed_at, max_age=GAP), spread, levels, SCALE)
    return features.features(rows).collect(), traded
