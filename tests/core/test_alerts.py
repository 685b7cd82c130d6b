"""What is an alert, and that the same trouble is told once."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core import alerts
from core.alerts import Alert, Breach
from core.machine import ROOT
from core.run_records import RunRecord

BREACH = Breach(quarantine_share=0.01, different_share=0.0, sequence_breaks=0, book_known_share=0.9)
SOUND = {
    "venue": "v",
    "symbol": "S",
    "day": "2026-01-05",
    "changed": True,
    "compared": 10,
    "different": 0,
    "sequence_breaks": 0,
    "book_known_share": 1.0,
}
NOW = datetime(2026, 1, 5, tzinfo=UTC)


@pytest.mark.parametrize(("state", "n"), [("failed", 1), ("crashed", 1), ("completed", 0), ("cancelled", 0), ("running", 0)])
def test_a_run_that_ended_badly_is_an_alert_and_one_that_was_ended_on_purpose_is_not(state, n: int):
    found = list(alerts.of_record(RunRecord(run_id="r", flow="ingest", state=state, cause="no folder /x", fault="/x", kind="source")))
    assert len(found) == n
    assert all("no folder /x" in alert.line for alert in found)


def test_two_failures_of_which_nobody_knows_what_is_at_fault_are_two():
    one, other = (
        RunRecord(run_id="r", flow="train", state="failed", kind="error", cause=cause) for cause in ("KeyError: 'a'", "no window")
    )
    keys = [alert.key for record in (one, other, one) for alert in alerts.of_record(record)]
    assert keys[0] == keys[2] != keys[1]


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({}, []),
        ({"different": 1}, ["differs from the venue's in 1 of 10"]),
        ({"sequence_breaks": 3}, ["3 sequence breaks"]),
        ({"book_known_share": 0.5}, ["known for 50.0%"]),
        ({"different": 1, "changed": False}, []),
    ],
    ids=["sound", "different", "breaks", "unknown book", "told before"],
)
def test_a_day_beyond_the_limits_is_an_alert(changed: dict, said: list[str]):
    found = [alert.line for alert in alerts.of_quality({"days": [SOUND | changed]}, BREACH)]
    assert len(found) == len(said)
    assert all(words in line for words, line in zip(said, found, strict=True))


@pytest.mark.parametrize(("quarantined", "n"), [(0, 0), (10, 0), (11, 1)])
def test_a_file_with_too_many_refused_rows_is_an_alert(quarantined: int, n: int):
    file = {"name": "a.gz", "rows": 1_000, "quarantined": quarantined, "by_reason": {"price off the grid": quarantined}, "skipped": False}
    assert len(list(alerts.of_quality({"files": [file]}, BREACH))) == n


def test_a_benchmark_that_became_worse_is_an_alert():
    rows = [{"name": n, "unit": "ms", "value": 2.0, "median_before": 1.0, "regressed": r} for n, r in (("bars", True), ("book", False))]
    (found,) = alerts.of_benchmark({"rows": rows})
    assert found.line == "bars is 2 ms, it was 1"


@pytest.mark.parametrize(("since_s", "n"), [(0, 0), (120, 0), (121, 1)])
def test_a_run_that_has_not_begun_in_time_is_late(since_s: int, n: int):
    assert len(list(alerts.late("ingest", "swift-fox", "id", NOW - timedelta(seconds=since_s), NOW, 120))) == n


@given(st.lists(st.tuples(st.sampled_from("abc"), st.floats(0, 1_000)), max_size=30), st.floats(0, 300))
def test_a_key_is_told_again_only_after_so_long(events: list[tuple[str, float]], repeat_s: float):
    told: dict[str, float] = {}
    sent: list[tuple[str, float]] = []
    for key, at in sorted(events, key=lambda event: event[1]):
        for alert in alerts.due([Alert(kind="failed", key=key, line=key)] * 2, told, at, repeat_s):
            told[alert.key] = at
            sent.append((key, at))
    for key in "abc":
        times = [at for of, at in sent if of == key]
        assert all(later - sooner >= repeat_s for sooner, later in pairwise(times))
        assert bool(times) == any(of == key for of, _ in events)


def test_every_alert_links_to_a_section_that_the_runbook_has():
    headings = [
        line.strip("# ").lower().replace(" ", "-")
        for line in Path(ROOT / "docs/runbook.md").read_text().splitlines()
        if line.startswith("#")
    ]
    assert set(alerts.ANCHORS.values()) <= set(headings)
