"""The generated market: alike from the same seed, consistent as a book, and with just the signal it was given."""

import json
from datetime import date
from functools import cache

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.market import NS
from kernels.generator import Market, Records, State, first, grid, simulate, stream
from kernels.generator_events import LEVELS, TICKER, TRADE, season
from kernels.generator_frames import text

DAY = (date(2026, 1, 5) - date(1970, 1, 1)).days
MIDNIGHT = DAY * 86_400 * NS
MIXED = {
    "symbol": "SIMUSDT",
    "price": 60_000.0,
    "tick_size": 0.1,
    "lot_size": 0.001,
    "volatility": 0.8,
    "signal": 0.35,
    "frames_per_s": 10.0,
}


def market(**changed: object) -> Market:
    return Market(**(MIXED | changed))  # type: ignore[arg-type]


def ran(of: Market, seconds: float, seed: int = 7, begin: int = MIDNIGHT) -> tuple[State, list[Records]]:
    rng = stream(seed, of.symbol, DAY)
    chunks = list(simulate(of, first(of, rng), rng, begin, begin + int(seconds * NS)))
    return chunks[-1][0], [records for _, records in chunks]


def lines(of: Market, seconds: float, seed: int = 7) -> list[bytes]:
    return b"".join(text(of, records) for records in ran(of, seconds, seed)[1]).splitlines()


@cache
def day(signal: float) -> npt.NDArray[np.int64]:
    return np.concatenate([records.frames for records in ran(market(signal=signal), 86_400)[1]])


@cache
def decoded() -> list[tuple[int, dict]]:
    cut = (line.split(b" ", 1) for line in lines(market(), 1_800))
    return [(int(recv), json.loads(frame)) for recv, frame in cut]


def of_kind(kind: str) -> list[tuple[int, dict]]:
    return [(recv, frame["data"]) for recv, frame in decoded() if frame.get("data", {}).get("e") == kind]


def correlation(frames: npt.NDArray[np.int64], horizon_s: int) -> float:
    """Of the touch's imbalance with the mid's return over the horizon, on the grid of seconds."""
    quotes = frames[frames[:, 0] == TICKER]
    t = (quotes[:, 1] - MIDNIGHT) / NS
    at = np.searchsorted(t, np.arange(60, int(t[-1])), side="right") - 1
    mid = np.log((quotes[at, 5] + quotes[at, 7]) / 2)
    imbalance = (quotes[at, 6] - quotes[at, 8]) / (quotes[at, 6] + quotes[at, 8])
    return float(np.corrcoef(imbalance[:-horizon_s], mid[horizon_s:] - mid[:-horizon_s])[0, 1])


def test_the_same_seed_gives_the_same_bytes():
    assert lines(market(), 60) == lines(market(), 60)


@pytest.mark.parametrize(
    "other",
    [lambda: lines(market(), 60, seed=8), lambda: lines(market(symbol="SIM2USDT"), 60), lambda: lines(market(volatility=0.9), 60)],
    ids=["another seed", "another symbol", "another setting"],
)
def test_anything_else_gives_others(other):
    assert lines(market(), 60) != other()


def test_streams_of_symbols_and_days_are_independent():
    draws = [stream(7, symbol, n).standard_normal(4_000) for symbol in ("A", "B", "AB") for n in (DAY, DAY + 1)]
    away = np.corrcoef(draws) - np.eye(len(draws))
    assert np.abs(away).max() < 0.08


def test_arrivals_cluster():
    frames = day(0.35)
    busy = (frames[frames[:, 0] == TICKER, 1] - MIDNIGHT) / NS
    inside = busy[(busy > 15 * 3_600) & (busy < 16 * 3_600)]  # within an hour, so that the season is not what is seen
    counts = np.bincount(((inside - 15 * 3_600) / 10).astype(int))
    assert counts.var() / counts.mean() > 4  # 1 for a Poisson process


