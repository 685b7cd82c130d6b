"""A backfill's plan as it is made, and as people see it: what is to be made, why, and what that may take."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct
from prefect import task
from prefect.artifacts import acreate_progress_artifact, acreate_table_artifact
from prefect.cache_policies import NO_CACHE

from core.asking import BadParameter
from core.backfills import Chunk, Cost, Outcome, Step
from core.runs import Stage
from core.settings import Settings
from core.states import State
from core.store import Store
from kernels.backfill import Plan, cost_of, costs, plan
from tasks.backfill_history import past
from tasks.backfill_survey import Wanted, survey, wanted
from tasks.pages import MAX_ROWS

PLAN, PROGRESS, FAILED = "backfill-plan", "backfill-progress", "backfill-failed"  # artifacts


class Planned(Struct, frozen=True):
    wanted: Wanted
    plan: Plan
    absent: list[str]  # what nothing can be made of
    costs: Mapping[tuple[str, ...], Cost]

    @property
    def steps(self) -> Sequence[Step]:
        return self.plan.steps

    @property
    def chunks(self) -> Sequence[Chunk]:
        return self.plan.chunks


class BackfillFailed(RuntimeError):
    """Partitions could not be made; the message names the first of them, each with its cause."""


def planned(store: Store, config: Settings, asked: Wanted) -> Planned:
    """Look at every footer once, and plan. Raises `BadParameter` where nothing at all can be made of what was asked for."""
    still = store.still()
    meant = wanted(still, config, asked)
    seen = survey(still, config, meant)
    if not seen.found:
        raise BadParameter("start", f"{'; '.join(seen.absent)}; scalp ingest reads data in")
    made = plan(seen.found, only=meant.only, chunk_days=config.backfill.chunk_days)
    kinds = sorted({step.partition.kind for step in made.steps})
    return Planned(meant, made, seen.absent, costs(past(still, config.data_dir, kinds, meant.venue, meant.symbols)))


def rows(of: Planned) -> list[dict[str, str]]:
    """The plan as a table: partition, state, why, estimate."""
    return [
        {
            "partition": str(step.partition),
            "state": str(step.state) if step.certain else "perhaps stale",
            "why": step.why,
            "estimate": estimated(cost_of(of.costs, step.partition)),
        }
        for step in of.steps
    ]


def estimated(cost: Cost | None) -> str:
    return f"{lasting(cost.seconds)}, {cost.rows:,.0f} rows" if cost else "no history"


def headline(of: Planned) -> str:
    """The plan in one sentence."""
    certain = [step for step in of.steps if step.certain]
    if not of.steps:
        return f"nothing to do: {counted(of.plan.n_fresh, 'partition')} fresh" + ("" if of.plan.n_fresh else " or there")
    by_state = Counter(step.state for step in certain)
    words = [f"{by_state[state]:,} {state}" for state in (State.MISSING, State.STALE) if by_state[state]]
    told = f"{counted(len(certain), 'partition')} to make ({', '.join(words) or 'none'})"
    if perhaps := len(of.steps) - len(certain):
        told += f", {perhaps:,} to look at again then"
    return f"{told}, {of.plan.n_fresh:,} fresh; {in_all(of, certain)}"


def in_all(of: Planned, steps: Sequence[Step]) -> str:
    """What making the steps may take together."""
    found = [cost_of(of.costs, step.partition) for step in steps]
    known = [cost for cost in found if cost]
    unknown = sorted({str(step.partition.kind) for step, cost in zip(steps, found, strict=True) if not cost})
    if not known:
        return "no history to estimate the time from"
    told = f"about {lasting(sum(cost.seconds for cost in known))} of work, {sum(cost.rows for cost in known):,.0f} rows"
    return told + (f" (without {', '.join(unknown)}: no history)" if unknown else "")


def counted(n: int, what: str) -> str:
    return f"{n:,} {what}{'s' * (n != 1)}"


def lasting(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 60 else f"{seconds / 60:.1f} min" if seconds < 3600 else f"{seconds / 3600:.1f} h"


def ended(chunk: Chunk, outcomes: Sequence[Outcome]) -> str:
    """What became of a chunk, in a line."""
    made, failed = sum(outcome.changed for outcome in outcomes), sum(bool(outcome.error) for outcome in outcomes)
    lost = f", {failed:,} failed" if failed else ""
    return f"{chunk}: {made:,} of {len(outcomes):,} made{lost}, {lasting(sum(outcome.seconds for outcome in outcomes))}"


@task(task_run_name="show the plan", cache_policy=NO_CACHE)
async def show_plan(of: Planned) -> Any:
    """Keep the plan as a table, and begin the progress, as artifacts of this flow run; returns the id of the progress."""
    table = rows(of)[:MAX_ROWS]
    await acreate_table_artifact(key=PLAN, table=table or [{"partition": "", "state": "", "why": headline(of)}], description=headline(of))
    done = 0.0 if of.steps else 100.0
    return await acreate_progress_artifact(progress=done, key=PROGRESS, description=f"{counted(len(of.steps), 'partition')}")


@task(task_run_name="show what failed", cache_policy=NO_CACHE)
async def show_failures(stage: Stage) -> None:
    """Keep what could not be made as a table."""
    table = [{"partition": one["partition"], "cause": one["cause"]} for one in stage.facts["failed"]]
    table += [{"partition": one["partition"], "cause": f"not tried: {one['cause']}"} for one in stage.facts["held"]]
    await acreate_table_artifact(key=FAILED, table=table[:MAX_ROWS], description=failure(stage))


def summed(of: Planned, outcomes: Sequence[Outcome], seconds: float) -> Stage:
    """The result of the backfill. Facts: wanted plan headline fresh absent made unchanged failed held."""
    failed = [{"partition": str(o.partition), "cause": o.error} for o in outcomes if o.error]
    held = [{"partition": str(o.partition), "cause": o.held} for o in outcomes if o.held]
    made = [
        {"partition": str(o.partition), "kind": str(o.partition.kind), "seconds": o.seconds, "rows": o.rows} for o in outcomes if o.changed
    ]
    facts = {
        "wanted": {name: list(map(str, value)) if name == "symbols" else str(value) for name, value in of.wanted._asdict().items()},
        "headline": headline(of),
        "plan": rows(of),
        "fresh": of.plan.n_fresh,
        "absent": of.absent,
        "made": made,
        "unchanged": len(outcomes) - len(made) - len(failed) - len(held),
        "failed": failed,
        "held": held,
    }
    warnings = list(dict.fromkeys([*of.absent, *(warning for outcome in outcomes for warning in outcome.warnings)]))
    return Stage(name="backfill", changed=bool(made), seconds=round(seconds, 3), warnings=warnings, facts=facts)


def failure(stage: Stage, limit: int = 5) -> str:
    """What could not be made, in a sentence with the cause of each."""
    failed, held = stage.facts["failed"], stage.facts["held"]
    told = [f"{one['partition']}: {one['cause']}" for one in failed[:limit]]
    told += [f"and {len(failed) - limit} more"] if len(failed) > limit else []
    rest = f" ({len(held)} that need them were not tried)" if held else ""
    return f"{len(failed)} of {len(stage.facts['plan'])} partitions failed{rest}: {'; '.join(told)}"


def refuse_failures(stage: Stage) -> None:
    """Raise `BackfillFailed` where something could not be made."""
    if stage.facts["failed"]:
        raise BackfillFailed(failure(stage))
