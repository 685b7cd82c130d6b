"""A small lake of made-up days, and stage results as the stages give them."""

from collections.abc import Callable
from datetime import date

import numpy as np
import polars as pl
import pytest

from core.runs import Stage
from core.store import Part, Store
from core.tables import TS, table

DAY = date(2026, 1, 5)
START = 1_767_571_200_000_000_000  # 2026-01-05 in ns
NAMES = ("log_return", "sma_5", "rsi_14", "spread_bps", "imbalance_5", "hour", "never_known", "constant")


def rows(name: str, **columns: object) -> pl.DataFrame:
    """A frame of table `name`: the columns given, nulls else."""
    shape = table(name).columns
    n = len(next(iter(columns.values())))  # type: ignore[arg-type]
    return pl.DataFrame({c: columns.get(c, [None] * n) for c in shape}, schema=shape, strict=False)


@pytest.fixture
def fill() -> Callable[..., list[Part]]:
    """Fills a lake with one instrument-day of bars and features, `n` seconds of them."""

    def made(store: Store, n: int, venue: str = "generated", symbol: str = "SIMUSDT", day: date = DAY, start: int = START) -> list[Part]:
        rng = np.random.default_rng(7)
        ts = start + (1 + np.arange(n)) * 1_000_000_000
        if n > 100:
            ts[n // 2 :] += 600_000_000_000  # the feed was away
        close = 600_000 + np.cumsum(rng.normal(0, 8, n)).astype(np.int64)
        times = pl.Series(ts).cast(TS)
        bars = rows(
            "clean_market__1s_bars",
            ts_event=times,
            known_at=times,
            close=close,
            n_trades=rng.poisson(4, n) + 1,
            price_decimals=[1] * n,
            size_decimals=[3] * n,
        )
        values = {name: rng.normal(0, 1, n) for name in NAMES[:-2]} | {"never_known": [None] * n, "constant": [1.0] * n}
        extra = pl.DataFrame(values, schema=dict.fromkeys(NAMES, pl.Float64))
        inputs = rows("feat_market__1s_inputs", ts_event=times, known_at=times, segment=[0] * n).hstack(extra)
        return [
            store.write(Part("clean_market__1s_bars", venue, symbol, day), bars, inputs={}, params={"form": 1}),
            store.write(Part("feat_market__1s_inputs", venue, symbol, day), inputs, inputs={}, params={"form": 1}),
        ]

    return made


def ingest_facts() -> dict:
    file = {
        "uri": "generated/SIMUSDT_20260105.gz",
        "name": "SIMUSDT_20260105.gz",
        "venue": "generated",
        "symbol": "SIMUSDT",
        "rows": 1_000_120,
        "clean": 1_000_000,
        "duplicate": 100,
        "quarantined": 20,
        "by_reason": {"price off the grid": 12, "not a market trade": 8},
        "frames": {"trade": 400_000, "depthUpdate": 600_120},
        "error": None,
        "skipped": False,
        "clock_offset_ms": 1304.2,
        "seconds": 5.1,
    }
    broken = file | {
        "uri": "b.gz",
        "name": "b.gz",
        "rows": 10,
        "clean": 10,
        "duplicate": 0,
        "quarantined": 0,
        "by_reason": {},
        "error": "b.gz: the file ends in the middle of a frame, at byte 1,024",
        "clock_offset_ms": None,
    }
    day = {
        "venue": "generated",
        "symbol": "SIMUSDT",
        "day": "2026-01-05",
        "trades": 400_000,
        "quotes": 200_000,
        "book": 400_000,
        "marks": 0,
        "compared": 200_000,
        "different": 0,
        "sequence_breaks": 1,
        "book_known_share": 0.9987,
        "ends_known": True,
        "changed": True,
    }
    return {"generated": True, "source": "generated", "files": [file, broken], "days": [day]}


def train_facts() -> dict:
    def scores(net: float, n: int = 812) -> dict:
        mean = net / n if n else None
        return {
            "accuracy": 0.512,
            "gross_bps": net + 900,
            "net_bps": net,
            "n_trades": n,
            "mean_net_bps": mean,
            "ci_low_bps": mean - 0.2 if mean is not None else None,
            "ci_high_bps": mean + 0.2 if mean is not None else None,
        }

    ts = [START + i * 40_000_000_000 for i in range(400)]
    wave = np.cumsum(np.random.default_rng(1).normal(0.1, 3, 400)).round(2)
    return {
        "version_id": "3f2a9c01b7de",
        "folder": "models/3f2a9c01b7de",
        "n_train": 12000,
        "n_validation": 1900,
        "n_calibration": 1200,
        "n_test": 2600,
        "effective_samples": 240,
        "epochs": 9,
        "best_validation": 0.98,
        "scores": {"model": scores(431.2), "baselines": {"no trade": scores(0, 0), "last sign": scores(-800.5), "logistic": scores(55.1)}},
        "calibration_error": 0.031,
        "calibration": [[0.42, 0.40, 500], [0.5, 0.53, 1200], [0.6, 0.57, 700], [0.7, 0.75, 150], [0.8, 0.7, 20], [0.9, None, 0]],
        "curves": {
            "train_loss": [1.2, 1.1, 1.05, 1.02, 1.0, 0.99, 0.98, 0.975, 0.97],
            "validation_loss": [1.18, 1.12, 1.07, 1.05, 1.03, 1.01, 1.0, 0.99, 0.98],
            "train_mse": [0.5, 0.4, 0.3, 0.28, 0.27, 0.26, 0.26, 0.25, 0.25],
            "train_huber": [0.3, 0.2, 0.18, 0.17, 0.16, 0.16, 0.15, 0.15, 0.15],
            "learning_rate": list(np.sin(np.linspace(0.1, 3.1, 60)) * 2e-3),
        },
        "equity": {"ts": ts, "model": list(wave), "last sign": list(-np.linspace(0, 800, 400) / 10), "logistic": [0.0] * 400},
        "verdict": "beats the baselines after cost",
        "evidence": True,
        "seconds": 61.0,
        "generated": True,
    }


@pytest.fixture
def stages() -> dict[str, Stage]:
    """One result of each stage, as of a whole run on the generated market."""
    bench = [
        ("features 1 s bars", "rows/s", 3_412_345.0, 3_300_000.0, False, True),
        ("inference in-process batch 1 p50", "ms", 0.41, 0.4, False, False),
        ("inference in-process batch 1 p99", "ms", 0.9, 0.8, False, False),
        ("inference gRPC batch 1 p50", "ms", 1.6, 1.1, True, False),
        ("inference gRPC batch 64 p99", "ms", 12.6, None, False, False),
    ]
    steps = [
        {"step": "export", "ok": True, "detail": "largest difference 3.1e-07 at batch 1, 2, 64"},
        {"step": "load", "ok": True, "detail": "version 4 ready after 2.1 s"},
        {"step": "switch alias", "ok": False, "detail": "no evidence <over> the baselines"},
    ]
    labels = {"down": 20_000, "flat": 46_000, "up": 20_300}
    day = {
        "venue": "generated",
        "symbol": "SIMUSDT",
        "day": "2026-01-05",
        "bars": 70_000,
        "rows": 86_400,
        "complete_rows": 85_200,
        "gaps": 1,
    }
    facts = {
        "ingest": ingest_facts(),
        "features": {
            "days": [day | {"late_trades": 3, "labels": labels, "changed": True, "seconds": 1.2}],
            "features": list(NAMES),
            "feature_set_hash": "ab" * 32,
        },
        "train": train_facts(),
        "deploy": {
            "version": 4,
            "version_id": "3f2a9c01b7de",
            "alias": "shadow",
            "served_by": "triton",
            "reason": "no evidence over the baselines",
            "previous": 3,
            "max_error_export": 3.1e-7,
            "max_error_served": 2.2e-7,
            "latency_ms": {"p50": 1.21, "p99": 2.9},
            "statistics": {"inference_count": 512, "queue_us": 88.2, "compute_infer_us": 410.0},
            "steps": steps,
            "model_repository": "data/triton",
            "seconds": 8.0,
        },
        "benchmark": {
            "rows": [
                {"name": n, "unit": u, "value": v, "spread": v / 20, "median_before": b, "regressed": r, "higher_is_better": h}
                for n, u, v, b, r, h in bench
            ],
            "machine": "test",
            "versions": "test",
        },
    }
    return {name: Stage(name=name, changed=True, seconds=3.2, facts=found) for name, found in facts.items()}
