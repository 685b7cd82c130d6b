"""What waits for the engine, in order of arrival, and what gives way where too much does.

Inputs never go. Of tickers only the newest of each stream says anything, so older ones go first; then whole receipts of frames go, and
their symbols are told to be stale (`Overflowed`): nothing is dropped in silence.
"""

from collections import deque
from collections.abc import Callable, Sequence

from core.events import Command, Input, Overflowed
from kernels.engine import AHEAD
from monitoring import metrics

TICKERS = b"bookTicker"
Receipt = tuple[Sequence[bytes], int]  # payloads that arrived together, ts_recv
Item = Input | Receipt


class Inbox:
    """`aside` is told what never reaches the engine (it is recorded all the same)."""

    def __init__(self, limit: int, symbols: tuple[str, ...], aside: Callable[[Sequence[bytes], int], None]) -> None:
        self.limit, self.symbols, self.aside = limit, symbols, aside
        self.items: deque[Item] = deque()
        self.n_frames = 0
        self._crowd = 0  # frames that came since room was made last

    def __len__(self) -> int:
        return len(self.items)

    def put(self, told: Input) -> None:
        """A kill goes before all that waits."""
        if isinstance(told, Command) and told.kind in AHEAD:
            self.items.appendleft(told)
        else:
            self.items.append(told)

    def frames(self, payloads: Sequence[bytes], ts_recv: int) -> None:
        self._crowd += len(payloads)
        if self.n_frames + len(payloads) > self.limit and self._crowd > self.limit // 10:
            self._make_room()
            self._crowd = 0
        if self.n_frames + len(payloads) > self.limit:
            metrics.FRAMES_DROPPED.inc(len(payloads))
            self.aside(payloads, ts_recv)
            if not (self.items and isinstance(self.items[-1], Overflowed)):
                self.items.append(Overflowed(ts=ts_recv, symbols=self.symbols))
        else:
            self.items.append((payloads, ts_recv))
            self.n_frames += len(payloads)

    def take(self) -> Item:
        """The next one. Raises `IndexError` where nothing waits."""
        item = self.items.popleft()
        if not isinstance(item, Input):
            self.n_frames -= len(item[0])
        return item

    def clear(self) -> None:
        self.items.clear()
        self.n_frames = 0

    def _make_room(self) -> None:
        kept: deque[Item] = deque()
        seen: set[bytes] = set()
        for item in reversed(self.items):
            if isinstance(item, Input):
                kept.appendleft(item)
                continue
            payloads, gone = [], []
            for payload in reversed(item[0]):
                stream = payload[:64].partition(b'"data"')[0]
                old = TICKERS in stream and stream in seen
                seen.add(stream)
                (gone if old else payloads).append(payload)
            if gone:
                metrics.TICKERS_CONFLATED.inc(len(gone))
                self.aside(gone[::-1], item[1])
            if payloads:
                kept.appendleft((payloads[::-1], item[1]))
        self.items = kept
        self.n_frames = sum(len(item[0]) for item in kept if not isinstance(item, Input))
