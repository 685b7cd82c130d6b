"""Who listens on a port."""

import contextlib
import socket
import time

from core.stack_marks import words


def taken(host: str, port: int) -> bool:
    """Whether a server could not listen there just now."""
    with socket.socket() as one:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            one.bind((host, port))
        except OSError:
            return True
    return False


def free_within(host: str, port: int, seconds: float) -> bool:
    """Wait until a server could listen there: what was killed just now holds its port a moment longer."""
    until = time.monotonic() + seconds
    while taken(host, port):
        if time.monotonic() > until:
            return False
        time.sleep(0.1)
    return True


def holder(port: int) -> str:
    """Who listens on it, for people."""
    import psutil

    with contextlib.suppress(psutil.Error, OSError):
        for one in psutil.net_connections(kind="tcp"):
            if one.status == psutil.CONN_LISTEN and one.laddr and one.laddr.port == port:
                if one.pid is None:
                    break
                with contextlib.suppress(psutil.Error):
                    return f"process {one.pid} ({words(psutil.Process(one.pid).cmdline())})"
    return "a process that cannot be seen from here (another user's, or one that is just ending)"
