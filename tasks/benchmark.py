"""Measure what this machine does now, keep it in `out_bench__runs`, and say what has become worse.

Facts of the stage: rows [{name, unit, value, spread, median_before, regressed, higher_is_better, and `measuring.BESIDE`}] · failed
{benchmark: reason} · machine versions run_id.
"""

import contextlib
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
from prefect import task
from prefect.cache_policies import NO_CACHE

from core import machine, settings
from core.runs import Stage
from core.services import ServiceError
from core.serving_record import RepositoryError, Serving, read_record, record_path
from core.store import Part, Store
from core.tables import table
from core.triton import TritonError, running, serve
from core.triton_wheel import unavailable
from kernels import regressions
from tasks import measuring, memory
from tasks.deployment import server_options
from tasks.peers import Compared

TABLE, VENUE, SYMBOL = "out_bench__runs", "bench", "machine"
FORM = 1
SHOWN = ("name", "unit", "value", "spread", "median_before", "regressed", "higher_is_better", *measuring.BESIDE)


@task(task_run_name="benchmark of {run_id}", cache_policy=NO_CACHE)
def measure(
    store: Store,
    stages: Sequence[Stage],
    *,
    run_id: str,
    data_dir: Path,
    bench: settings.Bench,
    triton: settings.Triton,
    deploy: settings.Deploy,
    also: Sequence[measuring.Measured] = (),
    peers: Compared | None = None,
) -> Stage:
    """Measure, compare with the last runs, and append the rows to today's part; `also` and `peers` were measured before.

    At the end of a chain of stages that changed nothing there is nothing to measure; the trained stage alone (as `scalp bench`
    passes it) is always measured. Without Triton the in-process figures stand alone, with a warning.
    """
    if len(stages) > 1 and not any(stage.changed for stage in stages):
        return Stage(name="benchmark", changed=False, facts=last_facts(store))
    begun = time.monotonic()
    warnings: list[str] = []
    found = [*also, *measuring.of_stages(stages, memory.peak()), *(() if peers is None else peers.measured)]
    trained = next((s.facts for s in stages if s.name == "train"), None)
    record = read_record(record_path(data_dir))
    if trained:
        found.append(measuring.training_step(Path(trained["folder"]), trained.get("params") or {}))
        found += inference(data_dir, Path(trained["folder"]), record, bench, triton, deploy, warnings)
    rows = judged(store, found, bench)
    written = append(store, rows, run_id=run_id)
    failed = {} if peers is None else peers.failed
    warnings += [f"{name} was not measured beside peers: {reason}" for name, reason in failed.items()]
    facts: dict[str, Any] = {"rows": rows, "failed": failed, "machine": machine.machine(), "versions": machine.versions(), "run_id": run_id}
    seconds = time.monotonic() - begun
    return Stage(name="benchmark", changed=True, seconds=seconds, parts=[written], warnings=warnings, facts=facts | {"seconds": seconds})


def inference(
    data_dir: Path,
    folder: Path,
    record: Serving | None,
    bench: settings.Bench,
    triton: settings.Triton,
    deploy: settings.Deploy,
    warnings: list[str],
) -> list[measuring.Measured]:
    """In-process figures of the model, and those of the version of it that is served."""
    with contextlib.ExitStack() as stack:
        server, served = None, None
        reason = unavailable(deploy.backend) if triton.enabled else "it is switched off (triton.enabled)"
        if reason is None:
            try:
                server = running(data_dir)
                if server is None:
                    server = serve(data_dir, **server_options(triton))
                    stack.callback(server.stop)
            except (RepositoryError, TritonError, ServiceError) as error:
                reason = str(error)
        if server is not None and record is not None:
            same = [v.n for v in record.versions.values() if v.version_id == folder.name]
            number = max(same, default=max(v.n for v in record.versions.values()))
            served = (record.model_name, number)
        if reason is not None:
            warnings.append(f"inference by Triton was not measured: {reason}")
        return list(measuring.inference(folder, served, server, bench.requests))


def judged(store: Store, found: Sequence[measuring.Measured], bench: settings.Bench) -> list[dict[str, Any]]:
    """Each measurement beside the median of the last runs on this machine."""
    before = history(store)
    rows = []
    for m in found:
        last = before.get((m.name, m.unit), [])[-bench.history :]
        told = regressions.judge(m.value, last, higher_is_better=m.higher_is_better, margin_pct=bench.regression_pct)
        rows.append(m._asdict() | dict(m.beside or {}) | told._asdict())
    return [{key: row.get(key) for key in SHOWN} for row in rows]


def history(store: Store) -> dict[tuple[str, str], list[float]]:
    """(name, unit) -> the values measured on this machine, oldest first."""
    parts = store.parts(TABLE, VENUE, SYMBOL)
    if not parts:
        return {}
    of = kept(store, parts).filter(pl.col("machine") == machine.machine()).sort("ts_event").select("name", "unit", "value")
    found: dict[tuple[str, str], list[float]] = {}
    for name, unit, value in of.iter_rows():
        found.setdefault((name, unit), []).append(value)
    return found


def kept(store: Store, parts: Sequence[Part]) -> pl.DataFrame:
    """Rows of earlier runs; those kept before peers were measured have nulls in their columns."""
    schema = dict(table(TABLE).columns)
    empty = pl.DataFrame(schema=schema)
    return pl.concat([empty, *(store.scan(part).collect() for part in parts)], how="diagonal").select(list(schema))


def append(store: Store, rows: Sequence[dict[str, Any]], *, run_id: str) -> Part:
    """Add a run's rows to today's part; those of the same run id are replaced."""
    now = time.time_ns()
    part = Part(TABLE, VENUE, SYMBOL, datetime.fromtimestamp(now / 1e9, UTC).date())
    made = [r | {"ts_event": now, "run_id": run_id, "machine": machine.machine(), "versions": machine.versions()} for r in rows]
    schema = dict(table(TABLE).columns)
    frame = pl.DataFrame(made, schema=schema)
    if store.exists(part):
        frame = pl.concat([kept(store, [part]).filter(pl.col("run_id") != run_id), frame])
    return store.write(part, frame.sort("ts_event", maintain_order=True), inputs={}, params={"form": FORM})


def last_facts(store: Store) -> dict[str, Any]:
    """What the last run measured."""
    parts = store.parts(TABLE, VENUE, SYMBOL)
    if not parts:
        return {"rows": [], "machine": machine.machine(), "versions": machine.versions()}
    frame = kept(store, parts[-1:])
    last = frame.filter(pl.col("run_id") == frame["run_id"][-1])
    return {
        "rows": last.select(SHOWN).to_dicts(),
        "machine": last["machine"][0],
        "versions": last["versions"][0],
        "run_id": last["run_id"][0],
    }
