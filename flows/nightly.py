"""Nightly: the five stages in order, from market data to a served, measured model, and the report over them.

ingest -> features -> train -> deploy -> benchmark -> report
"""

import logging
from collections.abc import Awaitable
from pathlib import Path

from prefect import flow

from core import machine, runs, settings
from core.runs import Stage
from core.store import Store
from flows.benchmark import benchmark
from flows.deploy import deploy
from flows.features import features
from flows.ingest import ingest
from flows.train import train
from tasks.report import report

log = logging.getLogger("scalp")


@flow(flow_run_name="nightly {source}", validate_parameters=False)
async def nightly(source: str, folder: Path | None, mapping: str, run_folder: Path, venue: str = "") -> list[Stage]:
    """Run the five stages; whatever happens, the report tells of those that ended.

    `source` is `generated`, `recordings`, `archives` or `tables`; `folder` is where the latter three lie; `mapping` names the
    columns of tables, `venue` is that of archives whose folders do not tell it.
    Results are kept in `run_folder`, stage by stage. The first stage that fails ends the run with its error.
    """
    config = settings.load()
    store = Store(config.lake, code=machine.code_version())
    done: list[Stage] = []

    async def told(stage: Awaitable[Stage]) -> Stage:
        name = runs.STAGES[len(done)]
        log.info("%d/5 %s", len(done) + 1, name, extra={"stage": f"{len(done) + 1}/5 {name}"})
        done.append(await stage)
        return done[-1]

    try:
        ingested = await told(ingest(source, folder, mapping, run_folder, venue))
        built = await told(features(ingested.parts, run_folder))
        trained = await told(train(built.parts, run_folder))
        await told(deploy(trained, run_folder))
        await told(benchmark(done, run_folder))
    except Exception as error:
        try:
            report(run_folder, store, failure=str(error) or type(error).__name__, at=runs.STAGES[len(done)])
        except OSError as trouble:  # a full disk, most likely: what ended the run is what has to be told
            log.warning("the report could not be written: %s", trouble)
        raise
    report(run_folder, store)
    return done
