"""The speeds a benchmark takes: of the stages, from what they say; of training and inference, by doing it for some seconds."""

import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

from core.inference import Floats, Predictor
from core.repository import MODEL
from core.runs import Stage
from core.triton import Triton
from kernels import regressions
from tasks.export import read_recorded, repeated, session
from tasks.proving import Ask, latencies_ms

LIVE = 1  # priority
STEPS, WARM_STEPS = 20, 2
BESIDE = (
    "peer",
    "peer_value",
    "ratio",
    "target",
    "limit",
    "limit_share",
    "at_most",
    "at_least",
    "share_target",
    "peak_mb",
    "peer_peak_mb",
    "first_s",
    "met",
)
PROTOCOLS: tuple[tuple[Literal["grpc", "http"], str], ...] = (("grpc", "gRPC"), ("http", "HTTP"))


class Measured(NamedTuple):
    name: str
    unit: str
    value: float
    spread: float | None  # of the value, where it was measured more than once
    higher_is_better: bool
    beside: Mapping[str, Any] | None = None  # what `BESIDE` names: the best peer on the same input, the ratio asked for ...


def of_stages(stages: Sequence[Stage], peak_bytes: int) -> list[Measured]:
    """Rows a second of the stages that worked, and the peak memory of this process, in MB of 10^6 bytes.

    A stage that says its own `peak_memory_bytes` is believed; else the peak is that of the whole run so far. Names say the source:
    decoding a generated market is no measure of reading tables.
    """
    found = []
    source = next((f", {stage.facts['source']}" for stage in stages if stage.facts.get("source")), "")
    for stage in stages:
        facts = stage.facts
        if not stage.changed or stage.seconds <= 0:
            continue
        if stage.name == "ingest":
            rows = sum(f.get("rows") or 0 for f in facts.get("files", []) if not f.get("skipped"))
        elif stage.name == "features":
            rows = sum(d.get("rows") or 0 for d in facts.get("days", []) if d.get("changed", True))
        else:
            continue
        if rows:
            found.append(Measured(f"{stage.name} rows{source}", "rows/s", rows / stage.seconds, None, True))
            peak = facts.get("peak_memory_bytes")
            if peak:
                found.append(Measured(f"{stage.name} peak memory{source}", "MB", peak / 1e6, None, False))
    if found and not any(m.unit == "MB" for m in found):
        found.append(Measured(f"ingest and features peak memory{source}", "MB", peak_bytes / 1e6, None, False))
    return found


def training_step(folder: Path, params: Mapping[str, Any]) -> Measured:
    """One step (forward, backward, update) of the model in `folder` on recorded windows, at the batch size it was trained with."""
    import torch

    from kernels import model

    torch.manual_seed(0)
    network, config = model.load(folder)
    recorded, answers = read_recorded(folder, config)
    size = int(params.get("batch_size", 128))
    features = torch.from_numpy(repeated(recorded, size))
    targets = torch.from_numpy(repeated(answers.direction, size)).argmax(dim=1)
    optimizer = torch.optim.AdamW(network.train().parameters(), lr=1e-5)
    took = []
    before = torch.get_num_threads()
    torch.set_num_threads(int(params.get("threads", 1)))
    try:
        for _ in range(WARM_STEPS + STEPS):
            begun = time.perf_counter_ns()
            logits, confidence, volatility = network.raw(features)
            loss = torch.nn.functional.cross_entropy(logits, targets) + confidence.square().mean() + volatility.square().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            took.append((time.perf_counter_ns() - begun) / 1e6)
    finally:
        torch.set_num_threads(before)
    value, spread = regressions.statistic(took[WARM_STEPS:], 50)
    return Measured(f"training step, batch {size}", "ms", value, spread, False)


def inference(folder: Path, served: tuple[str, int] | None, server: Triton | None, requests: int) -> Iterator[Measured]:
    """p50 and p99 of batch 1 and 64: in-process, and by gRPC and HTTP where a server serves (model, version)."""
    recorded, _ = read_recorded(folder)
    yield from latencies("in-process", session(folder / MODEL), recorded, requests)
    if server is None or served is None:
        return
    for protocol, name in PROTOCOLS:
        with Predictor(server.grpc_url if protocol == "grpc" else server.http_url, *served, protocol=protocol, priority=LIVE) as ask:
            yield from latencies(name, ask, recorded, requests)


def latencies(name: str, ask: Ask, recorded: Floats, requests: int) -> Iterator[Measured]:
    for n, asked in ((1, requests), (64, max(10, requests // 6))):
        took = latencies_ms(ask, repeated(recorded, n), asked)
        for q in (50, 99):
            value, spread = regressions.statistic(took, q)
            yield Measured(f"{name} batch {n} p{q}", "ms", value, spread, False)
