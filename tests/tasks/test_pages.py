"""Each stage has a page and tables in the orchestrator's UI."""

import asyncio
import re

import pytest

from core.runs import STAGES, Stage
from core.store import Store
from tasks import drawing
from tasks.pages import GENERATED_NOTE, dashes, page, plain, publish, records

KEY = re.compile(r"[a-z0-9-]+")


@pytest.mark.parametrize("name", STAGES)
def test_a_page_has_the_headline_the_figures_and_the_tables(stages: dict[str, Stage], name: str):
    markdown, grids = page(stages[name])
    assert markdown.startswith("# ")
    assert grids
    for grid in grids:
        assert grid.title in markdown
        assert len(records(grid)) == len(grid.rows)
        assert KEY.fullmatch(f"{name}-{dashes(grid.title)}")


def test_generated_data_is_marked(stages: dict[str, Stage]):
    assert GENERATED_NOTE in page(stages["ingest"])[0]
    stages["ingest"].facts["generated"] = False
    for row in (*stages["ingest"].facts["files"], *stages["ingest"].facts["days"]):
        row["venue"] = "binance-usdm"
    assert GENERATED_NOTE not in page(stages["ingest"])[0]


def test_plots_are_inside_the_page(stages: dict[str, Stage], store: Store):
    drawn, missing = drawing.draw(stages["train"], store)
    assert missing == []
    assert page(stages["train"], drawn)[0].count("](data:image/png;base64,") == 3


def test_names_and_errors_cannot_become_markup():
    assert plain("a|b *c* <b> `d`\n# e") == r"a\|b \*c\* &lt;b&gt; \`d\` \# e"


def test_an_unchanged_stage_says_so(stages: dict[str, Stage]):
    stages["train"].changed = False
    assert "Nothing new" in page(stages["train"])[0]


@pytest.mark.server
def test_pages_are_kept_with_the_flow_run(stages: dict[str, Stage], store: Store):
    from prefect import flow
    from prefect.client.orchestration import get_client
    from prefect.testing.utilities import prefect_test_harness

    @flow
    async def shown() -> list[str]:
        return [key for stage in stages.values() for key in await publish(stage, store)]

    async def kept() -> dict[str, str]:
        async with get_client() as client:
            return {a.key: a.type for a in await client.read_artifacts(limit=100)}

    with prefect_test_harness(server_startup_timeout=120):
        keys = asyncio.run(shown())
        found = asyncio.run(kept())
    assert found == {key: "markdown" if key in STAGES else "table" for key in keys}
