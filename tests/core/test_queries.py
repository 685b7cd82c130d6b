"""SQL sees the whole lake, exactly, and can change nothing."""

from datetime import date
from pathlib import Path

import polars as pl
import pytest

from core.coverage import cells, lines
from core.queries import QueryError, ask, connect
from core.store import Part, Store
from core.tables import CLEAN, TS, table
from core.views import known

TRADES = "clean_market__trades"
START = 1_664_755_200_123_456_789


def rows(name: str, **columns: list) -> pl.DataFrame:
    n = len(next(iter(columns.values())))
    shape = table(name).columns
    return pl.DataFrame({c: columns.get(c, [None] * n) for c in shape}, schema=shape)


def trades(n: int, **columns: list) -> pl.DataFrame:
    times = pl.Series(range(START, START + n * 10**9, 10**9)).cast(TS)
    given = {"ts_event": times, "price": [191_234] * n, "size": [1500] * n, "price_decimals": [1] * n, "size_decimals": [3] * n}
    return rows(TRADES, **(given | columns))


def part(name: str = TRADES, venue: str = "binance-usdm", symbol: str = "BTCUSDT", day: date = date(2022, 10, 3), piece: str = "") -> Part:
    return Part(name, venue, symbol, day, piece)


def write(store: Store, where: Part, frame: pl.DataFrame, **facts: object) -> None:
    store.write(where, frame, inputs={}, params={}, facts=facts)


@pytest.fixture(params=["folder", "memory"])
def lake(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    return Store(tmp_path / "lake" if request.param == "folder" else f"memory://{tmp_path.name}", code="test")


def one(store: Store, query: str) -> object:
    return ask(store, query).frame.item()


def test_a_view_has_the_folders_words_and_floats_beside_the_integers(lake: Store):
    write(lake, part(), trades(2))
    write(lake, part(symbol="1000", day=date(2022, 10, 4)), trades(3))
    found = ask(lake, f"SELECT venue, symbol, day, price, price_float, size_float FROM {TRADES} WHERE symbol = '1000' LIMIT 1").frame
    assert found.row(0) == ("binance-usdm", "1000", date(2022, 10, 4), 191_234, 19_123.4, 1.5)
    assert one(lake, f"SELECT count(*) FROM {TRADES}") == 5


def test_times_are_exact_to_the_nanosecond_and_time_functions_work(lake: Store):
    write(lake, part(), trades(3))
    assert one(lake, f"SELECT epoch_ns(min(ts_event)) FROM {TRADES}") == START
    assert one(lake, f"SELECT count(DISTINCT date_trunc('minute', ts_event)) FROM {TRADES} WHERE ts_event > '2022-10-03'") == 1
    assert ask(lake, f"SUMMARIZE {TRADES}").frame.height > 10


def test_lists_of_levels_get_floats_too(lake: Store):
    name = "clean_market__book"
    write(lake, part(name), rows(name, bid_prices=[[10, 9], None], bid_sizes=[[5], []], price_decimals=[1, 1], size_decimals=[2, 2]))
    found = ask(lake, f"SELECT bid_prices_float, bid_sizes_float FROM {name}").frame
    assert found.rows() == [([1.0, 0.9], [0.05]), (None, [])]


def test_pieces_are_seen_and_half_written_files_are_not(store: Store):
    name = "raw_binance__trades"
    for piece in ("aa-01", "bb-02"):
        write(store, part(name, piece=piece), rows(name, price=[1, 2]))
    (Path(store.path(part(name))).parent / "part.123-abc.partial").write_bytes(b"half")
    assert one(store, f"SELECT count(*) FROM {name}") == 4


def test_a_table_whose_columns_grew_is_one_view(lake: Store):
    name = "feat_market__1s_inputs"
    base = rows(name, segment=[0, 0])
    write(lake, part(name), base)
    write(lake, part(name, day=date(2022, 10, 4)), base.with_columns(rsi_14=pl.lit(50.0)))
    found = ask(lake, f"SELECT day, rsi_14 FROM {name} ORDER BY day").frame
    assert found["rsi_14"].to_list() == [None, None, 50.0, 50.0]


@pytest.mark.parametrize("name", sorted(CLEAN))
def test_on_an_empty_lake_every_clean_table_answers_with_no_rows_and_all_columns(store: Store, name: str):
    found = ask(store, f"SELECT * FROM {name}").frame
    assert found.height == 0
    floats = {f"{c}_float" for c in table(name).scales}
    assert set(found.columns) == {"venue", "symbol", "day", *table(name).columns, *floats}


def test_an_empty_view_has_the_types_of_a_full_one(store: Store, tmp_path: Path):
    full = Store(tmp_path / "full", code="test")
    write(full, part(), trades(1))
    query = f"SELECT * FROM {TRADES}"
    assert ask(store, query).frame.schema == ask(full, query).frame.schema


def test_all_tables_are_shown(store: Store):
    write(store, part("raw_binance__depth", piece="aa-01"), rows("raw_binance__depth", update_id=[1]))
    found = ask(store, "SHOW TABLES").frame.to_series().to_list()
    assert found == known(store)
    assert {"raw_binance__depth", "raw_binance__trades", *CLEAN} <= set(found)


@pytest.mark.parametrize(
    "query",
    [
        "COPY (SELECT 1) TO '{lake}/x.csv'",
        "EXPLAIN ANALYZE COPY (SELECT 1) TO '{lake}/x.csv'",
        "/* c */ EXPLAIN ANALYZE COPY (SELECT 1) TO '{lake}/x.csv'",
        "ATTACH '{lake}/x.db'",
        "INSTALL httpfs",
        "SET enable_external_access = true",
        "PRAGMA memory_limit = '9GB'",
        "CREATE TABLE x AS SELECT 1",
        "EXPORT DATABASE '{lake}'",
        "SELECT 1; COPY (SELECT 1) TO '{lake}/x.csv'",
        "SELECT * FROM read_csv('/etc/hostname')",
        "SELECT * FROM read_text('{lake}/../outside.txt')",
        "SELECT * FROM '/etc/hostname'",
        "SELECT * FROM names",
        "",
    ],
)
def test_a_query_that_does_more_than_read_the_lake_is_refused(store: Store, query: str):
    write(store, part(), trades(1))
    Path(store.base, "..", "outside.txt").write_text("secret")
    before = sorted(Path(store.base).rglob("*"))
    with pytest.raises(QueryError):
        ask(store, query.format(lake=store.base))
    assert sorted(Path(store.base).rglob("*")) == before


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ("SELECT * FROM clean_trades", "clean_market__trades"),
        ("SELECT * FROM quarantine", "quarantine_market__rows"),
        ("SELECT pric_float FROM clean_market__trades", "price_float"),
        ("SELEC 1", "SELEC"),
    ],
    ids=["table", "part of a table's name", "column", "syntax"],
)
def test_a_mistake_is_answered_with_what_is_near(store: Store, query: str, named: str):
    with pytest.raises(QueryError, match=named):
        ask(store, query)


