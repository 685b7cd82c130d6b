"""Trade-grain features are what exact arithmetic, a plain search and TA-Lib say; sums that would not be exact are refused."""

import math

import numpy as np
import polars as pl
import pytest
import talib

from kernels import trade_features
from kernels import trade_formulas as f
from kernels.book_features import Tops
from kernels.trade_features import COMPARED, SPECS, build
from tests.kernels.trade_market import AT, OF, market, same, seen, stepped


def test_windows_are_what_exact_arithmetic_says():
    trades, tops = market(400, seed=5, moves=300)
    made = dict(zip(trade_features.names(), build(trades, tops, **OF), strict=True))
    p, z, side = (trades.price.tolist(), trades.size.tolist(), trades.side.tolist())
    for i in (140, 257, 399):
        last, sizes = p[i - 19 : i + 1], z[i - 19 : i + 1]
        wide, volumes, sides = p[i - 99 : i + 1], z[i - 99 : i + 1], side[i - 99 : i + 1]
        flow = sum(a * b for a, b in zip(volumes, sides, strict=True))
        expected = {
            "ret_1": math.log1p((p[i] - p[i - 1]) / p[i - 1]), "ret_20": math.log1p((p[i] - p[i - 20]) / p[i - 20]),
            "ret_100": math.log1p((p[i] - p[i - 100]) / p[i - 100]),
            "sma_20": sum(last) / 2000, "std_20": math.sqrt(20 * sum(x * x for x in last) - sum(last) ** 2) / 2000,
            "vwap_20": sum(a * b for a, b in zip(last, sizes, strict=True)) / sum(sizes) / 100,
            "flow_share_20": sum(a * b for a, b in zip(sizes, side[i - 19 : i + 1], strict=True)) / sum(sizes),
            "flow_share_100": flow / sum(volumes), "buy_share_100": sum(s > 0 for s in sides) / 100,
            "volume_sum_100": sum(volumes) / 1000, "seconds_20": (trades.ts_event[i] - trades.ts_event[i - 20]) * 1e-9,
            "vol_100_bps": math.sqrt(100 * sum(x * x for x in wide) - sum(wide) ** 2) / sum(wide) * 1e4,
            "range_position_100": (2 * p[i] - min(wide) - max(wide)) / (max(wide) - min(wide)),
        }  # fmt: skip
        for name, value in expected.items():
            assert made[name][i] == pytest.approx(value, rel=1e-12, abs=1e-17), name
    assert made["std_20"][200] == math.sqrt(20 * sum(x * x for x in p[181:201]) - sum(p[181:201]) ** 2) / 2000  # not one bit off


def test_a_trade_sees_the_last_top_known_strictly_before_it():
    trades, tops = market(300, seed=9)
    made = build(trades, tops, **OF)
    for i in range(300):
        j = seen(trades, tops, i, OF["max_age"])
        names = ("mid", "spread_bps", "imbalance", "microprice", "effective_spread_bps", "top_age_s")
        if j is None:
            assert all(np.isnan(made[AT[name], i]) for name in names)
            continue
        bid, ask, a, b = (float(x) for x in (tops.bid[j], tops.ask[j], tops.bid_size[j], tops.ask_size[j]))
        middle, lean = (bid + ask) / 2, (a - b) / (a + b) if a + b else 0.0
        micro = (bid * b + ask * a) / (a + b) if a + b else middle
        effective = 2 * abs(trades.price[i] - middle) / middle * 1e4
        age = (trades.known_at[i] - tops.known_at[j]) * 1e-9
        expected = (middle / 100, (ask - bid) / middle * 1e4, lean, micro / 100, effective, age)
        for name, value in zip(names, expected, strict=True):
            assert made[AT[name], i] == pytest.approx(value, rel=1e-12, abs=1e-15), name


def test_averages_bands_and_strength_are_those_of_ta_lib():
    trades, tops = market(3_000, seed=2)
    made = dict(zip(trade_features.names(), build(trades, tops, **OF), strict=True))
    x = trades.price / 100.0
    upper, _, lower = talib.BBANDS(x, 20, 2, 2)
    macd, signal, _ = talib.MACD(x, 12, 26, 9)
    theirs = {
        "ema_12": (talib.EMA(x, 12), 11), "ema_26": (talib.EMA(x, 26), 25), "rsi_14": (talib.RSI(x, 14), 14),
        "sma_20": (talib.SMA(x, 20), 19),
        "bollinger_upper_20": (upper, 19), "bollinger_lower_20": (lower, 19),
        "macd": (macd, 200), "macd_signal": (signal, 300),  # TA-Lib seeds the fast average of macd at trade 26: it takes a while to forget
    }  # fmt: skip
    for name, (values, first) in theirs.items():
        np.testing.assert_allclose(made[name][first:], values[first:], rtol=1e-9, atol=1e-9, err_msg=name)


