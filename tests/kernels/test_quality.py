"""Each check refuses what it names and nothing else."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.tables import RAW
from kernels import quality as checks
from kernels.clean import limit, on_day, rescaled, timed, told

S = 1_000_000_000
TRADES = RAW["trades"].columns
START = 20_000 * 86_400 * S


def trades(*rows: dict) -> pl.DataFrame:
    """Trades a second apart, received as they happened, unless said otherwise."""
    filled = [
        {"ts_event": n * S, "ts_recv": n * S, "trade_id": n, "price": 100, "size": 5, "side": 1, "order_kind": None, "row": n, "source": 0}
        | {"price_decimals": 0, "size_decimals": 0}
        | row
        for n, row in enumerate(rows, 1)
    ]
    made = pl.DataFrame(filled, schema={**{k: (pl.Int64 if k.startswith("ts_") else v) for k, v in TRADES.items()}})
    made = made.with_columns(pl.col("ts_event", "ts_recv").cast(pl.Datetime("ns", "UTC")))
    return timed(made.lazy(), 0, 86_400 * S).collect()


def refused(frame: pl.DataFrame, check: pl.Expr) -> list[bool]:
    return frame.select(check.alias("x"))["x"].to_list()


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([{"trade_id": 7}, {"trade_id": 7, "price": 3}, {"trade_id": 8}], [False, True, False]),
        ([{"trade_id": None}, {"trade_id": None}], [False, False]),
        ([{"trade_id": None, "ts_event": S, "ts_recv": S}] * 2, [False, True]),
        ([{"trade_id": None, "ts_event": S, "ts_recv": S, "size": n} for n in (1, 2)], [False, False]),
        ([{"trade_id": 7, "ts_event": S, "ts_recv": S}, {"trade_id": None, "ts_event": S, "ts_recv": S}], [False, False]),
    ],
    ids=["same id", "no id, other time", "no id, all equal", "no id, other size", "with and without"],
)
def test_a_trade_is_a_duplicate_by_id_or_by_everything(rows: list[dict], expected: list[bool]):
    assert checks.duplicate_trades(trades(*rows)).to_list() == expected


@pytest.mark.parametrize(
    ("row", "check"),
    [
        ({"price": 0}, checks.not_positive("price", "size")),
        ({"size": -1}, checks.not_positive("price", "size")),
        ({"price": 1001}, checks.above({"price": 1000, "size": 1000})),
        ({"size": 1001}, checks.above({"price": 1000, "size": 1000})),
        ({"ts_event": 90_000 * S, "ts_recv": 0}, checks.clock_skewed(86_400 * S)),
        ({"order_kind": "INSURANCE_FUND"}, checks.not_market()),
    ],
    ids=["price 0", "size below 0", "absurd price", "absurd size", "absurd time", "insurance fund"],
)
def test_a_bad_trade_is_refused_and_a_good_one_is_not(row: dict, check: pl.Expr):
    assert refused(trades({}, row, {"order_kind": "MARKET"}), check) == [False, True, False]


def test_a_row_is_late_only_beyond_the_tolerance_and_one_from_the_future_does_not_refuse_the_rest():
    rows = trades(*({"ts_event": at * S, "ts_recv": (10 + n) * S} for n, at in enumerate((10, 6, 4, 9_000, 11))))
    assert refused(rows, checks.out_of_order(5 * S)) == [False, False, True, False, False]
    assert refused(rows, checks.disordered()) == [False, True, True, False, True]


@pytest.mark.parametrize(
    ("prices", "expected"),
    [
        ([100, 101, 1000, 102], [0, 0, 1, 0]),
        ([100, 100, 100, 200, 201, 202, 203, 100], [0, 0, 0, 1, 1, 0, 0, 1]),
        ([100, 100, 100, 200, 900, 200, 100], [0, 0, 0, 1, 1, 1, 0]),
        ([10_000, 100, 101, 100, 99], [1, 0, 0, 0, 0]),
        ([], []),
    ],
    ids=["spike", "new level after three that agree", "spikes that do not agree", "bad first print", "none"],
)
def test_a_jump_is_refused_until_the_level_has_moved(prices: list[int], expected: list[int]):
    assert checks.jumps(np.array(prices, dtype=np.int64), 20.0).tolist() == [bool(e) for e in expected]


@given(st.lists(st.sampled_from([100, 110, 300, 310, 2000]), max_size=30))
@settings(deadline=None, max_examples=50)
def test_jumps_never_lock_out_a_level_for_ever(prices: list[int]):
    settled = np.array([*prices, *[500] * checks.NEW_LEVEL], dtype=np.int64)
    assert not checks.jumps(settled, 20.0)[-1]


def test_gaps_in_ids_are_counted():
    assert checks.id_gaps(pl.Series([5, 6, 9, 10, 20, None])) == (2, 11)


def test_the_first_failing_check_is_the_reason():
    frame = trades({"price": 0, "order_kind": "X"}, {"order_kind": "X"}, {})
    reason = checks.first_reason({"a": checks.not_positive("price"), "b": checks.not_market()})
    assert frame.select(reason.alias("x"))["x"].to_list() == ["a", "b", None]


def test_a_row_without_a_usable_time_is_filed_by_its_receipt_and_the_offset():
    frame = pl.LazyFrame(
        {"ts_event": [None, START + 5, 3], "ts_recv": [START - 2 * S, START, START + S]}, schema_overrides={"ts_event": pl.Int64}
    )
    frame = frame.with_columns(pl.col("ts_event", "ts_recv").cast(pl.Datetime("ns", "UTC")))
    made = timed(frame, 2 * S, 86_400 * S).with_columns(mine=on_day(START)).collect()
    assert made["ts_event"].to_physical().to_list() == [START, START + 5, START + 3 * S]
    assert made["ts_estimated"].to_list() == [True, False, True]
    assert made["mine"].to_list() == [True, True, True]


def test_scales_are_changed_exactly_and_held_where_they_overflow():
    frame = trades({"price": 7, "size": 2**61}).lazy()
    made = rescaled(frame, RAW["trades"], own=(0, 0), to=(2, 1)).collect()
    assert made["price"].to_list() == [700]
    assert made["size"][0] > limit(1e9, 1)
    assert made["price_decimals"].to_list() == [2]


@pytest.mark.parametrize(
    ("venue", "symbol", "expected"),
    [
        ("binance-usdm", "BTCUSDT", ("BTC", "USDT", "USDT", False, 1.0)),
        ("binance-spot", "ETHBTC", ("ETH", "BTC", "BTC", False, 1.0)),
        ("binance-cm", "BTCUSD_PERP", ("BTC", "USD", "BTC", True, 100.0)),
        ("binance-cm", "ETHUSD_240927", ("ETH", "USD", "ETH", True, 10.0)),
        ("standx", "BTC-USD", ("BTC", "USD", "USD", False, 1.0)),
        ("generated", "XYZ", ("", "", "", False, 1.0)),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_symbol_tells_its_contract(venue: str, symbol: str, expected: tuple):
    got = told(venue, symbol)
    assert tuple(got[k] for k in ("base", "quote", "settlement", "inverse", "contract_multiplier")) == expected
