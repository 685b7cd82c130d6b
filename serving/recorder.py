"""Every frame received, kept as a recording: `<receive time, ns> <payload>` a line, plain while written, gzipped when a file is full.

A line is appended by one `write` of the system before anything is done with it, so the end of the process loses nothing that was
written. What a dead worker left plain is gzipped at the next start. `scalp ingest --source recordings` reads the gzipped files.
"""

import gzip
import os
import shutil
import threading
from collections.abc import Sequence
from pathlib import Path

PLAIN, PACKED = ".log", ".gz"
COPY = 1 << 20


class Recorder:
    """Appends to `<folder>/frames-<k>.log`. A full disk raises `OSError`; what was cut off by it is taken back."""

    def __init__(self, folder: Path, *, rotate_mb: float = 64.0, name: str = "frames") -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.name, self.limit = folder, name, max(1, int(rotate_mb * 1e6))
        self.k = 1 + max((number(p) or 0 for p in folder.glob(f"{name}-*")), default=0)
        self.line = 0  # lines in the file so far
        self.n_bytes = 0
        self._packing: list[threading.Thread] = []
        self._open()

    def _open(self) -> None:
        self.path = self.folder / f"{self.name}-{self.k:05d}{PLAIN}"
        self._file = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        self.line = self.n_bytes = 0

    def write(self, payloads: Sequence[bytes], ts_recv: int) -> tuple[int, int]:
        """Append payloads that arrived together; returns (number of the file, line of the first of them, from 0)."""
        head = b"%d " % ts_recv
        text = b"".join([part for payload in payloads for part in (head, payload, b"\n")])
        if text.count(b"\n") != len(payloads):  # JSON may hold line ends; between its words a blank says the same
            text = b"".join([part for payload in payloads for part in (head, payload.replace(b"\n", b" "), b"\n")])
        if self.n_bytes and self.n_bytes + len(text) > self.limit:
            self.rotate()
        k, line = self.k, self.line
        self._append(text)
        self.line += len(payloads)
        return k, line

    def write_line(self, text: bytes) -> None:
        """Append one line as it is."""
        if self.n_bytes and self.n_bytes + len(text) >= self.limit:
            self.rotate()
        self._append(text + b"\n")
        self.line += 1

    def _append(self, text: bytes) -> None:
        done = 0
        try:
            while done < len(text):
                done += os.write(self._file, text[done:])
        except OSError:
            os.ftruncate(self._file, self.n_bytes)  # no half line
            raise
        self.n_bytes += len(text)

    def rotate(self) -> None:
        """Begin the next file and gzip this one beside what goes on."""
        os.close(self._file)
        done = self.path
        self.k += 1
        self._open()
        thread = threading.Thread(target=pack, args=(done,), name=f"pack {done.name}", daemon=True)
        thread.start()
        self._packing = [t for t in self._packing if t.is_alive()] + [thread]

    def close(self) -> None:
        """Gzip the last file; wait for those on their way."""
        os.close(self._file)
        for thread in self._packing:
            thread.join()
        pack(self.path)


def number(path: Path) -> int | None:
    """k of `frames-<k>.log` or `.gz`."""
    word = path.name.partition(".")[0].rpartition("-")[2]
    return int(word) if word.isdigit() else None


def pack(path: Path) -> Path | None:
    """Gzip a finished file and remove the plain one; an empty one is removed. Done again after a crash, it is done once."""
    if not path.exists():
        return None
    if not path.stat().st_size:
        path.unlink()
        return None
    packed = path.with_suffix(PACKED)
    partial = packed.with_name(f".{packed.name}.{os.getpid()}")
    try:
        with path.open("rb") as source, gzip.open(partial, "wb", compresslevel=3) as target:
            shutil.copyfileobj(source, target, COPY)
        partial.replace(packed)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    path.unlink()
    return packed
