"""Triton in the loop: it answers the worker; killed, another answers, or nobody, as the setting says; started again, it is back."""

import asyncio
import os
import signal
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from core import settings
from core.events import Decision, Input, Prediction, PredictionFailed
from core.triton import Triton, serve
from core.triton_wheel import unavailable
from kernels import features, model
from serving import journal, predicting
from serving.deployed import deployed
from tasks.deploy import deploy_version
from tasks.export import by_torch

from .conftest import Session, Trading

pytestmark = [
    pytest.mark.server,
    pytest.mark.recordings,
    pytest.mark.skipif(unavailable() is not None, reason=str(unavailable())),
]
NAMES = features.names()[:4]
WINDOW = 5
DEPLOY = settings.Deploy(max_latency_ms=5_000, forms=("onnxruntime-f32",), tune=False)


def served(data_dir: Path) -> None:
    """A small network with random weights, proven by Triton and switched to as the champion."""
    data_dir.mkdir(parents=True)
    torch.manual_seed(1)
    name, of = f"{1:012x}", features.feature_set_hash(NAMES)
    folder = data_dir / "models" / name
    shape = model.ModelConfig(
        n_features=len(NAMES), window=WINDOW, conv_channels=8, lstm_hidden=4, heads=2, feature_names=NAMES, feature_set_hash=of
    )
    network = model.new(shape).eval()
    model.save(folder, network, shape)
    windows = np.random.default_rng(1).standard_normal((20, WINDOW, len(NAMES))).astype(np.float32)
    np.savez(folder / "recorded.npz", features=windows, **by_torch(network, windows)._asdict())
    facts: dict[str, Any] = {
        "version_id": name, "folder": str(folder), "feature_set_hash": of, "feature_names": list(NAMES), "evidence": True,
        "verdict": "made for a test", "generated": False, "inputs": {}, "params": {"seed": 1},
        "scores": {"model": {"accuracy": 0.5}, "baselines": {"no trade": {"accuracy": 0.4}}},
    }  # fmt: skip
    stage = deploy_version(facts, data_dir=data_dir, triton=settings.Triton(), expected_hash=of, code="test", deploy=DEPLOY)
    assert stage.facts["failed"] is None, stage.facts["reason"]
    assert (stage.facts["alias"], stage.facts["served_by"]) == ("champion", "triton")


def killed(server: Triton) -> None:
    assert server.service is not None
    assert server.service.pid is not None
    os.kill(server.service.pid, signal.SIGKILL)
    for _ in range(200):
        if not server.alive:
            return
        time.sleep(0.05)
    raise AssertionError("Triton outlived SIGKILL")


@pytest.mark.parametrize("fallback", ["in-process", "none"])
def test_predictions_come_from_triton_and_while_it_is_dead_from_where_the_setting_says(
    session: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fallback: str
) -> None:
    monkeypatch.setattr(predicting, "RETRY_TRITON_NS", 3 * 10**9)
    data_dir = tmp_path / "data"
    served(data_dir)
    server = serve(data_dir)
    again: list[Triton] = []

    async def case() -> Path:
        models = deployed(data_dir, "auto", fallback, lambda text: None)
        assert [bool(one.url) for one in models] == [True]
        async with session(models=models, deadline_ns=2 * 10**9, max_age_ns=4 * 10**9) as trading:
            told = listening(trading)
            await trading.until(lambda: told["triton"] >= 3)
            was = server.grpc_url
            await asyncio.to_thread(killed, server)
            other = "in-process" if fallback == "in-process" else "failed"
            await trading.until(lambda: told[other] >= 3)
            before = told["triton"]
            again.append(await asyncio.to_thread(serve, data_dir))
            assert again[0].grpc_url != was, "it has another address now"
            await trading.until(lambda: told["triton"] >= before + 3)
            assert trading.launched.worker.healthy
            return trading.launched.folder

    try:
        folder = asyncio.run(case())
    finally:
        for one in (server, *again):
            one.stop()
    told = [one for _, one in journal.read(folder)]
    by = [one.served_by for one in told if isinstance(one, Prediction)]
    failed = [one for one in told if isinstance(one, PredictionFailed)]
    changes = [now for was, now in zip(["", *by], by, strict=False) if was != now]
    assert changes == (["triton", "in-process", "triton"] if fallback == "in-process" else ["triton"])
    assert bool(failed) is (fallback == "none")


def listening(trading: Trading) -> Counter[str]:
    """Counts predictions by who made them; `failed`: those that nobody made."""
    told: Counter[str] = Counter()
    worker = trading.launched.worker
    pass_on = worker.published

    def hear(said: Input | Decision) -> None:
        if isinstance(said, Prediction):
            told[said.served_by] += 1
        elif isinstance(said, PredictionFailed):
            told["failed"] += 1
        pass_on(said)

    worker.published = hear
    return told
