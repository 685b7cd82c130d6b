"""What writing an order down before it is sent costs: lease and kill switch asked, the order written, committed."""

import tempfile
import time
from typing import Any

import numpy as np

from bench.runner import plain

N, APART_S = 400, 0.002


def commits() -> list[dict[str, Any]]:
    rows = []
    for synchronous in ("NORMAL", "FULL"):
        times = timed(synchronous)
        for q in (50, 99):
            value = float(np.percentile(times, q)) / 1e3
            rows.append(plain("live", f"intent committed, {synchronous}, p{q}", "us", value, higher_is_better=False, n=N))
    return rows


def timed(synchronous: str) -> list[int]:
    """ns of each; apart from one another, as orders are."""
    from core.ledger import Ledger
    from core.ledger_writer import Writer
    from core.market import Side
    from core.orders import Kind, Order, Purpose, Tif

    with tempfile.TemporaryDirectory(prefix="scalp-bench-ledger-") as folder:
        ledger = Ledger(f"sqlite:///{folder}/ledger.db", synchronous=synchronous)
        writer = Writer(ledger, ledger.take("bench/main", "bench", time.time_ns(), 600.0), session="bench")
        taken = []
        for i in range(N + 20):
            order = Order(
                ts=i, order_id=f"bench{i}", symbol="BTCUSDT", side=Side.BUY, kind=Kind.LIMIT, tif=Tif.GTX, price=600_000, size=10 + i,
                reduce_only=False, purpose=Purpose.ENTRY, signal=i,
            )  # fmt: skip
            time.sleep(APART_S)
            began = time.perf_counter_ns()
            writer.intend(order, seq=i)
            taken.append(time.perf_counter_ns() - began)
        writer.close()
        ledger.close()
    return taken[20:]
