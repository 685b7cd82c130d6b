"""What the project stands on is what it thinks it is."""

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.parametrize("name", ["core", "kernels", "tasks", "flows", "serving", "monitoring", "scalp"])
def test_the_packages_are_ours(name: str):
    """`kernels` is the name of a published package, too."""
    file = importlib.import_module(name).__file__
    assert file and Path(file).parent == ROOT / name


def test_prefects_server_can_be_imported():
    """A newer FastAPI breaks it; the lock must keep one that does not."""
    code = "from prefect.server.api.server import create_app; create_app()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr[-2000:]


def test_the_lock_has_exact_versions_only():
    lines = [line for line in (ROOT / "requirements.lock").read_text().splitlines() if line and not line.startswith("#")]
    assert [line for line in lines if "==" not in line or "@" in line] == []


def test_the_command_line_answers_without_heavy_libraries():
    heavy = "torch", "prefect", "polars", "numba", "mlflow", "matplotlib", "tritonclient", "duckdb"
    code = f"import sys, scalp.main; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "[]"
