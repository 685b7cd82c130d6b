"""Taking away what is too old, as a stage: first what would go, then going.

Facts of the stage: dry_run · gone [{kind, name, n_bytes, why, trouble}] · held [{kind, name, n_bytes, why}] · n_bytes (freed, or that would
be) · skipped (what is held, for the run's page).
"""

import asyncio
import time
from collections.abc import Sequence
from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE

from core import settings
from core.markdown import plain
from core.runs import Stage
from core.store import Store
from kernels.retention import Fate, Item, fates
from tasks import retention, retention_prefect
from tasks.retention_models import Tracked

SHOWN = 200  # rows of the page


@task(task_run_name="look for what is too old", cache_policy=NO_CACHE)
async def find_old(store: Store, config: settings.Settings, *, even_needed: bool) -> list[Fate]:
    """What becomes of everything that is too old, by the policy of `retention`."""
    tracked = await asyncio.to_thread(Tracked, config.data_dir, config)
    found = await asyncio.to_thread(retention.items, store, config.data_dir, tracked.aliased)
    found += await retention_prefect.old_runs(config.retention.runs_days)
    return fates(found, retention.policy_of(config.retention, even_needed=even_needed))


@task(task_run_name="take away what is too old", cache_policy=NO_CACHE)
async def take_away(store: Store, config: settings.Settings, found: Sequence[Fate]) -> dict[str, str]:
    """Delete, or empty, what goes; returns what went wrong, by kind and name."""
    tracked = await asyncio.to_thread(Tracked, config.data_dir, config)
    done = await asyncio.to_thread(lambda: list(retention.carry_out(found, store, config.data_dir, tracked.withdraw)))
    await retention_prefect.forget(fate.item for fate in found if fate.goes and fate.item.kind == "prefect")
    return {key(item): trouble for item, trouble in done if trouble}


def key(item: Item) -> str:
    return f"{item.kind} {item.name}"


def told(found: Sequence[Fate], troubles: dict[str, str], *, dry_run: bool, began: float) -> Stage:
    """The stage's result."""
    gone: list[dict[str, Any]] = [row(fate) | {"trouble": troubles.get(key(fate.item), "")} for fate in found if fate.goes]
    held = [row(fate) for fate in found if not fate.goes]
    facts: dict[str, Any] = {
        "dry_run": dry_run,
        "gone": gone,
        "held": held,
        "n_bytes": sum(one["n_bytes"] for one in gone if not one["trouble"]),
        "skipped": [{"what": f"{one['kind']} {one['name']}", "why": one["why"]} for one in held],
    }
    warnings = [f"{name} could not be removed: {trouble}" for name, trouble in troubles.items()]
    return Stage(name="maintain", changed=bool(gone) and not dry_run, seconds=time.monotonic() - began, warnings=warnings, facts=facts)


def row(fate: Fate) -> dict[str, Any]:
    return {"kind": fate.item.kind, "name": fate.item.name, "n_bytes": fate.item.n_bytes, "why": fate.why}


def page(stage: Stage) -> str:
    """The stage in Markdown."""
    facts, verb = stage.facts, "would go" if stage.facts["dry_run"] else "is gone"
    lines = [f"# What {verb}", "", f"{len(facts['gone'])} things, {facts['n_bytes']:,} bytes; {len(facts['held'])} are held back."]
    for title, rows in ((f"What {verb}", facts["gone"]), ("Held back", facts["held"])):
        if rows:
            lines += ["", f"## {title}", "", "| kind | what | bytes | why |", "|---|---|---:|---|"]
            lines += [f"| {r['kind']} | {plain(r['name'])} | {r['n_bytes']:,} | {plain(r['why'])} |" for r in rows[:SHOWN]]
            lines += [f"\n*and {len(rows) - SHOWN:,} more*"] if len(rows) > SHOWN else []
    return "\n".join(lines) + "\n"
