"""What Triton's Python back end runs beside each `model.onnx`: the form that was chosen, over the batch that Triton has put together.

Copied into every version's folder, with `form.py`; it runs in a process of Triton's, with an interpreter that ignores PYTHONPATH, and
with a back end built before NumPy 2: its own conversions misread this NumPy's arrays, both ways (an input of equal numbers, an
output of no bytes). Tensors therefore pass by DLPack, which copies nothing and needs no torch.
"""

import ctypes
import os
import sys
from pathlib import Path
from typing import Any

folders = [str(Path(__file__).resolve().parent), *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
sys.path[:0] = [folder for folder in folders if folder and folder not in sys.path]

import form  # noqa: E402  # pyright: ignore[reportMissingImports]  (beside this file)
import numpy as np  # noqa: E402
import triton_python_backend_utils as pb_utils  # noqa: E402  # pyright: ignore[reportMissingImports]

# Triton marks a capsule it has taken with a name NumPy does not know, and NumPy's destructor then prints an error per tensor.
# The taker owns the memory from then on, so the destructor has nothing left to do.
set_destructor = ctypes.pythonapi.PyCapsule_SetDestructor
set_destructor.argtypes, set_destructor.restype = [ctypes.py_object, ctypes.c_void_p], ctypes.c_int


def output(name: str, values: np.ndarray) -> Any:
    capsule = np.ascontiguousarray(values).__dlpack__()
    set_destructor(capsule, None)
    return pb_utils.Tensor.from_dlpack(name, capsule)


class TritonPythonModel:
    def initialize(self, args: dict[str, str]) -> None:
        folder = Path(args["model_repository"]) / args["model_version"]
        self.ask = form.load(folder, form.named(folder))

    def execute(self, requests: list[Any]) -> list[Any]:
        inputs = [np.from_dlpack(pb_utils.get_input_tensor_by_name(request, form.INPUT)) for request in requests]
        answers = self.ask(inputs[0] if len(inputs) == 1 else np.concatenate(inputs))
        responses, begin = [], 0
        for one in inputs:
            end = begin + len(one)
            tensors = [output(name, values[begin:end]) for name, values in zip(form.OUTPUTS, answers, strict=True)]
            responses.append(pb_utils.InferenceResponse(tensors))
            begin = end
        return responses
