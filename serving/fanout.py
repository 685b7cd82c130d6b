"""/stream for many clients, in a process of its own: the worker writes each update once, into a pipe, and never waits for anybody.

    worker: FanOut.put -> pipe ->  process: python -m serving.fanout -> WebSockets

A line of the pipe is `<kept> <kind> <symbol> <JSON>`; what the worker could not write because nobody read is counted and told.
"""

import asyncio
import contextlib
import fcntl
import json
import logging
import os
import subprocess
import sys
from pathlib import Path

from serving.fanout_clients import dropped

log = logging.getLogger(__name__)
MOST_BYTES = 4_000_000  # that may wait for the pipe
PIPE_BYTES = 1 << 20
F_SETPIPE_SZ = 1031  # Linux; 64 KiB where it is refused
START_S = 20.0


class FanOutError(RuntimeError):
    """The process did not start; the message shows the end of its log."""


def line_of(kind: str, symbol: str, kept: bool, text: bytes) -> bytes:
    return b"%d %b %b %b\n" % (kept, kind.encode(), symbol.encode() or b"-", text)


class FanOut:
    """The worker's end. `url` is where clients go once it was started."""

    def __init__(self, log_path: Path, *, host: str = "127.0.0.1", port: int = 0, queue: int = 1_000) -> None:
        self.log_path, self.host, self.port, self.queue = log_path, host, port, queue
        self.process: subprocess.Popen[bytes] | None = None
        self.url = ""
        self.lost = 0  # lines that were not written, not told yet
        self._waits = bytearray()
        self._writing = False

    @property
    def alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    async def start(self) -> None:
        """Returns when it answers. Raises `FanOutError`."""
        self.close()
        process = self._spawn()
        assert process.stdout is not None
        try:
            line = await asyncio.wait_for(asyncio.to_thread(process.stdout.readline), START_S)
            told_port = int(json.loads(line)["port"])
        except (TimeoutError, ValueError, KeyError) as error:
            self.close()
            tail = self.log_path.read_text(errors="replace")[-500:]
            raise FanOutError(f"the fan-out process did not start; see {self.log_path}\n{tail}") from error
        self.port = told_port
        self.url = f"ws://{self.host}:{told_port}/stream"

    def _spawn(self) -> subprocess.Popen[bytes]:
        self.log_path.parent.mkdir(parents=True, exist_ok=True)
        command = [
            sys.executable,
            "-m",
            "serving.fanout_process",
            "--host",
            self.host,
            "--port",
            str(self.port),
            "--queue",
            str(self.queue),
        ]
        with self.log_path.open("ab") as told:
            process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=told, start_new_session=True)
        self.process = process
        assert process.stdin is not None
        pipe = process.stdin.fileno()
        os.set_blocking(pipe, False)
        with contextlib.suppress(OSError):
            fcntl.fcntl(pipe, F_SETPIPE_SZ, PIPE_BYTES)
        return process

    def put(self, line: bytes) -> None:
        """Hand a line over; what cannot be taken now waits, up to a limit."""
        if not self.alive or self.process is None or self.process.stdin is None:
            return
        if len(self._waits) + len(line) > MOST_BYTES:
            self.lost += 1
            return
        if self.lost:
            self._waits += line_of("dropped", "", False, dropped(self.lost))
            self.lost = 0
        self._waits += line
        if not self._writing:
            self._write()

    def _write(self) -> None:
        assert self.process is not None and self.process.stdin is not None
        pipe = self.process.stdin.fileno()
        try:
            while self._waits:
                del self._waits[: os.write(pipe, self._waits)]
        except BlockingIOError:
            if not self._writing:
                asyncio.get_running_loop().add_writer(pipe, self._write)
                self._writing = True
            return
        except BrokenPipeError:
            self._waits.clear()
        self._stop_writing(pipe)

    def _stop_writing(self, pipe: int) -> None:
        if self._writing:
            asyncio.get_running_loop().remove_writer(pipe)
            self._writing = False

    def close(self) -> None:
        """The process ends when its pipe does."""
        process, self.process = self.process, None
        if process is None:
            return
        assert process.stdin is not None and process.stdout is not None
        with contextlib.suppress(RuntimeError, ValueError):
            self._stop_writing(process.stdin.fileno())
        self._waits.clear()
        with contextlib.suppress(BrokenPipeError):
            process.stdin.close()
        process.stdout.close()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(5)
