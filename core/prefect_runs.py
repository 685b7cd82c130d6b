"""What the orchestrator's server knows of its runs, asked over REST: the client library takes seconds to load."""

import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import httpx
import msgspec

TIMEOUT_S = 5.0
MOST = 200  # rows of an answer
AHEAD_S = 90 * 86_400.0

Ask = Callable[[str, Mapping[str, Any]], list[dict[str, Any]]]


class ServerRun(msgspec.Struct, kw_only=True):
    """A flow run as the server has it."""

    id: str
    name: str = ""
    flow: str = ""
    state: str = ""
    message: str = ""
    expected: str = ""
    started: str = ""
    ended: str = ""
    parameters: dict[str, Any] = {}


@contextmanager
def asking(url: str, auth: str) -> Iterator[Ask]:
    """A way to ask for what a filter lets through; `auth` is `user:password`. Raises `httpx.HTTPError`."""
    user, _, password = auth.partition(":")
    me = str(uuid.uuid4())
    with httpx.Client(base_url=url.rstrip("/"), auth=(user, password), timeout=TIMEOUT_S, trust_env=False, verify=False) as client:
        token = client.get("/api/csrf-token", params={"client": me})
        headers = {"Prefect-Csrf-Client": me}
        if token.status_code == 200:
            headers["Prefect-Csrf-Token"] = token.json()["token"]

        def ask(path: str, body: Mapping[str, Any]) -> list[dict[str, Any]]:
            answer = client.post(f"/api/{path}/filter", json=body, headers=headers)
            answer.raise_for_status()
            return answer.json()

        yield ask


def flow_runs(url: str, auth: str, *, limit: int = 50) -> list[ServerRun]:
    """The outermost runs that have begun, or should have, newest first. Raises `httpx.HTTPError`."""
    now = datetime.now(UTC).isoformat()
    outermost = {"parent_task_run_id": {"is_null_": True}, "expected_start_time": {"before_": now}}  # not what is on the calendar
    with asking(url, auth) as ask:
        found = ask("flow_runs", {"sort": "EXPECTED_START_TIME_DESC", "limit": limit, "flow_runs": outermost})
        flows = {flow["id"]: flow["name"] for flow in ask("flows", {"flows": {"id": {"any_": list({run["flow_id"] for run in found})}}})}
    return [told(run, flows.get(run["flow_id"], "")) for run in found]


def forgotten(url: str, auth: str) -> list[str]:
    """Deployments with a regular, active schedule and no run ahead: the server's scheduler stands still. Raises `httpx.HTTPError`.

    A run ahead that somebody has cancelled counts: it is not put there again.
    """
    ahead = {"expected_start_time": {"after_": datetime.now(UTC).isoformat()}}
    with asking(url, auth) as ask:
        found = ask("deployments", {"limit": MOST})
        due = [one for one in found if not one["paused"] and any(of["active"] and regular(of["schedule"]) for of in one["schedules"])]
        return [
            one["name"] for one in due if not ask("flow_runs", {"limit": 1, "flow_runs": ahead | {"deployment_id": {"any_": [one["id"]]}}})
        ]


def regular(schedule: Mapping[str, Any]) -> bool:
    """Whether it is certain that the server has a run of it ahead: it looks 100 days ahead, and a recurrence rule may have ended."""
    if cron := str(schedule.get("cron") or "").split():
        return cron[3] == "*" if len(cron) > 3 else cron[0] not in ("@yearly", "@annually")
    return 0 < float(schedule.get("interval") or 0) < AHEAD_S


def told(run: Mapping[str, Any], flow: str) -> ServerRun:
    return ServerRun(
        id=str(run["id"]),
        name=run["name"],
        flow=flow,
        state=str(run.get("state_name") or ""),
        message=str((run.get("state") or {}).get("message") or ""),
        expected=str(run.get("expected_start_time") or ""),
        started=str(run.get("start_time") or ""),
        ended=str(run.get("end_time") or ""),
        parameters=run.get("parameters") or {},
    )
