"""Packages and tools as `scalp doctor` looks at them: what is installed against what is asked for, and the known traps."""

import importlib.metadata
import importlib.util
import shutil
from pathlib import Path

from core import checks as c
from core.checks import Check
from core.machine import ROOT
from core.settings import Settings
from core.triton_wheel import unavailable

TRITON = "nvidia-pytriton==0.7.0"
TOOLS = {
    "make": ("make", "make run, make test"),
    "g++": ("g++", "packages without a wheel for this Python"),
    "git": ("git", "the code's version in every part and run"),
    "chromium": ("chromium", "tests of the UI in a browser"),
    "pg_ctl": ("postgresql", "tests on PostgreSQL"),
}


def checks(config: Settings) -> list[Check]:
    return [packages(config), *strangers(), triton(config), tools()]


def version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def packages(config: Settings) -> Check:
    """Prefect, FastAPI and all others against the ranges they were tried in, with the extras that the settings want."""
    extras = {}
    if config.compute == "dask":
        extras["dask"] = "SCALP_COMPUTE is dask"
    if config.prefect.database_url.get_secret_value() or config.ledger.url.startswith("postgresql"):
        extras["postgres"] = "a database of PostgreSQL is set"
    try:
        wanted = importlib.metadata.requires("cryptoscalp") or []
    except importlib.metadata.PackageNotFoundError:
        return c.fail("packages", "cryptoscalp itself is not installed in this Python", "make setup")
    return c.requirements(wanted, version, extras)


def strangers() -> list[Check]:
    """Packages of the index that have the name of something else."""
    found = []
    if (bcc := version("bcc")) is not None:
        found.append(
            c.fail("bcc", f"bcc {bcc} of the index is a package on lattices, not eBPF", "pip uninstall bcc; apt-get install python3-bpfcc")
        )
    kernels = importlib.util.find_spec("kernels")
    if kernels is None or not Path(str(kernels.origin)).is_relative_to(ROOT):
        said = f"'import kernels' finds {kernels.origin if kernels else 'nothing'}, which is not ours"
        found.append(c.fail("kernels", said, "pip uninstall kernels; make setup"))
    return found or [c.ok("strangers", "no package that has the name of something else (bcc, kernels)")]


def triton(config: Settings) -> Check:
    if not config.triton.enabled:
        return c.ok("triton", "switched off (triton.enabled)")
    if reason := unavailable(config.deploy.backend):
        mend = f"pip install --no-deps {TRITON}" if "wheel is not installed" in reason else ""
        return c.warn("triton", f"models are served in-process: {reason}", mend)
    return c.ok("triton", "the real server can run here")


def tools() -> Check:
    missing = {name: of for name, of in TOOLS.items() if shutil.which(name) is None and not on_debian(name)}
    if not missing:
        return c.ok("tools", ", ".join(TOOLS))
    said = "; ".join(f"no {name} (for {what})" for name, (_, what) in missing.items())
    return c.warn("tools", said, "apt-get install " + " ".join(package for package, _ in missing.values()))


def on_debian(name: str) -> bool:
    """Where Debian keeps the server's programs of PostgreSQL: not on the path."""
    return any(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
