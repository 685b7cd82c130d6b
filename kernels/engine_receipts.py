"""Frames of many receipts decoded in one call: how a replay gets to the engine's speed, with one batch for each receipt all the same."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

from core.events import AnyInput
from kernels.frames_live import Batch, Live

Receipt = tuple[int, Sequence[bytes]]  # ts_recv, payloads


def decoded(live: Live, inputs: Iterable[Receipt | AnyInput], *, at_once: int = 4096) -> Iterator[Batch | AnyInput]:
    """The inputs in order, each receipt as the batch that `live.decode` makes of it; the others as they are.

    A batch is good until the next one is asked for. Refused frames are counted in its rows (kind -1), and not told.
    """
    source = iter(inputs)
    while block := list(islice(source, at_once)):
        payloads = [payload for one in block if isinstance(one, tuple) for payload in one[1]]
        whole = live.decode(payloads, 0)
        at = 0
        for one in block:
            if isinstance(one, tuple):
                ts_recv, of = one
                yield Batch(ts_recv, whole.rows[at : at + len(of)], whole.levels, {}, whole.symbols)
                at += len(of)
            else:
                yield one
