"""The report is one file that stands alone, tells the truth first, and survives whatever a run left behind."""

import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import polars as pl
import pytest

from core import runs
from core.runs import Stage
from core.store import Part, Store
from tasks import drawing, plots, plots_bench
from tasks.plots_market import distributions, feature_rows, prices
from tasks.report import report, write_report
from tasks.summary import summary, verdict

VOID = {"meta", "br", "link", "img", "input", "hr"}


class Balanced(HTMLParser):
    """Fails on an end tag that closes something else."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag == "p" and self.open[-1] != "p":
            return
        assert self.open.pop() == tag


def written(store: Store, stages: dict[str, Stage], folder: Path, **more: object) -> str:
    path = write_report(folder, store, stages, folder / "report.html", **more)  # type: ignore[arg-type]
    text = path.read_text()
    page = Balanced()
    page.feed(text)
    assert page.open == []
    return text


@pytest.mark.parametrize("seconds", [0, 1, 300, 20_000])
def test_a_whole_run_is_told_in_one_file_that_asks_for_nothing_outside(
    store: Store, stages: dict[str, Stage], fill: Callable[..., list[Part]], tmp_path: Path, seconds: int
):
    stages["features"].parts = fill(store, seconds) if seconds else []
    text = written(store, stages, tmp_path / "run-7")
    assert len(text) < 3_000_000
    assert not re.search(r"""(src|href|url)\s*[=(]\s*["']?(?!#|data:)[a-z/]""", text.replace('xmlns="http', ""))
    assert "http://" not in text.replace("http://www.w3.org/", "")
    for said in (
        "Generated market",
        "beats every baseline",
        "book comparisons, all equal",
        "price off the grid",
        "scalp rollback",
        "3f2a9c01b7de",
    ):
        assert said in text
    assert text.count("<svg") == (6 if seconds else 4)  # without data, price and features have no plot


def test_names_and_errors_cannot_become_markup(store: Store, stages: dict[str, Stage], tmp_path: Path):
    stages["ingest"].facts["files"][0]["name"] = "<script>alert(1)</script>"
    stages["deploy"].facts["reason"] = "a < b & c"
    stages["benchmark"].facts["rows"][1]["name"] = "<img src=x onerror=alert(1)> $x^2$"
    text = written(store, stages, tmp_path, failure="</div><script>x</script>")
    assert "<script" not in text
    assert "<img" not in text
    assert "&lt;script&gt;alert(1)" in text
    assert "A &lt; b &amp; c" in text


def test_a_failed_run_says_what_failed_before_anything_else(store: Store, stages: dict[str, Stage], tmp_path: Path):
    runs.save(tmp_path, stages["ingest"])
    text = report.fn(tmp_path, store, failure="generated SIMUSDT 2026-01-05: torn").read_text()
    assert text.index("Features failed.") < text.index("<h2>")
    assert "generated SIMUSDT 2026-01-05: torn" in text
    assert text.count("did not run") == 3


def test_a_stage_that_kept_its_result_and_failed_is_named(store: Store, stages: dict[str, Stage], tmp_path: Path):
    runs.save(tmp_path, stages["ingest"])
    text = report.fn(tmp_path, store, failure="btcusdt.gz: cut off at byte 7", at="ingest").read_text()
    assert "Ingest failed." in text
    assert "cut off at byte 7" in text


def test_an_unchanged_run_says_there_is_nothing_new(store: Store, stages: dict[str, Stage], tmp_path: Path):
    for stage in stages.values():
        stage.changed = False
    assert "Nothing new: everything was up to date, and no work was done" in written(store, stages, tmp_path)


def test_a_run_of_nothing_still_makes_a_report(store: Store, tmp_path: Path):
    assert "did not run" in written(store, {}, tmp_path)


@pytest.mark.parametrize("name", runs.STAGES)
def test_each_stage_can_be_told_from_hardly_any_facts(store: Store, tmp_path: Path, name: str):
    text = written(store, {name: Stage(name=name, changed=True)}, tmp_path)
    assert text.count("did not run") == len(runs.STAGES) - 1


def test_a_torn_part_costs_its_plot_and_says_so(store: Store, stages: dict[str, Stage], fill: Callable[..., list[Part]], tmp_path: Path):
    bars, _ = stages["features"].parts = fill(store, 300)
    Path(store.path(bars)).write_bytes(b"PAR1 torn PAR1")
    text = written(store, stages, tmp_path)
    assert "the plot of prices is left out" in text
    assert "unreadable" in text
    assert "Calibration" in text


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ("too little data to judge", "too little data"),
        ("loses after cost", "loses money"),
        ("beats the baselines after cost", "beats every baseline"),
        ("not better than the baselines", "not better"),
    ],
)
def test_the_verdict_is_in_plain_words_with_its_numbers(stages: dict[str, Stage], said: str, words: str):
    facts = stages["train"].facts | {"verdict": said}
    assert words in verdict(facts)
    assert "812 trades" in verdict(facts)
    assert "240 effectively independent samples" in verdict(facts)


