"""The features of a closing second are the formulas of the batch build, whatever the second holds."""

import numpy as np
import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from core.market import NS
from core.tables import TS
from kernels import features
from kernels import live_seconds as live
from kernels.book_features import LEVEL_COLUMNS
from kernels.live_seconds_windows import NULL

PRICE_UNIT, SIZE_UNIT = 100.0, 1000.0
TOP = ("bid", "ask", "mid", "bid_size", "ask_size", "effective_spread", "top_age_s")
WHOLE = ("close_units", "volume_units", "buy_units", "sell_units", "ofi_units", "ofi_abs_units")


def frame(seed: int, n: int, still: bool) -> pl.DataFrame:
    """Seconds as `kernels.seconds` makes them, with stretches away, seconds without a top, a book or a trade."""
    random = np.random.default_rng(seed)
    price = np.full(n, 10_000) if still else 10_000 + np.cumsum(random.integers(-9, 10, n))
    columns: dict[str, np.ndarray] = {name: price / PRICE_UNIT + random.random(n) for name in TOP}
    columns |= {"bid": price / PRICE_UNIT, "ask": (price + 2) / PRICE_UNIT, "mid": (price + 1) / PRICE_UNIT}
    columns |= {name: random.integers(1, 90, n).astype(float) * (price if "total" not in name else 1) for name in LEVEL_COLUMNS}
    whole = {name: random.integers(-20 if "ofi_u" in name else 0, 90, n) * (random.random(n) < 0.6) for name in WHOLE}
    whole["close_units"] = price
    made = pl.DataFrame({"ts_event": pl.Series((np.arange(n) + 1_700_003_500) * NS).cast(TS), **columns, **whole})
    away, none = pl.Series(np.convolve(random.random(n) < 0.004, np.ones(4), "same") > 0), pl.Series(random.random(n) < 0.01)
    unit = {name: PRICE_UNIT if "vwap" in name or name.startswith("book") else SIZE_UNIT for name in LEVEL_COLUMNS}
    return (
        made.with_columns(pl.when(~away).then(pl.col(*columns, *whole)))
        .with_columns(pl.when(~none).then(pl.col(*TOP[:5], "ofi_units", "ofi_abs_units")))
        .with_columns(pl.when(~none.shift(3).fill_null(False)).then(pl.col(LEVEL_COLUMNS)))
        .with_columns(
            *(pl.col(name) / (1.0 if name.endswith("_levels") else of) for name, of in unit.items()),
            segment=pl.when(~away).then(away.cast(pl.Int32).diff().eq(1).fill_null(False).cum_sum().cast(pl.Int32)),
            price_unit=pl.lit(PRICE_UNIT),
            size_unit=pl.lit(SIZE_UNIT),
        )
        .with_columns(close=pl.col("close_units") / PRICE_UNIT)
    )


def stepped(seconds: pl.DataFrame) -> np.ndarray:
    """The features of each second [seconds, 48], one at a time."""
    scale = [1.0 if c.endswith("_levels") else PRICE_UNIT if "vwap" in c or c.startswith("book") else SIZE_UNIT for c in LEVEL_COLUMNS]
    given = seconds.with_columns(pl.col("effective_spread").forward_fill().over("segment")).select(*TOP, *LEVEL_COLUMNS)
    values = given.fill_null(np.nan).to_numpy() * np.array([1.0] * len(TOP) + scale)
    whole = seconds.select(WHOLE).fill_null(NULL).to_numpy()
    floats, wholes, recur = (of[0] for of in live.cold_rings(1))
    room, out = np.empty((2, 1)), np.empty((len(seconds), 48))
    for n, ts in enumerate(seconds["ts_event"].to_physical().to_list()):
        live.features_of(n, ts, values[n].copy(), whole[n].copy(), PRICE_UNIT, SIZE_UNIT, floats, wholes, recur, room, out[n])
    return out


@given(st.integers(0, 2**32), st.sampled_from([30, 100, 400]), st.booleans())
@settings(deadline=None, max_examples=50)
def test_one_second_at_a_time_is_the_whole_day_at_once(seed: int, n: int, still: bool):
    seconds = frame(seed, n, still)
    wanted = features.features(seconds.lazy()).select(features.names()).collect().fill_null(np.nan).to_numpy()
    np.testing.assert_allclose(stepped(seconds), wanted, rtol=1e-9, atol=1e-9)


def test_the_features_are_those_of_the_batch_build():
    assert features.names() == live.FEATURES
