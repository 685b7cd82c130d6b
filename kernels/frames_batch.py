"""Batches of decoded frames of one kind: attributes to arrays, digits to times."""

from collections.abc import Sequence
from operator import attrgetter
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

TEXT = 2_000  # characters of a refused line that are kept
EARLIEST, LATEST = 1_230_768_000 * 10**9, 4_102_444_800 * 10**9  # 2009-01-01, 2100-01-01: receive times a recorder can have seen
MARKET = "MARKET"  # the order kind of nearly all trades


class Batch(NamedTuple):
    """Some frames of one kind. `levels` holds, per side, the number of levels of each frame and all prices and sizes [2, levels]."""

    row: npt.NDArray[np.int64]  # line number, from 1
    recv: npt.NDArray[np.int64]  # ns
    event: npt.NDArray[np.int64]  # ns; 0 where the venue gave none
    symbol: npt.NDArray[np.int64]  # index into `Frames.symbols`; -1 where the frame names none
    ints: npt.NDArray[np.int64]  # [fields, frames]; the last of a trade is the index of its order kind
    floats: npt.NDArray[np.float64]  # [fields, frames]
    levels: list[tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]]


class Refusal(NamedTuple):
    row: int
    recv: int  # ns; 0 where the line had none to be believed
    reason: str
    text: str | None  # None: to be fetched from the file again


def columns(frames: list[Any], names: Sequence[str], dtype: Any) -> Any:
    """Array [names, frames] of those attributes."""
    made = np.empty((len(names), len(frames)), dtype)
    for column, name in zip(made, names, strict=True):
        column[:] = np.fromiter(map(attrgetter(name), frames), dtype, len(frames))
    return made


def taken(batch: Batch, keep: npt.NDArray[np.bool_]) -> Batch:
    """The frames of a batch that are to be kept."""
    if keep.all():
        return batch
    levels = [(counts[keep], pairs[:, np.repeat(keep, counts)]) for counts, pairs in batch.levels]
    row, recv, event, symbol, ints, floats, _ = batch
    return Batch(row[keep], recv[keep], event[keep], symbol[keep], ints[:, keep], floats[:, keep], levels)


def merged(batches: Sequence[Batch]) -> Batch:
    """Batches of one kind as one, in order of lines."""
    if len(batches) == 1:
        return batches[0]
    row, recv, event, symbol, ints, floats, levels = zip(*batches, strict=True)
    sides = [(np.concatenate([c for c, _ in side]), np.concatenate([p for _, p in side], axis=-1)) for side in zip(*levels, strict=True)]
    row, recv, event, symbol, ints, floats = (np.concatenate(some, axis=-1) for some in (row, recv, event, symbol, ints, floats))
    return Batch(row, recv, event, symbol, ints, floats, sides)


def number(text: str | float) -> float:
    """A number of a mark frame; NaN where the venue left it empty or wrote what is none."""
    try:
        return float(text)
    except ValueError:
        return np.nan


def receive_times(stamps: list[bytes]) -> npt.NDArray[np.int64]:
    """Times in ns, their unit told from the digits; 0 where there is none to be told."""
    try:
        if not b"".join(stamps).isdigit():
            raise ValueError
        return to_ns(np.fromiter(map(int, stamps), np.int64, len(stamps)))
    except (ValueError, OverflowError):
        sound = (int(stamp.lstrip(b"0") or b"0") if stamp.isdigit() and len(stamp.lstrip(b"0")) < 20 else 0 for stamp in stamps)
        return to_ns(np.array([time if time < 2**63 else 0 for time in sound], np.int64))


def to_ns(times: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Times in ms (13 digits), µs (16) or ns (19) as ns; 0 where the digits fit none, or the year is beyond 2262."""
    factor = np.select([(times >= 10**17), (times >= 10**14), (times >= 10**11)], [1, 1_000, 1_000_000], 0)
    return np.where(times <= np.iinfo(np.int64).max // np.maximum(factor, 1), times * factor, 0)


def shown(line: bytes) -> str:
    """A refused line as it is kept: text, at most 2,000 characters, without the receive time's newline."""
    return line[: 4 * TEXT].decode(errors="replace")[:TEXT]
