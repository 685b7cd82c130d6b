"""Features of recorded trades are what plain formulas make of the clean tables, one window and one trade at a time."""

from datetime import date
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from core.settings import Quality
from core.store import Part, Store
from kernels.trade_features import names
from tasks.clean import clean_day
from tasks.pieces import days_of
from tasks.recordings import read_recording
from tasks.trade_features import INPUTS, build_trade_inputs

pytestmark = pytest.mark.recordings
VENUE, SYMBOL, QUALITY = "binance-usdm", "ETHUSDT", Quality()
TOP = ("bid_float", "ask_float", "bid_size_float", "ask_size_float")
Floats = NDArray[np.float64]


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory, shared: Path) -> Store:
    """A recording over midnight, from frames to features."""
    store = Store(tmp_path_factory.mktemp("lake"), code="test")
    read_recording.fn(store, str(shared / "data" / "hftbacktest" / "usdm" / "ethusdt_20240808.gz"), quality=QUALITY)
    for day in days_of(store, VENUE, SYMBOL, QUALITY.max_clock_skew_s):
        clean_day.fn(store, VENUE, SYMBOL, day, quality=QUALITY, keep_levels=20, fees=(2.0, 5.0))
        build_trade_inputs.fn(store, VENUE, SYMBOL, day, quality=QUALITY)
    return store


def rows(store: Store, name: str) -> pl.DataFrame:
    parts = store.parts(name, VENUE, SYMBOL)
    assert [part.day for part in parts] == [date(2024, 8, 8), date(2024, 8, 9)]
    return store.scan(parts, floats=True).collect()


def window(values: Floats, n: int) -> Floats:
    """[len, n]: each row's last n values, NaN before there are so many."""
    return sliding_window_view(np.append(np.full(n - 1, np.nan), values), n)


def average(values: Floats, n: int) -> Floats:
    """Exponential, weight 2 / (n + 1), seeded with the plain average of the first n values there are."""
    made, first = np.full(len(values), np.nan), int(np.isnan(values).sum())
    made[first + n - 1] = values[first : first + n].mean()
    for i in range(first + n, len(values)):
        made[i] = made[i - 1] + 2 / (n + 1) * (values[i] - made[i - 1])
    return made


def strength(price: Floats, n: int) -> Floats:
    change, made = np.diff(price), np.full(len(price), np.nan)
    up, down = np.maximum(change, 0), np.maximum(-change, 0)
    gain, loss = up[:n].mean(), down[:n].mean()
    for i in range(n, len(price)):
        if i > n:
            gain, loss = (gain * (n - 1) + up[i - 1]) / n, (loss * (n - 1) + down[i - 1]) / n
        made[i] = 100 * gain / (gain + loss) if gain + loss > 1e-14 else 0
    return made


def plain(trades: pl.DataFrame, tops: pl.DataFrame) -> dict[str, Floats]:
    trades = trades.select("ts_event", "price_float", "size_float", "side", at=pl.col("ts_recv").cum_max())
    known = tops.sort("known_at", maintain_order=True).select(*TOP, "known_at", at="known_at")
    both = trades.join_asof(known, on="at", allow_exact_matches=False)
    young = pl.col("at") - pl.col("known_at") <= pl.duration(nanoseconds=round(QUALITY.gap_s * 1e9))
    both = both.with_columns(
        pl.when(young & pl.col("bid_float").is_not_null() & pl.col("ask_float").is_not_null()).then(pl.col(*TOP, "known_at"))
    )
    bid, ask, bid_size, ask_size = (both[name].to_numpy() for name in TOP)
    mid = (bid + ask) / 2
    p, q, side = trades["price_float"].to_numpy(), trades["size_float"].to_numpy(), trades["side"].to_numpy()
    seconds = trades["ts_event"].to_physical().to_numpy() / 1e9
    p20, p100, q20, q100 = window(p, 20), window(p, 100), window(q, 20), window(q, 100)
    flow, mean, band = side * q, p20.mean(axis=1), 2 * p20.std(axis=1)
    macd = average(p, 12) - average(p, 26)
    low, high = p100.min(axis=1), p100.max(axis=1)
    return {
        "mid": mid,
        "spread_bps": (ask - bid) / mid * 1e4,
        "microprice": (bid * ask_size + ask * bid_size) / (bid_size + ask_size),
        "imbalance": (bid_size - ask_size) / (bid_size + ask_size),
        "effective_spread_bps": 2 * abs(p - mid) / mid * 1e4,
        "ret_1": np.log(p / window(p, 2)[:, 0]),
        "ret_20": np.log(p / window(p, 21)[:, 0]),
        "sma_20": mean,
        "std_20": p20.std(axis=1),
        "bollinger_upper_20": mean + band,
        "bollinger_lower_20": mean - band,
        "ema_12": average(p, 12),
        "ema_26": average(p, 26),
        "macd": macd,
        "macd_signal": average(macd, 9),
        "rsi_14": strength(p, 14),
        "vwap_20": (p20 * q20).sum(axis=1) / q20.sum(axis=1),
        "top_age_s": (both["at"] - both["known_at"]).dt.total_nanoseconds().cast(pl.Float64).to_numpy() / 1e9,
        "flow_share_20": window(flow, 20).sum(axis=1) / q20.sum(axis=1),
        "seconds_20": seconds - window(seconds, 21)[:, 0],
        "ret_100": np.log(p / window(p, 101)[:, 0]),
        "vol_100_bps": p100.std(axis=1) / p100.mean(axis=1) * 1e4,
        "flow_share_100": window(flow, 100).sum(axis=1) / q100.sum(axis=1),
        "buy_share_100": window((side > 0).astype(float), 100).mean(axis=1),
        "volume_sum_100": q100.sum(axis=1),
        "range_position_100": np.where(high > low, (2 * p - low - high) / np.where(high > low, high - low, 1), high * 0),
    }


@pytest.fixture(scope="module")
def wanted(lake: Store) -> dict[str, Floats]:
    """Over both days in one piece: the trades after midnight are the next in a row."""
    return plain(rows(lake, "clean_market__trades"), rows(lake, "clean_market__top"))


@pytest.mark.parametrize("name", names())
def test_a_feature_is_its_plain_formula(name: str, lake: Store, wanted: dict[str, Floats]):
    made = rows(lake, INPUTS)
    assert made["segment"].n_unique() == 1
    assert made.height > 14_000
    tolerance = 1e-6 if name == "seconds_20" else 1e-9  # seconds since 1970 as a float64 are good to half a microsecond
    np.testing.assert_allclose(made[name].fill_null(np.nan).to_numpy(), wanted[name], rtol=1e-9, atol=tolerance)


def test_the_first_trade_after_midnight_has_every_feature(lake: Store):
    made = lake.scan(Part(INPUTS, VENUE, SYMBOL, date(2024, 8, 9))).head(1).collect()
    assert made.select(names()).null_count().row(0) == (0,) * len(names())
