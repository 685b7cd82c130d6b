"""Alerts to their channels: the log, `<data_dir>/alerts.jsonl`, a webhook. Each trouble once within `alerts.repeat_s`, over all processes.

A channel that fails is a line in the log, never the end of the run that has something to tell.
"""

import json
import logging
import time
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import msgspec
from filelock import FileLock, Timeout

from core import alerts, settings
from core.alerts import Alert

log = logging.getLogger("scalp")
FILE, TOLD, LOCK = "alerts.jsonl", "alerts.told.json", "alerts.lock"
PATIENCE_S = 5.0


def tell(found: Iterable[Alert], config: settings.Settings) -> list[Alert]:
    """Send what is due; returns it."""
    of = config.alerts
    new = claimed([alerts.linked(alert, of.runbook) for alert in found], config.data_dir, of.repeat_s)
    for alert in new:
        then = f"; next: {alert.next}" if alert.next else ""
        log.warning("alert: %s (%s)%s", alert.line, alert.runbook, then, extra={"kept_only": True})
    if not new:
        return []
    lines = [entry(alert) for alert in new]
    try:
        with (config.data_dir / FILE).open("a") as file:
            file.writelines(json.dumps(line) + "\n" for line in lines)
    except OSError as error:
        log.warning("alerts are not kept: %s", error)
    if of.webhook_url is not None:
        post(str(of.webhook_url), lines, of.webhook_timeout_s)
    return new


def entry(alert: Alert) -> dict[str, Any]:
    return {"at": datetime.now(UTC).isoformat(timespec="milliseconds")} | msgspec.to_builtins(alert)


def post(url: str, lines: Iterable[dict[str, Any]], timeout_s: float) -> None:
    """One JSON object each. The URL may hold a secret: it is not logged."""
    with httpx.Client(timeout=timeout_s) as client:
        for line in lines:
            try:
                client.post(url, json=line).raise_for_status()
            except httpx.HTTPStatusError as error:
                log.warning("the webhook answered %d to an alert", error.response.status_code)
            except httpx.HTTPError as error:
                log.warning("the webhook was not reached: %s", type(error).__name__)


def claimed(found: list[Alert], data_dir: Path, repeat_s: float) -> list[Alert]:
    """Those that are due, put down as told, so that no other process tells them too. All of them where that cannot be put down."""
    if not found:
        return []
    path, now = data_dir / TOLD, time.time()
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        with FileLock(data_dir / LOCK, timeout=PATIENCE_S):
            told = read(path)
            new = alerts.due(found, told, now, repeat_s)
            kept = {key: at for key, at in told.items() if now - at < max(repeat_s, 86_400)} | {alert.key: now for alert in new}
            partial = path.with_suffix(".partial")
            partial.write_text(json.dumps(kept))
            partial.replace(path)
            return new
    except (OSError, Timeout) as error:
        log.warning("alerts may be told twice: %s", error)
        return alerts.due(found, {}, now, repeat_s)


def read(path: Path) -> dict[str, float]:
    try:
        return {str(key): float(at) for key, at in json.loads(path.read_text()).items()}
    except (OSError, ValueError, AttributeError):
        return {}
