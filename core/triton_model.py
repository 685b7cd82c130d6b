"""What Triton's Python back end runs beside each `model.onnx`: ONNX Runtime over the batch that Triton has put together.

Copied into every version's folder; it runs in a process of Triton's, with an interpreter that ignores PYTHONPATH, and
with a back end built before NumPy 2: its own conversions misread this NumPy's arrays, both ways (an input of equal numbers, an
output of no bytes). Tensors therefore pass by DLPack, which copies nothing and needs no torch.
"""

import ctypes
import os
import sys
from pathlib import Path
from typing import Any

sys.path[:0] = [folder for folder in os.environ.get("PYTHONPATH", "").split(os.pathsep) if folder and folder not in sys.path]

import numpy as np  # noqa: E402
import onnxruntime  # noqa: E402
import triton_python_backend_utils as pb_utils  # noqa: E402  # pyright: ignore[reportMissingImports]

INPUT, OUTPUTS = "features", ("direction", "confidence", "volatility")

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
        path = Path(args["model_repository"]) / args["model_version"] / "model.onnx"
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1  # instances are what runs side by side
        self.session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        shape = [1 if isinstance(size, str) else size for size in self.session.get_inputs()[0].shape]
        self.session.run(OUTPUTS, {INPUT: np.zeros(shape, np.float32)})

    def execute(self, requests: list[Any]) -> list[Any]:
        inputs = [np.from_dlpack(pb_utils.get_input_tensor_by_name(request, INPUT)) for request in requests]
        answers: Any = self.session.run(OUTPUTS, {INPUT: inputs[0] if len(inputs) == 1 else np.concatenate(inputs)})
        responses, begin = [], 0
        for one in inputs:
            end = begin + len(one)
            tensors = [output(name, values[begin:end]) for name, values in zip(OUTPUTS, answers, strict=True)]
            responses.append(pb_utils.InferenceResponse(tensors))
            begin = end
        return responses
