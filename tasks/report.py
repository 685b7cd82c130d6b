"""The report of a run: one HTML file that needs nothing else, to be read by a person."""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup
from prefect import task
from prefect.cache_policies import NO_CACHE

from core import runs
from core.machine import code_version, machine, versions
from core.runs import STAGES, Stage
from core.store import Part, Store, StoreError
from tasks import drawing
from tasks.summary import Summary, is_generated, summary
from tasks.wording import Grid

TEMPLATE = Path(__file__).with_name("report.html.jinja")
REPORT = "report.html"
TITLES = {"ingest": "Data", "features": "Features", "train": "Training", "deploy": "Deployment", "benchmark": "Benchmark"}
MAX_PARTS = 400


@task(task_run_name="report", cache_policy=NO_CACHE)
def report(run_folder: Path, store: Store, failure: str = "", at: str = "") -> Path:
    """Write the report over the stages kept in `run_folder` to `report.html` there; `failure` is what ended the run, at stage `at`."""
    return write_report(run_folder, store, runs.load(run_folder), run_folder / REPORT, failure, at)


def write_report(run_folder: Path, store: Store, stages: Mapping[str, Stage], out: Path, failure: str = "", at: str = "") -> Path:
    """Render the report to `out` and return it. Stages may be missing, failed or unchanged.

    `failure` is laid at the door of stage `at`, else of the first stage without a result.
    """
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    page = environment.from_string(TEMPLATE.read_text()).render(context(run_folder, store, dict(stages), failure, at))
    out.parent.mkdir(parents=True, exist_ok=True)
    partial = out.with_name(out.name + ".partial")
    partial.write_text(page)
    partial.replace(out)
    return out


def context(run_folder: Path, store: Store, stages: dict[str, Stage], failure: str, at: str = "") -> dict[str, Any]:
    """What the template shows."""
    said = {name: summary(stages[name]) for name in STAGES if name in stages}
    train = said.get("train")
    failed = (at or next((name for name in STAGES if name not in stages), "the run")) if failure else ""
    return {
        "title": f"CryptoScalp run {run_folder.name}",
        "subtitle": subtitle(stages),
        "generated": is_generated(stages),
        "failure": {"stage": failed, "error": failure} if failure else None,
        "unchanged": bool(stages) and not failure and not any(stage.changed for stage in stages.values()),
        "verdict": train.headline if train else "",
        "overview": [overview(name, stages.get(name), failed) for name in STAGES],
        "key_figures": key_figures(said),
        "sections": [section(name, stages[name], said[name], store) for name in said],
        "lineage": made_by(stages),
        "parts": hashes(store, stages),
        "params": params(store, stages),
        "commands": commands(stages, failure),
    }


def subtitle(stages: Mapping[str, Stage]) -> str:
    facts = stages["ingest"].facts if "ingest" in stages else {}
    days = facts.get("days") or []
    names = sorted({f"{d['venue']} {d['symbol']}" for d in days})
    dates = sorted({d["day"] for d in days})
    what = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
    when = dates[0] if len(dates) == 1 else f"{dates[0]} to {dates[-1]}" if dates else ""
    seconds = sum(stage.seconds for stage in stages.values())
    took = f"{seconds:.0f} s of work" if seconds else ""
    return " · ".join(filter(None, (what, when, took, f"written {datetime.now(UTC):%Y-%m-%d %H:%M} UTC")))


def overview(name: str, stage: Stage | None, failed: str) -> dict[str, str]:
    if name == failed:
        return {"name": name, "kind": "bad", "state": "failed"}
    if stage is None:
        return {"name": name, "kind": "", "state": "did not run"}
    if not stage.changed:
        return {"name": name, "kind": "", "state": "up to date"}
    return {"name": name, "kind": "done", "state": f"done in {stage.seconds:.1f} s"}


def key_figures(said: Mapping[str, Summary]) -> list[tuple[str, str]]:
    """The few numbers of each stage that stand on top."""
    chosen = {
        "ingest": ("rows read", "quarantined"),
        "features": ("seconds of features", "complete seconds"),
        "train": ("calibration error", "effective samples"),
        "deploy": ("served as", "latency of one window, p50 / p99"),
        "benchmark": ("measured as worse",),
    }
    return [(name, value) for stage, names in chosen.items() if stage in said for name, value in said[stage].figures if name in names]


