"""What a version must show before it serves: the same answers as in-process, in time, on the features we compute."""

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from core.inference import Answers, Floats
from tasks.export import repeated

log = logging.getLogger("scalp")

Ask = Callable[[Floats], Answers]
BATCHES = (1, 64)
SINGLES = 32  # recorded windows asked one by one
REQUESTS, WARM, ATTEMPTS = 200, 10, 3
COUNTS = ("requests", "failed", "inferences", "executions")
MEANS = ("queue_us", "compute_input_us", "compute_infer_us", "compute_output_us", "total_us")  # of a request


class NotProven(RuntimeError):
    """A version that did not show what it must; the message has the figures."""


@dataclass
class Steps:
    """What was tried, in order, and what was seen; the failing step is the last."""

    rows: list[dict[str, Any]] = field(default_factory=list)

    @contextmanager
    def step(self, name: str) -> Iterator[list[str]]:
        """`with steps.step("load") as seen: …; seen.append("2.1 s")`. An exception is written down and goes on."""
        log.info("deploy: %s", name)
        seen: list[str] = []
        try:
            yield seen
        except BaseException as error:
            self.rows.append({"step": name, "ok": False, "detail": str(error) or type(error).__name__})
            raise
        self.rows.append({"step": name, "ok": True, "detail": "; ".join(seen)})


def same_features(trained: Mapping[str, Any], expected: str) -> str:
    """The hash of the features the model was trained on, which must be that of the features computed now."""
    found = str(trained["feature_set_hash"])
    if found != expected:
        raise NotProven(f"the model was trained on feature set {found}, and this code computes {expected or 'other features'}: train again")
    return found


def same_answers(served: Ask, in_process: Ask, recorded: Floats, *, max_error: float) -> dict[str, float]:
    """Largest error of the served answers at each batch size; raises `NotProven` with the figures where one is too large."""
    errors = {}
    for n in BATCHES:
        windows = recorded[:SINGLES] if n == 1 else repeated(recorded, max(n, len(recorded)))
        parts = [windows[i : i + n] for i in range(0, len(windows), n)]  # the same batches for both: in int8 an answer depends on its batch
        errors[f"batch {n}"] = max(served(part).error(in_process(part)) for part in parts)
    if not max(errors.values()) <= max_error:
        figures = ", ".join(f"{name} {error:.2g}" for name, error in errors.items())
        raise NotProven(f"the served answers differ from those in-process by more than {max_error:g}: {figures}")
    return errors


def since(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    """Triton's figures of what it was asked between two looks at them. A warm-up batch of 64 counts as 64 slow requests, so the look
    before is taken after the warm-up."""
    told = {key: after[key] - before[key] for key in COUNTS}
    n = max(told["requests"], 1)
    told |= {key: round((after[key] * after["requests"] - before[key] * before["requests"]) / n, 1) for key in MEANS}
    batches = {}
    for size, of in after["by_batch"].items():
        warm = before["by_batch"].get(size, {"executions": 0, "compute_infer_us": 0.0})
        if asked := of["executions"] - warm["executions"]:
            took = of["compute_infer_us"] * of["executions"] - warm["compute_infer_us"] * warm["executions"]
            batches[size] = {"executions": asked, "compute_infer_us": round(took / asked, 1)}
    return told | {"by_batch": batches}


def latencies_ms(ask: Ask, features: Floats, requests: int) -> list[float]:
    """Milliseconds of each of `requests` calls, one at a time, after some that are not counted."""
    for _ in range(min(WARM, requests)):
        ask(features)
    took = []
    for _ in range(requests):
        begun = time.perf_counter_ns()
        ask(features)
        took.append((time.perf_counter_ns() - begun) / 1e6)
    return took


def in_time(ask: Ask, features: Floats, *, max_latency_ms: float) -> dict[str, float]:
    """p50 and p99 of single requests in ms. Measured again when over the limit: other load on the machine is not the model's."""
    p50 = p99 = float("inf")
    for _ in range(ATTEMPTS):
        took = latencies_ms(ask, repeated(features, 1), REQUESTS)
        p50, p99 = (round(float(np.percentile(took, q)), 4) for q in (50, 99))
        if p99 <= max_latency_ms:
            return {"p50": p50, "p99": p99}
    raise NotProven(f"p99 of a batch-1 request is {p99:.3g} ms, over the limit of {max_latency_ms:g} ms (p50 {p50:.3g} ms)")