def test_the_hours_of_the_day_differ():
    frames = day(0.35)
    hours = np.bincount(((frames[:, 1] - MIDNIGHT) // (3_600 * NS)).astype(int), minlength=24)
    assert 1.5 < hours[14:17].sum() / hours[3:6].sum() < 3
    assert np.mean([season(int(h * 3_600 * NS)) for h in range(24)]) == pytest.approx(1)


def test_frames_come_at_the_rate_that_was_asked_for():
    assert len(day(0.35)) / 86_400 == pytest.approx(10, rel=0.05)


def test_volatility_is_what_was_asked_for():
    quotes = day(0.0)[day(0.0)[:, 0] == TICKER]
    at = np.searchsorted((quotes[:, 1] - MIDNIGHT) / NS, np.arange(60, 86_340, 10), side="right") - 1
    steps = np.diff(np.log((quotes[at, 5] + quotes[at, 7]) / 2))
    assert steps.std() * (365 * 8_640) ** 0.5 == pytest.approx(0.8, rel=0.05)


def test_imbalance_tells_nothing_without_a_signal():
    assert all(abs(correlation(day(0.0), h)) < 0.05 for h in (10, 30, 60))


def test_imbalance_leads_the_mid_with_the_default_signal():
    assert all(0.08 < correlation(day(0.35), h) < 0.3 for h in (10, 30, 60))


def test_a_stronger_signal_shows_more():
    weak, strong = (correlation(np.concatenate([r.frames for r in ran(market(signal=s), 20_000)[1]]), 30) for s in (0.1, 0.9))
    assert strong > weak + 0.1


def test_spreads_are_one_tick_mostly_and_three_at_most():
    quotes = day(0.35)[day(0.35)[:, 0] == TICKER]
    spreads = quotes[:, 7] - quotes[:, 5]
    assert set(np.unique(spreads)) == {1, 2, 3}
    assert (spreads == 1).mean() > 0.7


def test_lines_are_received_in_order_after_they_were_sent_and_within_the_day():
    received = [recv for recv, _ in decoded()]
    assert received == sorted(received)
    assert MIDNIGHT < received[0] <= received[-1] < MIDNIGHT + 1_800 * NS
    delays = [recv - frame["data"]["E"] * 1_000_000 for recv, frame in decoded() if "data" in frame]
    assert min(delays) > 0
    assert 2e6 < np.median(delays) < 8e6


def test_every_frame_has_the_fields_of_the_recordings():
    fields = {
        "trade": "e E T s t p q X m", "bookTicker": "e u s b B a A T E", "depthUpdate": "e E T s U u pu b a",
        "markPriceUpdate": "e E s p P i r T",
    }  # fmt: skip
    for kind, names in fields.items():
        found = of_kind(kind)
        assert found
        assert {" ".join(frame) for _, frame in found} == {names}
    snapshots = [frame for _, frame in decoded() if "lastUpdateId" in frame]
    assert [" ".join(frame) for frame in snapshots] == ["lastUpdateId E T bids asks"]
    assert len(snapshots[0]["bids"]) == len(snapshots[0]["asks"]) == LEVELS >= 20


def test_trades_are_contiguous_and_at_the_prevailing_best():
    last, ids = None, []
    for _, frame in decoded():
        data = frame.get("data", {})
        if data.get("e") == "bookTicker":
            last = data
        elif data.get("e") == "trade":
            ids.append(data["t"])
            if last:
                side, size = ("b", "B") if data["m"] else ("a", "A")
                assert data["p"] == last[side]
                assert 0 < float(data["q"]) <= float(last[size])
            assert data["X"] == "MARKET"
    assert ids == list(range(ids[0], ids[0] + len(ids)))


def test_the_book_rebuilt_from_the_diffs_is_that_of_every_ticker_and_never_crossed():
    tickers = {data["u"]: data for _, data in of_kind("bookTicker")}
    books: list[dict[str, float]] = []
    last = compared = 0
    for _, frame in decoded():
        data = frame.get("data", frame)
        if "lastUpdateId" in data:
            books, last, joined = [dict(data["bids"]), dict(data["asks"])], data["lastUpdateId"], False
        elif data.get("e") == "depthUpdate" and books and data["u"] >= last:
            assert data["pu"] == last if joined else data["U"] <= last <= data["u"]
            joined, last = True, data["u"]
            for book, changes in zip(books, (data["b"], data["a"]), strict=True):
                book.update(changes)
                for price in [price for price, size in book.items() if float(size) == 0]:
                    del book[price]
            bid, ask = max(books[0], key=float), min(books[1], key=float)
            assert float(bid) < float(ask)
            assert len(books[0]) == len(books[1]) == LEVELS
            if top := tickers.get(last):
                compared += 1
                assert (bid, books[0][bid], ask, books[1][ask]) == (top["b"], top["B"], top["a"], top["A"])
    assert compared > 1_000


def test_a_day_goes_on_where_the_one_before_ended():
    of = market()
    end, before = ran(of, 600)
    rng = stream(7, of.symbol, DAY + 1)
    (_, records), *_ = simulate(of, end, rng, MIDNIGHT + 600 * NS, MIDNIGHT + 1_200 * NS)
    ended, began = ([json.loads(line.split(b" ", 1)[1]) for line in text(of, part).splitlines()] for part in (before[-1], records))

    def diffs(frames: list[dict]) -> list[dict]:
        return [f["data"] for f in frames if f.get("data", {}).get("e") == "depthUpdate"]

    def trades(frames: list[dict]) -> list[int]:
        return [f["data"]["t"] for f in frames if f.get("data", {}).get("e") == "trade"]

    assert diffs(began)[0]["pu"] == diffs(ended)[-1]["u"]
    assert trades(began)[0] == trades(ended)[-1] + 1
    assert sum("lastUpdateId" in frame for frame in began) == 1


@given(
    tick=st.sampled_from([0.01, 0.05, 0.25, 0.5, 1.0, 10.0, 1e-6]),
    lot=st.sampled_from([1.0, 0.1, 1e-5, 10.0]),
    volatility=st.floats(0.01, 3),
    rate=st.floats(0.5, 60),
    signal=st.floats(0, 1),
)
@settings(deadline=None, max_examples=25)
def test_any_market_stays_on_its_grid_and_uncrossed(tick: float, lot: float, volatility: float, rate: float, signal: float):
    of = market(price=tick * 80_000, tick_size=tick, lot_size=lot, volatility=volatility, frames_per_s=rate, signal=signal)
    _, chunks = ran(of, 120)
    frames = np.concatenate([records.frames for records in chunks])
    assert np.isin(frames[frames[:, 0] == TICKER, 7] - frames[frames[:, 0] == TICKER, 5], [1, 2, 3]).all()
    assert (np.diff(frames[:, 1]) > 0).all()
    units, decimals = grid(tick)
    for line in text(of, chunks[0]).splitlines()[:200]:
        data = json.loads(line.split(b" ", 1)[1]).get("data", {})
        if data.get("e") == "trade":
            assert round(float(data["p"]) * 10**decimals) % units == 0
            assert len(data["p"].partition(".")[2]) == decimals


@pytest.mark.parametrize(
    ("changed", "said"),
    [({"tick_size": 1e-9}, "8 decimals"), ({"price": 100.0}, "5,000 ticks"), ({"symbol": "../x"}, "symbol")],
    ids=["a tick too fine", "too few ticks", "no symbol"],
)
def test_a_market_that_cannot_be_is_refused(changed: dict, said: str):
    with pytest.raises(ValueError, match=said):
        market(**changed)


@pytest.mark.parametrize(
    ("size", "is_"),
    [(0.1, (1, 1)), (0.25, (25, 2)), (1.0, (1, 0)), (10.0, (10, 0)), (1e-6, (1, 6))],
    ids=["0.1", "0.25", "1", "10", "1e-6"],
)
def test_a_grid_is_units_and_decimals(size: float, is_: tuple[int, int]):
    assert grid(size) == is_


def test_some_frames_are_trades():
    assert 0.2 < (day(0.35)[:, 0] == TRADE).mean() < 0.3
