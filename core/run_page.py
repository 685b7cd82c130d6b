"""The page of a run: what ended it and what to type next, then everything it did, in Markdown.

record, pages of its stages -> page.md
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from core import run_records
from core.causes_rules import again
from core.markdown import plain
from core.run_records import RunRecord
from core.runs import STAGES, Read

FILE = "page.md"
LIMIT = 60  # rows of a table; run.json has all
NEXT = {
    "ingest": "scalp features",
    "features": "scalp train",
    "train": "scalp deploy",
    "deploy": "scalp status",
    "benchmark": "scalp bench --peers",
    "nightly": "scalp runs diff nightly~1 nightly",
    "backfill": "scalp coverage",
}
SIGNS = {"completed": "✓", "failed": "✗", "crashed": "✗", "cancelled": "■", "running": "…"}


def page(record: RunRecord, stages: Mapping[str, str] | None = None) -> str:
    """The page; `stages` are those of its stages, in order."""
    lines = [f"# {record.flow} {SIGNS[record.state]} {record.state}", "", *told(record), ""]
    lines += rows("Run", ("", ""), ((name, plain(value)) for name, value in facts(record) if value))
    lines += rows("Parameters", ("parameter", "value"), ((code(k), code(v)) for k, v in record.parameters.items()))
    lines += rows("Read", ("what", "content", "rows"), parts(record.read), right=(2,))
    lines += rows("Wrote", ("part", "content", "rows"), parts(record.wrote), right=(2,))
    lines += rows("Skipped, or not taken", ("what", "why"), ((plain(s.what), plain(s.why)) for s in record.skipped))
    lines += rows("Metrics", ("metric", "value"), ((code(name), f"{value:,.6g}") for name, value in record.metrics.items()), right=(1,))
    lines += rows(
        "Configuration that differs from the defaults", ("setting", "value"), ((code(k), code(v)) for k, v in record.settings.items())
    )
    for text in (stages or {}).values():
        lines += ["", re.sub(r"^(#+) ", r"#\1 ", text, flags=re.MULTILINE)]
    return "\n".join(lines).rstrip() + "\n"


def told(record: RunRecord) -> list[str]:
    """How it ended, in one line, and what to type next."""
    lines = [f"> **Cause:** {plain(record.cause)}", ">"] if record.cause else []
    lines += [f"> **At fault:** {plain(record.fault)}", ">"] if record.fault else []
    lines += [f"> **Next:** `{next_command(record)}`"]
    return [*lines, "", *(f"- ⚠ {plain(warning)}" for warning in record.warnings[:LIMIT])] if record.warnings else lines


def next_command(record: RunRecord) -> str:
    if record.state in ("failed", "crashed"):
        return record.next or f"scalp runs show {record.run_id}"
    if record.state == "cancelled":
        return again(record.flow)
    return NEXT.get(record.flow, "scalp runs")


def facts(record: RunRecord) -> Iterator[tuple[str, str]]:
    took = record.seconds
    yield "run", record.run_id
    yield "flow run", f"{record.flow_run_name} ({record.flow_run_id})" if record.flow_run_id else ""
    yield "deployment", record.deployment
    yield "began", record.started
    yield "ended", record.ended
    yield "took", f"{took:,.1f} s" if took is not None else ""
    yield "changed anything", "yes" if record.changed else "no"
    yield "code", record.code
    yield "versions", record.versions
    yield "settings", record.settings_hash
    yield "where", f"{record.host}, process {record.pid}" if record.pid else ""


def parts(found: Sequence[Read]) -> Iterator[tuple[str, str, str]]:
    for one in found:
        yield code(one.part), f"`{one.content[:12]}`" if one.content else "", f"{one.rows:,}" if one.rows is not None else ""


def code(value: Any) -> str:
    words = ", ".join(map(str, value)) or "none" if isinstance(value, list | tuple) else str(value)
    text = words.replace("`", "'").replace("|", "\\|").replace("\n", " ")
    return f"`{text if len(text) < 300 else text[:300] + '…'}`"


def rows(title: str, columns: tuple[str, ...], found: Iterable[tuple[str, ...]], right: tuple[int, ...] = ()) -> list[str]:
    """A table under its title, or nothing."""
    body = [f"| {' | '.join(cells)} |" for cells in found]
    if not body:
        return []
    rule = "|".join("---:" if i in right else "---" for i in range(len(columns)))
    more = ["", f"*and {len(body) - LIMIT:,} more, in {run_records.FILE}*"] if len(body) > LIMIT else []
    return ["", f"## {title}", "", f"| {' | '.join(columns)} |", f"|{rule}|", *body[:LIMIT], *more]


def stage_pages(folder: Path) -> dict[str, str]:
    """The pages its stages left in a run's folder, in order of the stages."""
    there = {path.stem: path for path in folder.glob("*.md") if path.name != FILE}
    order = [name for name in STAGES if name in there]
    return {name: there[name].read_text() for name in (*order, *sorted(there.keys() - set(order)))}


def keep(folder: Path, record: RunRecord) -> str:
    """Write the page into the run's folder; returns it."""
    text = page(record, stage_pages(folder))
    partial = folder / f"{FILE}.partial"
    partial.write_text(text)
    partial.replace(folder / FILE)
    return text
