"""What is too old goes from the orchestrator's own history too: told first, then taken away, and what stays is told with its reason."""

import contextlib
import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import pytest

from core import run_records, runs
from tests.stacks import Stack

pytestmark = pytest.mark.server


def old_run(stack: Stack) -> UUID:
    """A run that ended 100 days ago, with a page. The server takes no time from outside, so it is set back in its database."""
    from prefect.client.schemas.actions import ArtifactCreate
    from prefect.states import Completed

    from flows.train import train

    ended = datetime.now(UTC) - timedelta(days=100)
    with stack.client() as client:
        run = client.create_flow_run(train, state=Completed())
        client.create_artifact(ArtifactCreate(key="run-page", type="markdown", data="# old", flow_run_id=run.id))
    with contextlib.closing(sqlite3.connect(stack.data / "prefect" / "prefect.db", timeout=30)) as database, database:
        done = database.execute("UPDATE flow_run SET end_time = ? WHERE id = ?", (f"{ended:%Y-%m-%d %H:%M:%S.%f}", str(run.id)))
        assert done.rowcount == 1
    return run.id


def left(stack: Stack, run_id: UUID) -> tuple[bool, int]:
    """Whether the server has the run, and how many artifacts of it."""
    from prefect.client.schemas.filters import ArtifactFilter, FlowRunFilter

    with stack.client() as client:
        there = client.read_flow_runs(flow_run_filter=FlowRunFilter.model_validate({"id": {"any_": [run_id]}}))
        pages = client.read_artifacts(artifact_filter=ArtifactFilter.model_validate({"flow_run_id": {"any_": [run_id]}}))
    return bool(there), len(pages)


def maintained(stack: Stack, *, dry_run: bool) -> tuple[runs.Stage, str]:
    """Run it as from the form; returns what it told, and its page."""
    run = stack.ended(stack.run("maintain", dry_run=dry_run))
    assert run.state is not None and run.state.is_completed(), run.state
    record = run_records.of_flow_run(stack.data, str(run.id))
    assert record is not None
    folder: Path = stack.data / "runs" / record.run_id
    return runs.load(folder)["maintain"], (folder / "page.md").read_text()


def test_an_old_run_is_told_first_and_goes_with_its_page_while_the_new_stay(stack: Stack):
    old = old_run(stack)
    stage, page = maintained(stack, dry_run=True)
    assert str(old) in page
    assert "older than 90 days" in page
    assert left(stack, old) == (True, 1)
    stage, _ = maintained(stack, dry_run=False)
    assert [row["name"].split()[-1] for row in stage.facts["gone"] if row["kind"] == "prefect"] == [str(old)]
    assert left(stack, old) == (False, 0)
