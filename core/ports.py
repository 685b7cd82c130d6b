"""Who listens on a port."""

import contextlib
import socket

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
    return "a process of another user"
