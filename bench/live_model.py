"""The live worker with a model in the loop: a frame closes a second, the champion is asked, its answer leads to an order.

A model is trained on a small generated market and deployed as `scalp run` does, and served by Triton where Triton runs, in-process else.
"""

import os
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from bench.harness import BenchError
from bench.live import fed, ordered
from bench.live_stage import RATE, jitter, run, source
from bench.runner import ROOT, Say

SECONDS, IDLE_S, MOST_S = 20.0, 2.0, 240
P50_US = 4_000.0
SMALL = {
    "SCALP_GENERATOR__FRAMES_PER_S": "2", "SCALP_TRAIN__MAX_EPOCHS": "1", "SCALP_TRAIN__MAX_WINDOWS": "500", "SCALP_BENCH__REQUESTS": "20",
    "SCALP_DEPLOY__TUNE": "false", "SCALP_DEPLOY__FORMS": "onnxruntime-f32",
}  # fmt: skip


def take(say: Say) -> list[dict[str, Any]]:
    from core.triton import TritonError, serve

    with tempfile.TemporaryDirectory(prefix="scalp-bench-model-") as scratch, ExitStack() as stack:
        data = Path(os.environ.get("BENCH_LIVE_DATA", scratch))
        if not (data / "triton" / "serving.json").exists():
            say("live_model: training and deploying a small model")
            deploy(data)
        try:
            stack.callback(serve(data).stop)
            by = "triton"
        except (TritonError, OSError, RuntimeError) as error:
            say(f"live_model: Triton does not run here ({error}); in-process")
            by = "in-process"
        idle = jitter(IDLE_S)
        what, speed, of = source()
        say(f"live_model: {of}, {RATE:,.0f} frames a second, {by}")
        done = run(what, speed, seconds=SECONDS, models=str(data), use=by)
    rows = [*fed(done, f"{of}, {by}")[:2], *ordered(done, idle, cause="prediction", most=(P50_US, 0.0))]
    name, (n, middle, p99) = "predict", done.facts["spans"].get("predict", (0, float("nan"), float("nan")))
    rows.append(rows[0] | {"name": f"span {name}, p50", "unit": "us", "ours": middle * 1e6, "n": n, "p99_over_median": p99 / middle})
    return [r | {"bench": "live_model", "name": f"with a model ({by}): {r['name']}"} for r in rows]


def deploy(data: Path) -> None:
    env = {k: v for k, v in os.environ.items() if not k.startswith(("SCALP_", "PREFECT_"))} | SMALL | {"SCALP_DATA_DIR": str(data)}
    command = [str(Path(sys.executable).with_name("scalp")), "run"]
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False, timeout=MOST_S)
    if done.returncode:
        raise BenchError(f"`scalp run` ended with {done.returncode}:\n{(done.stdout + done.stderr)[-1500:]}")
