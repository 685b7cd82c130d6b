"""What made a number: the code's version, the machine, the versions of what it stands on."""

import importlib.metadata
import os
import platform
import subprocess
from functools import cache
from pathlib import Path

STACK = ("numpy", "numba", "polars", "pyarrow", "duckdb", "msgspec", "torch", "jax")
STACK += ("onnxruntime", "openvino", "prefect", "nvidia-pytriton")
ROOT = Path(__file__).resolve().parent.parent


@cache
def code_version() -> str:
    """The package's version, with the commit (and `+changes` for an edited checkout) where there is one."""
    version = importlib.metadata.version("cryptoscalp")

    def git(*words: str) -> str:
        return subprocess.run(["git", "-C", str(ROOT), *words], capture_output=True, text=True, timeout=10, check=True).stdout.strip()

    try:
        commit = git("rev-parse", "--short=12", "HEAD")
        edited = "+changes" if git("status", "--porcelain", "--untracked-files=no") else ""
    except (OSError, subprocess.SubprocessError):
        return version
    return f"{version}-{commit}{edited}"


@cache
def machine() -> str:
    """One line: processor, cores, memory, system, Python."""
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        lines = cpuinfo.read_text().splitlines()
        model = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), model)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return (
        f"{model}, {os.cpu_count()} cores, {memory:.0f} GiB, {platform.system()} {platform.release()}, Python {platform.python_version()}"
    )


@cache
def versions() -> str:
    """`name version` of each library a measurement depends on, those that are installed."""
    found = []
    for name in STACK:
        try:
            found.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            continue
    return ", ".join(found)
