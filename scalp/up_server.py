"""Whether Prefect's server does its work, beyond answering: it has been seen to answer for hours and to schedule nothing."""

import logging
import time
from collections.abc import Callable

from core.services import answers

LOOK_S = 10.0

log = logging.getLogger("scalp")


def well(url: str, auth: str) -> Callable[[], bool]:
    """The server's health: it answers, and every active schedule has a run ahead (looked at every `LOOK_S`).

    Its scheduler is a service of its own, whose failure the server survives unheard: by SQLAlchemy 2.1 it failed each time, and no
    schedule ever fired.
    """
    import httpx

    from core import prefect_runs

    kept, next_look = True, 0.0

    def ask() -> bool:
        nonlocal kept, next_look
        if not answers(f"{url}/api/health"):
            return False
        if time.monotonic() >= next_look:
            next_look = time.monotonic() + LOOK_S
            try:
                kept = not prefect_runs.forgotten(url, auth)
            except (httpx.HTTPError, ValueError, KeyError) as error:
                log.debug("the schedules were not looked at: %s", error)  # it answered: the next look tells
        return kept

    return ask
