"""A trained model as ONNX beside its weights, refused unless it answers as torch does."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from core.inference import Answers, Floats
from core.repository import MODEL
from core.serving_record import write_whole

if TYPE_CHECKING:
    from kernels.model import ModelConfig, Network

BATCHES = (1, 2, 64)  # where a wrong batch axis shows
RECORDED = "recorded.npz"


class ExportError(RuntimeError):
    """A model that cannot be read, or that answers otherwise than torch as ONNX; the message has the file, or the figures."""


def export(folder: Path, *, max_error: float) -> dict[str, Any]:
    """Write `model.onnx` into a trained model's folder; returns `max_error_export` over all batches and the recorded inputs.

    Raises `ExportError`, with the error at each batch size, where one is over `max_error` (absolute); nothing is written then.
    """
    from kernels import export as kernel

    network, config = readable(folder)
    data = kernel.onnx(network, config)
    recorded, answers = read_recorded(folder, config)
    asked = session(data)
    errors = {f"batch {n}": asked(batch).error(by_torch(network, batch)) for n in BATCHES for batch in [repeated(recorded, n)]}
    errors["recorded"] = asked(recorded).error(answers)
    if not max(errors.values()) <= max_error:
        figures = ", ".join(f"{name} {error:.2g}" for name, error in errors.items())
        raise ExportError(f"{folder.name}: ONNX differs from torch by more than {max_error:g}: {figures}")
    write_whole(folder / MODEL, data)
    return {"max_error_export": max(errors.values()), "errors": errors, "window": config.window, "n_features": config.n_features}


def readable(folder: Path) -> "tuple[Network, ModelConfig]":
    """The network in a trained model's folder. Raises `ExportError` with the folder's name where its files are torn, or do not fit."""
    from safetensors import SafetensorError

    from kernels import model

    try:
        return model.load(folder)
    except FileNotFoundError as error:
        raise ExportError(f"{error.filename} is missing; train again") from error
    except (SafetensorError, RuntimeError) as error:
        raise ExportError(f"{folder / model.WEIGHTS} cannot be read ({worded(error)}); delete the folder and train again") from error
    except (msgspec.DecodeError, ValueError) as error:
        raise ExportError(f"{folder / model.CONFIG} cannot be read ({worded(error)}); delete the folder and train again") from error


def worded(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]


def session(model: bytes | Path) -> Callable[[Floats], Answers]:
    """ONNX Runtime in this process, on one thread: float32 [B, window, F] -> answers."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    source = model if isinstance(model, bytes) else str(model)
    made = onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])

    def ask(features: Floats) -> Answers:
        found: Any = made.run(Answers._fields, {"features": features})
        return Answers(*found)

    return ask


def by_torch(network: "Network", features: Floats) -> Answers:
    import torch

    with torch.inference_mode():
        return Answers(*(answer.numpy() for answer in network(torch.from_numpy(features))))


def read_recorded(folder: Path, config: "ModelConfig | None" = None) -> tuple[Floats, Answers]:
    """The windows kept at training and torch's answers to them. Raises `ExportError` where there are none, or of another shape."""
    path = folder / RECORDED
    if not path.is_file():
        raise ExportError(f"{path} is missing: nothing to check the model on; train again")
    with np.load(path) as kept:
        features = np.ascontiguousarray(kept["features"], dtype=np.float32)
        answers = Answers(*(kept[name].astype(np.float32).reshape(len(features), -1) for name in Answers._fields))
    if not len(features) or (config and features.shape[1:] != (config.window, config.n_features)):
        raise ExportError(f"{path} holds windows of {features.shape}, which do not fit the model; train again")
    return features, answers


def repeated(features: Floats, n: int) -> Floats:
    """`n` of the windows, from the start again when there are fewer."""
    return np.ascontiguousarray(np.resize(features, (n, *features.shape[1:])))
