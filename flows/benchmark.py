"""Benchmark: what the stages did and what the served model does, measured, kept, and set beside the last runs.

stages of a run, models/<version_id>, the served version -> out_bench__runs
"""

from collections.abc import Sequence
from pathlib import Path

from prefect import flow

from core import machine, runs, settings
from core.benches import missing
from core.store import Store
from tasks.benchmark import measure
from tasks.paces import paces
from tasks.pages import publish
from tasks.peers import beside_peers


@flow(flow_run_name="benchmark of {run_folder.name}", validate_parameters=False)
async def benchmark(
    stages: Sequence[runs.Stage], run_folder: Path, whole: bool = False, peers: bool | None = None, names: Sequence[str] = ()
) -> runs.Stage:
    """Measure after these stages; the result is kept in `run_folder`. `whole` measures ingest and features too, on made-up data;
    `peers` takes the benchmarks of `bench/` (only `names`, where given), as the settings say where it is None."""
    config = settings.load()
    store = Store(config.lake, code=machine.code_version())
    beside = config.bench.peers and missing() is None and any(s.changed for s in stages) if peers is None else peers
    stage = measure(
        store,
        stages,
        run_id=run_folder.name,
        data_dir=config.data_dir,
        bench=config.bench,
        triton=config.triton,
        deploy=config.deploy,
        also=paces(config) if whole else (),
        peers=beside_peers(names) if beside else None,
    )
    runs.save(run_folder, stage)
    await publish(stage, store)
    return stage
