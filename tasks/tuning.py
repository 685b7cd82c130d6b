"""How Triton should batch a model on this machine: some ways are tried with a bounded load, on the real server, and one is chosen.

Each way is a model of its own for as long as it is measured (`<model_name>--trial-<k>`), so that they can take turns and what is served
is not touched. First with and without waiting; then, from the better of those, other waits, no preferred size and one
instance.
"""

import contextlib
import logging
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from msgspec.structs import replace

from core.configuration import INSTANCES, LIVE, Batching
from core.inference import Floats, Predictor
from core.repository import TRIAL, Repository
from core.serving_record import Version
from core.triton import Triton
from kernels.forms import Pace, best_batching
from tasks.export import repeated

log = logging.getLogger("scalp")

FORM = 1  # of what is measured and how
CLIENTS = 16
LOAD_S, SINGLES, ROUNDS = 0.3, 100, 2  # of each way, in each round
START_S, WARM = 0.1, 5  # for the clients to be there; requests that are not counted
STALL_MS = 400.0  # a request that waited for the batcher's next look, which comes every 500 ms
MOST_MS = 1_000.0  # of one client in a round: a way that stalls is not waited for
MOST_S = 14.0  # for all of it, as far as it can be stopped


def first_ways(own: Batching) -> list[Batching]:
    """The settings' own, and the same without waiting."""
    return list(dict.fromkeys([own, replace(own, queue_delay_us=0)]))


def more_ways(best: Batching) -> list[Batching]:
    """The better of those with other waits, without preferred sizes, and on one instance."""
    waits = [replace(best, queue_delay_us=delay) for delay in (50, 200)]
    return [*waits, replace(best, preferred=()), replace(best, instances=1)]


def tune(server: Triton, repository: Repository, version: Version, onnx: Path, recorded: Floats) -> dict[str, Any]:
    """`batching` (as its fields), `why`, `table` (one row a way), `seconds`. Raises `TritonError` where a way cannot be loaded."""
    begun = time.monotonic()
    own = repository.batching
    window = repeated(recorded, 1)
    measured: dict[Batching, dict[str, Any]] = {}
    for stage in (first_ways, more_ways):
        best = chosen(measured)[0] if measured else own
        ways = [way for way in stage(best) if way not in measured]
        if not ways or time.monotonic() - begun > MOST_S / 2:
            break
        with trials(server, repository, version, onnx, ways) as names:
            measured |= dict(zip(ways, paces(server, names, version.n, window, begun + MOST_S), strict=True))
    best, why = chosen(measured)
    reasons = unsound(measured)
    table = [{"way": str(way), "chosen": way == best} | fields(way) | found | {"unsound": reasons[way]} for way, found in measured.items()]
    return {"batching": fields(best), "why": why, "table": table, "seconds": round(time.monotonic() - begun, 1)}


def fields(way: Batching) -> dict[str, Any]:
    return {"queue_delay_us": way.queue_delay_us, "preferred": list(way.preferred), "instances": way.instances}


def chosen(measured: dict[Batching, dict[str, Any]]) -> tuple[Batching, str]:
    """The best of what was measured; the settings' own, which comes first, unless it is clearly beaten."""
    reasons = unsound(measured)
    which, why = best_batching([Pace(one["p99_ms"], one["per_s"], reasons[way]) for way, one in measured.items()])
    return list(measured)[which], why


def unsound(measured: Mapping[Batching, Mapping[str, Any]]) -> dict[Batching, str]:
    """Why each way may not be chosen; empty where it may, as the settings' own always may.

    What one instance loses (see `core.configuration`) a short load shows only by chance; a busy machine stalls every way.
    """
    own, reasons = next(iter(measured)), {}
    for way, one in measured.items():
        reasons[way] = ""
        if way != own and way.instances < INSTANCES:
            reasons[way] = "fewer instances than two can lose the wake-up for a request"
        elif one["stalled"] > measured[own]["stalled"]:
            reasons[way] = f"{one['stalled']} requests waited {STALL_MS:.0f} ms and more"
    return reasons


