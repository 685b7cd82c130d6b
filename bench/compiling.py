"""What compilation costs: the first start with an empty cache on disk, and every later one.

Each of our variants is started twice on small inputs with a cache of its own; the second start finds what the first compiled.
"""

import importlib
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from bench.harness import Bench, Variant
from bench.runner import Say, plain, worker

KERNELS = ("features", "feed", "portfolio", "indicators", "decision", "streaming", "fills")


def take(say: Say) -> list[dict[str, Any]]:
    rows = []
    with tempfile.TemporaryDirectory(prefix="scalp-bench-compiling-") as folder:
        for bench in benches():
            small = Path(folder) / bench.name
            small.mkdir()
            bench.make(small, bench.small)
            cold, warm = 0.0, 0.0
            for i, variant in enumerate(own(bench)):
                cache = Path(folder) / f"cache-{bench.name}-{i}"
                env = {"NUMBA_CACHE_DIR": str(cache / "numba"), "JAX_COMPILATION_CACHE_DIR": str(cache / "jax")}
                alone = replace(variant, env=dict(variant.env) | env, repeats=1, seconds=0.0)
                say(f"compiling: {bench.name}, {variant.name}")
                cold, warm = cold + started(bench, alone, small), warm + started(bench, alone, small)
            lower: dict[str, Any] = {"higher_is_better": False, "n": 1}
            rows.append(plain("compiling", f"{bench.name}: first start, everything compiled", "s", cold, **lower))
            rows.append(plain("compiling", f"{bench.name}: later starts, from the cache on disk", "s", warm, **lower))
    return rows


def benches() -> Iterator[Bench]:
    for name in KERNELS:
        found = getattr(importlib.import_module(f"bench.{name}"), "BENCH", None)
        if isinstance(found, Bench):
            yield found


def own(bench: Bench) -> list[Variant]:
    """One of our variants: the first, which the others share their kernels with."""
    return [v for v in bench.variants if not v.peer][:1]


def started(bench: Bench, variant: Variant, folder: Path) -> float:
    begun = time.perf_counter()
    worker(bench, variant, folder)
    return time.perf_counter() - begun