def test_an_accounting_that_does_not_close_is_a_warning(stages: dict[str, Stage]):
    stages["ingest"].facts["files"][0]["clean"] -= 1
    said = summary(stages["ingest"])
    assert any("does not close" in warning for warning in said.warnings)
    assert 0 in said.grids[0].marks


def test_thinning_keeps_highest_and_lowest_and_breaks_the_line_where_the_feed_was_away(store: Store, fill: Callable[..., list[Part]]):
    bars, _ = fill(store, 20_000)
    close = store.scan(bars, floats=True).select("close_float").collect().to_series()
    found = prices(store, [bars], points=500)
    assert found.line.height < 600
    assert (found.line["close"].max(), found.line["close"].min()) == (close.max(), close.min())
    assert found.line["close"].null_count() == 1
    assert found.counts["n_trades"].sum() == store.scan(bars).select(pl.col("n_trades").sum()).collect().item()


def test_the_share_of_nulls_is_over_all_rows_and_a_column_without_values_is_drawn(store: Store, fill: Callable[..., list[Part]]):
    _, inputs = fill(store, 5000)
    rows, nulls = feature_rows(store, [inputs], ["rsi_14", "never_known", "not_there"], sample=100)
    assert rows.height <= 100
    assert nulls == {"rsi_14": 0.0, "never_known": 1.0, "not_there": 1.0}
    assert "all null" in plots.svg(distributions(rows, nulls), "x")


def test_history_is_drawn_from_the_second_run_on(stages: dict[str, Stage]):
    assert plots_bench.history({("a", "ms"): [(1.0, False)]}) is None
    assert "red" not in plots.svg(plots_bench.history({("a", "ms"): [(1.0, False), (2.0, True)]}), "h")  # type: ignore[arg-type]
    assert set(drawing.DRAWERS) == set(runs.STAGES)


def test_a_benchmark_says_how_far_ahead_of_the_peers_and_which_targets_are_missed():
    beside = {"peer": "polars", "peer_value": 4.0, "target": 2.0, "limit_share": 0.4, "peak_mb": 100.0, "first_s": 1.5}
    row = {"unit": "rows/s", "spread": 0.1, "median_before": None, "regressed": False, "higher_is_better": True, **beside}
    rows = [
        row | {"name": "fast", "value": 12.0, "ratio": 3.0, "met": True},
        row | {"name": "slow", "value": 4.0, "ratio": 1.0, "met": False},
    ]
    told = summary(Stage(name="benchmark", changed=True, facts={"rows": rows}))
    assert ("targets met", "1 of 2") in told.figures
    assert told.grids[0].rows[0][:6] == ("fast", "12", "4", "polars", "rows/s", "3x") and told.grids[0].marks == frozenset({1})
    assert plots_bench.ahead(rows) is not None and plots_bench.ahead([]) is None
