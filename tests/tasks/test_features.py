"""A day's features do not notice midnight, are built once, and say so when there is too little to build from."""

from datetime import UTC, date, datetime

import numpy as np
import polars as pl
import pytest

from core.settings import Bars, Labels, Quality
from core.store import Part, Store
from core.tables import TS, table
from kernels import features as feats
from tasks import feature_days
from tasks import features as tasks

DAY = date(2026, 1, 5)
S = 1_000_000_000
MIDNIGHT = int(datetime(2026, 1, 6, tzinfo=UTC).timestamp()) * S
LONG = 5_400  # seconds of data on either side of midnight
AWAY = (-1_000, -960)  # no event of any kind in these seconds
WITHOUT_CALENDAR = [n for n in feats.names() if n not in ("hour", "minute")]


def shaped(name: str, **columns: object) -> pl.DataFrame:
    frame = pl.DataFrame(columns)
    shape = dict(table(name).columns)
    return frame.select(pl.col(c).cast(t) if c in frame.columns else pl.lit(None, t).alias(c) for c, t in shape.items())


def market(seed: int = 3) -> dict[str, pl.DataFrame]:
    """Clean tables of a small market around midnight: some two trades and three tops a second, a book of three levels."""
    random = np.random.default_rng(seed)
    n = 2 * LONG
    second = np.sort(random.choice(np.arange(-LONG, LONG), 3 * n))
    event = second * S + random.integers(0, S, 3 * n)
    event = np.sort(event[(event < AWAY[0] * S) | (event > AWAY[1] * S)]) + MIDNIGHT
    recv = np.maximum.accumulate(event + random.integers(20, 120, len(event)) * 1_000_000)
    bid = 1_000_000 + np.cumsum(random.integers(-40, 41, len(event)))
    sizes = random.integers(1, 500, (len(event), 6))
    scale = {"price_decimals": 2, "size_decimals": 3}
    times = {"ts_event": event, "ts_recv": recv, "known_at": recv, "ts_estimated": False, "update_id": np.arange(len(event))} | scale
    levels = np.arange(3)
    traded = random.random(len(event)) < 0.7
    side = random.choice([-1, 1], len(event))
    return {
        "trades": shaped(
            "clean_market__trades", **times, trade_id=np.arange(len(event)), price=bid + (side > 0), size=sizes[:, 0], side=side,
            side_inferred=False,
        ).filter(pl.Series(traded)),
        "quotes": shaped("clean_market__quotes", **times, bid=bid, bid_size=sizes[:, 0], ask=bid + 1, ask_size=sizes[:, 3]),
        "top": shaped("clean_market__top", **times, bid=bid, bid_size=sizes[:, 0], ask=bid + 1, ask_size=sizes[:, 3], from_book=True),
        "book": shaped(
            "clean_market__book", **times, known=True,
            bid_prices=(bid[:, None] - levels).tolist(), bid_sizes=sizes[:, :3].tolist(),
            ask_prices=(bid[:, None] + 1 + levels).tolist(), ask_sizes=sizes[:, 3:].tolist(),
        ),
    }  # fmt: skip


def ingest(store: Store, tables: dict[str, pl.DataFrame], symbol: str, later_h: int = 0) -> list[date]:
    """Keep the tables as clean days, with all their times moved; returns the days."""
    days: set[date] = set()
    for noun, rows in tables.items():
        name = f"clean_market__{noun}"
        moved = rows.with_columns(pl.col(c).dt.offset_by(f"{later_h}h") for c, t in table(name).columns.items() if t == TS)
        for day in sorted(set(moved["ts_event"].dt.date())):
            store.write(Part(name, "test", symbol, day), moved.filter(pl.col("ts_event").dt.date() == day), inputs={}, params={})
            days.add(day)
    for day in days:
        scale = {"venue": ["test"], "symbol": [symbol], "day": [day], "price_decimals": [2], "size_decimals": [3], "taker_bps": [0.1]}
        store.write(Part(tasks.INSTRUMENTS, "test", symbol, day), shaped(tasks.INSTRUMENTS, **scale), inputs={}, params={})
    return sorted(days)


