"""Foreign tables become raw rows exactly, and what cannot is refused by name: rows in = rows out + refused."""

from datetime import UTC, datetime
from decimal import Decimal

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.tables import RAW
from kernels.mappings import BOOK_LISTS, Columns, MappingError, check, select
from kernels.mappings_rows import Mapped, sides, times, typed

T0 = 1_771_214_400_123  # ms, 2026-02-16
WHEN = datetime(2026, 2, 16, 4, 0, 0, 123_000, tzinfo=UTC)
NS0 = T0 * 1_000_000
FILLED = ("source", "price_decimals", "size_decimals")  # by the writer
TRADES = Columns(
    noun="trades",
    names={"ts_event": "at", "ts_recv": "got", "price": "px", "size": "qty", "side": "way", "trade_id": "id"},
    venue="{exchange}-{kind}",
    venue_names={"Binance-fut": "binance-usdm"},
    symbol="ticker",
    symbol_names={"XBT": "BTCUSDT"},
)
BOOKS = Columns(
    noun="depth",
    names={"ts_event": "at", "ts_recv": "got", "bid_prices": "bp", "bid_sizes": "bs", "ask_prices": "ap", "ask_sizes": "as"},
    venue="standx",
    symbol="=BTC-USD",
)


def trades(n: int = 2, **columns: list) -> pl.DataFrame:
    plain = {
        "at": [T0] * n, "got": [T0 + 5] * n, "px": [100.5] * n, "qty": [0.25] * n, "way": ["buy"] * n, "id": [str(7 + i) for i in range(n)],
        "exchange": ["Binance"] * n, "kind": ["fut"] * n, "ticker": ["XBT"] * n,
    }  # fmt: skip
    return pl.DataFrame(plain | columns)


def books(**columns: list) -> pl.DataFrame:
    plain = {"at": [T0], "got": [T0 + 5], "bp": [[99.5, 99.0]], "bs": [[1.0, 2.0]], "ap": [[100.0, 100.25]], "as": [[3.0, 0.125]]}
    return pl.DataFrame(plain | columns)


def read(table: pl.DataFrame, columns: Columns, keep: int = 20, share: float = 0.0) -> list[Mapped]:
    return typed(select(table.lazy(), columns, keep).collect(), columns.noun, share)


def test_trades_come_out_under_our_names_in_whole_numbers():
    (found,) = read(trades(way=["buy", "SELL"]), TRADES)
    assert (found.venue, found.symbol, found.price_decimals, found.size_decimals) == ("binance-usdm", "BTCUSDT", 1, 2)
    assert found.offset_ns == -5_000_000
    assert found.rows.select("price", "size", "side", "trade_id", "row").rows() == [(1005, 25, 1, 7, 1), (1005, 25, -1, 8, 2)]
    assert found.rows["ts_event"].to_physical().to_list() == [NS0, NS0]
    assert {*RAW["trades"].columns} - {*FILLED} == {*found.rows.columns}


def test_books_become_snapshots_that_chain_to_nothing():
    (found,) = read(books(), BOOKS)
    assert (found.venue, found.symbol, found.price_decimals, found.size_decimals) == ("standx", "BTC-USD", 2, 3)
    row = found.rows.row(0, named=True)
    assert [row[name] for name in BOOK_LISTS] == [[9950, 9900], [1000, 2000], [10000, 10025], [3000, 125]]
    assert [row[name] for name in ("is_snapshot", "first_id", "update_id", "prev_id", "row")] == [True, None, None, None, 1]
    assert {*RAW["depth"].columns} - {*FILLED} == {*found.rows.columns}


def test_only_the_best_levels_are_kept_and_no_decimals_counted_beyond():
    (found,) = read(books(ap=[[100.0, 100.25]], bp=[[99.5, 99.12345]]), BOOKS, keep=1)
    assert found.price_decimals == 1
    assert found.rows["bid_prices"].to_list() == [[995]]


