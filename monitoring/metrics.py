"""The worker's metrics, by name: what `/metrics` tells and alerts are written on."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client import Counter, Gauge, Histogram

QUICK = (5e-6, 1e-5, 2e-5, 5e-5, 1e-4, 2e-4, 3e-4, 5e-4, 1e-3, 2e-3, 5e-3, 1e-2, 2e-2, 5e-2, 0.1, 0.5, 1.0, 5.0)

FRAMES = Counter("scalp_frames_total", "frames the engine got")
FRAMES_REFUSED = Counter("scalp_frames_refused_total", "frames that could not be read")
FRAMES_DROPPED = Counter("scalp_frames_dropped_total", "frames that never reached the engine: too many waited")
TICKERS_CONFLATED = Counter("scalp_tickers_conflated_total", "best bids and asks left out for newer ones")
ORDERS_SENT = Counter("scalp_orders_sent_total", "orders sent")
ORDERS_REFUSED = Counter("scalp_orders_refused_total", "orders that risk refused", ["code"])
INCIDENTS = Counter("scalp_incidents_total", "things a person should know", ["kind"])
PREDICTIONS = Counter("scalp_predictions_total", "answers of models", ["served_by", "outcome"])
RECOMPILES = Gauge("scalp_jax_compiles_total", "times JAX compiled since the start: constant once warm")
MODE = Gauge("scalp_mode_state", "0 active, 1 reducing, 2 halted")
RECORDING = Gauge("scalp_recording_state", "1 while frames and inputs are recorded")
QUEUE_WAIT = Histogram("scalp_queue_wait_seconds", "from the receipt of frames to the engine", buckets=QUICK)
FRAME_TO_ORDER = Histogram("scalp_frame_to_order_seconds", "from the receipt of what led to an order to its sending", buckets=QUICK)
SPANS = Histogram("scalp_span_seconds", "how long each part took", ["span"], buckets=QUICK)
_OF = {name: SPANS.labels(name) for name in ("feed", "book", "features", "predict", "risk", "send", "engine", "ledger")}


@contextmanager
def span(name: str) -> Iterator[None]:
    """Time a part of the way of a frame."""
    began = time.perf_counter()
    try:
        yield
    finally:
        _OF[name].observe(time.perf_counter() - began)
