"""The features of a day's trades do not notice midnight, look at nothing that comes later, and say so when something is missing."""

import functools
import json
from datetime import date
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from core.runs import Stage
from core.settings import Quality
from core.store import Part, Store
from core.tables import TS, table
from kernels import trade_features as feats
from tasks import trade_features as tasks
from tasks import trade_tape
from tests.tasks.test_features import AWAY, DAY, MIDNIGHT, S, ingest, market, read

PLAIN = list(table(tasks.INPUTS).columns)
OF_QUOTES = {"mid", "spread_bps", "microprice", "imbalance", "effective_spread_bps", "top_age_s"}


@functools.cache
def everything() -> dict[str, pl.DataFrame]:
    return market()


def tables() -> dict[str, pl.DataFrame]:
    """The market without its book: the features of trades see of it only that the feed was there, and the quotes say the same."""
    return {noun: rows for noun, rows in everything().items() if noun != "book"}


def build(store: Store, symbol: str, days: list[date], **more: float) -> list[dict[str, object]]:
    quality = Quality(**more)  # type: ignore[arg-type]
    return [tasks.build_trade_inputs.fn(store, "test", symbol, day, quality=quality) for day in days]


def rows_of(store: Store, symbol: str, earlier_h: int = 0) -> pl.DataFrame:
    return read(store, tasks.INPUTS, symbol, earlier_h)


def close(one: pl.DataFrame, other: pl.DataFrame) -> None:
    for name in feats.names():
        a, b = (frame[name].fill_null(float("nan")).to_numpy() for frame in (one, other))
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-9, err_msg=name)


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """The same market twice: cut by midnight (`CUT`), and half a day later, when no midnight comes near (`WHOLE`)."""
    store = Store(tmp_path_factory.mktemp("lake"), code="test")
    build(store, "CUT", ingest(store, tables(), "CUT"))
    build(store, "WHOLE", ingest(store, tables(), "WHOLE", 12))
    return store


def test_every_trade_has_its_row_and_the_plain_columns_are_its_own(lake: Store):
    made, trades = rows_of(lake, "CUT"), read(lake, "clean_market__trades", "CUT")
    own = ["ts_event", "trade_id", "price", "size", "side", "price_decimals", "size_decimals"]
    assert made.select(own).equals(trades.select(own))
    assert made.columns == [*PLAIN, *feats.names()]
    assert (made["known_at"] >= trades["ts_recv"]).all()
    assert made["known_at"].is_sorted()
    floats = made.select(feats.names()).to_numpy()
    assert not np.isinf(floats).any()
    assert made.select(feats.names()).fill_nan(None).null_count().equals(made.select(feats.names()).null_count())


def test_midnight_makes_no_difference(lake: Store):
    cut, whole = rows_of(lake, "CUT"), rows_of(lake, "WHOLE", 12)
    assert cut.drop("segment", *feats.names()).equals(whole.drop("segment", *feats.names()))
    close(cut, whole)
    first = cut.filter(pl.col("ts_event") >= pl.lit(MIDNIGHT).cast(TS)).head(1)
    assert first.null_count().select(feats.names()).row(0) == (0,) * len(feats.names())


