"""`scalp sql`, `scalp coverage` and `scalp features --list`, as they are typed."""

import csv
import io
import json
from datetime import date
from pathlib import Path

import polars as pl
import pytest
import typer
from typer.testing import CliRunner, Result

from core import settings
from core.store import Part, Store
from core.tables import TS, table
from scalp import looking

TRADES = "clean_market__trades"
START = 1_664_755_200_123_456_789

app = typer.Typer(rich_markup_mode="rich", pretty_exceptions_enable=False)
app.command("sql")(looking.sql)
app.command("coverage")(looking.coverage)


@pytest.fixture
def lake(data_dir: Path) -> Store:
    return Store(settings.load().lake, code="test")


def write(store: Store, day: date, n: int, name: str = TRADES) -> Part:
    shape = table(name).columns
    given = {"ts_event": pl.Series(range(START, START + n * 10**9, 10**9)).cast(TS), "price": [191_234] * n, "price_decimals": [1] * n}
    frame = pl.DataFrame({c: given.get(c, [None] * n) for c in shape}, schema=shape)
    return store.write(Part(name, "binance-usdm", "BTCUSDT", day), frame, inputs={}, params={})


def run(*words: str, **more: str) -> Result:
    return CliRunner(env={"COLUMNS": "120"}).invoke(app, [*words], **more)  # type: ignore[arg-type]


@pytest.mark.usefixtures("lake")
def test_an_empty_lake_says_what_to_run():
    for words in (("coverage",), ("sql", f"SELECT * FROM {TRADES}")):
        found = run(*words)
        assert found.exit_code == 0
        assert "scalp run" in found.stdout


def test_a_table_shows_fifty_rows_and_that_there_is_more(lake: Store):
    write(lake, date(2022, 10, 3), 60)
    found = run("sql", f"SELECT ts_event, price_float FROM {TRADES} ORDER BY 1")
    assert found.exit_code == 0
    assert found.stdout.count("19123.4") == 50
    assert "there are more (--limit)" in found.stdout
    assert "2022-10-03 00:00:00.123456789" in found.stdout
    assert "60 rows" in run("sql", f"SELECT price FROM {TRADES}", "--limit", "100").stdout


def test_columns_that_do_not_fit_are_named(lake: Store):
    write(lake, date(2022, 10, 3), 2)
    assert "more columns:" in run("sql", f"SELECT * FROM {TRADES}").stdout


def test_json_and_csv_give_all_rows_exactly(lake: Store):
    write(lake, date(2022, 10, 3), 60)
    made = "[1, 2] AS list, NULL AS nothing, 'NaN'::DOUBLE AS nan, sum(price) OVER () AS total"
    query = f"SELECT ts_event, price, price_float, {made} FROM {TRADES} ORDER BY 1"
    objects = [json.loads(line) for line in run("sql", query, "--json").stdout.splitlines()]
    lines = list(csv.DictReader(io.StringIO(run("sql", query, "--csv").stdout)))
    assert len(objects) == len(lines) == 60
    assert objects[0] == {
        "ts_event": "2022-10-03T00:00:00.123456789Z",
        "price": 191_234,
        "price_float": 19123.4,
        "list": [1, 2],
        "nothing": None,
        "nan": None,
        "total": 191_234 * 60,
    }
    assert lines[0]["price"] == "191234"
    assert (lines[0]["list"], lines[0]["nothing"], lines[0]["total"]) == ("[1, 2]", "", str(191_234 * 60))


def test_csv_of_no_rows_has_a_header(lake: Store):
    write(lake, date(2022, 10, 3), 2)
    assert run("sql", "--csv", f"SELECT price, size FROM {TRADES} WHERE price < 0").stdout == "price,size\n"


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("sql", "SELECT * FROM clean_trades"), 1, "clean_market__trades"),
        (("sql", "COPY (SELECT 1) TO 'x'"), 1, "only read"),
        (("sql", "SELECT 1", "--json", "--csv"), 2, "exclude"),
        (("coverage", "--from", "2022-10-05", "--to", "2022-10-01"), 2, "is after"),
        (("coverage", "--from", "5.10.2022"), 2, "5.10.2022"),
        (("coverage", "--table", "trades"), 2, "no table trades"),
    ],
    ids=["unknown table", "writing", "two formats", "days swapped", "not a day", "unknown table of the calendar"],
)
@pytest.mark.usefixtures("lake")
def test_mistakes_have_a_message_and_an_exit_code(words: tuple[str, ...], code: int, said: str):
    found = run(*words)
    assert found.exit_code == code
    assert said in found.stderr
    assert "Traceback" not in found.output


def test_a_wrong_setting_is_named(data_dir: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SCALP_DATA_DIRR", "x")
    found = run("coverage")
    assert found.exit_code == 2
    assert "SCALP_DATA_DIRR" in found.stderr


def test_the_calendar_shows_missing_and_unreadable_days(lake: Store):
    for day in (1, 2, 5):
        write(lake, date(2022, 10, day), day)
    bad = Path(lake.path(write(lake, date(2022, 10, 7), 3)))
    bad.write_bytes(b"PAR1 torn")
    found = run("coverage")
    assert found.exit_code == 0
    line = next(line for line in found.stdout.splitlines() if TRADES in line)
    assert "××" in line
    assert "!" in line
    assert "3 missing days" in found.stdout
    assert "day=2022-10-07" in found.stdout.replace("\n", "")


def test_the_calendar_as_json_names_each_missing_day(lake: Store):
    for day in (1, 4):
        write(lake, date(2022, 10, day), day)
    (line,) = json.loads(run("coverage", "--json").stdout)
    assert (line["venue"], line["symbol"], line["rows"]) == ("binance-usdm", "BTCUSDT", 5)
    assert line["missing"] == ["2022-10-02", "2022-10-03"]
    assert [day["day"] for day in line["days"]] == ["2022-10-01", "2022-10-04"]


def test_a_year_without_data_is_one_line(lake: Store):
    write(lake, date(2022, 10, 3), 1)
    write(lake, date(2023, 10, 3), 1)
    assert "no day in 11 months" in run("coverage").stdout


def test_every_feature_is_listed(capsys: pytest.CaptureFixture[str]):
    from kernels.features import names

    assert looking.feature_list(json=True) == 0
    assert [row["name"] for row in json.loads(capsys.readouterr().out)["features"]] == list(names())
    assert looking.feature_list() == 0


def test_features_of_trades_are_listed_too(capsys: pytest.CaptureFixture[str]):
    from kernels.trade_features import names

    assert looking.feature_list(json=True, grain="both") == 0
    second, trade = json.loads(capsys.readouterr().out)
    assert (second["grain"], trade["grain"]) == ("second", "trade")
    assert [row["name"] for row in trade["features"]] == list(names())
    assert looking.feature_list(grain="trade") == 0
    assert "warm-up in trades" in capsys.readouterr().out


@pytest.mark.parametrize("verb", ["sql", "coverage"])
def test_help_has_three_examples(verb: str):
    assert run(verb, "--help").stdout.count(f"scalp {verb}") >= 3
