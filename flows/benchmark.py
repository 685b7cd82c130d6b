"""Benchmark: what the stages did and what the served model does, measured, kept, and set beside the last runs.

stages of a run, models/<version_id>, the served version -> out_bench__runs
"""

import logging
from collections.abc import Sequence
from pathlib import Path

from prefect import flow

from core import benches, machine, runs, settings
from core.asking import BadParameter, one_of
from core.store import Store
from tasks.asked import model_asked
from tasks.benchmark import measure
from tasks.hooks import HOOKS
from tasks.paces import paces
from tasks.pages import publish
from tasks.peers import beside_peers
from tasks.run_record import run_of

log = logging.getLogger("scalp")


@flow(name="benchmark", flow_run_name="benchmark", **HOOKS)
async def benchmark(peers: bool = False, names: tuple[str, ...] = ()) -> runs.Stage:
    """The speeds of this machine: stages on made-up data, training and inference of the newest model. What became worse is marked.

    Args:
        peers: Beside the peers too, on the same input: some 15 minutes more; make bench installs them.
        names: Only these benchmarks of bench/, beside their peers, and nothing else; none for all.
    """
    async with run_of("benchmark", {"peers": peers, "names": names}) as folder:
        for name in names:
            one_of("names", name, benches.named())
        if (peers or names) and (reason := benches.missing()):
            raise BadParameter("peers", reason)
        if names:
            return await compare(folder, [], whole=False, peers=True, names=names)
        try:
            trained = [model_asked(settings.load().data_dir)]
        except BadParameter as error:  # a fresh clone has no model yet: the rest can be measured
            log.warning("training and inference are not measured: %s", error.said)
            trained = []
        return await compare(folder, trained, whole=True, peers=peers)


@flow(name="benchmark", flow_run_name="benchmark of the run", validate_parameters=False, **HOOKS)
async def benchmark_of(stages: Sequence[runs.Stage]) -> runs.Stage:
    """Measure after these stages, as the last of a larger run; beside the peers where the settings say so."""
    async with run_of("benchmark", {}) as folder:
        peers = settings.load().bench.peers and benches.missing() is None and any(stage.changed for stage in stages)
        return await compare(folder, stages, whole=False, peers=peers)


async def compare(folder: Path, stages: Sequence[runs.Stage], *, whole: bool, peers: bool, names: Sequence[str] = ()) -> runs.Stage:
    """Measure and compare; the result is kept in the run's `folder`. `whole` measures ingest and features too, on made-up data."""
    config = settings.load()
    store = Store(config.lake, code=machine.code_version())
    stage = measure(
        store,
        stages,
        run_id=folder.name,
        data_dir=config.data_dir,
        bench=config.bench,
        triton=config.triton,
        deploy=config.deploy,
        also=paces(config) if whole else (),
        peers=beside_peers(names) if peers else None,
    )
    runs.save(folder, stage)
    await publish(stage, store)
    return stage
