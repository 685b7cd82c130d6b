"""What the orchestrator's UI shows of each stage: a Markdown page with its plots, and its tables with a search box.

The builders are plain functions of a stage; `publish` keeps their result as artifacts of the flow run it is called in.
Called with the same keys by every run, so the UI keeps their history: `ingest`, `ingest-files`, `train-scores` ...
"""

import base64
import re
from collections.abc import Sequence

from prefect import task
from prefect.artifacts import acreate_markdown_artifact, acreate_table_artifact
from prefect.cache_policies import NO_CACHE

from core.markdown import plain
from core.runs import Stage
from core.store import Store
from tasks import drawing, plots
from tasks.drawing import Plot
from tasks.summary import Summary, is_generated, summary
from tasks.wording import Grid

TITLES = {
    "ingest": "Data and its quality",
    "features": "Features",
    "train": "Training",
    "deploy": "Deploy decision",
    "benchmark": "Benchmark",
}
GENERATED_NOTE = "**Generated market**: these results show that the pipeline works; they say nothing about any real market."
MAX_ROWS = 500  # of a table artifact: the UI holds it whole


@task(task_run_name="publish {stage.name}", cache_policy=NO_CACHE)
async def publish(stage: Stage, store: Store) -> list[str]:
    """Keep the stage's page and tables as artifacts of this flow run; returns their keys."""
    drawn, missing = drawing.draw(stage, store) if stage.changed else ([], [])  # an unchanged run has to be quick
    markdown, tables = page(stage, drawn, missing)
    if store.run_folder is not None:
        (store.run_folder / f"{stage.name}.md").write_text(markdown)
    await acreate_markdown_artifact(key=stage.name, markdown=markdown, description=TITLES[stage.name])
    keys = [stage.name]
    for grid in tables:
        key = f"{stage.name}-{dashes(grid.title)}"
        await acreate_table_artifact(key=key, table=records(grid), description=grid.title)
        keys.append(key)
    return keys


def page(stage: Stage, drawn: Sequence[Plot] = (), missing: Sequence[str] = ()) -> tuple[str, list[Grid]]:
    """A stage's Markdown and its tables."""
    said = summary(stage)
    lines = [f"# {TITLES[stage.name]}", ""]
    if is_generated({stage.name: stage}):
        lines += [f"> {GENERATED_NOTE}", ""]
    lines += [plain(said.headline), ""]
    lines += [f"- ⚠ {plain(warning)}" for warning in (*said.warnings, *missing)]
    lines += ["", *figures(said), ""]
    for plot in drawn:
        picture = base64.b64encode(plots.png(plot.figure)).decode()
        lines += [f"![{plain(plot.name)}](data:image/png;base64,{picture})", "", f"*{plain(plot.caption)}*" if plot.caption else "", ""]
    for grid in said.grids:
        lines += [*table(grid), ""]
    return "\n".join(lines).rstrip() + "\n", [grid for grid in said.grids if grid.rows]


def figures(said: Summary) -> list[str]:
    if not said.figures:
        return []
    return ["| | |", "|---|---|", *(f"| {plain(name)} | **{plain(value)}** |" for name, value in said.figures)]


def table(grid: Grid, limit: int = 40) -> list[str]:
    """A grid as Markdown, at most `limit` rows of it: the table artifact has more."""
    if not grid.rows:
        return []
    rule = "|".join("---:" if i in grid.numeric else "---" for i in range(len(grid.columns)))
    rows = []
    for i, row in enumerate(grid.rows[:limit]):
        cells = [f"**{plain(cell)}**" if i in grid.marks and cell else plain(cell) for cell in row]
        rows.append(f"| {' | '.join(cells)} |")
    more = [f"*and {len(grid.rows) - limit:,} more*"] if len(grid.rows) > limit else []
    note = ["", f"*{plain(grid.note)}*"] if grid.note else []
    return [f"## {grid.title}", "", f"| {' | '.join(map(plain, grid.columns))} |", f"|{rule}|", *rows, *note, *more]


def records(grid: Grid) -> list[dict[str, str]]:
    """A grid as the table artifact takes it."""
    return [dict(zip(grid.columns, row, strict=True)) for row in grid.rows[:MAX_ROWS]]


def dashes(title: str) -> str:
    """A title as an artifact's key: lowercase words and dashes."""
    return re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")