def test_blocks_make_no_difference(lake: Store, store: Store, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(trade_tape, "BLOCK", 1_000)
    build(store, "CUT", ingest(store, tables(), "CUT"))
    close(rows_of(store, "CUT"), rows_of(lake, "CUT"))


def test_threads_make_no_difference(lake: Store, store: Store):
    for day in ingest(store, tables(), "CUT"):
        tasks.build_trade_inputs.fn(store, "test", "CUT", day, quality=Quality(), threads=3)
    assert rows_of(store, "CUT").equals(rows_of(lake, "CUT"))


def test_windows_begin_anew_after_a_silence(lake: Store):
    rows = rows_of(lake, "CUT").with_columns(s=(pl.col("ts_event").to_physical() - MIDNIGHT) // S)
    before, after = rows.filter(pl.col("s") < AWAY[0]), rows.filter(pl.col("s").is_between(AWAY[1], -1))
    assert before["segment"].unique().to_list() == [0]
    assert after["segment"].unique().to_list() == [1]
    for spec in feats.SPECS:
        assert after[spec.name].head(spec.warm_up).null_count() == min(spec.warm_up, after.height), spec.name
    assert tasks.build_trade_inputs.fn(lake, "test", "CUT", DAY, quality=Quality())["gaps"] == 1


def test_a_row_uses_nothing_received_after_it_was_known(lake: Store, store: Store):
    now = MIDNIGHT + 600 * S
    clean = {
        noun: rows.filter(pl.col("known_at" if noun in ("top", "book") else "ts_recv").to_physical() <= now)
        for noun, rows in tables().items()
    }
    build(store, "CUT", ingest(store, clean, "CUT"))
    early, whole = rows_of(store, "CUT"), rows_of(lake, "CUT")
    assert early.height > 10_000
    assert early.equals(whole.head(early.height))


def test_a_day_without_trades_is_an_empty_part_with_all_columns(store: Store):
    clean = tables()
    days = ingest(store, clean, "QUIET")
    store.write(Part("clean_market__trades", "test", "QUIET", days[0]), clean["trades"].clear(), inputs={}, params={})
    store.remove(Part("clean_market__trades", "test", "QUIET", days[1]))
    for facts, day in zip(build(store, "QUIET", days), days, strict=True):
        assert (facts["rows"], facts["complete_rows"], facts["gaps"], facts["changed"]) == (0, 0, 0, True)
        assert store.scan(Part(tasks.INPUTS, "test", "QUIET", day)).collect().columns == [*PLAIN, *feats.names()]
        assert tasks.lacking(facts) == "no trade"


def test_without_quotes_what_is_made_of_trades_alone_is_there(lake: Store, store: Store):
    alone = {"trades": tables()["trades"]}
    facts = build(store, "TAPE", ingest(store, alone, "TAPE"), gap_s=60.0)
    known = facts[0]["known"]
    assert isinstance(known, dict)
    assert {name for name, n in known.items() if not n} == OF_QUOTES
    assert facts[0]["complete_rows"] == 0
    assert "is there a book or a ticker for it?" in tasks.lacking(facts[0])
    whole = build(lake, "CUT", [DAY])[0]["known"]
    assert isinstance(whole, dict)
    assert all(whole.values())


def test_nothing_is_built_twice_and_a_rule_that_changes_builds_again(store: Store):
    days = ingest(store, tables(), "CUT")
    assert [f["changed"] for f in build(store, "CUT", days)] == [True, True]
    again = build(store, "CUT", days)
    assert [f["changed"] for f in again] == [False, False]
    stage = tasks.trade_stage(again, {("test", "CUT"): days}, seconds=1.0)
    assert (stage.changed, len(stage.parts), stage.warnings) == (False, 2, [])
    assert json.loads(json.dumps(stage.facts))["days"][0]["rows"] > 10_000
    assert [f["changed"] for f in build(store, "CUT", days, gap_s=9.0)] == [True, True]


def test_a_quiet_market_reaches_as_far_back_as_its_windows(lake: Store, store: Store):
    """One trade in seven: those that the first windows need of the day before are over an hour old."""
    clean = tables()
    clean["trades"] = clean["trades"].filter(pl.int_range(pl.len()) % 7 == 0)
    days = ingest(store, clean, "CUT")
    (day,) = ingest(store, clean, "WHOLE", 12)
    build(store, "CUT", days)
    build(store, "WHOLE", [day])
    close(rows_of(store, "CUT"), rows_of(store, "WHOLE", 12))


def test_a_change_of_decimals_at_midnight_changes_no_feature(lake: Store, store: Store):
    clean = tables()
    days = ingest(store, clean, "FINER")
    finer = {"price_decimals": pl.lit(5, pl.Int8), "size_decimals": pl.lit(6, pl.Int8)}
    for noun, rows in clean.items():
        name = f"clean_market__{noun}"
        own = rows.filter(pl.col("ts_event").dt.date() == days[1]).with_columns(*(pl.col(c) * 1000 for c in table(name).scales), **finer)
        store.write(Part(name, "test", "FINER", days[1]), own, inputs={}, params={})
    row = store.scan(part := Part("clean_market__instruments", "test", "FINER", days[1])).collect()
    store.write(part, row.with_columns(**finer), inputs={}, params={})
    build(store, "FINER", days)
    close(rows_of(store, "FINER"), rows_of(lake, "CUT"))


def test_the_page_about_features_names_them_all():
    page = (Path(__file__).resolve().parents[2] / "docs" / "features.md").read_text()
    row = "| `{0.name}` | {0.unit} | {0.warm_up} |"
    assert [spec.name for spec in feats.SPECS if row.format(spec) not in page] == []
    assert f"{trade_tape.TAIL:,} trades" in page
    assert f"{trade_tape.BLOCK:,} trades" in page


def test_both_grains_are_one_stage():
    second = Stage(name="features", changed=False, seconds=1.0, warnings=["a"], facts={"days": [], "features": ["x"]})
    trade = tasks.trade_stage([], {}, seconds=2.0)
    made = tasks.beside(second, trade)
    assert (made.changed, made.seconds, made.warnings) == (False, 3.0, ["a"])
    assert made.facts["features"] == ["x"]
    assert made.facts["trade"]["features"] == list(feats.names())


def test_sums_that_would_not_be_exact_are_an_error_that_names_the_part(store: Store):
    clean = tables()
    wild = pl.when(pl.int_range(pl.len()) == 500).then(pl.col("price") * 100).otherwise(pl.col("price"))
    clean["trades"] = clean["trades"].with_columns(price=wild)
    days = ingest(store, clean, "WILD")
    with pytest.raises(ValueError, match=r"feat_market__trade_inputs test/WILD 2026-01-05: .*use fewer decimals"):
        build(store, "WILD", days)
    assert not store.parts(tasks.INPUTS)
