"""The forms in which a model can be run, and how each is loaded: ONNX Runtime or OpenVINO, in float32 or in less.

Stands alone (NumPy, and the runtime where a form is loaded): it is copied beside every served model, for Triton's process to
import. `form.json` there says which form was chosen; without it, it is the default.
"""

import importlib.util
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

INPUT, OUTPUTS = "features", ("direction", "confidence", "volatility")
MARK = "form.json"


class Form(NamedTuple):
    runtime: str  # the module it needs
    file: str  # beside `model.onnx`, or that itself
    precision: str  # "f32" answers as torch does; any other is judged by what its answers are worth


Name = Literal["onnxruntime-f32", "onnxruntime-int8", "openvino-f32", "openvino-bf16"]
FORMS: dict[Name, Form] = {
    "onnxruntime-f32": Form("onnxruntime", "model.onnx", "f32"),
    "onnxruntime-int8": Form("onnxruntime", "model.int8.onnx", "int8"),
    "openvino-f32": Form("openvino", "model.onnx", "f32"),
    "openvino-bf16": Form("openvino", "model.onnx", "bf16"),
}
DEFAULT: Name = "onnxruntime-f32"  # everywhere at hand, and the one to fall back on

Ask = Callable[[np.ndarray], tuple[np.ndarray, ...]]


class FormError(RuntimeError):
    """A form that cannot be run here; the message says what is missing and what to do."""


def of(name: str) -> Form:
    """What a name stands for; `FormError` for one that nobody knows."""
    found = {str(known): form for known, form in FORMS.items()}.get(name)
    if found is None:
        raise FormError(f"there is no form {name!r}; there are {', '.join(FORMS)}")
    return found


def missing(name: str) -> str | None:
    """Why a form cannot be run on this machine, in words, or None where it can."""
    form = of(name)
    if importlib.util.find_spec(form.runtime) is None:
        return f"{form.runtime} is not installed"
    if form.precision == "bf16" and not _has_bf16():
        return "this processor has no bf16"
    return None


def named(folder: Path) -> str:
    """The form that a served model's folder asks for."""
    mark = folder / MARK
    return str(json.loads(mark.read_bytes())["form"]) if mark.is_file() else DEFAULT


def load(folder: Path, name: str) -> Ask:
    """A model as a function, on one thread: float32 [B, window, F] -> direction [B, 3], confidence, volatility [B, 1].

    Not for several threads at once. Raises `FormError` where the form cannot be run here.
    """
    if reason := missing(name):
        raise FormError(f"the model is served as {name}, and {reason}: install it, or deploy again to choose another form")
    form = of(name)
    if form.runtime == "openvino":
        return openvino(folder / form.file, form.precision)
    return onnxruntime(folder / form.file)


def onnxruntime(model: Path | bytes) -> Ask:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1  # instances are what runs side by side
    source = model if isinstance(model, bytes) else str(model)
    session = onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])

    def ask(features: np.ndarray) -> tuple[np.ndarray, ...]:
        return tuple(session.run(OUTPUTS, {INPUT: features}))  # pyright: ignore[reportReturnType]

    ask(np.zeros((1, *session.get_inputs()[0].shape[1:]), np.float32))  # the first is slow
    return ask


def openvino(model: Path, precision: str, batches: tuple[int, ...] = (1,)) -> Ask:
    """One compiled graph for each of `batches`, and one for any other size: fixed shapes run faster, a batch of one above all."""
    import openvino

    core = openvino.Core()
    options = {
        "INFERENCE_PRECISION_HINT": precision,
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_NUM_THREADS": 1,
        "NUM_STREAMS": 1,
        "ENABLE_CPU_PINNING": False,  # two instances would be pinned to the same core
    }

    def compiled(batch: int | None) -> Any:
        graph = core.read_model(str(model))
        if batch is not None:
            _, *shape = graph.inputs[0].get_partial_shape()
            graph.reshape({0: openvino.PartialShape([batch, *shape])})
        request = core.compile_model(graph, "CPU", options).create_infer_request()
        return request, [request.get_compiled_model().outputs[i] for i in range(len(OUTPUTS))]

    fixed = {n: compiled(n) for n in batches}
    any_size = compiled(None)
    shape = [d.get_length() for d in list(core.read_model(str(model)).inputs[0].get_partial_shape())[1:]]

    def ask(features: np.ndarray) -> tuple[np.ndarray, ...]:
        request, outputs = fixed.get(len(features), any_size)
        request.infer([features], share_inputs=True, share_outputs=True)
        return tuple(request.get_tensor(o).data.copy() for o in outputs)  # the request writes into them again

    for n in (*batches, max(batches) + 1):
        ask(np.zeros((n, *shape), np.float32))  # the first is slow
    return ask


def _has_bf16() -> bool:
    import openvino

    return "BF16" in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
