"""What was measured for a shape of model on this machine, kept for the next model of that shape: `<data_dir>/tuning/<key>.json`."""

import hashlib
import importlib.metadata
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from core import machine
from core.serving_record import write_whole

LIBRARIES = ("numpy", "torch", "jax", "onnxruntime", "openvino", "nvidia-pytriton")


def key(onnx: Path, params: Mapping[str, Any]) -> str:
    """Machine, versions, the graph (operators, their attributes, shapes of weights: not the weights) and `params`, hashed."""
    told = [machine.machine(), versions(), graph(onnx), params]
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:16]


def versions() -> dict[str, str]:
    found = {}
    for name in LIBRARIES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def graph(onnx: Path) -> str:
    """A hash of the graph's shape, equal for every set of weights."""
    import onnx as library

    graph = library.load(onnx).graph
    operators = [[n.op_type, sorted((a.name, a.i, list(a.ints)) for a in n.attribute)] for n in graph.node]
    weights = sorted(list(t.dims) for t in graph.initializer)
    inputs = [[d.dim_value for d in i.type.tensor_type.shape.dim] for i in graph.input]
    return hashlib.sha256(json.dumps([operators, weights, inputs]).encode()).hexdigest()


def read(data_dir: Path, key: str) -> dict[str, Any]:
    """What is kept under a key; nothing where there is none, or where it cannot be read (it is measured again)."""
    try:
        return json.loads((data_dir / "tuning" / f"{key}.json").read_bytes())
    except (FileNotFoundError, ValueError):
        return {}


def write(data_dir: Path, key: str, **found: Any) -> None:
    told = read(data_dir, key) | {"machine": machine.machine(), "versions": versions()} | found
    write_whole(data_dir / "tuning" / f"{key}.json", json.dumps(told, indent=1).encode())
