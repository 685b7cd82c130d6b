"""Nightly: the five stages in order, from market data to a served, measured model, and the report over them.

ingest -> features -> train -> deploy -> benchmark -> report
"""

import logging
from pathlib import Path

from prefect import flow

from core.runs import Stage
from flows.benchmark import benchmark
from flows.deploy import deploy
from flows.features import features
from flows.ingest import ingest
from flows.train import train
from tasks.report import report

log = logging.getLogger("scalp")


def told(number: int, stage: str) -> None:
    log.info("%d/5 %s", number, stage, extra={"stage": f"{number}/5 {stage}"})


@flow(flow_run_name="nightly {source}", validate_parameters=False)
async def nightly(source: str, folder: Path | None, mapping: str, run_folder: Path) -> dict[str, Stage]:
    """Run the five stages; whatever happens, the report tells of those that ended.

    `source` is `generated`, `recordings` or `tables`; `folder` is where the latter two lie; `mapping` names the columns of
    tables. Results are kept in `run_folder`, stage by stage. The first stage that fails ends the run with its error.
    """
    try:
        told(1, "ingest")
        ingested = await ingest(source, folder, mapping, run_folder)
        told(2, "features")
        built = await features(ingested.parts, run_folder)
        told(3, "train")
        trained = await train(built.parts, run_folder)
        told(4, "deploy")
        deployed = await deploy(trained, run_folder)
        told(5, "benchmark")
        measured = await benchmark([ingested, built, trained, deployed], run_folder)
    finally:
        report(run_folder)
    return {stage.name: stage for stage in (ingested, built, trained, deployed, measured)}
