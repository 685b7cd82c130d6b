"""Asking a served model: one client, kept open, one input object used again; float32 windows in, answers out."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from core import form
from core.configuration import BATCH, INPUT, LIVE, OUTPUTS
from core.triton import TritonError, reason

Floats = NDArray[np.float32]


class Answers(NamedTuple):
    """For B windows: probabilities of down, flat, up [B, 3]; probability of being right [B, 1]; volatility, a fraction of price [B, 1]."""

    direction: Floats
    confidence: Floats
    volatility: Floats

    def error(self, other: "Answers") -> float:
        """The largest absolute difference; infinite where shapes differ or a value is not finite."""
        pairs = list(zip(self, other, strict=True))
        if any(a.shape != b.shape or not (np.isfinite(a).all() and np.isfinite(b).all()) for a, b in pairs):
            return float("inf")
        return max((float(np.abs(a.astype(np.float64) - b).max(initial=0.0)) for a, b in pairs), default=0.0)


def in_process(folder: Path, name: str | None = None) -> Callable[[Floats], Answers]:
    """A served version's folder run in this process, in the form it was deployed in, or in another by name.

    Not for several threads at once. Raises `FormError` where the form cannot be run here.
    """
    ask = form.load(folder, name or form.named(folder))
    return lambda features: Answers(*ask(features))


class Predictor:
    """A client of one version. Not for several threads at once: each takes its own. Close it, or use it in a `with`."""

    def __init__(self, url: str, model: str, version: int, *, protocol: Literal["grpc", "http"] = "grpc", priority: int = BATCH) -> None:
        if priority not in (LIVE, BATCH):
            raise ValueError(f"priority {priority}: there are {LIVE} (live) and {BATCH} (batch)")
        if protocol == "grpc":
            import tritonclient.grpc as client
        else:
            import tritonclient.http as client
        from tritonclient.utils import InferenceServerException

        self.model, self.version, self.priority = model, str(version), priority
        self.refusal = InferenceServerException
        self.make_input: Any = client.InferInput
        self.client: Any = client.InferenceServerClient(url)
        self.outputs = [client.InferRequestedOutput(name) for name in OUTPUTS]
        self.input: Any = None
        self.shape: tuple[int, ...] = ()

    def __call__(self, features: Floats, timeout_s: float = 30.0) -> Answers:
        """float32 [B, window, F] -> answers. Raises `TritonError` with the server's reason."""
        if self.input is None or self.shape != features.shape:
            self.shape = features.shape
            self.input = self.make_input(INPUT, list(features.shape), "FP32")
        self.input.set_data_from_numpy(features)
        options = {"client_timeout": timeout_s} if self.make_input.__module__.startswith("tritonclient.grpc") else {}
        try:
            found = self.client.infer(
                self.model, [self.input], model_version=self.version, outputs=self.outputs, priority=self.priority, **options
            )
        except self.refusal as error:
            raise TritonError(f"Triton refused a request to {self.model} version {self.version}: {reason(error)}") from error
        except OSError as error:
            raise TritonError(f"Triton did not answer a request to {self.model} version {self.version}: {error}") from error
        return Answers(*(found.as_numpy(name) for name in OUTPUTS))

    def close(self) -> None:
        self.client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exit_args: object) -> None:
        self.close()
