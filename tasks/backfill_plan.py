"""A backfill's plan: what is to be made, why, and what that may take, as it is made and in words."""

from collections import Counter
from collections.abc import Mapping, Sequence

from msgspec import Struct

from core.asking import BadParameter
from core.backfills import Chunk, Cost, Step
from core.settings import Settings
from core.states import State
from core.store import Store
from kernels.backfill import Plan, cost_of, costs, plan
from tasks.backfill_history import past
from tasks.backfill_survey import Wanted, survey, wanted


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
