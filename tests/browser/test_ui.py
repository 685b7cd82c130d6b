"""A person starts a backfill from the form of the user interface and reads its page; no request leaves the machine."""

import os
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from core import run_records
from tests.browser.chromium import Page, opened, program
from tests.stacks import Stack

pytestmark = [pytest.mark.server, pytest.mark.skipif(program() is None, reason="needs Chromium: apt-get install chromium")]
SHOTS = Path(os.environ.get("SHOTS", Path(__file__).resolve().parents[2] / "shots"))  # pictures to look at; git ignores them
# The field of a parameter, and where it is clicked.
FIELD = """((label, kind) => {
    const named = e => e.querySelector('.schema-form-property__label')?.innerText.startsWith(label);
    const field = [...document.querySelectorAll('.schema-form-property')].filter(named).at(-1)?.querySelector(kind);
    if (!field) return null;
    field.scrollIntoView({block: 'center'});
    const box = field.getBoundingClientRect();
    return [box.x + 16, box.y + box.height / 2];
})"""


@pytest.fixture
def page(tmp_path: Path) -> Iterator[Page]:
    with opened(tmp_path / "profile") as page:
        yield page


def log_in(page: Page, stack: Stack) -> None:
    page.go(stack.url)
    page.sees("Login")
    page.shot(SHOTS / "1-login.png")
    page.click("admin:pass", "input")
    page.write(stack.password)
    page.click("Login", "button")
    page.sees("Dashboard")


def field(page: Page, label: str, kind: str) -> None:
    page.press(*page.until(f"{FIELD}('{label}', '{kind}')"))


def test_a_backfill_is_started_from_the_form_and_read_on_its_page(ingested: Stack, page: Page):
    stack = ingested
    log_in(page, stack)
    page.go(f"{stack.url}/deployments")
    page.sees("At 03:00 AM every day")
    page.shot(SHOTS / "2-deployments.png")
    page.click("backfill", "a")
    page.click("Run", "button")
    page.click("Custom run")

    page.sees("upstream")
    help_texts = page.js("[...document.querySelectorAll('.schema-form-property__description')].map(e => e.innerText)")
    assert len(help_texts) >= 9
    assert "The last day (UTC), included." in help_texts
    for label, choices in {"stage": ["ingest", "features", "train"], "only": ["missing", "stale", "all"]}.items():
        assert (
            page.js(
                f"[...document.querySelectorAll('.schema-form-property')].find(e => e.innerText.startsWith('{label}')).innerText"
            ).split()[-len(choices) :]
            == choices
        )
    field(page, "start", "input[type=date]")
    page.keys("01052026")
    field(page, "end", "input[type=date]")
    page.keys("01062026")
    page.click("Add item", "button")
    field(page, "symbols", "textarea")
    page.write("SIMUSDT")
    page.shot(SHOTS / "3-form.png")
    page.click("Submit", "button")

    page.sees("backfill features of generated SIMUSDT from 2026-01-05 to 2026-01-06", 120)  # its name, once it has begun
    page.click("backfill features of generated SIMUSDT", "a")
    page.sees("Artifacts")
    page.sees("Completed", 120)
    page.sees("partitions to make")  # a line of its log
    page.shot(SHOTS / "4-run.png")
    page.click("Artifacts")
    page.sees("run-page")
    page.shot(SHOTS / "5-artifacts.png")
    page.click("run-page", "a")
    page.sees("feat_market__1s_labels generated/SIMUSDT 2026-01-06")
    page.shot(SHOTS / "6-page.png")

    record = next(run_records.every(stack.data))
    assert (record.flow, record.state, record.parameters["end"]) == ("backfill", "completed", "2026-01-06")
    assert {urlsplit(url).hostname for url in page.requests if not url.startswith(("data:", "blob:"))} == {"127.0.0.1"}