@contextmanager
def trials(server: Triton, repository: Repository, version: Version, onnx: Path, ways: Sequence[Batching]) -> Iterator[list[str]]:
    """A model for each way, loaded side by side and gone afterwards."""
    made = []
    try:
        for k, way in enumerate(ways):
            trial = Repository(repository.data_dir, f"{repository.model_name}{TRIAL}{k}", max_batch=repository.max_batch)
            made.append(trial)
            shutil.rmtree(trial.folder, ignore_errors=True)
            trial.write_version(version, onnx)
            trial.write_config([version], way)
        names = [trial.model_name for trial in made]
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(server.load, names))
        yield names
    finally:
        with contextlib.ExitStack() as gone:  # each is tried, whatever became of the one before
            for trial in made:
                gone.callback(shutil.rmtree, trial.folder, ignore_errors=True)
                if server.alive:
                    gone.callback(unloaded, server, trial.model_name)


def unloaded(server: Triton, name: str) -> None:
    if server.alive and server.versions(name):
        server.unload(name)


def paces(server: Triton, names: Sequence[str], n: int, window: Floats, until: float) -> list[dict[str, Any]]:
    """For version `n` of each model: a single client's p50 and p99 in ms, what sixteen clients got through a second, and their p99.

    The models take turns over the rounds; the second is left out when time is up.
    """
    singles: list[list[float]] = [[] for _ in names]
    rates: list[list[float]] = [[] for _ in names]
    loads: list[list[float]] = [[] for _ in names]
    for turn in range(ROUNDS):
        if turn and time.monotonic() > until:
            log.info("deploy: tuning ran out of its %g s after %d of %d rounds", MOST_S, turn, ROUNDS)
            break
        for k, name in enumerate(names):
            singles[k] += one_client(server, name, n, window)
            waited = many_clients(server, name, n, window)
            loads[k] += waited
            rates[k].append(len(waited) / LOAD_S)
    return [
        {
            "p50_ms": round(float(np.percentile(one, 50)), 3),
            "p99_ms": round(float(np.percentile(one, 99)), 3),
            "per_s": round(float(np.median(rate)), 1),
            "load_p99_ms": round(float(np.percentile(load, 99)), 2) if load else MOST_MS,
            "stalled": sum(ms > STALL_MS for ms in load),
        }
        for one, rate, load in zip(singles, rates, loads, strict=True)
    ]


def one_client(server: Triton, model: str, n: int, window: Floats) -> list[float]:
    """Milliseconds of some requests, one at a time."""
    with Predictor(server.grpc_url, model, n, priority=LIVE) as ask:
        for _ in range(WARM):
            ask(window)
        took: list[float] = []
        while len(took) < SINGLES and sum(took) < MOST_MS:
            took.append(timed(ask, window))
        return took


def many_clients(server: Triton, model: str, n: int, window: Floats) -> list[float]:
    """Milliseconds of every request of sixteen clients at once, each asking again as soon as it is answered, for a while."""
    begin = time.perf_counter() + START_S

    def client(_: int) -> list[float]:
        with Predictor(server.grpc_url, model, n) as ask:
            warming = timed(ask, window)
            time.sleep(max(0.0, begin - time.perf_counter()))
            took = [warming] if warming > STALL_MS else []  # a stall counts whenever it comes
            while time.perf_counter() < begin + LOAD_S:
                took.append(timed(ask, window))
            return took

    with ThreadPoolExecutor(CLIENTS) as pool:
        return [ms for took in pool.map(client, range(CLIENTS)) for ms in took]


def timed(ask: Predictor, window: Floats) -> float:
    begun = time.perf_counter()
    ask(window)
    return (time.perf_counter() - begun) * 1e3
