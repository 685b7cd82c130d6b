"""The feature set keeps its word: warm-ups, nulls in gaps, nothing from the future, and a hash that changes with it."""

import dataclasses
from itertools import pairwise
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.tables import TS
from kernels import book_features as books
from kernels import features

S = 1_000_000_000
N = 240
FLOATS = ("bid", "ask", "mid", "bid_size", "ask_size", "effective_spread", *books.LEVEL_COLUMNS)
INTEGERS = ("close_units", "volume_units", "buy_units", "sell_units", "ofi_units", "ofi_abs_units")


def seconds(seed: int = 0, n: int = N, away: range = range(0)) -> pl.DataFrame:
    random = np.random.default_rng(seed)
    columns: dict[str, object] = {name: 100.0 + random.random(n) for name in FLOATS}
    columns |= {name: random.integers(900, 1000, n) for name in INTEGERS}
    frame = pl.DataFrame({"ts_event": pl.Series(np.arange(n) * S).cast(TS), **columns}).with_columns(
        segment=pl.Series([None if i in away else int(i >= away.stop > 0) for i in range(n)], dtype=pl.Int32),
        price_unit=pl.lit(10.0),
        size_unit=pl.lit(100.0),
    )
    there = pl.col("segment").is_not_null()
    return frame.with_columns(pl.when(there).then(pl.col(c)).alias(c) for c in (*FLOATS, *INTEGERS)).with_columns(
        close=pl.col("close_units") / 10.0
    )


def built(frame: pl.DataFrame) -> pl.DataFrame:
    return features.features(frame.lazy()).select(features.names()).collect()


@pytest.mark.parametrize("spec", features.SPECS, ids=lambda f: f.name)
def test_a_feature_has_a_value_from_its_warm_up_on_and_after_a_gap_again(spec: features.Feature):
    column = built(seconds(away=range(100, 104)))[spec.name]
    expected = [i < spec.warm_up or 100 <= i < 104 + spec.warm_up for i in range(N)]
    assert column.dtype == pl.Float64
    assert column.is_null().to_list() == expected


@given(st.integers(0, 1000), st.integers(100, N - 1))
@settings(deadline=None, max_examples=20)
def test_the_past_does_not_change_with_the_future(seed: int, now: int):
    one, other = seconds(seed), seconds(seed + 1)
    mixed = pl.concat([one[: now + 1], other[now + 1 :]]).with_columns(one["ts_event"])
    assert built(mixed)[: now + 1].equals(built(one)[: now + 1])


def test_what_is_not_finite_is_null():
    frame = seconds().with_columns(ask_total=pl.lit(0.0))
    assert built(frame)["bid_ask_ratio_20"].null_count() == N
    assert built(frame).select(pl.all().is_nan().any() | pl.all().is_infinite().any()).row(0).count(True) == 0


def test_every_name_is_given_once_and_model_inputs_are_some_of_them():
    assert len(set(features.names())) == len(features.names())
    assert set(features.model_inputs()) < set(features.names())
    assert features.model_inputs(["ret_1", "hour", "imbalance_20"]) == ("ret_1", "imbalance_20")


def test_a_short_day_lacks_rows_and_not_features():
    known = dict.fromkeys(features.names(), 10) | {"regime": 0, "imbalance_20": 0}
    assert set(features.names()) - set(features.available(known, 60)) == {"imbalance_20"}
    assert set(features.names()) - set(features.available(known, 80)) == {"imbalance_20", "regime"}


def test_the_hash_is_of_the_names_and_of_what_they_mean(monkeypatch: pytest.MonkeyPatch):
    before = features.feature_set_hash(), features.feature_set_hash(["ret_1"])
    assert features.feature_set_hash(features.names()) == before[0]
    assert before[0] != before[1]
    changed = tuple(dataclasses.replace(f, params={"window": 99.0}) if f.name == "vol_20" else f for f in features.SPECS)
    monkeypatch.setattr(features, "SPECS", changed)
    assert (features.feature_set_hash() != before[0], features.feature_set_hash(["ret_1"])) == (True, before[1])
    with pytest.raises(KeyError, match="nobody"):
        features.feature_set_hash(["nobody"])


def test_inputs_that_are_missing_are_named():
    with pytest.raises(ValueError, match=r"no inputs for .*effective_spread_bps"):
        features.features(seconds().drop("effective_spread").lazy())


size, price = st.integers(1, 50), st.integers(100, 104)
tops = st.lists(st.tuples(st.integers(0, 400), price, size, price, size), min_size=1, max_size=40)