def section(name: str, stage: Stage, said: Summary, store: Store) -> dict[str, Any]:
    """One stage's section: its summary, its plots, and for features their names."""
    drawn, missing = drawing.draw(stage, store)
    plots = [{"svg": Markup(p.svg), "caption": p.caption} for p in drawn]
    shown = Summary(said.headline, said.figures, said.grids, [*said.warnings, *missing])
    names = list(stage.facts.get("features") or []) if name == "features" else []
    return {"id": name, "title": TITLES[name], "summary": shown, "plots": plots, "names": names}


def made_by(stages: Mapping[str, Stage]) -> Grid:
    rows = [("code", code_version()), ("machine", machine()), ("libraries", versions())]
    for stage, key, name in (
        ("features", "feature_set_hash", "feature set"),
        ("train", "version_id", "model version"),
        ("train", "folder", "model folder"),
        ("deploy", "model_repository", "model repository"),
    ):
        if stage in stages and (value := stages[stage].facts.get(key)):
            rows.append((name, str(value)))
    return Grid("Made by", ("what", "which"), rows)


def hashes(store: Store, stages: Mapping[str, Stage]) -> Grid:
    """Every part the stages name with its rows and content hash; one that cannot be read says so."""
    rows, marks = [], set()
    parts = sorted({part for stage in stages.values() for part in stage.parts})
    for part in parts[:MAX_PARTS]:
        try:
            lineage = store.lineage(part)
            told = (f"{lineage.rows:,}", lineage.content[:16], lineage.code) if lineage else ("", "gone since", "")
        except StoreError as error:
            told = ("", str(error), "")
            marks.add(len(rows))
        rows.append((str(part), *told))
    note = (
        f"and {len(parts) - MAX_PARTS:,} more" if len(parts) > MAX_PARTS else "the hash is of the encoded columns: equal data, equal hash"
    )
    return Grid("Parts", ("part", "rows", "content hash", "made by code"), rows, frozenset({1}), frozenset(marks), note)


def params(store: Store, stages: Mapping[str, Stage]) -> list[tuple[str, str]]:
    """The parameters each table's parts were made with, from their footers."""
    first: dict[str, Part] = {}
    for part in sorted(part for stage in stages.values() for part in stage.parts):
        first.setdefault(part.table, part)
    found = []
    for table, part in first.items():
        try:
            lineage = store.lineage(part)
        except StoreError:
            continue  # named in the list of parts
        if lineage and lineage.params:
            found.append((table, json.dumps(lineage.params, indent=1, sort_keys=True)))
    if "train" in stages and (chosen := stages["train"].facts.get("params")):
        found.append(("training", json.dumps(chosen, indent=1, sort_keys=True)))
    return found


def commands(stages: Mapping[str, Stage], failure: str) -> Sequence[tuple[str, str]]:
    days = (stages["ingest"].facts.get("days") or []) if "ingest" in stages else []
    day = f" AND day = '{days[-1]['day']}'" if days else ""
    symbol = days[-1]["symbol"] if days else "SIMUSDT"
    question = f"SELECT * FROM clean_market__1s_bars WHERE symbol = '{symbol}'{day} ORDER BY ts_event LIMIT 20"
    found = [("What is in the lake, day by day:", "scalp coverage"), ("Ask it anything, in SQL:", f'scalp sql "{question}"')]
    if failure:
        found.insert(
            0,
            ("After mending the cause, give the same command again: what was finished is not done twice. Without arguments:", "scalp run"),
        )
    found.append(("What the features are:", "scalp features --list"))
    if "deploy" in stages:
        found.append(("Go back to the version served before:", "scalp rollback"))
    if is_generated(dict(stages)):
        found.append(("Run on recorded market data instead:", "scalp run --source recordings --from FOLDER"))
    found.append(("Runs, pages and logs in the orchestrator's own UI:", "scalp up"))
    return found
