"""A model's `config.pbtxt`: what Triton is told of it, for the Python back end and for NVIDIA's ONNX Runtime back end."""

import json
from collections.abc import Collection, Mapping
from typing import NamedTuple

import msgspec

OUTPUTS = {"direction": 3, "confidence": 1, "volatility": 1}  # name -> columns
INPUT = "features"
LIVE, BATCH = 1, 2  # priority levels: what is live is served before what is not
# With priority levels Triton 2.51's batcher hands out one batch per idle instance, and the wake-up for a request that arrives just
# as the only instance falls idle can be lost: the request then waits for the batcher's next look, 500 ms later. One instance
# lost 1 to 10 % of requests so (1 to 5 clients at once); two lost one in some ten thousand, on an overloaded machine.
INSTANCES = 2


class Batching(msgspec.Struct, frozen=True, kw_only=True):
    """How Triton puts requests together, and how many batches it computes at a time."""

    queue_delay_us: int = 100  # how long a request may wait for others to fill a preferred batch
    preferred: tuple[int, ...] = (8, 32, 64)  # empty: whatever waits is taken at once
    instances: int = INSTANCES

    def __str__(self) -> str:
        sizes = " or ".join(map(str, self.preferred)) or "any"
        return f"{self.instances} instance{'s' * (self.instances != 1)}, {sizes} preferred, {self.queue_delay_us} us to wait"


class Shape(NamedTuple):
    window: int
    n_features: int


def config(
    model_name: str,
    backend: str,
    shapes: Collection[Shape],
    versions: Mapping[int, Mapping[str, str]],
    *,
    max_batch: int,
    batching: Batching,
) -> str:
    """The text of the file. `versions` maps each number to serve to what is to be known of it (`<n>.<key>` in `parameters`).

    Versions of several shapes leave the dimensions open, and warm up by themselves (`triton_model.py` does so in any case).
    """
    open_ended = len(shapes) != 1
    dims = "-1, -1" if open_ended else ", ".join(map(str, next(iter(shapes))))
    which = 'platform: "onnxruntime_onnx"' if backend == "onnxruntime" else 'backend: "python"'
    outputs = ",\n".join(f"  {{ name: {json.dumps(n)} data_type: TYPE_FP32 dims: [ {d} ] }}" for n, d in OUTPUTS.items())
    sizes = ", ".join(str(n) for n in sorted({min(n, max_batch) for n in batching.preferred}))
    preferred = f"  preferred_batch_size: [ {sizes} ]\n" if sizes else ""
    blocks = [
        f"name: {json.dumps(model_name)}",
        which,
        f"max_batch_size: {max_batch}",
        f"version_policy: {{ specific: {{ versions: [ {', '.join(map(str, sorted(versions)))} ] }} }}",
        f'input [\n  {{ name: "{INPUT}" data_type: TYPE_FP32 dims: [ {dims} ] }}\n]',
        f"output [\n{outputs}\n]",
        f"instance_group [ {{ kind: KIND_CPU count: {batching.instances} }} ]",
        "dynamic_batching {\n"
        f"{preferred}"
        f"  max_queue_delay_microseconds: {batching.queue_delay_us}\n"
        f"  priority_levels: {BATCH}\n"
        f"  default_priority_level: {BATCH}\n"
        "}",
    ]
    if not open_ended:
        blocks.append("model_warmup [\n" + ",\n".join(_warm_up(n, dims) for n in sorted({1, max_batch})) + "\n]")
    if backend == "onnxruntime":
        blocks += [_parameter("intra_op_thread_count", "1"), _parameter("inter_op_thread_count", "1")]
    blocks += [_parameter(f"{n}.{key}", value) for n, of in sorted(versions.items()) for key, value in of.items()]
    return "\n".join(blocks) + "\n"


def _warm_up(n: int, dims: str) -> str:
    zeros = f"{{ data_type: TYPE_FP32 dims: [ {dims} ] zero_data: true }}"
    return f'  {{ name: "batch of {n}" batch_size: {n} inputs {{ key: "{INPUT}" value: {zeros} }} }}'


def _parameter(key: str, value: str) -> str:
    return f"parameters {{ key: {json.dumps(key)} value: {{ string_value: {json.dumps(value)} }} }}"
