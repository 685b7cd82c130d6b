"""Nightly: the five stages in order, from market data to a served, measured model, and the report over them.

ingest -> features -> train -> deploy -> benchmark -> report
"""

import logging
from collections.abc import Awaitable
from pathlib import Path

from prefect import flow
from prefect.runtime import flow_run

from core import asking, machine, runs, settings
from core.asking import Source
from core.runs import Stage
from core.store import Store
from flows.benchmark import benchmark_of
from flows.deploy import deploy_trained
from flows.features import features_of
from flows.ingest import ingest
from flows.train import train_on
from tasks.hooks import HOOKS
from tasks.report import report
from tasks.run_record import run_of

log = logging.getLogger("scalp")


def asked_name() -> str:
    return f"nightly {flow_run.parameters['source']}"


@flow(name="nightly", flow_run_name=asked_name, **HOOKS)
async def nightly(source: Source = Source.GENERATED, folder: Path | None = None, mapping: str = "", venue: str = "") -> list[Stage]:
    """All five stages in one run, from market data to a served, measured model; whatever happens, a report tells of those that ended.

    Args:
        source: generated (the built-in market), recordings (raw frames), archives (zip files of data.binance.vision) or tables (Parquet).
        folder: Where the recordings, archives or tables lie; not for the generated market.
        mapping: For tables, the mapping that names their columns: standx, crypto-microstructure or one of scalp.toml; empty for the
            one that the settings say.
        venue: For archives, binance-spot, binance-usdm or binance-cm where neither folders nor columns tell it.
    """
    config = settings.load()
    mapping = mapping or config.ingest.mapping
    asking.source(config, source, folder, mapping, venue)
    async with run_of("nightly", {"source": source, "folder": folder, "mapping": mapping, "venue": venue}) as run_folder:
        return await five_stages(run_folder, source, folder, mapping, venue)


async def five_stages(run_folder: Path, source: Source, folder: Path | None, mapping: str, venue: str) -> list[Stage]:
    """Results and report are kept in `run_folder`, stage by stage. The first stage that fails ends the run with its error."""
    config = settings.load()
    store = Store(config.lake, code=machine.code_version())
    done: list[Stage] = []

    async def told(stage: Awaitable[Stage]) -> Stage:
        name = runs.STAGES[len(done)]
        log.info("%d/5 %s", len(done) + 1, name, extra={"stage": f"{len(done) + 1}/5 {name}"})
        done.append(await stage)
        return done[-1]

    try:
        ingested = await told(ingest(source, folder, mapping, venue))
        built = await told(features_of(ingested.parts))
        trained = await told(train_on(built.parts))
        await told(deploy_trained(trained))
        await told(benchmark_of(done))
    except Exception as error:
        try:
            report(run_folder, store, failure=str(error) or type(error).__name__, at=runs.STAGES[len(done)])
        except OSError as trouble:  # a full disk, most likely: what ended the run is what has to be told
            log.warning("the report could not be written: %s", trouble)
        raise
    report(run_folder, store)
    return done
