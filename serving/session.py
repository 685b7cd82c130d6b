"""What a session writes down beside the ledger, for as long as the disk lets it: frames, inputs and decisions, under one number.

A journal that fails ends: trading goes on, the session cannot be replayed past that point, and everybody is told.
"""

from collections.abc import Callable, Sequence

from core.events import Decision, Input
from monitoring import metrics
from serving.journal import Journal


class Session:
    """`seq` is that of the newest input, whether it is written or not. `failed` is told why nothing is written any more."""

    def __init__(self, journal: Journal | None, failed: Callable[[str], None]) -> None:
        self.journal, self.failed = journal, failed
        self.seq = 0
        self.state = "on" if journal is not None else "off"

    def frames(self, payloads: Sequence[bytes], ts_recv: int) -> int:
        """The number of the first."""
        first = self.seq + 1
        self.seq += len(payloads)
        if self.journal is not None:
            self._written(self.journal.frames, payloads, ts_recv)
        return first

    def aside(self, payloads: Sequence[bytes], ts_recv: int) -> None:
        """Frames that the engine does not get."""
        if self.journal is not None:
            self._written(self.journal.aside, payloads, ts_recv)

    def input(self, told: Input) -> int:
        self.seq += 1
        if self.journal is not None:
            self._written(self.journal.input, told)
        return self.seq

    def decisions(self, seq: int, made: Sequence[Decision]) -> None:
        if self.journal is not None:
            self._written(self.journal.decisions, seq, made)

    def _written(self, write: Callable[..., object], *args: object) -> None:
        try:
            write(*args)
        except OSError as error:
            self.journal = None
            self.state = f"stopped: {error}"
            metrics.RECORDING.set(0)
            self.failed(str(error))

    def close(self) -> None:
        if self.journal is not None:
            self.journal.close()
