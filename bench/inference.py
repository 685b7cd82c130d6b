"""Inference on one thread: every form of the model beside torch, ONNX Runtime, OpenVINO and JAX on the network written plainly.

Two networks: the project's own, and the larger one that the design page measured (Conv 16->64 k3, 2 x BiLSTM(64), MHA(128, 4)). The
plain form attends from every second to every second, as `nn.MultiheadAttention` does, and reads the last; JAX is given our rewrite.
Answers are compared before anything is timed, and all take turns in one process.
"""
# pyright: reportMissingImports=false

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from bench.harness import BenchError, same
from bench.runner import ROOT, THREADS, Say, plain

ROUNDS, SECONDS = 6, 0.12  # of each way, in each round
BATCHES = (1, 64)
WINDOW = 60
KERNEL = 5  # of the project's convolution
PEERS = ("torch eager", "TorchScript", "ONNX Runtime as exported", "OpenVINO", "JAX")
F32 = 1e-5

Ask = Callable[[np.ndarray], Any]


class Network(NamedTuple):
    name: str
    features: int
    settings: Mapping[str, Any]
    kernel: int  # of the convolution


def networks() -> tuple[Network, ...]:
    from kernels import features

    ours = Network("the project's network", len(features.model_inputs()), {}, KERNEL)
    larger = {"conv_channels": 64, "conv_stride": 1, "lstm_hidden": 64, "lstm_layers": 2, "heads": 4}
    return ours, Network("the larger network", 16, larger, 3)


def take(say: Say) -> list[dict[str, Any]]:
    """The rows, measured in a process whose libraries have one thread each."""
    say("inference: every form and peer, by turns")
    env = os.environ | dict.fromkeys(THREADS, "1") | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-m", "bench.inference"], cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    if done.returncode:
        raise BenchError(f"inference ended with {done.returncode}:\n{done.stderr.strip()[-2000:]}")
    return json.loads(done.stdout.strip().rpartition("\n")[2])


def measured() -> list[dict[str, Any]]:
    import torch

    torch.set_num_threads(1)
    rows = []
    for network in networks():
        with tempfile.TemporaryDirectory(prefix="scalp-bench-inference-") as folder:
            rows += of_network(network, Path(folder))
    return rows


def of_network(which: Network, folder: Path) -> list[dict[str, Any]]:
    import torch

    from core import form, settings
    from kernels import export as exported
    from kernels import model
    from tasks import export, forms, forms_made

    torch.manual_seed(7)
    config = model.ModelConfig(n_features=which.features, window=WINDOW, **which.settings)
    network = model.new(config).eval()
    if which.kernel != KERNEL:
        network.conv[0] = torch.nn.Conv1d(
            which.features, config.conv_channels, which.kernel, stride=config.conv_stride, padding=which.kernel // 2
        )
    random = np.random.default_rng(7)
    windows = {n: random.standard_normal((n, WINDOW, which.features)).astype(np.float32) for n in BATCHES}
    full = plainly(network, config)
    (folder / "model.onnx").write_bytes(exported.onnx(network, config))
    (folder / "plain.onnx").write_bytes(exported.onnx(full, config))
    names = [name for name in form.FORMS if form.missing(name) is None]
    ways = {name: forms_made.make(name, folder, network, config) for name in names}
    ways |= {"TorchScript": forms_made.make("torch-script", folder, full, config), "JAX": forms_made.make("jax", folder, network, config)}
    asks: dict[str, Ask] = {name: way for name, way in ways.items() if not isinstance(way, forms_made.Missing)}
    asks |= {"torch eager": lambda x: export.by_torch(full, x), "ONNX Runtime as exported": form.onnxruntime(folder / "plain.onnx")}
    if "openvino-f32" in names:
        asks["OpenVINO"] = form.openvino(folder / "plain.onnx", "f32", BATCHES)
    exact = {name for name in asks if name not in names or form.of(name).precision == "f32"}
    errors = {name: error(name, ask, asks["torch eager"], windows, exact=name in exact) for name, ask in asks.items()}
    times = by_turns(asks, windows)
    # Of the forms in float32: with random weights there is nothing to judge the others on.
    chosen = forms.rules.fastest({name: float(np.median(times[name, 1])) for name in settings.Deploy().forms if name in exact})
    least = {n: flop(config, which, n) / peak() for n in BATCHES}
    rows = []
    for n in BATCHES:
        for name in names:
            title = f"{which.name}, batch {n}: {name}"
            made = row(title, name, {p: times[p, n] for p in PEERS if p in asks}, times[name, n], least[n], errors[name])
            rows.append(made | {"held": made["held"] + ("; the fastest that passes" if name == chosen else "")})
    return rows


