"""The keeper: a process that outlives a stack that is killed, and ends what the stack leaves behind.

    the stack --(a pipe)--> keeper;   "bye": nothing to do;   the pipe ends without it: the stack was killed

What the stack started itself hears of its death from the kernel and ends in order, flow runs with the worker; what has not
after the grace is killed, and what those had started too (a flow run lives in a session of its own, which no signal to the worker reaches).

python -m core.stack_keeper DATA_DIR GRACE_S
"""

import os
import signal
import subprocess
import sys
from pathlib import Path

from core.stack_marks import kill_marked, marks, wait_gone

BYE = b"bye"


class Keeper:
    """The stack's end of the pipe."""

    def __init__(self, data_dir: Path, grace_s: float) -> None:
        self.data_dir, self.grace_s = data_dir, grace_s
        self.process = self._started()

    def _started(self) -> "subprocess.Popen[bytes]":
        return subprocess.Popen(
            [sys.executable, "-m", "core.stack_keeper", str(self.data_dir), str(self.grace_s)],
            env=dict(os.environ) | marks(self.data_dir),
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def alive(self) -> bool:
        return self.process.poll() is None

    def keep(self) -> None:
        """Another one where it was killed."""
        if not self.alive:
            self.process = self._started()

    def bye(self) -> None:
        """We end in order."""
        self.process.communicate(BYE)


def main() -> None:
    data_dir, grace_s = Path(sys.argv[1]), float(sys.argv[2])
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    if sys.stdin.buffer.read() == BYE:
        return
    if not wait_gone(data_dir, grace_s):
        kill_marked(data_dir)


if __name__ == "__main__":
    main()