@given(tops)
@settings(deadline=None, max_examples=100)
def test_order_flow_is_that_of_the_definition(rows: list[tuple[int, int, int, int, int]]):
    of = sorted(rows, key=lambda r: r[0])
    columns = books.Tops(*(np.array(c, dtype=np.int64) for c in zip(*of, strict=True)))
    closed = np.arange(0, 500, 50, dtype=np.int64)
    made = books.top_seconds(columns, closed, max_age=1000)
    plain, magnitude = [0] * len(closed), [0] * len(closed)
    for (_, b0, bs0, a0, as0), (at, b1, bs1, a1, as1) in pairwise(of):
        e = (b1 >= b0) * bs1 - (b1 <= b0) * bs0 - (a1 <= a0) * as1 + (a1 >= a0) * as0
        second = -(-at // 50)
        if second > 0:
            plain[second] += e
            magnitude[second] += abs(e)
    assert (made.ofi.tolist(), made.ofi_abs.tolist()) == (plain, magnitude)
    held = [max((i for i, row in enumerate(of) if row[0] <= t), default=books.NOTHING) for t in closed]
    assert made.row.tolist() == held


def test_a_top_too_old_or_unknown_holds_at_no_close():
    of = books.Tops(*(np.array(c, dtype=np.int64) for c in ([0, 50], [10, 0], [1, 0], [11, 0], [1, 0])))
    assert books.top_seconds(of, np.array([0, 10, 40, 60]), max_age=30).row.tolist() == [0, 0, books.NOTHING, books.NOTHING]


def test_effective_spread_is_the_distance_from_the_middle_known_before_the_trade():
    of = books.Tops(*(np.array(c, dtype=np.int64) for c in ([10, 20], [100, 200], [1, 1], [102, 202], [1, 1])))
    trades = ([20, 21, 5, 21, 99], [102, 199, 101, 203, 203], [3, 1, 1, 1, 1], [0, 0, 0, 1, 1])
    ts_recv, price, size, second = (np.array(c, dtype=np.int64) for c in trades)
    made = books.effective_spread(ts_recv, price, size, second, np.array([50, 60, 70]), of, max_age=100)
    assert made[:2] == pytest.approx(
        [(3 * 2 * 1 / 101 + 1 * 2 * 2 / 201) / 4, 2 * 2 / 201]
    )  # the trade at 99 came late, that at 5 knew no top
    assert np.isnan(made[2])


@given(
    st.lists(
        st.tuples(st.lists(st.tuples(price, size), max_size=24), st.lists(st.tuples(price, size), max_size=24)), min_size=1, max_size=5
    )
)
@settings(deadline=None, max_examples=50)
def test_levels_are_plain_sums_over_twenty(rows: list[tuple[list[tuple[int, int]], list[tuple[int, int]]]]):
    lists = {
        f"{side}_{what}": pl.Series([[level[k] for level in row[n]] for row in rows], dtype=pl.List(pl.Int64))
        for n, side in enumerate(("bid", "ask"))
        for k, what in enumerate(("prices", "sizes"))
    }
    known_at = pl.Series([i * 10 for i in range(len(rows))]).cast(TS)
    frame = pl.DataFrame({"known_at": known_at, "known": [True] * len(rows), **lists})
    closed = np.array([-5, *(i * 10 + 3 for i in range(len(rows))), 10_000])
    made = books.levels_at(frame.lazy(), closed, max_age=100)
    assert np.isnan(made[[0, -1]]).all()
    for row, found in zip(rows, made[1:-1], strict=True):
        by: dict[str, float] = dict(zip(books.LEVEL_COLUMNS, found, strict=True))
        for side, levels in zip(("bid", "ask"), row, strict=True):
            top = levels[:20]
            assert by[f"{side}_levels"] == len(top)
            if top:
                total = sum(s for _, s in top)
                assert by[f"{side}_total"] == total
                assert by[f"{side}_total_5"] == sum(s for _, s in top[:5])
                assert by[f"{side}_vwap"] == pytest.approx(sum(p * s for p, s in top) / total, rel=1e-12)
                assert by[f"book_{side}"] == top[0][0]
            else:
                assert np.isnan(by[f"{side}_total"])


def test_the_page_about_features_names_them_all():
    page = (Path(__file__).resolve().parents[2] / "docs" / "features.md").read_text()
    assert [f.name for f in features.SPECS if f"| `{f.name}`" not in page] == []
