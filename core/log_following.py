"""New lines of a log file as they come, over its replacement by a new file."""

from pathlib import Path

MOST_BYTES = 1_000_000  # read at a time


class Following:
    """What is written to `path` from now on; a file that is begun anew is read from its beginning."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._at, self._file = 0, 0
        self._rest = b""

    def lines(self) -> list[str]:
        """Whole lines since the last call, but for those without a letter or a digit (empty ones, banners drawn with strokes)."""
        try:
            stat = self.path.stat()
            if stat.st_ino != self._file or stat.st_size < self._at:
                self._file, self._at, self._rest = stat.st_ino, 0, b""
            if stat.st_size == self._at:
                return []
            with self.path.open("rb") as file:
                file.seek(self._at)
                read = file.read(MOST_BYTES)
        except OSError:
            return []
        self._at += len(read)
        *whole, self._rest = (self._rest + read).split(b"\n")
        return [text for line in whole if any(map(str.isalnum, text := line.decode(errors="replace").rstrip()))]
