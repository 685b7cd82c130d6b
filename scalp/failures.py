"""How a verb ends badly: the errors a person can do something about, each as one line and an exit code."""

import os
import shutil
from collections.abc import Callable

from rich.markup import escape

from core import settings
from core.causes import cause_of
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
    """The one line that says what went wrong; under a server that failed, the end of its log."""
    data_dir = settings.load().data_dir
    full = data_dir.exists() and shutil.disk_usage(data_dir).free < FULL
    told = cause_of(error, data_dir=data_dir, full=full)
    log = str(error).partition("\n")[2] if isinstance(error, ServiceError) and told.kind != "disk" else ""
    return f"{told.line}\n{log}" if log else told.line
