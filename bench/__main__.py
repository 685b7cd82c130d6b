"""`python -m bench [names] [--json]`: ours beside the peers, on this machine, now. `scalp bench --peers` keeps what this measures."""

import argparse
import importlib
import json
import os
import sys
import time
from pathlib import Path

from rich.console import Console

from bench.harness import BenchError
from bench.runner import run
from scalp.benching import UNSEEN, table

ORDER = (
    "features", "ingest", "feed", "feed_recordings", "portfolio", "indicators", "decision", "streaming", "fills", "inference", "compiling",
    "scale", "live", "replay", "migration",
)  # fmt: skip
ASKED = ("live_model", "live_clients", "live_long")  # minutes: taken where they are named
BEGUN_BY = os.getppid()


def said(text: str) -> None:
    """A line of progress; whoever began this may have been killed, and then nobody reads it."""
    if os.getppid() != BEGUN_BY:
        raise SystemExit(1)
    print(text, file=sys.stderr, flush=True)


def main() -> int:
    there = [name for name in (*ORDER, *ASKED) if (Path(__file__).parent / f"{name}.py").exists()]
    parser = argparse.ArgumentParser(prog="python -m bench", description="Ours beside the peers, on this machine, now.")
    parser.add_argument("names", nargs="*", metavar="name", help=f"which: {', '.join(there)}; all where none is named")
    parser.add_argument("--json", action="store_true", help="print {rows, failed} as JSON")
    parser.add_argument("--rounds", type=int, help="how often the variants take turns")
    parser.add_argument("--size", type=int, help="rows of the large inputs, in place of each benchmark's own")
    asked = parser.parse_args()
    if unknown := [n for n in asked.names if n not in there]:
        parser.error(f"there is no benchmark {unknown[0]!r}; there are {', '.join(there)}")
    rows, failed, begun = [], {}, time.monotonic()
    for name in asked.names or [name for name in there if name not in ASKED]:
        try:
            module = importlib.import_module(f"bench.{name}")
            rows += module.take(said) if hasattr(module, "take") else run(module.BENCH, said, rounds=asked.rounds, large=asked.size)
        except BenchError as error:
            failed[name] = str(error)
            said(f"{name}: {error}")
    if asked.json:
        print(json.dumps({"rows": rows, "failed": failed}))
    else:
        out = Console(width=None if sys.stdout.isatty() else UNSEEN, highlight=False)
        out.print(table(rows, width=out.width, ours="ours"))
        out.print(f"{len(rows)} rows in {time.monotonic() - begun:.0f} s" + (f"; failed: {', '.join(failed)}" if failed else ""))
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
