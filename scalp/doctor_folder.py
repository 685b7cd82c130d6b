"""The data folder as `scalp doctor` looks at it: ports, locks, what killed programs left, the ledger's leases and its kill switch."""

import json
import socket
import time
from pathlib import Path

from core import checks as c
from core import ports, stack
from core.checks import Check
from core.settings import Settings
from core.stack_marks import marked


def checks(config: Settings) -> list[Check]:
    return [*asked_ports(config), stack_check(config.data_dir), run_lock(config.data_dir), half_written(config), *ledger(config)]


# Ports


def asked_ports(config: Settings) -> list[Check]:
    """Those that settings name; 0 takes a free one and cannot fail."""
    up = stack.running(config.data_dir)
    ours = " ".join(part.address for part in up.parts.values()) if up is not None else ""
    wanted = [
        ("up.port", config.prefect.host, config.up.port, "scalp up --port 0"),
        ("prefect.port", config.prefect.host, config.prefect.port, "SCALP_PREFECT__PORT=0"),
        ("venue.port", config.venue.host, config.venue.port, "SCALP_VENUE__PORT=0"),
        ("stream.port", config.stream.host, config.stream.port, "SCALP_STREAM__PORT=0"),
        ("triton.grpc_port", config.triton.host, config.triton.grpc_port, "SCALP_TRITON__GRPC_PORT=0"),
        ("triton.http_port", config.triton.host, config.triton.http_port, "SCALP_TRITON__HTTP_PORT=0"),
    ]
    found = []
    for name, host, port, free in wanted:
        if port and ports.taken(host, port) and f":{port}" not in ours:
            mend = f"end it, or take a free one: {free}"
            found.append(c.fail("ports", f"{port} ({name}) is taken by {ports.holder(port)}", mend))
    asked = ", ".join(f"{port} ({name})" for name, _, port, _ in wanted if port)
    return found or [c.ok("ports", f"{asked or 'none asked for'}: free" + (", or used by the scalp up that runs" if up else ""))]


# Who is at work


def stack_check(data_dir: Path) -> Check:
    """The one `scalp up` of the folder, or what a killed one left."""
    last = stack.last(data_dir)
    if last is None:
        return c.ok("stack", "no scalp up runs here")
    if last.lives:
        bad = [f"{name} is {part.state}" for name, part in last.parts.items() if part.state in ("down", "unhealthy", "backing off")]
        if bad:
            return c.warn(
                "stack", f"scalp up runs (process {last.pid}): {', '.join(bad)}", "scalp status names the logs; scalp down, scalp up"
            )
        return c.ok("stack", f"scalp up runs (process {last.pid}, since {last.since})")
    left = marked(data_dir)
    named = ", ".join(f"{what} ({pid})" for pid, what in left.items())
    said = f"the last scalp up (process {last.pid}) was killed" + (f"; it left {named}" if left else "")
    return c.warn("stack", said, "scalp down (or the next scalp up) tidies up")


def run_lock(data_dir: Path) -> Check:
    """Who holds the folder. A lock dies with its holder: only the note of it can be stale, and that does no harm."""
    import psutil

    try:
        by = json.loads((data_dir / "run.holder.json").read_text())
        what, pid, since = by["what"], int(by["pid"]), by["since"]
    except (OSError, ValueError, KeyError):
        return c.ok("run lock", "free")
    if psutil.pid_exists(pid):
        return c.ok("run lock", f"held by {what} (process {pid}, since {since}); other runs wait for it")
    return c.ok("run lock", f"free; {what} (process {pid}) was killed, the next run tidies up")


def half_written(config: Settings) -> Check:
    """Files that a killed run was writing; the next run removes them."""
    if config.lake_url:
        return c.ok("half files", "not looked for: the lake is on another store")
    left = Path(config.lake).glob("*/venue=*/symbol=*/day=*/part.*.partial")
    if n := sum(not Path(f"/proc/{path.name.split('.')[1].split('-')[0]}").exists() for path in left):
        return c.warn("half files", f"{n} in the lake, of runs that were killed", "the next scalp run or scalp ingest removes them")
    return c.ok("half files", "none")


# The ledger


def ledger(config: Settings) -> list[Check]:
    """Leases of dead workers, the kill switch. A ledger that is not there is not made."""
    from core import ledger_control
    from core.ledger import Ledger, LedgerError, url_of

    file = config.data_dir / ledger_control.KILL_FILE
    kill = [c.warn("kill switch", f"the file {file} blocks all workers", f"rm {file}; scalp rearm --reason ...")] if file.exists() else []
    if not config.ledger.url and not (config.data_dir / "ledger.db").exists():
        return [*kill, c.ok("ledger", "none yet; scalp live makes one")]
    try:
        with Ledger(url_of(config.data_dir, config.ledger.url), wait_s=2.0) as opened, opened.read() as connection:
            leases, latches = ledger_control.leases(connection), ledger_control.latches(connection)
    except LedgerError as error:
        return [*kill, c.fail("ledger", str(error), "check SCALP_LEDGER__URL and that the database runs")]
    found = kill
    now = time.time_ns()
    newest = leases[0].account if leases else ""
    if latch := latches.get(newest):
        said = f"on for {newest}: {latch['reason']} ({latch['who']})"
        found.append(c.warn("kill switch", said, "scalp rearm --reason ... once it is understood"))
    for lease in (one for one in leases if one.until > now):
        left = (lease.until - now) / 1e9
        if dead(lease.holder):
            said = f"{lease.account} is held by {lease.holder}, which is dead"
            found.append(c.warn("lease", said, f"nothing: it ends by itself in {left:.1f} s"))
        else:
            found.append(c.ok("lease", f"{lease.account} is traded by {lease.holder}"))
    return found or [c.ok("ledger", f"{len(leases)} account{'s' * (len(leases) != 1)}, none held, the kill switch is off")]


def dead(holder: str) -> bool:
    """Whether a worker of this machine that is named `host:pid` is gone."""
    import psutil

    host, _, pid = holder.rpartition(":")
    return host == socket.gethostname() and pid.isdigit() and not psutil.pid_exists(int(pid))