def plainly(network: Any, config: Any) -> Any:
    """The same network with torch's own attention, every second asking every second, and the last one read."""
    import copy

    import torch

    class Full(torch.nn.Module):
        def __init__(self, pooling: Any) -> None:
            super().__init__()
            self.attention = torch.nn.MultiheadAttention(2 * config.lstm_hidden, config.heads, batch_first=True)
            parts = (pooling.query, pooling.key, pooling.value)
            with torch.no_grad():
                self.attention.in_proj_weight.copy_(torch.cat([p.weight for p in parts]))
                self.attention.in_proj_bias.copy_(torch.cat([p.bias for p in parts]))
            self.attention.out_proj.load_state_dict(pooling.out.state_dict())

        def forward(self, states: Any) -> Any:
            return self.attention(states, states, states, need_weights=False)[0][:, -1]

    made = copy.deepcopy(network)
    made.pooling = Full(network.pooling)
    return made.eval()


def error(name: str, ask: Ask, torch_eager: Ask, windows: Mapping[int, np.ndarray], *, exact: bool) -> float:
    """The largest against torch; BenchError where a float32 way is off."""
    worst = 0.0
    for n, x in windows.items():
        for ours, theirs in zip(ask(x), torch_eager(x), strict=True):
            if exact:
                same(f"{name}, batch {n}", ours, theirs, within=F32)
            worst = max(worst, float(np.abs(np.asarray(ours) - theirs).max()))
    return worst


def by_turns(asks: Mapping[str, Ask], windows: Mapping[int, np.ndarray]) -> dict[tuple[str, int], np.ndarray]:
    """Seconds of every call, by way and batch."""
    taken: dict[tuple[str, int], list[float]] = {(name, n): [] for name in asks for n in windows}
    for _ in range(ROUNDS):
        for n, x in windows.items():
            for name, ask in asks.items():
                for _ in range(3):
                    ask(x)
                end = time.perf_counter() + SECONDS
                while time.perf_counter() < end:
                    begun = time.perf_counter()
                    ask(x)
                    taken[name, n].append(time.perf_counter() - begun)
    return {key: np.array(times) for key, times in taken.items()}


def flop(config: Any, which: Network, n: int) -> float:
    """Of `n` windows: convolution, both directions of each layer, and the pooling as rewritten; what is left is below a hundredth."""
    steps, hidden = -(-WINDOW // config.conv_stride), config.lstm_hidden
    size = 2 * hidden
    widths = [config.conv_channels] + [size] * (config.lstm_layers - 1)
    lstm = sum(2 * steps * 4 * hidden * (width + hidden) for width in widths)
    pooling = 2 * size * size + 2 * size * size + 2 * config.heads * steps * size
    return 2.0 * n * (steps * which.kernel * which.features * config.conv_channels + lstm + pooling)


def peak() -> float:
    """float32 operations a second of this thread, by the library's own product of matrices that fit the cache."""
    import torch

    a, b = torch.randn(384, 384), torch.randn(384, 384)
    times = []
    for _ in range(60):
        begun = time.perf_counter()
        torch.mm(a, b)
        times.append(time.perf_counter() - begun)
    return 2 * 384**3 / float(np.median(times))


def row(title: str, ours: str, peers: Mapping[str, np.ndarray], times: np.ndarray, least: float, wrong: float) -> dict[str, Any]:
    """As `bench.runner.made` gives it, in microseconds a call."""
    low, middle, high, p99 = (float(v) * 1e6 for v in np.percentile(times, [25, 50, 75, 99]))
    of_peers = {name: float(np.median(values)) * 1e6 for name, values in peers.items()}
    best = min(of_peers, key=lambda name: of_peers[name])
    more = {
        "spread": (high - low) / middle,
        "p99_over_median": p99 / middle,
        "peer": best,
        "peer_value": of_peers[best],
        "peers": of_peers,
        "ratio": of_peers[best] / middle,
        "limit": "the same multiplications and additions at the speed of a matrix product",
        "limit_value": least * 1e6,
        "limit_share": least * 1e6 / middle,
        "n": len(times),
        "higher_is_better": False,
        "held": f"{ours}: largest error against torch {wrong:.2g}",
    }
    return plain("inference", title, "us", middle, **more)


if __name__ == "__main__":
    print(json.dumps(measured()))
