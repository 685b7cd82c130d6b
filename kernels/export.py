"""A network as ONNX: the same graph for every batch size, scaler and calibration inside."""

import io
import warnings

import torch

from kernels.model import ModelConfig, Network

INPUT, OUTPUTS = "features", ("direction", "confidence", "volatility")
OPSET = 17
FORM = 1


def onnx(network: Network, config: ModelConfig) -> bytes:
    """The serialised graph: float32 `features` [batch, window, F] -> `direction` [batch, 3], `confidence`, `volatility` [batch, 1].

    The TorchScript exporter is used: it keeps the batch axis of the LSTM open.
    """
    axes = {name: {0: "batch"} for name in (INPUT, *OUTPUTS)}
    example = torch.zeros(1, config.window, config.n_features)
    made = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it is the older exporter, and says so at length
        torch.onnx.export(
            network.eval(),
            (example,),
            made,  # pyright: ignore[reportArgumentType]  (a file object, as documented)
            dynamo=False,
            input_names=[INPUT],
            output_names=list(OUTPUTS),
            dynamic_axes=axes,
            opset_version=OPSET,
        )
    return made.getvalue()
