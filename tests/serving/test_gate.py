"""Live trading asks for two keys and for evidence, and says what is missing and how to come by it."""

from pathlib import Path

import pytest

from core import ledger_control
from core.ledger import Ledger, url_of
from core.market import NS
from serving import gate

NAME, ACCOUNT, PAPER = "binance-usdm", "binance-usdm/main", "local/usdm-1"
NOW = 1_767_225_600 * NS
HOUR = 3_600 * NS


def missing(ledger: Ledger, champion: str = "3f2a9c01b7de") -> str:
    with ledger.read() as connection:
        found = gate.evidence(connection, ACCOUNT, NOW, paper_hours=24.0, champion=champion)
    assert all(one.what and one.do for one in found)
    return "; ".join(one.what for one in found)


@pytest.fixture
def shown(tmp_path: Path) -> Ledger:
    """A ledger that has all that is asked for."""
    ledger = Ledger(url_of(tmp_path))
    for n in range(24):
        ledger_control.note(ledger, PAPER, "paper_seconds", NOW - (30 - n) * HOUR, 3_600.0)
    ledger_control.note(ledger, PAPER, "kill_drill", NOW - 23 * HOUR, 41.0)
    ledger_control.note(ledger, PAPER, "reconciled", NOW - 2 * HOUR, 0.0)
    ledger_control.note(ledger, PAPER, "reconciled", NOW - HOUR, 1.0)
    return ledger


def test_paper_is_what_happens_without_both_keys():
    assert [one.what for one in gate.keys(NAME, False, "")] == [
        f"trading on {NAME} is live trading",
        f"the second key of {NAME} (it is empty)",
    ]
    assert "it says 'binance-spot'" in gate.keys(NAME, True, "binance-spot")[0].what
    assert gate.keys(NAME, True, NAME) == []


def test_with_all_evidence_nothing_is_missing(shown: Ledger):
    assert missing(shown) == ""


def test_an_empty_ledger_lacks_everything(tmp_path: Path):
    told = missing(Ledger(url_of(tmp_path)), champion="")
    for what in ("no comparison with a venue", "no kill drill within 24 h", "only 0.0 of 24 hours of paper", "no champion model"):
        assert what in told


def test_a_comparison_that_found_differences_has_to_be_followed_by_a_clean_one(shown: Ledger):
    ledger_control.note(shown, PAPER, "reconciled", NOW - 1, 0.0)
    assert missing(shown) == "the last comparison found differences"
    ledger_control.note(shown, ACCOUNT, "reconciled", NOW - 2, 1.0)  # the account's own says more than paper's
    assert missing(shown) == ""


def test_a_kill_drill_is_good_for_a_day(tmp_path: Path, shown: Ledger):
    with shown.read() as connection:
        found = gate.evidence(connection, ACCOUNT, NOW + 2 * HOUR, paper_hours=24.0, champion="3f2a9c01b7de")
    assert [one.what for one in found] == ["no kill drill within 24 h"]
    assert "scalp kill" in found[0].do


def test_an_account_that_is_blocked_is_not_traded(shown: Ledger):
    ledger_control.latch(shown, ACCOUNT, "the spread looks wrong", "a person", NOW)
    assert "the kill switch is on since a person said: the spread looks wrong" in missing(shown)
    ledger_control.rearm(shown, ACCOUNT, "it was a holiday", "a person", NOW)
    assert missing(shown) == ""
