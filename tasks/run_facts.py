"""What a run did, from what its stages told and what was written: the facts of its record.

wrote.jsonl, <stage>.json -> read, wrote, skipped, warnings, metrics
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from core.parts import part_named
from core.run_records import RunRecord, Skipped
from core.runs import Read, Stage
from core.store import Store, StoreError
from core.trail import Wrote

UP_TO_DATE = "up to date: made of the same inputs by the same code and parameters"
MOST_ROWS = 400  # footers looked into for the rows of what was read
FLAT = ("rows_per_second", "peak_memory_bytes", "n_train", "n_test", "effective_samples", "calibration_error", "epochs", "best_validation")


def fill(record: RunRecord, wrote: Sequence[Wrote], stages: Mapping[str, Stage], rows_of: Callable[[str], int | None]) -> None:
    """Put into the record what it did; `rows_of` a part that was read, by its name."""
    made = {one.part for one in wrote}
    used = {part: content for one in wrote for part, content in one.inputs.items() if part not in made}
    files = {str(f["uri"]): f for f in of_files(stages) if not f.get("skipped")}
    used |= {uri: used.get(uri, "") for uri in files}
    used |= trained_on(stages) if stages.get("train") and stages["train"].changed else {}
    record.wrote = [Read(part=one.part, content=one.content, rows=one.rows) for one in wrote]
    record.read = [
        Read(part=part, content=content, rows=int(files[part]["rows"]) if part in files else rows_of(part) if n < MOST_ROWS else None)
        for n, (part, content) in enumerate(sorted(used.items()))
        if part not in made
    ]
    record.changed = bool(wrote) or any(stage.changed for stage in stages.values())
    record.skipped = list(skipped(stages))
    record.warnings = list(dict.fromkeys(warning for stage in stages.values() for warning in stage.warnings))
    record.metrics = dict(metrics(stages))


def of_files(stages: Mapping[str, Stage]) -> list[dict[str, Any]]:
    return (stages["ingest"].facts.get("files") or []) if "ingest" in stages else []


def trained_on(stages: Mapping[str, Stage]) -> dict[str, str]:
    return dict(stages["train"].facts.get("inputs") or {})


def skipped(stages: Mapping[str, Stage]) -> Iterator[Skipped]:
    """What was not done, and what was not taken."""
    for name, stage in stages.items():
        if not stage.changed:
            n = len(stage.parts)
            yield Skipped(f"{name}" + (f" ({n} part{'s' * (n != 1)})" if n else ""), UP_TO_DATE)
        for one in stage.facts.get("skipped") or []:
            yield Skipped(str(one.get("what")), str(one.get("why")))
    for file in of_files(stages):
        if file.get("skipped"):
            yield Skipped(str(file["name"]), "known already: the file has not changed")
        for why, n in (file.get("by_reason") or {}).items():
            yield Skipped(f"{n:,} rows of {file['name']}", f"quarantined: {why}")
        if file.get("error"):
            yield Skipped(f"the rest of {file['name']}", str(file["error"]))
    days = stages["ingest"].facts.get("days") or [] if "ingest" in stages and stages["ingest"].changed else []
    for day in days:
        if not day.get("changed"):
            yield Skipped(f"clean {day['venue']}/{day['symbol']} {day['day']}", UP_TO_DATE)


def metrics(stages: Mapping[str, Stage]) -> Iterator[tuple[str, float]]:
    """`stage.name` -> number."""
    for name, stage in stages.items():
        facts = stage.facts
        yield f"{name}.seconds", round(stage.seconds, 3)
        yield from ((f"{name}.{key}", float(facts[key])) for key in FLAT if isinstance(facts.get(key), int | float))
        if isinstance(facts.get("gone"), list):
            yield f"{name}.things", float(len(facts["gone"]))
            yield f"{name}.bytes", float(facts["n_bytes"])
        for key, value in ((facts.get("scores") or {}).get("model") or {}).items():
            if isinstance(value, int | float):
                yield f"{name}.{key}", float(value)
        for key, value in (facts.get("latency_ms") or {}).items():
            yield f"{name}.latency_ms.{key}", float(value)
        for row in facts.get("rows") or [] if isinstance(facts.get("rows"), list) else []:
            yield f"{name}.{row['name']} ({row['unit']})", float(row["value"])
    files = of_files(stages)
    for key in ("rows", "clean", "duplicate", "quarantined"):
        if files:
            yield f"ingest.{key}", float(sum(f.get(key) or 0 for f in files))


def rows_in(store: Store) -> Callable[[str], int | None]:
    """Rows of a part by its name, from its footer; None of what is no part, or is not there any more."""

    def rows(name: str) -> int | None:
        if (part := part_named(name)) is None:
            return None
        try:
            found = store.lineage(part)
        except (StoreError, OSError):
            return None
        return found.rows if found else None

    return rows
