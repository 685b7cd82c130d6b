"""Batches of decoded frames of one kind: attributes to arrays, digits to times."""

from collections.abc import Sequence
from itertools import chain
from operator import attrgetter
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

TEXT = 2_000  # characters of a refused line that are kept


class Batch(NamedTuple):
    """Some frames of one kind. `levels` holds, per side, the number of levels of each frame and all (price, size) pairs."""

    row: npt.NDArray[np.int64]  # line number, from 1
    recv: npt.NDArray[np.int64]  # ns
    event: npt.NDArray[np.int64]  # ns; 0 where the venue gave none
    symbol: npt.NDArray[np.int64]  # index into `Frames.symbols`; -1 where the frame names none
    ints: npt.NDArray[np.int64]  # [frames, fields]
    floats: npt.NDArray[np.float64]  # [frames, fields]
    words: list[str | None]  # order kinds of trades
    levels: list[tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]]


class Refusal(NamedTuple):
    row: int
    recv: int  # ns; 0 where the line had none to be believed
    reason: str
    text: str | None  # None: to be fetched from the file again


def columns(frames: list[Any], names: Sequence[str], dtype: Any) -> Any:
    """Array [frames, names] of those attributes."""
    if not names:
        return np.empty((len(frames), 0), dtype)
    return np.fromiter(chain.from_iterable(map(attrgetter(*names), frames)), dtype, len(frames) * len(names)).reshape(-1, len(names))


def taken(batch: Batch, keep: npt.NDArray[np.bool_]) -> Batch:
    """The frames of a batch that are to be kept."""
    if keep.all():
        return batch
    levels = [(counts[keep], pairs[np.repeat(keep, counts)]) for counts, pairs in batch.levels]
    words = [word for word, kept in zip(batch.words, keep, strict=True) if kept] if batch.words else []
    row, recv, event, symbol, ints, floats, _, _ = batch
    return Batch(row[keep], recv[keep], event[keep], symbol[keep], ints[keep], floats[keep], words, levels)


def merged(batches: Sequence[Batch]) -> Batch:
    """Batches of one kind as one, in order of lines."""
    if len(batches) == 1:
        return batches[0]
    row, recv, event, symbol, ints, floats, words, levels = zip(*batches, strict=True)
    sides = [
        (np.concatenate([one[at][0] for one in levels]), np.concatenate([one[at][1] for one in levels])) for at in range(len(levels[0]))
    ]
    arrays = (np.concatenate(some) for some in (row, recv, event, symbol, ints, floats))
    row, recv, event, symbol, ints, floats = arrays
    return Batch(row, recv, event, symbol, ints, floats, [word for some in words for word in some], sides)


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
        sound = (int(stamp) if stamp.isdigit() and len(stamp) < 20 else 0 for stamp in stamps)
        return to_ns(np.array([time if time < 2**63 else 0 for time in sound], np.int64))


def to_ns(times: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Times in ms (13 digits), µs (16) or ns (19) as ns; 0 where the digits fit none, or the year is beyond 2262."""
    factor = np.select([(times >= 10**17), (times >= 10**14), (times >= 10**11)], [1, 1_000, 1_000_000], 0)
    return np.where(times <= np.iinfo(np.int64).max // np.maximum(factor, 1), times * factor, 0)


def shown(line: bytes) -> str:
    """A refused line as it is kept: text, at most 2,000 characters, without the receive time's newline."""
    return line[: 4 * TEXT].decode(errors="replace")[:TEXT]
