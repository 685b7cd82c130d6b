"""What a person sees while work is done: one line per thing finished, and a spinner that says what is under way."""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.status import Status

out = Console(highlight=False)
err = Console(stderr=True, highlight=False)


class Lines(logging.Handler):
    """Prints the project's own log records above the spinner; `stage` on a record changes the spinner's text, `now` does only that."""

    def __init__(self, console: Console, status: Status | None) -> None:
        super().__init__(logging.INFO)
        self.console, self.status = console, status

    def emit(self, record: logging.LogRecord) -> None:
        if getattr(record, "kept_only", False):
            return  # the verb tells it itself; the line is for the log
        text = escape(self.format(record))
        if now := getattr(record, "now", None):
            if self.status:
                self.status.update(escape(now))
            return
        stage = getattr(record, "stage", None)
        if stage is not None:
            self.console.print(f"[bold]{text}[/bold]", soft_wrap=True)
            if self.status:
                self.status.update(escape(stage))
        elif record.levelno >= logging.WARNING:
            self.console.print(f"  [yellow]![/yellow] {text}", soft_wrap=True)
        else:
            self.console.print(f"  {text}", soft_wrap=True)


class Kept(logging.FileHandler):
    """Lines in a file. A line that cannot be written, on a full disk, was shown on the terminal all the same."""

    def handleError(self, record: logging.LogRecord) -> None:
        pass  # logging would print a traceback for each line


@contextmanager
def progress(log_file: Path | None = None, console: Console = out) -> Iterator[Status | None]:
    """Show the project's log lines, and a spinner on a terminal; with `log_file`, keep every line there with its time."""
    log = logging.getLogger("scalp")
    log.setLevel(logging.INFO)
    log.propagate = False
    status = console.status("starting") if console.is_terminal else None
    handlers: list[logging.Handler] = [Lines(console, status)]
    if log_file:
        log_file.parent.mkdir(parents=True, exist_ok=True)
        to_file = Kept(log_file)
        to_file.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
        handlers.append(to_file)
    for handler in handlers:
        log.addHandler(handler)
    try:
        if status:
            with status:
                yield status
        else:
            yield None
    finally:
        for handler in handlers:
            log.removeHandler(handler)
            handler.close()


def seconds(since: float) -> str:
    """Time passed since a `time.perf_counter()`, as `12.3 s` or `2 min 05 s`."""
    passed = time.perf_counter() - since
    return f"{passed:.1f} s" if passed < 60 else f"{int(passed // 60)} min {int(passed % 60):02d} s"


def counted(n: int, what: str) -> str:
    """`1 file`, `2,000 files`."""
    return f"{n:,} {what}{'s' * (n != 1)}"
