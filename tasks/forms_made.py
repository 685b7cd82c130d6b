"""A trained model in each form: the files that a form needs, and the form as a function of windows."""

import importlib.util
import logging
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from core import form
from core.inference import Answers, Floats, in_process
from core.repository import MODEL
from tasks.export import by_torch

if TYPE_CHECKING:
    from kernels.model import ModelConfig, Network

Ask = Callable[[Floats], Answers]
COMPARED = ("torch-eager", "torch-script", "jax")  # measured beside the forms that can be served
QUANTISED = ("MatMul", "Gemm", "LSTM")


class Missing(NamedTuple):
    """A form that cannot be had here."""

    why: str


def make(name: str, folder: Path, network: "Network", config: "ModelConfig") -> Ask | Missing:
    """The model of `folder` (which has `model.onnx`) in a form, its own file written where it needs one."""
    if name in COMPARED:
        return compared(name, network, config)
    if why := form.missing(name):
        return Missing(why)
    file = folder / form.of(name).file
    if form.of(name).precision == "int8":
        quantise(folder / MODEL, file)
    return in_process(folder, name)


def quantise(model: Path, into: Path) -> None:
    """Weights to int8 ahead, activations as they come (their range is taken over the batch: an answer depends on its batch a little)."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    partial = into.with_name(into.name + ".partial")
    chatty = logging.getLogger()
    level = chatty.level
    chatty.setLevel(logging.ERROR)  # it advises a step of its own on the root logger
    try:
        quantize_dynamic(model, partial, op_types_to_quantize=list(QUANTISED), weight_type=QuantType.QInt8)
    finally:
        chatty.setLevel(level)
    partial.replace(into)


def compared(name: str, network: "Network", config: "ModelConfig") -> Ask | Missing:
    """torch as it is, torch as TorchScript (traced and frozen), or JAX."""
    if name == "jax":
        if importlib.util.find_spec("jax") is None:
            return Missing("jax is not installed")
        from kernels import model_jax

        jitted = model_jax.jitted(network, config)
        return lambda features: Answers(*(np.asarray(answer) for answer in jitted(features)))
    if name == "torch-eager":
        return lambda features: by_torch(network, features)
    import torch

    with torch.inference_mode(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of shapes that tracing fixes: the batch is not among them
        example = torch.zeros(2, config.window, config.n_features)
        frozen = torch.jit.freeze(torch.jit.trace(network, example, check_trace=False))

    def ask(features: Floats) -> Answers:
        with torch.inference_mode():
            return Answers(*(answer.numpy() for answer in frozen(torch.from_numpy(features))))

    return ask
