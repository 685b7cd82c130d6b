"""Where the nvidia-pytriton wheel keeps the real Triton server, whether it can run here, and our copy of its back ends."""

import importlib.util
import json
import os
import shutil
import sys
import sysconfig
from pathlib import Path

LEAST_SHM = 16 * 2**20  # bytes: each instance takes 1 MiB and grows with the batches it sees
SHM = Path("/dev/shm")  # noqa: S108 (shared memory, not a file of ours)
NO_LIBPYTHON = "this Python has no shared libpython, which Triton's Python back end needs (on Debian: apt-get install libpython3-dev)"


def binaries() -> Path | None:
    """The wheel's `tritonserver` folder, or None where it is not installed."""
    found = importlib.util.find_spec("pytriton")
    folder = Path(found.origin).parent / "tritonserver" if found and found.origin else None
    return folder if folder and (folder / "bin" / "tritonserver").is_file() else None


def libraries(folder: Path) -> list[str]:
    """Where the server and its stub find the CUDA runtime they are linked against, and libpython."""
    return [str(folder.parents[1] / "nvidia_pytriton.libs"), str(sysconfig.get_config_var("LIBDIR") or "")]


def stub(folder: Path) -> Path:
    return folder / "python_backend_stubs" / f"{sys.version_info.major}.{sys.version_info.minor}" / "triton_python_backend_stub"


def unavailable(backend: str = "auto") -> str | None:
    """Why Triton cannot serve here, in words, or None where it can."""
    if sys.platform != "linux":
        return f"there is no Triton wheel for {sys.platform}"
    folder = binaries()
    if folder is None:
        return "the nvidia-pytriton wheel is not installed (there is one for Linux on x86-64 with glibc 2.35 or later)"
    if backend == "onnxruntime" and not (folder / "backends" / "onnxruntime").is_dir():
        return "this Triton has no ONNX Runtime back end (NVIDIA's container has): set deploy.backend to python or auto"
    if not stub(folder).is_file():
        return f"the nvidia-pytriton wheel has no stub for Python {sys.version_info.major}.{sys.version_info.minor}"
    library = str(sysconfig.get_config_var("INSTSONAME") or "")
    where = [
        Path(str(sysconfig.get_config_var("LIBDIR") or "")),
        *Path("/usr/lib").glob("*-linux-gnu"),
        Path("/usr/lib"),
        Path("/usr/lib64"),
    ]
    if ".so" not in library or not any((folder / library).exists() for folder in where):
        return NO_LIBPYTHON
    if not SHM.is_dir() or shutil.disk_usage(SHM).free < LEAST_SHM:
        return f"{SHM} is missing or nearly full, and Triton's Python back end needs shared memory"
    return None


def backends(data_dir: Path) -> Path:
    """Our copy of the wheel's back ends with the stub of this Python in it, made again when the wheel or the Python changed."""
    folder = binaries()
    if folder is None:
        raise FileNotFoundError("the nvidia-pytriton wheel is not installed")
    made = data_dir / "triton" / "backends"
    told = json.dumps([str(folder), (folder / "bin" / "tritonserver").stat().st_size, sys.version.split()[0]])
    mark = made / "made-from.json"
    if mark.is_file() and mark.read_text() == told:
        return made
    partial = made.with_name(f"backends.{os.getpid()}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    shutil.copytree(folder / "backends", partial, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy2(stub(folder), partial / "python" / stub(folder).name)
    (partial / mark.name).write_text(told)
    shutil.rmtree(made, ignore_errors=True)
    partial.rename(made)
    return made
