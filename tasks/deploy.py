"""A trained version in, a served one out: prove, switch, then retire. Whatever fails, the version before goes on serving.

Facts of the stage: version version_id alias served_by reason previous model_repository · max_error_export max_error_served
latency_ms {p50, p99} · form form_reason forms [row of tasks.forms] · batching {batching, why, table, seconds, again} · machine
statistics (Triton's own, of the proof) · steps [{step, ok, detail}] · failed {step, reason} or null ·
feature_set_hash generated · triton_start_s seconds.
"""

import contextlib
import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
from prefect import task
from prefect.cache_policies import NO_CACHE

from core import form, machine, settings
from core.runs import Stage
from core.serving_record import Serving, Version, write_whole
from core.triton_wheel import unavailable
from tasks import registry
from tasks.deployment import Deployment, repository

DEPLOYED = "deploy.json"  # in the model's folder: the facts of its last deployment


class DeployFailed(RuntimeError):
    """A version that was not taken; the message says at which step, why, and what goes on serving."""


def deploy_version(
    trained: Mapping[str, Any],
    *,
    data_dir: Path,
    deploy: settings.Deploy,
    triton: settings.Triton,
    expected_hash: str,
    code: str = "",
    tracking_uri: str = "",
    again: bool = False,
) -> Stage:
    """Deploy a trained model (the facts of its stage). A failed proof is a stage whose `failed` fact says step and reason.

    `expected_hash` is that of the features this code computes. `again` deploys also what somebody rolled back from.
    """
    begun = time.monotonic()
    now = Deployment(trained, data_dir, deploy, triton, expected_hash, code, tracking_uri)
    warnings = now.repository.tidy()
    serving = now.repository.read()
    reason = unavailable(deploy.backend) if triton.enabled else "it is switched off (triton.enabled)"
    by_triton = reason is None
    if unchanged := up_to_date(now, serving, "triton" if by_triton else "in-process", again=again):
        unchanged.warnings[:0] = warnings
        return unchanged
    if not by_triton:
        warnings.append(f"served in-process, without Triton: {reason}")
    live = serving.live
    now.facts = {
        "version": None,
        "version_id": now.version_id,
        "alias": None,
        "served_by": "triton" if by_triton else "in-process",
        "reason": "",
        "previous": live[1].n if live else None,
        "max_error_export": None,
        "max_error_served": None,
        "latency_ms": {},
        "form": None,
        "form_reason": "",
        "forms": [],
        "batching": {},
        "machine": machine.machine(),
        "statistics": {},
        "feature_set_hash": str(trained["feature_set_hash"]),
        "generated": bool(trained.get("generated")),
        "model_repository": str(now.repository.root),
        "steps": now.steps.rows,
        "failed": None,
    }
    with contextlib.ExitStack() as started:
        try:
            version = now.prove(serving, started, by_triton=by_triton)
            now.switch(serving, version)
        except BaseException as error:
            troubles = now.undo(now.repository.read())
            if not isinstance(error, Exception):
                raise  # Ctrl-C: undone, and gone
            warnings += troubles
            failed(now, error)
        else:
            warnings += now.retire(serving)
    now.facts["seconds"] = time.monotonic() - begun
    if not now.facts["failed"]:
        write_whole(now.folder / DEPLOYED, json.dumps(now.facts, indent=1).encode())
    return Stage(name="deploy", changed=True, seconds=now.facts["seconds"], warnings=warnings, facts=now.facts)


def failed(now: Deployment, error: Exception) -> None:
    """Say in the facts what failed and what goes on serving."""
    last = now.steps.rows[-1]["step"] if now.steps.rows else "begin"
    live = now.repository.read().live
    now.facts |= {"failed": {"step": last, "reason": str(error) or type(error).__name__}, "alias": None, "version": None}
    if live:
        stays = f"version {live[1].n} goes on serving as {live[0]}"
        now.facts |= {"version": live[1].n, "version_id": live[1].version_id, "alias": live[0]}
    else:
        stays = "nothing is served"
    now.facts["reason"] = f"model {now.version_id} was not taken at the step {last!r}: {now.facts['failed']['reason']}; {stays}"


