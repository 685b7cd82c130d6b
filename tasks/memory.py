"""How much memory this process held at most: for each stage its own, where the kernel lets the mark be set back."""

import contextlib
import resource
import sys
from pathlib import Path
from typing import Any

STATUS, MARK = Path("/proc/self/status"), Path("/proc/self/clear_refs")
SET_BACK = "5"  # of proc(5): the high-water mark becomes what is held now


def peak() -> int:
    """The most this process held, in bytes, since it began or since `forget`."""
    if STATUS.exists():
        line = next((line for line in STATUS.read_text().splitlines() if line.startswith("VmHWM:")), None)
        if line:
            return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def forget() -> None:
    """Let the next stage's peak be its own; where this cannot be done, it is the run's so far."""
    with contextlib.suppress(OSError):
        MARK.write_text(SET_BACK)


def spent(rows: int, seconds: float) -> dict[str, Any]:
    """What a stage says of its own cost when it ends: `rows_per_second` (None where it did no work) and `peak_memory_bytes`."""
    told = {"rows_per_second": round(rows / seconds, 1) if rows and seconds > 0 else None, "peak_memory_bytes": peak()}
    forget()
    return told