def build(store: Store, symbol: str, days: list[date]) -> list[dict[str, object]]:
    facts = []
    for day in days:
        key = (store, "test", symbol, day)
        built = [
            tasks.build_bars.fn(*key, rules=Bars()),
            tasks.build_inputs.fn(*key, rules=Bars(), quality=Quality()),
            tasks.build_labels.fn(*key, rules=Labels(), quality=Quality()),
        ]
        facts.append(tasks.check_features.fn(*key, built=built))
    return facts


def read(store: Store, name: str, symbol: str, earlier_h: int = 0) -> pl.DataFrame:
    rows = store.scan(store.parts(name, "test", symbol)).collect()
    return rows.with_columns(pl.col(c).dt.offset_by(f"-{earlier_h}h") for c, t in rows.schema.items() if t == TS).sort("ts_event")


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """The same market twice: cut by midnight (`CUT`), and half a day later, when no midnight comes near (`WHOLE`)."""
    store = Store(tmp_path_factory.mktemp("lake"), code="test")
    tables = market()
    build(store, "CUT", ingest(store, tables, "CUT"))
    (day,) = ingest(store, tables, "WHOLE", 12)
    build(store, "WHOLE", [day])
    return store


def test_midnight_makes_no_difference_to_bars(lake: Store):
    assert read(lake, tasks.BARS, "CUT").equals(read(lake, tasks.BARS, "WHOLE", 12))


def test_midnight_makes_no_difference_to_features(lake: Store):
    cut, whole = read(lake, tasks.INPUTS, "CUT"), read(lake, tasks.INPUTS, "WHOLE", 12)
    assert cut.select("ts_event", "known_at").equals(whole.select("ts_event", "known_at"))
    assert cut.height > 2 * LONG - 10
    for name in (*feats.PLAIN, *WITHOUT_CALENDAR):
        one, other = (frame[name].fill_null(float("nan")).to_numpy() for frame in (cut, whole))
        np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-9, err_msg=name)
    next_day = cut.filter(pl.col("ts_event") > pl.lit(MIDNIGHT).cast(TS))
    assert next_day.null_count().select(feats.model_inputs()).row(0) == (0,) * len(feats.model_inputs())


def test_midnight_makes_no_difference_to_labels(lake: Store):
    cut, whole = read(lake, tasks.LABELS, "CUT"), read(lake, tasks.LABELS, "WHOLE", 12)
    assert cut.equals(whole)
    assert cut.height > LONG
    assert cut["direction"].n_unique() == 3


