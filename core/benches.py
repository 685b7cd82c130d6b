"""Where the benchmarks beside the peers are, and whether they can be taken. Nothing imports them: they run in processes of their own."""

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
INSTALLED = ROOT / "bench" / ".venv" / ".ready"


def missing() -> str | None:
    """Why there is nothing to compare with, or None."""
    if not (ROOT / "bench" / "__main__.py").exists():
        return "the benchmarks are not installed with the package: run scalp from a clone of the repository"
    if not INSTALLED.exists():
        return "the peers are not installed; `make peers` installs them"
    return None


def named() -> list[str]:
    """The benchmarks there are."""
    own = ("__init__", "__main__", "harness", "runner", "worker")
    files = (ROOT / "bench").glob("*.py")
    return sorted(f.stem for f in files if f.stem not in own and ("BENCH = " in (text := f.read_text()) or "def take(" in text))
