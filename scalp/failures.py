"""How a verb ends badly: the errors a person can do something about, each as one line and an exit code."""

import errno
import os
import shutil
from collections.abc import Callable, Iterator

from rich.markup import escape

from core import settings
from core.holding import Held
from core.services import ServiceError
from core.settings import SettingsError
from core.store_errors import StoreError
from scalp.console import err

OK, FAILED, USAGE, REFUSED = 0, 1, 2, 3
INTERRUPTED = 130
FULL = 1_000_000  # bytes; with less no server works


class UsageError(ValueError):
    """What was asked cannot be done as it was asked; the message says what to type instead."""


def guarded(verb: Callable[[], int]) -> int:
    """Turn the errors a person can do something about into one line and an exit code."""
    try:
        return verb()
    except (SettingsError, UsageError) as error:
        err.print(f"[red]error:[/red] {escape(str(error))}", soft_wrap=True)
        return USAGE
    except Held as error:
        err.print(f"[red]refused:[/red] {escape(str(error))}", soft_wrap=True)
        return REFUSED
    except (ServiceError, StoreError, OSError) as error:
        err.print(f"[red]failed:[/red] {escape(cause(error))}", soft_wrap=True)
        return FAILED
    except KeyboardInterrupt:
        err.print("stopped; everything that was started is stopped again, and what was finished is kept", soft_wrap=True)
        # Threads still inside a kernel would keep the process: what they were writing has a temporary name and is swept next time.
        os._exit(INTERRUPTED)


def cause(error: BaseException) -> str:
    """The one line that says what went wrong: the deepest cause's own words."""
    while error.__cause__ is not None and not str(error):
        error = error.__cause__
    if not isinstance(error, StoreError) and (full := next(filter(of_full_disk, chain(error)), None)):
        return full_disk(getattr(full, "filename", None) or settings.load().data_dir)
    if isinstance(error, ServiceError) and shutil.disk_usage(settings.load().data_dir).free < FULL:
        return full_disk(settings.load().data_dir)  # a server's log does not always say why it ended
    if isinstance(error, OSError) and error.filename and error.strerror:
        return f"{error.filename}: {error.strerror}"
    text = str(error) or type(error).__name__
    if "\nTraceback" in f"\n{text}" and not isinstance(error, ServiceError):  # a library's message with another error in full
        text = text.strip().splitlines()[-1]
    return text if isinstance(error, ValueError | RuntimeError | OSError) else f"{type(error).__name__}: {text}"


def full_disk(where: object) -> str:
    return f"the disk is full ({where}); what was finished is kept. Free some space and run again"


def chain(error: BaseException | None) -> Iterator[BaseException]:
    """An error and those that led to it."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def of_full_disk(error: BaseException) -> bool:
    return getattr(error, "errno", None) == errno.ENOSPC or "disk is full" in str(error)
