"""How the cost of features grows: with symbols, with days, and how much a second process brings.

Made-up clean days in a scratch lake, built by the pipeline's own tasks. Each measurement builds into a copy of the lake (hard links), in
processes that have imported and compiled before.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from bench.harness import BenchError
from bench.runner import ROOT, THREADS, Say, plain

N_TRADES, REPEATS = 150_000, 3
FIRST = date(2024, 1, 1)
NAMES = [f"S{i}USDT" for i in range(8)]
SYMBOLS, DAYS = (1, 2, 4, 8), (1, 4, 16)
NEAR = 1.25  # a unit of work among many may cost a quarter more than alone


def take(say: Say) -> list[dict[str, Any]]:
    with tempfile.TemporaryDirectory(prefix="scalp-bench-scale-") as folder, Builder() as first, Builder() as second:
        lake = Path(folder) / "lake"
        say("scale: making the days")
        filled(lake)

        def middle(*works: Work) -> float:
            return sorted(timed(lake, Path(folder), works) for _ in range(REPEATS))[REPEATS // 2]

        by_symbols, by_days = {}, {}
        for n in SYMBOLS:
            say(f"scale: features of {counted(n, 'symbol')}")
            by_symbols[n] = middle((first, NAMES[:n], 1))
        for n in DAYS:
            say(f"scale: features of {counted(n, 'day')}")
            by_days[n] = middle((first, NAMES[:1], n))
        say("scale: two processes")
        two = middle((first, NAMES[:4], 1), (second, NAMES[4:], 1))
    lower: dict[str, Any] = {"higher_is_better": False, "n": REPEATS}
    rows = [plain("scale", f"features of {counted(n, 'symbol')}, 1 day", "s", s, **lower) for n, s in by_symbols.items()]
    rows += [plain("scale", f"features of 1 symbol, {counted(n, 'day')}", "s", s, **lower) for n, s in by_days.items() if n > 1]
    for what, found in (("symbol", by_symbols), ("day", by_days)):
        most = max(found)
        rows.append(
            plain("scale", f"cost of a {what} among {most}, over one alone", "x", found[most] / most / found[1], at_most=NEAR, **lower)
        )
    rows.append(plain("scale", "two processes over one, 8 symbols", "x", by_symbols[8] / two, at_least=1.7, n=REPEATS))
    return rows


def counted(n: int, what: str) -> str:
    return f"{n} {what}{'s' * (n != 1)}"


def filled(lake: Path) -> None:
    """Eight symbols on the first day; the first symbol on sixteen days."""
    from core.store import Store
    from tasks.paces import busy_day

    store = Store(lake)
    for name in NAMES:
        busy_day(store, FIRST, name, N_TRADES)
    for i in range(1, max(DAYS)):
        busy_day(store, FIRST + timedelta(days=i), NAMES[0], N_TRADES)


class Builder:
    """A process that has imported and compiled, and builds what it is told to."""

    def __enter__(self) -> "Builder":
        env = os.environ | dict.fromkeys(THREADS, "1")
        command = [sys.executable, "-m", "bench.scale"]
        self.process = subprocess.Popen(command, cwd=ROOT, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.heard("ready")
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.communicate()

    def tell(self, line: str) -> None:
        assert self.process.stdin
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def heard(self, word: str) -> None:
        assert self.process.stdout
        if self.process.stdout.readline().strip() != word:
            raise BenchError("a process that builds features ended; run `python -m bench.scale` to see why")


Work = tuple[Builder, Sequence[str], int]


def timed(lake: Path, folder: Path, works: Sequence[Work]) -> float:
    """Seconds until each process has built its symbols and days, in a copy of the lake."""
    copy = folder / "copy"
    shutil.copytree(lake, copy, copy_function=lambda a, b: Path(b).hardlink_to(a))
    try:
        start = time.perf_counter()
        for builder, names, days in works:
            builder.tell(" ".join((str(copy), str(days), *names)))
        for builder, *_ in works:
            builder.heard("done")
        return time.perf_counter() - start
    finally:
        shutil.rmtree(copy)


def build(lake: Path, names: Sequence[str], days: int) -> None:
    from core import settings
    from core.market import GENERATED
    from core.store import Store
    from tasks.features import build_bars, build_inputs, build_labels

    config, store = settings.load(), Store(lake)
    for name in names:
        for i in range(days):
            day = FIRST + timedelta(days=i)
            build_bars.fn(store, GENERATED, name, day, rules=config.bars)
            build_inputs.fn(store, GENERATED, name, day, rules=config.bars, quality=config.quality)
            build_labels.fn(store, GENERATED, name, day, rules=config.labels, quality=config.quality)


def main() -> None:
    from core.store import Store
    from tasks.paces import busy_day

    with tempfile.TemporaryDirectory() as scratch:  # compiles, and loads what was compiled
        busy_day(Store(Path(scratch)), FIRST, NAMES[0], 2_000)
        build(Path(scratch), NAMES[:1], 1)
    print("ready", flush=True)
    for line in sys.stdin:
        lake, days, *names = line.split()
        build(Path(lake), names, int(days))
        print("done", flush=True)


if __name__ == "__main__":
    main()
