"""Where the ledger's tests run: SQLite in a folder, and a PostgreSQL of their own from Debian's binaries."""

import os
import pwd
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from core.services import free_port


def postgres_binaries() -> Path | None:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    return found[-1].parent if found else None


@contextmanager
def postgres(folder: Path) -> Iterator[str]:
    """A server on loopback that ends with the block; it does not run as root, so root hands it to `postgres`."""
    binaries = postgres_binaries()
    assert binaries is not None
    data, port = folder / "pg", free_port()
    data.mkdir()
    as_user: dict[str, object] = {}
    if os.geteuid() == 0:
        user = pwd.getpwnam("postgres")
        os.chown(data, user.pw_uid, user.pw_gid)
        for above in [folder, *folder.parents]:
            if above.stat().st_uid == 0 and not above.stat().st_mode & 0o001:
                above.chmod(above.stat().st_mode | 0o011)
        as_user = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}

    def run(program: str, *words: str | Path) -> None:
        done = subprocess.run(
            [binaries / program, "-D", data, *words], check=False, cwd=data, capture_output=program == "initdb", **as_user
        )  # type: ignore[call-overload]
        assert done.returncode == 0, f"{program}: {done.stderr}"

    run("initdb", "-U", "scalp", "--auth=trust", "-N")
    options = f"-c listen_addresses=127.0.0.1 -c port={port} -c unix_socket_directories={data} -c fsync=off -c shared_buffers=16MB"
    run("pg_ctl", "-w", "-s", "-l", data / "log", "-o", options, "start")
    try:
        yield f"postgresql+psycopg://scalp@127.0.0.1:{port}/postgres"
    finally:
        run("pg_ctl", "-s", "-m", "immediate", "stop")
        shutil.rmtree(data, ignore_errors=True)