def test_a_gap_is_null_and_nothing_spans_it(lake: Store):
    rows = read(lake, tasks.INPUTS, "CUT").with_columns(s=(pl.col("ts_event").to_physical() - MIDNIGHT) // S)
    away = rows.filter(pl.col("s").is_between(AWAY[0] + 2, AWAY[1]))
    assert away.height == AWAY[1] - AWAY[0] - 1
    assert away.null_count().select(feats.names()).row(0) == (away.height,) * len(feats.names())
    after = rows.filter((pl.col("s") > AWAY[1] + 1) & pl.col("segment").is_not_null())
    assert after["rsi_14"].head(14).null_count() == 14
    assert after["realised_vol_60"].head(60).null_count() == 60
    labels = read(lake, tasks.LABELS, "CUT").with_columns(s=(pl.col("ts_event").to_physical() - MIDNIGHT) // S)
    horizon = int(Labels().horizon_s)
    assert labels.filter(pl.col("s").is_between(AWAY[0] - horizon + 1, AWAY[1])).is_empty()


def test_a_row_uses_nothing_received_after_it_was_known(lake: Store, store: Store):
    whole = read(lake, tasks.INPUTS, "CUT")
    now = MIDNIGHT + 600 * S
    tables = {
        noun: rows.filter(pl.col("known_at" if noun in ("top", "book") else "ts_recv").to_physical() <= now)
        for noun, rows in market().items()
    }
    build(store, "CUT", ingest(store, tables, "CUT"))
    early = read(store, tasks.INPUTS, "CUT").filter(pl.col("known_at").to_physical() <= now - Bars().lateness_ms * 1_000_000)
    assert early.height > LONG
    assert early.drop("segment").equals(whole.head(early.height).drop("segment"))


def test_nothing_is_built_twice_and_a_new_day_closes_the_one_before(store: Store):
    tables = market()
    before = {noun: rows.filter(pl.col("ts_event").to_physical() < MIDNIGHT) for noun, rows in tables.items()}
    assert ingest(store, before, "CUT") == [DAY]
    assert [f["changed"] for f in build(store, "CUT", [DAY])] == [True]
    assert [f["changed"] for f in build(store, "CUT", [DAY])] == [False]
    days = ingest(store, tables, "CUT")
    assert feature_days.with_neighbours(store, {("test", "CUT"): days[1:]}) == {("test", "CUT"): days}
    assert [f["changed"] for f in build(store, "CUT", days)] == [True, True]
    assert [f["changed"] for f in build(store, "CUT", days)] == [False, False]


def test_without_a_book_the_model_does_without_it(store: Store):
    tables = {noun: rows for noun, rows in market().items() if noun != "book"}
    facts = build(store, "TAPE", ingest(store, tables, "TAPE"))
    assert "imbalance_1" in facts[0]["model_inputs"]  # type: ignore[operator]
    assert "imbalance_20" not in facts[0]["model_inputs"]  # type: ignore[operator]
    assert int(facts[0]["complete_rows"]) > 0  # type: ignore[call-overload]


def test_a_change_of_decimals_at_midnight_changes_no_feature(lake: Store, store: Store):
    tables = market()
    days = ingest(store, tables, "FINER")
    for noun, rows in tables.items():  # the second day was found to have three decimals more
        name = f"clean_market__{noun}"
        own = rows.filter(pl.col("ts_event").dt.date() == days[1])
        scales = table(name).scales
        scaled = own.with_columns(
            *(pl.col(c) * 1000 for c in scales), price_decimals=pl.lit(5, pl.Int8), size_decimals=pl.lit(6, pl.Int8)
        )  # fmt: skip
        store.write(Part(name, "test", "FINER", days[1]), scaled, inputs={}, params={})
    row = store.scan(Part(tasks.INSTRUMENTS, "test", "FINER", days[1])).collect()
    finer = row.with_columns(price_decimals=pl.lit(5, pl.Int8), size_decimals=pl.lit(6, pl.Int8))
    store.write(Part(tasks.INSTRUMENTS, "test", "FINER", days[1]), finer, inputs={}, params={})
    build(store, "FINER", days)
    cut, same = read(store, tasks.INPUTS, "FINER"), read(lake, tasks.INPUTS, "CUT")
    for name in WITHOUT_CALENDAR:
        one, other = (frame[name].fill_null(float("nan")).to_numpy() for frame in (cut, same))
        np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-9, err_msg=name)


def test_too_little_data_is_a_warning_for_a_day_and_an_error_for_all(store: Store):
    tables = market()
    short = {
        noun: rows.filter(pl.col("ts_event").to_physical().is_between(MIDNIGHT + 9 * S, MIDNIGHT + 40 * S)) for noun, rows in tables.items()
    }
    days = ingest(store, short, "SHORT")
    facts = build(store, "SHORT", days)
    of = {("test", "SHORT"): days}
    with pytest.raises(ValueError, match=r"test/SHORT 2026-01-06: 3\d seconds of data, fewer than the longest warm-up"):
        feature_days.stage(of, facts, seconds=1.0)
    plenty = {**facts[0], "day": "2026-01-07", "complete_rows": 5}
    made = feature_days.stage({("test", "SHORT"): [*days, date(2026, 1, 7)]}, [*facts, plenty], seconds=1.0)
    assert (len(made.warnings), len(made.parts), made.changed) == (1, 4, True)
