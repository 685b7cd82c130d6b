"""Bars are exactly what a plain loop over the trades says, and are known when, and only when, an event closed them."""

from itertools import pairwise

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.tables import TS
from kernels import bars

S, MS = 1_000_000_000, 1_000_000
START = 1_000 * S
LATENESS, GAP = 250 * MS, 10 * S

Rows = list[tuple[int, int, int, int, int]]  # ts_event, ts_recv (ms after the start), price, size, side


def trades(rows: Rows) -> pl.LazyFrame:
    names = ("ts_event", "ts_recv", "price", "size", "side")
    frame = pl.DataFrame(sorted(rows, key=lambda r: r[0]), schema=dict.fromkeys(names, pl.Int64), orient="row")
    at = ((pl.col(c) * MS + START).cast(TS) for c in ("ts_event", "ts_recv"))
    return frame.with_columns(*at, price_decimals=pl.lit(1), size_decimals=pl.lit(2)).lazy()


def others(rows: list[tuple[int, int, bool]]) -> pl.LazyFrame:
    frame = pl.DataFrame(rows, schema={"ts_event": pl.Int64, "ts_recv": pl.Int64, "ts_estimated": pl.Boolean}, orient="row")
    return frame.with_columns((pl.col(c) * MS + START).cast(TS) for c in ("ts_event", "ts_recv")).lazy()


def made(of: Rows, more: list[tuple[int, int, bool]] = []) -> bars.Made:  # noqa: B006
    frame = trades(of)
    return bars.bars(frame, bars.feed(frame, others(more), lateness=LATENESS, gap=GAP))


def plain(of: Rows, more: list[tuple[int, int, bool]]) -> tuple[list[tuple[int, ...]], int]:
    """The rule, read aloud: which event closes a second, and what is in it by then. Times in ms."""
    events = [(e, r) for e, r, *_ in of] + [(e, r) for e, r, estimated in more if not estimated]
    end = max([r for _, r, *_ in of] + [r for _, r, _ in more]) + LATENESS // MS
    seconds: dict[int, list[tuple[int, int, int, int, int]]] = {}
    for row in sorted(of, key=lambda r: r[0]):
        seconds.setdefault(row[0] // 1000 * 1000 + 1000, []).append(row)
    found, late = [], 0
    for close, rows in sorted(seconds.items()):
        known = min((r for e, r in events if e >= close + LATENESS // MS), default=end)
        kept = [row for row in rows if row[1] <= known]
        late += len(rows) - len(kept)
        if not kept:
            continue
        prices, sizes = [r[2] for r in kept], [r[3] for r in kept]
        signed = [sum(r[3] for r in kept if r[4] == sign) for sign in (1, -1)]
        notional = sum(p * q for p, q in zip(prices, sizes, strict=True))
        bar = (prices[0], max(prices), min(prices), prices[-1], sum(sizes), *signed, notional, len(kept), len(rows) - len(kept))
        found.append((close, known, *bar))
    return found, late


times = st.integers(0, 12_000)
trade = st.tuples(times, st.integers(0, 900), st.integers(1, 10**9), st.integers(1, 10**6), st.sampled_from([-1, 0, 1]))
other = st.tuples(times, st.integers(0, 900), st.booleans())


@given(st.lists(trade, min_size=1, max_size=40), st.lists(other, max_size=20))
@settings(deadline=None, max_examples=100)
def test_bars_are_those_of_a_plain_loop(some: Rows, more: list[tuple[int, int, bool]]):
    of = [(e, e + delay, price, size, side) for e, delay, price, size, side in some]
    also = [(e, e + delay, estimated) for e, delay, estimated in more]
    bars_, n_late = made(of, also)
    ms = ((pl.col(c).to_physical() - START) // MS for c in ("ts_event", "known_at"))
    columns = ("open", "high", "low", "close", "volume", "buy_volume", "sell_volume", "notional", "n_trades", "n_late")
    assert (bars_.select(*ms, *columns).rows(), n_late) == plain(of, also)


@pytest.mark.parametrize(
    ("more", "known"),
    [
        ([(1250, 1300, False)], 1300),
        ([(1249, 1300, False)], 1300 + 250),
        ([(1400, 1500, False), (1300, 1600, False)], 1500),
        ([(5000, 5100, True)], 5100 + 250),
        ([], 900 + 250),
    ],
    ids=["at the lateness", "just before it", "first received counts", "an estimated time closes nothing", "the end closes it"],
)
def test_a_bar_is_known_when_it_closed(more: list[tuple[int, int, bool]], known: int):
    bar = made([(500, 900, 7, 1, 1)], more).bars.row(0, named=True)
    assert bars_ns(bar["ts_event"]) == START + S
    assert bars_ns(bar["known_at"]) == START + known * MS


def bars_ns(at: object) -> int:
    return int(pl.Series([at], dtype=TS).to_physical()[0])


def test_a_trade_received_after_the_close_is_counted_and_left_out():
    rows = [(500, 600, 7, 1, 1), (700, 1400, 9, 1, 1), (2000, 2100, 8, 1, 1)]
    bars_, n_late = made(rows, [(1300, 1350, False)])
    assert bars_.row(0, named=True)["high"] == 7
    assert (bars_["n_late"].to_list(), n_late) == ([1, 0], 1)


def test_the_second_before_midnight_is_stamped_midnight():
    day = 86_400_000
    frame = trades([(day - 1, day + 1, 1, 1, 1), (day, day + 1, 1, 1, 1)])
    stamps = bars.bars(frame, bars.feed(frame, lateness=LATENESS, gap=GAP)).bars["ts_event"].to_physical().to_list()
    assert stamps == [START + day * MS, START + (day + 1000) * MS]


def test_a_sum_that_does_not_fit_is_an_error():
    with pytest.raises(OverflowError, match="does not fit"):
        made([(1, 2, 2**40, 2**40, 1)])


def test_no_row_at_all_is_no_bar():
    assert made([], []).bars.is_empty()


@pytest.mark.parametrize(
    ("received", "segments"),
    [
        ([100, 1100, 2100, 3100], [0, 0, 0, 0]),
        ([100, 1100, 13000, 14100, 15100], [0, *[None] * 13, 1, 1]),
        ([100, 1100, 11100, 12100], [0] * 13),
    ],
    ids=["unbroken", "twelve seconds of silence", "ten seconds are allowed"],
)
def test_seconds_that_a_gap_touches_belong_to_no_segment(received: list[int], segments: list[int | None]):
    feed = bars.feed(others([(r, r, False) for r in received]), lateness=0, gap=GAP)
    found = bars.grid(feed, feed.first_close, feed.last_close)["segment"].to_list()
    assert found == segments


@given(st.lists(st.integers(0, 60_000), min_size=1, max_size=20), st.integers(1, 20))
@settings(deadline=None, max_examples=50)
def test_every_silence_ends_one_gap(received: list[int], gap_s: int):
    of = sorted(received)
    feed = bars.feed(others([(r, r, False) for r in received]), lateness=LATENESS, gap=gap_s * S)
    ends = [START + b * MS for a, b in pairwise(of) if b - a > gap_s * 1000]
    np.testing.assert_array_equal(feed.gap_ends, ends)
