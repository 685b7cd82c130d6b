"""What `prefect.yaml` says is what the server does: schedules, limits, forms with help, and features after ingest."""

import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import yaml

from core import prefect_runs, run_records
from tests.stacks import Stack, until

pytestmark = pytest.mark.server
ROOT = Path(__file__).resolve().parents[2]
WRITTEN = yaml.safe_load((ROOT / "prefect.yaml").read_text())
DEPLOYMENTS = {one["name"]: one for one in WRITTEN["deployments"]}


def deployed(stack: Stack) -> dict[str, Any]:
    with stack.client() as client:
        return {one.name: one for one in client.read_deployments()}


def automations(stack: Stack) -> dict[str, Any]:
    with stack.client() as client:
        return {one.name: one for one in client.read_automations()}


def test_every_flow_has_a_deployment_of_its_name():
    files = {path.stem for path in (ROOT / "flows").glob("*.py") if re.search(r"^@flow\(", path.read_text(), re.MULTILINE)}
    assert {one["entrypoint"] for one in DEPLOYMENTS.values()} == {f"flows.{name}.{name}" for name in files}
    for name, one in DEPLOYMENTS.items():
        module, _, of = one["entrypoint"].rpartition(".")
        assert getattr(import_module(module), of).name == name


def test_what_is_written_is_what_is_deployed_wherever_the_clone_lies(stack: Stack):
    there = deployed(stack)
    assert set(there) == set(DEPLOYMENTS)
    for name, written in DEPLOYMENTS.items():
        one = there[name]
        assert (one.description, one.tags, one.parameters) == (written["description"], written["tags"], written.get("parameters", {}))
        schedules = [
            {"cron": s.schedule.cron, "timezone": s.schedule.timezone, "slug": s.slug}
            | ({"parameters": s.parameters} if s.parameters else {})
            for s in one.schedules
            if s.active
        ]
        assert schedules == written.get("schedules", [])
        assert {s["timezone"] for s in schedules} <= {"UTC"}
        assert (one.global_concurrency_limit.limit, one.concurrency_options.collision_strategy) == (1, "ENQUEUE")
        assert (one.work_pool_name, one.entrypoint, one.pull_steps or []) == ("local", written["entrypoint"], [])
        assert str(ROOT) not in one.model_dump_json()


def ahead(stack: Stack, name: str) -> list[Any]:
    """The runs of a deployment that are on the calendar."""
    from prefect.client.schemas.filters import DeploymentFilter, FlowRunFilter

    with stack.client() as client:
        runs = client.read_flow_runs(
            deployment_filter=DeploymentFilter.model_validate({"name": {"any_": [name]}}),
            flow_run_filter=FlowRunFilter.model_validate({"state": {"type": {"any_": ["SCHEDULED"]}}}),
        )
    return [run for run in runs if run.auto_scheduled]


def test_every_schedule_has_runs_ahead_at_its_hour_and_one_that_has_none_is_noticed(stack: Stack):
    """By SQLAlchemy 2.1 Prefect's scheduler fails, unheard: nothing is ever on the calendar."""
    until(lambda: not prefect_runs.forgotten(stack.url, stack.password), "every schedule has a run ahead")
    assert {(run.expected_start_time.hour, run.expected_start_time.minute) for run in ahead(stack, "train")} == {(0, 30)}
    assert {run.expected_start_time.minute for run in ahead(stack, "ingest")} == {5}
    with stack.client() as client:
        for run in ahead(stack, "benchmark"):
            client.delete_flow_run(run.id)
    assert prefect_runs.forgotten(stack.url, stack.password) == ["benchmark"]
    assert ahead(stack, "features") == []


def test_deploying_again_changes_nothing(stack: Stack):
    before, owned = deployed(stack), automations(stack)
    done = subprocess.run([sys.executable, "-m", "scalp.up_pool"], env=stack.env, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    after = deployed(stack)
    same = ("id", "description", "tags", "parameters", "parameter_openapi_schema", "entrypoint", "concurrency_options")
    for name, one in before.items():
        assert [getattr(one, field) for field in same] == [getattr(after[name], field) for field in same]
        assert [s.schedule for s in one.schedules] == [s.schedule for s in after[name].schedules]
    assert {name: one.trigger.expect for name, one in owned.items() if hasattr(one.trigger, "expect")} == {
        name: one.trigger.expect for name, one in automations(stack).items() if hasattr(one.trigger, "expect")
    }


@pytest.mark.parametrize("name", DEPLOYMENTS)
def test_the_form_has_help_for_every_field_pickers_for_days_and_choices(stack: Stack, name: str):
    schema = deployed(stack)[name].parameter_openapi_schema
    for field, of in schema["properties"].items():
        assert of.get("description"), f"{field} has no help"
        kinds = [of, *of.get("anyOf", [])]
        if field in ("start", "end"):
            assert any(kind.get("format") == "date" for kind in kinds), f"{field} is no day"
        if field in ("source", "grain", "stage", "only"):
            refs = [ref.rsplit("/", 1)[-1] for kind in (*kinds, *of.get("allOf", [])) if (ref := kind.get("$ref"))]
            assert any(len(schema["definitions"][ref]["enum"]) > 1 for ref in refs), f"{field} has no choices"
        if field in ("symbols", "names"):
            assert (of["type"], of["items"]) == ("array", {"type": "string"})


@pytest.mark.parametrize(
    ("name", "asked", "said"),
    [
        ("features", {"symbols": "BTCUSDT"}, "'BTCUSDT' is not"),
        ("features", {"grain": "tick"}, "'tick' is not one of"),
        ("ingest", {"source": "kraken"}, "'kraken' is not one of"),
        ("backfill", {"only": "some"}, "'some' is not one of"),
    ],
    ids=lambda value: None if isinstance(value, str) else str(value),
)
def test_a_value_that_does_not_fit_the_form_is_refused_before_there_is_a_run(stack: Stack, name: str, asked: dict[str, Any], said: str):
    from prefect.exceptions import PrefectHTTPStatusError

    with pytest.raises(PrefectHTTPStatusError, match=re.escape(said)):
        stack.run(name, **asked)


def test_features_follow_ingest_on_just_the_days_that_it_changed(ingested: Stack):
    def followed() -> Any:
        with ingested.client() as client:
            runs = client.read_flow_runs()
        return next((run for run in runs if run.name.startswith("features") and run.state.is_final()), None)

    run = until(followed, "the features run ends")
    assert (run.state.is_completed(), run.state.message, run.parameters) == (
        True,
        None,
        run.parameters | {"start": "2026-01-05", "end": "2026-01-05"},
    )
    assert run.name == "features of 2026-01-05"
    again = ingested.ended(ingested.run("ingest"))
    assert again.state.is_completed()
    with ingested.client() as client:
        assert sum(run.name.startswith("features") for run in client.read_flow_runs()) == 1, (
            "an ingest that changed nothing sets off nothing"
        )


BAD = {
    "symbols: there is no 'SIMUSD'; did you mean SIMUSDT?": {"symbols": ["SIMUSD"], "start": "2026-01-05"},
    "start: Input should be a valid date": {"start": "yesterday"},
}


def test_a_parameter_that_cannot_be_meant_fails_the_run_with_a_sentence_that_names_it(ingested: Stack):
    started = {said: ingested.run("features", **asked) for said, asked in BAD.items()}
    for said, run in started.items():
        ended = ingested.ended(run)
        assert ended.state.is_failed()
        assert said in ended.state.message
        record = run_records.of_flow_run(ingested.data, str(run))
        assert record and said in record.cause and not record.wrote