@pytest.mark.parametrize(
    ("column", "ns"),
    [
        (pl.Series([WHEN], dtype=pl.Datetime("ms", "UTC")), NS0),
        (pl.Series([WHEN], dtype=pl.Datetime("us", "UTC")), NS0),
        (pl.Series([WHEN.replace(tzinfo=None)], dtype=pl.Datetime("ns")), NS0),
        (pl.Series([T0 // 1_000]), T0 // 1_000 * 10**9),
        (pl.Series([T0]), NS0),
        (pl.Series([T0 * 1_000 + 7]), NS0 + 7_000),
        (pl.Series([NS0 + 7]), NS0 + 7),
        (pl.Series([T0 / 1_000]), NS0),
        (pl.Series([float(T0)]), NS0),
    ],
    ids=["Datetime ms", "Datetime us", "Datetime ns without zone", "int s", "int ms", "int us", "int ns", "float s", "float ms"],
)
def test_times_of_any_unit_become_ns(column: pl.Series, ns: int):
    assert WHEN.timestamp() * 1_000 == T0
    assert times(column).to_list() == [ns]


@pytest.mark.parametrize(
    ("column", "signs"),
    [
        (["buy", "SELL", " Bid", "ask", "?", None], [1, -1, 1, -1, 0, 0]),
        ([True, False, None], [1, -1, 0]),
        ([1, -1, 0, None], [1, -1, 0, 0]),
    ],
    ids=["words", "flags", "signs"],
)
def test_sides_become_signs(column: list, signs: list[int]):
    assert sides(pl.Series(column)).to_list() == signs


@pytest.mark.parametrize(
    ("table", "columns", "reason"),
    [
        (trades(px=[100.5, None]), TRADES, "no price"),
        (trades(qty=[None, 0.25]), TRADES, "no size"),
        (trades(px=[100.5, float("nan")]), TRADES, "off the grid"),
        (trades(got=[None, T0]), TRADES, "no receive time"),
        (trades(got=[T0, 17]), TRADES, "absurd receive time"),
        (trades(at=[T0, -T0]), TRADES, "absurd exchange time"),
        (trades(ticker=["XBT", None]), TRADES, "no symbol"),
        (trades(ticker=["XBT", "../x"]), TRADES, "no symbol"),
        (pl.concat([books(), books(bp=[None])]), BOOKS, "no bids"),
        (pl.concat([books(), books(**{"as": [[1.0]]})]), BOOKS, "ask prices and sizes do not match"),
        (pl.concat([books(), books(bs=[[1.0, None]])]), BOOKS, "empty number among bids"),
        (pl.concat([books(), books(ap=[[float("inf"), 101.0]])]), BOOKS, "off the grid"),
    ],
    ids=lambda x: x if isinstance(x, str) else "",
)
def test_a_row_that_is_none_is_refused_with_its_reason(table: pl.DataFrame, columns: Columns, reason: str):
    (found,) = read(table, columns)
    assert found.refused["reason"].to_list() == [reason]
    assert len(found.rows) == 1
    assert found.refused["ts_recv"].null_count() == 0
    assert found.refused["text"][0].startswith("{")
    assert {*found.rows["row"], *found.refused["row"]} == {1, 2}


def test_a_null_exchange_time_is_no_reason():
    (found,) = read(trades(at=[T0, None]), TRADES)
    assert found.rows["ts_event"].null_count() == 1
    assert found.offset_ns == -5_000_000


def test_an_empty_side_of_a_book_is_kept():
    (found,) = read(pl.concat([books(), books(bp=[[]], bs=[[]])], how="vertical_relaxed"), BOOKS)
    assert found.rows["bid_prices"].to_list() == [[9950, 9900], []]
    assert found.rows["ask_prices"].list.len().to_list() == [2, 2]


def test_each_instrument_has_rows_and_decimals_of_its_own():
    table = trades(4, ticker=["XBT", "ETHUSDT", "XBT", "ETHUSDT"], px=[1.5, 2.25, 3.5, 4.125])
    found = read(table, TRADES)
    assert [(m.symbol, m.price_decimals, m.rows["row"].to_list()) for m in found] == [("BTCUSDT", 1, [1, 3]), ("ETHUSDT", 3, [2, 4])]


def test_a_value_finer_than_all_but_its_share_is_off_the_grid():
    prices = [100.5] * 999 + [100.123456]
    (found,) = read(trades(1_000, px=prices), TRADES, share=0.001)
    assert found.price_decimals == 1
    assert found.refused.select("reason", "row").rows() == [("off the grid", 1_000)]


@pytest.mark.parametrize(
    ("table", "columns", "said"),
    [
        (trades().drop("px"), TRADES, "column 'px' is missing; there are at, got, qty"),
        (trades().drop("kind"), TRADES, "column 'kind' is missing"),
        (trades().with_columns(px=pl.col("id")), TRADES, "column 'px' is String, not a number"),
        (trades().with_columns(at=pl.col("id")), TRADES, "column 'at' is String, not a time or a number"),
        (books().with_columns(bp=pl.lit(1.5)), BOOKS, "column 'bp' is Float64, not a list of numbers"),
        (trades().with_columns(ticker=pl.col("px")), TRADES, "column 'ticker' is Float64, not text"),
    ],
    ids=[
        "a price missing",
        "a venue word missing",
        "a price that is text",
        "a time that is text",
        "no list",
        "a symbol that is a number",
    ],
)
def test_a_table_that_does_not_fit_names_the_column(table: pl.DataFrame, columns: Columns, said: str):
    with pytest.raises(MappingError, match=said):
        check(table.schema, columns)


def test_columns_nobody_mapped_are_fine():
    assert len(read(trades().with_columns(more=pl.lit("x")), TRADES)[0].rows) == 2


@pytest.mark.parametrize("got", [[None, None], [5, 6]], ids=["null", "absurd"])
def test_a_table_without_a_receive_time_is_none(got: list):
    with pytest.raises(MappingError, match="receive time"):
        read(trades().with_columns(got=pl.Series(got, dtype=pl.Int64)), TRADES)


def test_no_rows_are_no_instruments():
    assert read(trades().clear(), TRADES) == []


@given(st.lists(st.tuples(st.integers(1, 10**9), st.integers(1, 10**6)), min_size=1, max_size=30), st.integers(0, 5), st.integers(0, 5))
@settings(deadline=None, max_examples=50)
def test_decimal_numbers_survive_the_float_exactly(units: list[tuple[int, int]], price_decimals: int, size_decimals: int):
    prices = [Decimal(p).scaleb(-price_decimals) for p, _ in units]
    sizes = [Decimal(s).scaleb(-size_decimals) for _, s in units]
    (found,) = read(trades(len(units), px=[float(p) for p in prices], qty=[float(s) for s in sizes]), TRADES)
    assert [Decimal(p).scaleb(-found.price_decimals) for p in found.rows["price"]] == prices
    assert [Decimal(s).scaleb(-found.size_decimals) for s in found.rows["size"]] == sizes


@given(st.lists(st.lists(st.integers(1, 10**6), max_size=5), min_size=1, max_size=20), st.integers(1, 5))
@settings(deadline=None, max_examples=50)
def test_level_lists_keep_their_shape(lists: list[list[int]], keep: int):
    floats = [[unit / 100 for unit in one] for one in lists]
    n = len(lists)
    schema = dict.fromkeys(("bp", "bs", "ap", "as"), pl.List(pl.Float64))
    table = pl.DataFrame({"at": [T0] * n, "got": [T0] * n} | dict.fromkeys(schema, floats), schema_overrides=schema)
    (found,) = read(table, BOOKS, keep)
    by = 10**found.price_decimals
    assert found.rows["ask_prices"].to_list() == [[round(value * by) for value in one[:keep]] for one in floats]
