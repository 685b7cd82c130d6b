"""What a backfill has to say of itself: artifacts while it runs, a page and a result when it has ended.

Facts of the result: wanted headline plan fresh absent made (partition kind seconds rows) unchanged failed held (partition cause) skipped
(what why) rows_per_second.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from prefect import task
from prefect.artifacts import acreate_progress_artifact, acreate_table_artifact
from prefect.cache_policies import NO_CACHE

from core.backfills import Chunk, Outcome
from core.runs import Stage
from tasks.backfill_plan import Planned, counted, headline, lasting, rows
from tasks.pages import MAX_ROWS, plain, table
from tasks.train import known_version
from tasks.wording import Grid

PLAN, PROGRESS, FAILED = "backfill-plan", "backfill-progress", "backfill-failed"  # artifacts


class BackfillFailed(RuntimeError):
    """Partitions could not be made; the message names the first of them, each with its cause."""


def ended(chunk: Chunk, outcomes: Sequence[Outcome]) -> str:
    """What became of a chunk, in a line."""
    made, failed = sum(outcome.changed for outcome in outcomes), sum(bool(outcome.error) for outcome in outcomes)
    lost = f", {failed:,} failed" if failed else ""
    return f"{chunk}: {made:,} of {len(outcomes):,} made{lost}, {lasting(sum(outcome.seconds for outcome in outcomes))}"


@task(task_run_name="show the plan", cache_policy=NO_CACHE)
async def show_plan(of: Planned) -> Any:
    """Keep the plan as a table, and begin the progress, as artifacts of this flow run; returns the id of the progress."""
    found = rows(of)[:MAX_ROWS]
    await acreate_table_artifact(key=PLAN, table=found or [{"partition": "", "state": "", "why": headline(of)}], description=headline(of))
    done = 0.0 if of.steps else 100.0
    return await acreate_progress_artifact(progress=done, key=PROGRESS, description=counted(len(of.steps), "partition"))


@task(task_run_name="show what failed", cache_policy=NO_CACHE)
async def show_failures(stage: Stage) -> None:
    """Keep what could not be made as a table."""
    await acreate_table_artifact(key=FAILED, table=lost(stage)[:MAX_ROWS], description=failure(stage))


def lost(stage: Stage) -> list[dict[str, str]]:
    return [*stage.facts["failed"], *stage.facts["held"]]


def summed(of: Planned, outcomes: Sequence[Outcome], seconds: float) -> Stage:
    """The result of the backfill."""
    failed = [{"partition": str(o.partition), "cause": o.error} for o in outcomes if o.error]
    held = [{"partition": str(o.partition), "cause": f"not tried: {o.held}"} for o in outcomes if o.held]
    made = [
        {"partition": str(o.partition), "kind": str(o.partition.kind), "seconds": o.seconds, "rows": o.rows} for o in outcomes if o.changed
    ]
    fresh = [str(o.partition) for o in outcomes if not (o.changed or o.error or o.held)]
    skipped = [{"what": counted(of.plan.n_fresh, "partition"), "why": "fresh"}] if of.plan.n_fresh else []
    skipped += [{"what": name, "why": "fresh after all"} for name in fresh]
    skipped += [{"what": one["partition"], "why": one["cause"]} for one in (*failed, *held)]
    facts = {
        "wanted": {name: list(value) if name == "symbols" else str(value) for name, value in of.wanted._asdict().items()},
        "headline": headline(of),
        "plan": rows(of),
        "fresh": of.plan.n_fresh,
        "absent": of.absent,
        "made": made,
        "unchanged": len(fresh),
        "failed": failed,
        "held": held,
        "skipped": skipped,
        "rows_per_second": round(sum(o.rows for o in outcomes if o.changed) / seconds) if made and seconds else None,
    }
    warnings = list(dict.fromkeys([*of.absent, *(warning for outcome in outcomes for warning in outcome.warnings)]))
    return Stage(name="backfill", changed=bool(made), seconds=round(seconds, 3), warnings=warnings, facts=facts)


def page(stage: Stage) -> str:
    """Plan and end as Markdown."""
    facts = stage.facts
    plan = Grid("Plan", ("partition", "state", "why", "estimate"), [tuple(row.values()) for row in facts["plan"]])
    failed = Grid("Failed", ("partition", "cause"), [(row["partition"], row["cause"]) for row in lost(stage)])
    lines = ["# Backfill", "", plain(facts["headline"]), ""]
    lines += [f"{counted(len(facts['made']), 'partition')} made, {facts['unchanged']:,} fresh after all.", ""]
    return "\n".join([*lines, *table(failed), "", *table(plan)]).rstrip() + "\n"


def models_of(outcomes: Sequence[Outcome], data_dir: Path) -> Iterator[Stage]:
    """The stages of the models that were trained, as the train flow tells them."""
    for outcome in outcomes:
        if outcome.model and (found := known_version(data_dir / "models" / outcome.model)):
            found.changed = outcome.changed
            yield found


def failure(stage: Stage, limit: int = 5) -> str:
    """What could not be made, in a sentence with the cause of each."""
    failed, held = stage.facts["failed"], stage.facts["held"]
    told = [f"{one['partition']}: {one['cause']}" for one in failed[:limit]]
    told += [f"and {len(failed) - limit} more"] if len(failed) > limit else []
    rest = f" ({len(held)} more were not tried)" if held else ""
    return f"{len(failed)} of {len(stage.facts['plan'])} partitions failed{rest}: {'; '.join(told)}"


def refuse_failures(stage: Stage) -> None:
    """Raise `BackfillFailed` where something could not be made."""
    if stage.facts["failed"]:
        raise BackfillFailed(failure(stage))
