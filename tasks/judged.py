"""Test windows with what they led to, kept beside a model: what a form in less than float32 is judged on at deployment."""

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from core.inference import Floats
from kernels.scores import Outcomes
from kernels.splits import strided

if TYPE_CHECKING:
    from tasks.windows import Windows

JUDGED_FILE = "judged.npz"
MOST = 4096  # windows


class Judged(NamedTuple):
    """`rows` float32 [R, F]; window k is the `window` rows up to and with `ends[k]`; in order of decision."""

    rows: Floats
    ends: NDArray[np.int64]
    window: int
    outcomes: Outcomes

    def batch(self, begin: int, end: int) -> Floats:
        """[n, window, F] of windows `begin` to `end`."""
        at = self.ends[begin:end, None] + np.arange(1 - self.window, 1)
        return np.ascontiguousarray(self.rows[at])


def keep(windows: "Windows", entries: NDArray[np.int64], folder: Path) -> None:
    """Write up to 4,096 of these windows, rows that several share but once, with their outcomes."""
    chosen = strided(entries, MOST)
    ends = windows.ends[chosen]
    used = np.zeros(len(windows.rows) + 1, dtype=np.int64)
    np.add.at(used, ends - windows.window + 1, 1)
    np.add.at(used, ends + 1, -1)
    needed = np.cumsum(used[:-1]) > 0
    at = np.cumsum(needed) - 1
    np.savez_compressed(
        folder / JUDGED_FILE,
        rows=windows.rows[needed],
        ends=at[ends],
        window=windows.window,
        **windows.outcomes.take(chosen)._asdict(),
    )


def read(folder: Path) -> Judged | None:
    """The windows that were kept, or None of a model that was trained without."""
    path = folder / JUDGED_FILE
    if not path.is_file():
        return None
    with np.load(path) as kept:
        outcomes = Outcomes(**{name: kept[name] for name in Outcomes._fields})
        return Judged(kept["rows"], kept["ends"], int(kept["window"]), outcomes)