def up_to_date(now: Deployment, serving: Serving, served_by: str, *, again: bool) -> Stage | None:
    """The stage without work: this very model serves, or somebody turned back from it."""
    for n in serving.aliases.values():
        version = serving.versions[str(n)]
        if version.version_id == now.version_id and serving.served_by == served_by and (now.folder / DEPLOYED).is_file():
            facts = last_facts(now.data_dir, version)
            if fits_here(version, facts, now.deploy):
                return Stage(name="deploy", changed=False, facts=facts)
    live = serving.live
    if live and not again and now.version_id in serving.rolled_back:
        text = (
            f"model {now.version_id} was rolled back, so version {live[1].n} stays; scalp deploy {now.version_id} deploys it all the same"
        )
        return Stage(name="deploy", changed=False, warnings=[text], facts=last_facts(now.data_dir, live[1]))
    return None


def fits_here(version: Version, facts: Mapping[str, Any], deploy: settings.Deploy) -> bool:
    """Whether the form it is served in was chosen on this machine, and can still be run and is still allowed."""
    allowed = version.form in {*deploy.forms, form.DEFAULT} and form.missing(version.form) is None
    return allowed and (len(deploy.forms) < 2 or facts.get("machine", machine.machine()) == machine.machine())


def last_facts(data_dir: Path, version: Version) -> dict[str, Any]:
    path = data_dir / "models" / version.version_id / DEPLOYED
    kept = json.loads(path.read_bytes()) if path.is_file() else {}
    return kept | {"version": version.n, "version_id": version.version_id, "alias": version.decision}


def rollback(data_dir: Path, *, deploy: settings.Deploy | None = None, tracking_uri: str = "") -> dict[str, Any]:
    """Serve what was served before the last switch; returns {"from", "to"} (alias -> version), versions, warnings.

    Raises `RepositoryError` where nothing was served before.
    """
    from mlflow.exceptions import MlflowException

    deploy = deploy or settings.Deploy()
    kept = repository(data_dir, deploy)
    serving = kept.read()
    before = serving.aliases
    after = serving.go_back()
    kept.write_record(serving)
    warnings = []
    try:
        registry.Registry(data_dir, deploy.model_name, tracking_uri).move(before, after)
    except (MlflowException, LookupError) as error:  # going back must not depend on it
        warnings.append(f"MLflow's aliases still name the version before: {error}")
    told = msgspec.to_builtins(serving.versions)
    return {"from": before, "to": after, "served_by": serving.served_by, "versions": told, "warnings": warnings}


def run_name() -> str:
    """Which model, and the symbols and days it was trained on (a part is named `table venue/symbol day`)."""
    from prefect.runtime import task_run

    trained: Mapping[str, Any] = task_run.parameters.get("trained") or {}
    of = sorted({part.rpartition("/")[2] for part in trained.get("inputs") or {}})
    return f"deploy {trained.get('version_id')} of {', '.join(of[:3])}" + (f" and {len(of) - 3} more" if len(of) > 3 else "")


@task(task_run_name=run_name, cache_policy=NO_CACHE)
def deploy_model(
    trained: Mapping[str, Any],
    *,
    data_dir: Path,
    deploy: settings.Deploy,
    triton: settings.Triton,
    code: str = "",
    tracking_uri: str = "",
    again: bool = False,
) -> Stage:
    """`deploy_version`, against the features that this code computes."""
    from kernels import features

    try:
        expected = features.feature_set_hash(trained.get("feature_names") or None)
    except KeyError as error:  # a feature this code no longer computes: no hash can be right
        expected = f"none: it has no feature {error}"
    return deploy_version(
        trained, data_dir=data_dir, deploy=deploy, triton=triton, expected_hash=expected, code=code, tracking_uri=tracking_uri, again=again
    )
