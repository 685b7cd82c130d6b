"""What is worth waking somebody for: decided from what runs left behind, told once, with where to read on.

a run's record, a stage's result, the orchestrator's list of runs -> alerts -> those that are due
"""

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any, Literal, NamedTuple

import msgspec

from core.run_records import RunRecord

Kind = Literal["failed", "crashed", "late", "quality", "regression", "down"]
ANCHORS: dict[Kind, str] = {
    "failed": "a-run-failed",
    "crashed": "a-run-crashed",
    "late": "a-run-is-late",
    "quality": "quality-breach",
    "regression": "benchmark-regression",
    "down": "a-part-is-left-down",
}


class Alert(msgspec.Struct, frozen=True, kw_only=True):
    """One thing to look at. Two with the same `key` are the same trouble."""

    kind: Kind
    key: str
    line: str
    next: str = ""
    flow: str = ""
    run_id: str = ""
    flow_run_id: str = ""
    runbook: str = ""


class Breach(NamedTuple):
    """How bad the data may be before it is told."""

    quarantine_share: float
    different_share: float
    sequence_breaks: int
    book_known_share: float


def of_record(record: RunRecord) -> Iterator[Alert]:
    """A run that ended badly. One that was ended on purpose is no trouble."""
    if record.state in ("failed", "crashed"):
        yield Alert(
            kind=record.state,
            key=f"{record.state}:{record.flow}:{record.kind}:{record.fault or record.cause}",
            line=f"{record.flow} {record.state}: {record.cause}",
            next=record.next,
            flow=record.flow,
            run_id=record.run_id,
            flow_run_id=record.flow_run_id,
        )


def of_quality(facts: Mapping[str, Any], breach: Breach, **of: str) -> Iterator[Alert]:
    """Where the ingest stage took in data beyond the limits: by file what was quarantined, by day how the book was."""
    for file in facts.get("files") or []:
        rows, refused = int(file.get("rows") or 0), int(file.get("quarantined") or 0)
        if not file.get("skipped") and rows and refused / rows > breach.quarantine_share:
            worst = max((file.get("by_reason") or {"": 0}).items(), key=lambda item: item[1])[0]
            line = f"{refused / rows:.1%} of the {rows:,} rows of {file['name']} are quarantined" + (f", most as {worst}" if worst else "")
            yield Alert(kind="quality", key=f"quality:quarantine:{file['name']}", line=line, next=f'scalp sql "{REASONS}"', **of)
    for day in facts.get("days") or []:
        if not day.get("changed"):
            continue
        for what, text in breaches(day, breach):
            name = f"{day['venue']}/{day['symbol']} {day['day']}"
            command = f"scalp coverage --venue {day['venue']} --symbol {day['symbol']}"
            yield Alert(kind="quality", key=f"quality:{what}:{name}", line=f"{name}: {text}", next=command, **of)


REASONS = "SELECT reason, count(*) AS n FROM quarantine_market__rows GROUP BY ALL ORDER BY n DESC"


def breaches(day: Mapping[str, Any], breach: Breach) -> Iterator[tuple[str, str]]:
    compared, different = int(day.get("compared") or 0), int(day.get("different") or 0)
    if compared and different / compared > breach.different_share:
        yield "different", f"the rebuilt book differs from the venue's in {different:,} of {compared:,} comparisons"
    if (breaks := int(day.get("sequence_breaks") or 0)) > breach.sequence_breaks:
        yield "breaks", f"{breaks:,} sequence breaks: book messages were lost"
    known = day.get("book_known_share")
    if known is not None and known < breach.book_known_share:
        yield "known", f"the book is known for {known:.1%} of its rows only"


def of_benchmark(facts: Mapping[str, Any], **of: str) -> Iterator[Alert]:
    """What has become worse than it was."""
    for row in facts.get("rows") or []:
        if row.get("regressed"):
            before = row.get("median_before")
            line = f"{row['name']} is {row['value']:,.4g} {row['unit']}" + (f", it was {before:,.4g}" if before is not None else "")
            yield Alert(kind="regression", key=f"regression:{row['name']}", line=line, next="scalp bench", **of)


def late(flow: str, name: str, flow_run_id: str, expected: datetime, now: datetime, late_s: float) -> Iterator[Alert]:
    """A run that should have begun."""
    if (since := (now - expected).total_seconds()) > late_s:
        line = f"{flow} should have begun at {expected:%Y-%m-%d %H:%M:%S} UTC, {since:,.0f} s ago: {name} still waits"
        yield Alert(kind="late", key=f"late:{flow}", line=line, next="scalp status", flow=flow, flow_run_id=flow_run_id)


def due(alerts: Iterable[Alert], told: Mapping[str, float], now: float, repeat_s: float) -> list[Alert]:
    """Those whose key was not told within `repeat_s`, each once; `told` has when, in seconds."""
    found: dict[str, Alert] = {}
    for alert in alerts:
        last = told.get(alert.key)
        if alert.key not in found and (last is None or now - last >= repeat_s or last > now):
            found[alert.key] = alert
    return list(found.values())


def linked(alert: Alert, runbook: str) -> Alert:
    return msgspec.structs.replace(alert, runbook=f"{runbook}#{ANCHORS[alert.kind]}")
