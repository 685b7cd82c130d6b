"""The local venue that `scalp live` trades against: started beside us, or found where somebody else started it."""

import contextlib
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scalp.failures import UsageError

if TYPE_CHECKING:
    from core.settings import Settings

VENUE_START_S = 180.0  # it compiles first, half a minute on a fresh machine, more on a busy one


def local_venue(config: "Settings", source: str, speed: float | None, stack: contextlib.ExitStack) -> dict[str, Any]:
    """Start the simulator beside us; what it says of itself. Raises `UsageError`, `ServiceError`."""
    from core.services import Service, stop_leftovers
    from serving.venue_keys import KEY, SECRET

    if source and source != "generated" and not Path(source).exists():
        raise UsageError(f"{source} is not there: give a recording, a folder of them, or generated")
    stop_leftovers(config.data_dir)
    command = [sys.executable, "-m", "serving.venue"]
    command += ["--from", source] if source and source != "generated" else []
    command += ["--speed", str(speed)] if speed is not None else []
    env = dict(os.environ) | {"SCALP_EXCHANGE__API_KEY": KEY, "SCALP_EXCHANGE__API_SECRET": SECRET}
    told_at = config.data_dir / "logs" / "venue.log"
    service: Service = Service("venue", command, env, told_at, lambda: told_in(told_at) is not None)
    stack.enter_context(service)
    service.wait_ready(VENUE_START_S)
    return told_in(told_at) or {}


def told_in(path: Path) -> dict[str, Any] | None:
    """The line of JSON with which the simulator begins; None before it is there."""
    for line in path.read_bytes().splitlines(keepends=True):
        if line.startswith(b'{"kind"') and line.endswith(b"\n"):
            return json.loads(line)
    return None


def running_venue(url: str) -> dict[str, Any]:
    """One that somebody else started (`scalp venue`)."""
    import httpx

    try:
        return httpx.get(f"{url.rstrip('/')}/venue", timeout=5, trust_env=False).raise_for_status().json()
    except (httpx.HTTPError, ValueError) as error:
        raise UsageError(f"there is no local venue at {url} ({error}); scalp venue starts one") from error


def at(exchange: Any, simulator: dict[str, Any]) -> Any:
    """The settings of the exchange, pointed at the simulator."""
    from pydantic import SecretStr

    from serving.venue_keys import KEY, SECRET

    urls = simulator["urls"]
    changed = {"rest_url": urls["rest"], "ws_url": urls["ws"], "ws_api_url": urls["ws_api"]}
    if not exchange.api_key.get_secret_value():
        changed |= {"api_key": SecretStr(KEY), "api_secret": SecretStr(SECRET)}
    return exchange.model_copy(update=changed)