@pytest.mark.parametrize("harm", ["torn", "foreign"])
def test_a_bad_file_is_named_and_the_other_tables_still_answer(store: Store, harm: str):
    write(store, part(), trades(50))
    write(store, part(day=date(2022, 10, 4)), trades(5))
    bad = Path(store.path(part(day=date(2022, 10, 4))))
    if harm == "torn":
        bad.write_bytes(bad.read_bytes()[:-20])
    else:
        pl.DataFrame({"a": [1]}).write_parquet(bad)
    with pytest.raises(QueryError, match="day=2022-10-04"):
        ask(store, f"SELECT count(*) FROM {TRADES}")
    assert one(store, "SELECT count(*) FROM clean_market__quotes") == 0
    assert TRADES in ask(store, "SHOW TABLES").frame.to_series()


def test_a_limit_says_that_there_is_more(store: Store):
    write(store, part(), trades(10))
    few, all_ = (ask(store, f"SELECT * FROM {TRADES}", limit=n) for n in (4, 10))
    assert (few.frame.height, few.more) == (4, True)
    assert (all_.frame.height, all_.more) == (10, False)


def test_what_polars_has_no_type_for_and_names_given_twice_come_through(store: Store):
    found = ask(store, "SELECT 1 AS a, 2 AS a, INTERVAL 90 SECOND AS wait, 170141183460469231731::HUGEINT AS big").frame
    assert found.row(0)[:3] == (1, 2, "00:01:30")
    assert int(found.row(0)[3]) == 170141183460469231731


def test_a_connection_is_for_one_process_and_keeps_its_limits(store: Store):
    with connect(store, threads=1, memory="200MB") as con:
        assert con.execute("SELECT current_setting('threads')").fetchone() == (1,)
        with pytest.raises(Exception, match="locked"):
            con.execute("SET threads = 4")


def test_too_little_memory_is_said_so(store: Store):
    with pytest.raises(QueryError, match="memory"):
        ask(store, "SELECT i, list(i) OVER () FROM range(300000) t(i) ORDER BY hash(i)", memory="20MB")


def test_coverage_reads_days_rows_gaps_and_quarantine_from_footers(lake: Store):
    for day in (1, 2, 5):
        write(lake, part(day=date(2022, 10, day)), trades(day))
    write(lake, part("quarantine_market__rows", day=date(2022, 10, 2)), rows("quarantine_market__rows", reason=["price off the grid"]))
    write(lake, part("clean_market__book", day=date(2022, 10, 2)), rows("clean_market__book", update_id=[1]), known_share=0.75)
    found = {line.table: line for line in lines(cells(lake))}
    assert [c.rows for c in found[TRADES].days] == [1, 2, 5]
    assert found[TRADES].missing == [date(2022, 10, 3), date(2022, 10, 4)]
    assert [c.quarantined for c in found[TRADES].days] == [None, 1, None]
    assert found["clean_market__book"].days[0].book_known_share == 0.75
    narrow = lines(cells(lake, start=date(2022, 10, 2), end=date(2022, 10, 4)))
    assert [line.rows for line in narrow if line.table == TRADES] == [2]


def test_coverage_lists_an_unreadable_part_and_goes_on(store: Store):
    write(store, part(), trades(5))
    write(store, part(day=date(2022, 10, 4)), trades(5))
    Path(store.path(part())).write_bytes(b"PAR1 torn")
    found = cells(store)
    assert [bool(c.error) for c in found] == [True, False]
    assert "2022-10-03" in found[0].error
