"""One variant in a process of its own: `python -m bench.worker <bench> <variant> <folder> --seconds S | --result FILE`."""

import argparse
import gc
import importlib
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from bench.harness import Bench, Taken, Variant

MOST = 20_000  # passes a round


def memory(key: str) -> int:
    """VmHWM or VmRSS of this process, in bytes."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(key):
            return int(line.split()[1]) * 1024
    return psutil.Process().memory_info().rss


def measure(variant: Variant, folder: Path) -> Taken:
    once = variant.prepare(folder)
    gc.collect()
    before = memory("VmRSS")
    begun = time.perf_counter()
    once()
    first = time.perf_counter() - begun
    times, cpu = [], []
    gc.collect()
    gc.disable()
    end = time.perf_counter() + variant.seconds
    while (len(times) < variant.repeats or time.perf_counter() < end) and len(times) < MOST:
        used, begun = time.process_time(), time.perf_counter()
        once()
        times.append(time.perf_counter() - begun)
        cpu.append(time.process_time() - used)
    peak = memory("VmHWM")
    return Taken(times, cpu, first, peak, max(0, peak - before))


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.worker")
    parser.add_argument("bench")
    parser.add_argument("variant")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--result", type=Path, help="one pass, its arrays written here")
    asked = parser.parse_args()
    bench: Bench = importlib.import_module(f"bench.{asked.bench}").BENCH
    variant = bench.variant(asked.variant)
    if asked.result:
        arrays: dict[str, Any] = dict(variant.prepare(asked.folder)() or {})
        np.savez(asked.result, **arrays)
        return
    print(json.dumps(measure(variant, asked.folder)._asdict()))


if __name__ == "__main__":
    main()
