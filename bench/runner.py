"""Runs benchmarks: inputs, the check on small ones, the rounds on large ones, and the rows they make."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from bench.harness import Arrays, Bench, BenchError, Row, Taken, Variant
from core.benches import ROOT, missing

PEERS = ROOT / "bench" / ".venv" / "bin" / "python"
THREADS = ("POLARS_MAX_THREADS", "OMP_NUM_THREADS", "NUMBA_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "RAYON_NUM_THREADS")
LONGEST_S = 300.0
PER_SECOND = {"s": 1.0, "ms": 1e3, "us": 1e6, "ns": 1e9}
KEYS = (
    "bench", "name", "unit", "ours", "spread", "p99_over_median", "peer", "peer_value", "peers", "ratio", "target", "limit", "limit_value",
    "limit_share", "share_target", "at_most", "at_least", "met", "peak_mb", "grown_mb", "peer_peak_mb", "cpu_share", "first_s", "n",
    "higher_is_better", "held",
)  # fmt: skip
Say = Callable[[str], None]


def run(bench: Bench, say: Say, *, rounds: int | None = None, large: int | None = None) -> list[dict[str, Any]]:
    """The rows of one benchmark. Raises BenchError where results differ or a variant fails."""
    if any(v.peer for v in bench.variants) and (reason := missing()):
        raise BenchError(reason)
    with tempfile.TemporaryDirectory(prefix=f"scalp-bench-{bench.name}-") as folder:
        small, big = Path(folder) / "small", Path(folder) / "large"
        small.mkdir()
        big.mkdir()
        bench.make(small, bench.small)
        held = bench.check(dict(results(bench, small, Path(folder), say)))
        facts = bench.make(big, large or bench.large)
        taken: dict[str, list[Taken]] = {v.name: [] for v in bench.variants}
        n = rounds or bench.rounds
        for i in range(n):
            for variant in bench.variants:
                say(f"{bench.name}: {variant.name} ({i + 1} of {n})")
                taken[variant.name].append(Taken(**json.loads(worker(bench, variant, big))))
    return [made(bench, row, taken, facts) | {"held": held} for row in bench.rows]


def results(bench: Bench, inputs: Path, folder: Path, say: Say) -> Iterator[tuple[str, Arrays]]:
    for i, variant in enumerate(bench.variants):
        if variant.checked:
            say(f"{bench.name}: checking {variant.name}")
            file = folder / f"result-{i}.npz"
            worker(bench, variant, inputs, "--result", str(file))
            with np.load(file) as found:
                yield variant.name, dict(found)


def worker(bench: Bench, variant: Variant, inputs: Path, *more: str) -> str:
    python = str(PEERS) if variant.peer else sys.executable
    env = os.environ | dict.fromkeys(THREADS, str(variant.threads)) | {"PYTHONPATH": str(ROOT)} | dict(variant.env)
    command = [python, "-m", "bench.worker", bench.name, variant.name, str(inputs), *more]
    try:
        done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False, timeout=LONGEST_S)
    except subprocess.TimeoutExpired:
        raise BenchError(f"{bench.name}, {variant.name}, did not end within {LONGEST_S:.0f} s") from None
    if done.returncode:
        raise BenchError(f"{bench.name}, {variant.name}, ended with {done.returncode}:\n{done.stderr.strip()[-2000:]}")
    return done.stdout.strip().rpartition("\n")[2]


def plain(bench: str, name: str, unit: str, ours: float, **more: Any) -> dict[str, Any]:
    """A row of something that is no race between variants; what is not said is None."""
    row = dict.fromkeys(KEYS) | {"peers": {}, "bench": bench, "name": name, "unit": unit, "ours": ours, "higher_is_better": True} | more
    bounds = [row["at_most"] is None or ours <= row["at_most"], row["at_least"] is None or ours >= row["at_least"]]
    if row["ratio"] is not None and row["target"] is not None:
        bounds.append(row["ratio"] >= row["target"])
    asked = any(row[key] is not None for key in ("at_most", "at_least", "target"))
    return row | {"met": all(bounds) if asked else None}


def made(bench: Bench, row: Row, taken: Mapping[str, list[Taken]], facts: Mapping[str, Any]) -> dict[str, Any]:
    """A row of the table from what its variants took."""
    work = float(facts[row.work]) if isinstance(row.work, str) else float(row.work)
    faster = row.unit.endswith("/s")

    def value(name: str) -> float:
        if row.unit == "MB":
            return max(t.peak for t in taken[name]) / 1e6
        middle = float(np.median(np.concatenate([t.times for t in taken[name]])))
        return work / middle if faster else middle / work * PER_SECOND[row.unit]

    peers = {name: value(name) for name in row.peers}
    best = (max if faster else min)(peers, key=lambda name: peers[name]) if peers else None
    ours = value(row.ours)
    limit = value(row.limit) if row.limit else None
    ratio = None if best is None else (ours / peers[best] if faster else peers[best] / ours)
    share = None if limit is None else (ours / limit if faster else limit / ours)
    met = [
        None if row.target is None or ratio is None else ratio >= row.target,
        None if row.share is None or share is None else share >= row.share,
        None if row.at_most is None else ours <= row.at_most,
        None if row.at_least is None else ours >= row.at_least,
    ]
    mine = taken[row.ours]
    times = np.concatenate([t.times for t in mine])
    low, middle, high, p99 = np.percentile(times, [25, 50, 75, 99])
    return {
        "bench": bench.name,
        "name": row.name,
        "unit": row.unit,
        "ours": ours,
        "spread": None if row.unit == "MB" else float((high - low) / middle),
        "p99_over_median": float(p99 / middle),
        "peer": best,
        "peer_value": None if best is None else peers[best],
        "peers": peers,
        "ratio": ratio,
        "target": row.target,
        "limit": row.limit,
        "limit_value": limit,
        "limit_share": share,
        "share_target": row.share,
        "at_most": row.at_most,
        "at_least": row.at_least,
        "met": None if all(m is None for m in met) else all(m is not False for m in met),
        "peak_mb": max(t.peak for t in mine) / 1e6,
        "grown_mb": max(t.grown for t in mine) / 1e6,
        "peer_peak_mb": None if best is None else max(t.peak for t in taken[best]) / 1e6,
        "cpu_share": float(np.sum(np.concatenate([t.cpu for t in mine])) / np.sum(times)),
        "first_s": mine[0].first,
        "n": len(times),
        "higher_is_better": faster,
    }
