"""The worker's metrics, by name: what `/metrics` tells and alerts are written on."""

import time
from bisect import bisect_left
from collections.abc import Iterable, Mapping
from types import TracebackType

from prometheus_client import REGISTRY, Counter, Gauge
from prometheus_client.core import HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

QUICK = (5e-6, 1e-5, 2e-5, 5e-5, 1e-4, 2e-4, 3e-4, 5e-4, 1e-3, 2e-3, 5e-3, 1e-2, 2e-2, 5e-2, 0.1, 0.5, 1.0, 5.0)

FRAMES = Counter("scalp_frames_total", "frames the engine got")
FRAMES_REFUSED = Counter("scalp_frames_refused_total", "frames that could not be read")
FRAMES_DROPPED = Counter("scalp_frames_dropped_total", "frames that never reached the engine: too many waited")
TICKERS_CONFLATED = Counter("scalp_tickers_conflated_total", "best bids and asks left out for newer ones")
ORDERS_SENT = Counter("scalp_orders_sent_total", "orders sent")
ORDERS_REFUSED = Counter("scalp_orders_refused_total", "orders that risk refused", ["code"])
INCIDENTS = Counter("scalp_incidents_total", "things a person should know", ["kind"])
PREDICTIONS = Counter("scalp_predictions_total", "answers of models", ["served_by", "outcome"])
RECOMPILES = Gauge("scalp_jax_compiles_total", "times JAX or numba compiled since the start: constant once warm")
MODE = Gauge("scalp_mode_state", "0 active, 1 reducing, 2 halted")
RECORDING = Gauge("scalp_recording_state", "1 while frames and inputs are recorded")


class Times:
    """A histogram of seconds that costs what a list costs: it is told of each frame. It belongs to one thread."""

    __slots__ = ("counts", "total")

    def __init__(self) -> None:
        self.counts, self.total = [0] * (len(QUICK) + 1), 0.0

    def observe(self, seconds: float) -> None:
        self.counts[bisect_left(QUICK, seconds)] += 1
        self.total += seconds


class Told(Collector):
    """Several `Times` under one name, told apart by a label (or one, without)."""

    def __init__(self, name: str, about: str, label: str, times: Mapping[str, Times]) -> None:
        self.name, self.about, self.label, self.times = name, about, label, times
        REGISTRY.register(self)

    def collect(self) -> Iterable[Metric]:
        family = HistogramMetricFamily(self.name, self.about, labels=[self.label] if self.label else [])
        for value, times in self.times.items():
            buckets, n = [], 0
            for bound, count in zip((*map(str, QUICK), "+Inf"), times.counts, strict=True):
                n += count
                buckets.append((bound, n))
            family.add_metric([value] if self.label else [], buckets, times.total)
        yield family


QUEUE_WAIT, FRAME_TO_ORDER = Times(), Times()
SPANS = {
    name: Times()
    for name in ("feed", "book", "features", "rule", "predict", "risk", "engine", "ledger", "send", "record")
}  # fmt: skip
Told("scalp_queue_wait_seconds", "from the receipt of frames to the engine", "", {"": QUEUE_WAIT})
Told("scalp_frame_to_order_seconds", "from the receipt of what led to an order until its bytes left", "", {"": FRAME_TO_ORDER})
Told("scalp_span_seconds", "how long each part took", "span", SPANS)


class span:
    """Time a part of the way of a frame."""

    __slots__ = ("began", "times")

    def __init__(self, name: str) -> None:
        self.times = SPANS[name]

    def __enter__(self) -> None:
        self.began = time.perf_counter()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.times.observe(time.perf_counter() - self.began)
