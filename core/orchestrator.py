"""The local Prefect server's closed, tuned environment: for the server itself and for whoever talks to it.

Everything is kept under `<data_dir>/prefect`; the server listens on loopback, wants a password that is generated once, and
calls nobody. The batch sizes let SQLite keep up with a thousand task runs. Prefect reads its environment when it is
imported: set it first.
"""

import contextlib
import importlib.util
import os
import secrets
import sys
from pathlib import Path

USER = "admin"
POOL = "local"  # the work pool of this machine
TUNED = {
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_BATCH_SIZE": "200",
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_READ_BATCH_SIZE": "200",
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_FLUSH_INTERVAL": "1",
    "PREFECT_SERVER_SERVICES_EVENT_PERSISTER_BATCH_SIZE": "500",
    "PREFECT_SERVER_SERVICES_EVENT_PERSISTER_READ_BATCH_SIZE": "200",
    "PREFECT_SERVER_SERVICES_EVENT_PERSISTER_FLUSH_INTERVAL": "2",
    "PREFECT_SERVER_SERVICES_TRIGGERS_READ_BATCH_SIZE": "200",
    "PREFECT_SERVER_DATABASE_TIMEOUT": "30",
    "PREFECT_SERVER_DATABASE_CONNECTION_TIMEOUT": "30",
    "PREFECT_CLIENT_MAX_RETRIES": "10",
    "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": "30",  # 180 by default: by it a run that died unheard is told from one that works
}
QUIET = {
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "DO_NOT_TRACK": "1",
    "PREFECT_CLOUD_ENABLE_ORCHESTRATION_TELEMETRY": "false",
    "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
    "PREFECT_SERVER_UI_V2_ENABLED": "false",  # it calls an outside host even with analytics off; the first UI does not
    "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "CRITICAL",  # run logs go to the server; the console has our own lines
    "PREFECT_LOGGING_EXTRA_LOGGERS": "scalp",  # what we log inside a run stands in its logs in the UI
    "PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW": "ignore",
    "PREFECT_SERVER_LOGGING_LEVEL": "WARNING",
}

SERVER = {
    "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "WARNING",  # a service of it that fails again and again is heard of nowhere else
    "PREFECT_SERVER_SERVICES_DB_VACUUM_ENABLED": "events,orphans",  # logs and artifacts of runs that were deleted
}


def home(data_dir: Path) -> Path:
    return data_dir / "prefect"


def password_file(data_dir: Path) -> Path:
    return home(data_dir) / "password"


def password(data_dir: Path) -> str:
    """The server's password, made on first use and readable by its owner only."""
    path = password_file(data_dir)
    with contextlib.suppress(FileNotFoundError):
        if kept := path.read_text().strip():
            return kept
        path.unlink(missing_ok=True)  # whoever made it was killed before it was written
    path.parent.mkdir(parents=True, exist_ok=True)
    made = path.with_name(f"password.{os.getpid()}-{secrets.token_hex(4)}")
    with os.fdopen(os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(secrets.token_urlsafe(18))
    with contextlib.suppress(FileExistsError):  # of two that begin at once the first one's counts
        os.link(made, path)
    made.unlink()
    return path.read_text().strip()


def environment(data_dir: Path, host: str, port: int) -> dict[str, str]:
    """Variables for the server and its clients."""
    auth = f"{USER}:{password(data_dir)}"
    return {
        "PREFECT_HOME": str(home(data_dir)),
        "PREFECT_API_URL": f"http://{host}:{port}/api",
        "PREFECT_SERVER_API_AUTH_STRING": auth,
        "PREFECT_API_AUTH_STRING": auth,
        "PREFECT_SERVER_API_CSRF_PROTECTION_ENABLED": "true",
        "PREFECT_SERVER_API_CORS_ALLOWED_ORIGINS": f"http://{host}:{port}",
        **TUNED,
        **QUIET,
    }


def server_environment(database_url: str) -> dict[str, str]:
    """What the server wants besides: its own errors in its log, and where its database is, where that is not a file of its own. That holds
    a password, so nobody else gets it. Raises `ValueError` where the driver for it is not installed."""
    if not database_url:
        return SERVER
    if database_url.startswith("postgresql+asyncpg://") and importlib.util.find_spec("asyncpg") is None:
        raise ValueError("prefect.database_url names PostgreSQL, and asyncpg is not installed: pip install 'cryptoscalp[postgres]'")
    return SERVER | {"PREFECT_SERVER_DATABASE_CONNECTION_URL": database_url}


def worker_environment(host: str, port: int) -> dict[str, str]:
    """What a worker wants besides: where it answers how it is, how often it asks for work, and that it shows what its flows say."""
    return {
        "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "INFO",
        "PREFECT_LOGGING_COLORS": "false",
        "PREFECT_WORKER_QUERY_SECONDS": "2",  # 10 by default: from the button to the run
        "PREFECT_WORKER_WEBSERVER_HOST": host,  # 0.0.0.0 by default
        "PREFECT_WORKER_WEBSERVER_PORT": str(port),
    }


def worker_command(pool: str, name: str, limit: int) -> list[str]:
    asked = ["--pool", pool, "--type", "process", "--name", name, "--limit", str(limit), "--with-healthcheck"]
    return [sys.executable, "-m", "prefect", "worker", "start", *asked]


def server_command(host: str, port: int) -> list[str]:
    return [sys.executable, "-m", "prefect", "server", "start", "--host", host, "--port", str(port)]