def test_a_feature_has_no_value_before_its_warm_up_and_one_after():
    trades, tops = market(260, seed=4)
    tops = Tops(np.arange(1, dtype=np.int64) - 1, *(np.full(1, x) for x in (5_999_999, 3, 6_000_001, 4)))
    made = build(trades, tops, price_decimals=2, size_decimals=3, max_age=2**62)
    for spec, row in zip(SPECS, made, strict=True):
        assert np.isnan(row[: spec.warm_up]).all(), spec.name
        assert np.isfinite(row[spec.warm_up :]).all(), spec.name


def test_a_still_market_has_exact_averages_and_no_deviation():
    trades, tops = market(3_000, moves=0)
    made = dict(zip(trade_features.names(), build(trades, tops, **OF), strict=True))
    for name in ("sma_20", "vwap_20", "bollinger_upper_20"):
        assert (made[name][19:] == 60_000.0).all(), name
    for name in ("std_20", "macd", "macd_signal", "ret_1", "range_position_100", "rsi_14"):
        assert (made[name][120:] == 0.0).all(), name


@pytest.mark.parametrize(
    ("price", "size", "fine"),
    [
        ([2**51] * 150, 5, True), ([2**52] * 150, 5, False), ([0] * 150, 5, False), ([10] * 150, 2**56, False), ([10] * 150, 2**55, True),
        ([10**12] * 75 + [10**12 + 59_000_000] * 75, 1000, True), ([10**12] * 75 + [10**12 + 61_000_000] * 75, 1000, False),
        ([10**6] * 75 + [2 * 10**6] * 75, 2**45, False),
    ],
    ids=["large price", "too large", "no price", "too much", "much", "wide range", "too wide a range", "too much over a range"],
)  # fmt: skip
def test_sums_are_exact_or_refused(price: list[int], size: int, fine: bool):
    trades, tops = market(150, n_tops=0)
    trades = trades._replace(price=np.array(price), size=np.full(150, size))
    if not fine:
        for run in (build, lambda trades, tops, **_: stepped(trades, tops)):
            with pytest.raises(OverflowError, match="out of bounds"):
                run(trades, tops, **OF)
        return
    made = build(trades, tops, **OF)
    same(made, stepped(trades, tops))
    i = 80
    last = price[i - 19 : i + 1]
    exact = math.sqrt(20 * sum(x * x for x in last) - sum(last) ** 2) / 2000
    assert made[AT["std_20"], i] == pytest.approx(exact, rel=1e-15, abs=0)


def test_a_range_too_wide_is_refused_past_the_first_trades_too():
    trades, tops = market(4_000, n_tops=0)
    price = trades.price.copy()
    price[3_000:] += 70_000_000
    with pytest.raises(OverflowError, match="fewer decimals"):
        build(trades._replace(price=price), tops, **OF)


def test_chosen_features_are_those_of_all_and_reuse_what_is_given():
    trades, tops = market(5_000, gaps=2)
    whole = build(trades, tops, **OF)
    for names in (COMPARED, ("ret_100", "mid"), ("macd_signal",), ("top_age_s", "flow_share_20", "std_20")):
        out = np.empty((len(names), 5_000))
        made = build(trades, tops, **OF, names=names, out=out)
        assert made is out
        same(made, whole[[AT[name] for name in names]])
    with pytest.raises(KeyError):
        build(trades, tops, **OF, names=("candle",))
    with pytest.raises(ValueError, match="out must be"):
        build(trades, tops, **OF, out=np.empty((3, 5_000)))


def test_columns_of_a_frame_are_taken_without_a_copy():
    trades, tops = market(500)
    frame = pl.DataFrame(trades._asdict()).with_columns(pl.col("ts_event", "known_at").cast(pl.Datetime("ns", "UTC")))
    taken = trade_features.trades(frame)
    assert taken.ts_event.ctypes.data == frame["ts_event"].to_physical().to_numpy(allow_copy=False).ctypes.data
    same(build(taken, tops, **OF), build(trades, tops, **OF))
    with pytest.raises(RuntimeError):
        trade_features.trades(frame.with_columns(price=pl.when(pl.col("size") > 500_000).then("price")))


def test_names_stand_in_the_order_of_the_formulas_and_the_hash_tells_them_apart():
    assert trade_features.names() == f.NAMES
    assert trade_features.names()[: len(COMPARED)] == COMPARED
    assert len(COMPARED) == 17
    assert trade_features.feature_set_hash() == trade_features.feature_set_hash(f.NAMES)
    assert trade_features.feature_set_hash(COMPARED) != trade_features.feature_set_hash()


def test_no_trades_make_no_features():
    trades, tops = market(0)
    assert build(trades, tops, **OF).shape == (len(SPECS), 0)
