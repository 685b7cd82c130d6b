"""The machine as `scalp doctor` looks at it: clock, disk, memory, cores, and what tracing of the kernel needs."""

import ctypes
import os
import platform
import shutil
import subprocess
import sys
import time
from pathlib import Path

from core import checks as c
from core.checks import Check
from core.machine import ROOT
from core.settings import Settings

UNSYNCHRONISED = 0x40  # of timex.status
WATCHED_S = 0.3
CAP_SYS_ADMIN, CAP_BPF = 21, 39


def checks(config: Settings) -> list[Check]:
    import psutil

    folder = nearest(config.data_dir)
    disk, files = shutil.disk_usage(folder), os.statvfs(folder)
    load = os.getloadavg()[0]
    memory = psutil.virtual_memory()
    limit = memory_limit()
    total = min(memory.total, limit or memory.total)
    return [
        clock(),
        c.disk(str(folder), disk.free, disk.total),
        c.inodes(str(folder), files.f_favail, files.f_files),
        writable(config.data_dir, folder),
        c.memory(min(memory.available, total), total),
        c.cores(cores(), load),
        tracing(),
    ]


def nearest(path: Path) -> Path:
    """The folder, or the nearest above it that is there."""
    while not path.exists():
        path = path.parent
    return path


def writable(data_dir: Path, folder: Path) -> Check:
    if folder.is_dir() and os.access(folder, os.W_OK | os.X_OK):
        return c.ok("folder", f"{data_dir}" + ("" if folder == data_dir else ", not made yet"))
    return c.fail(
        "folder", f"{folder} cannot be written in by {os.environ.get('USER', 'us')}", f"sudo chown -R $USER {folder}, or set SCALP_DATA_DIR"
    )


def cores() -> int:
    """That we may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def memory_limit() -> int | None:
    """Of our control group, where it has one."""
    try:
        text = Path("/sys/fs/cgroup/memory.max").read_text().strip()
    except OSError:
        return None
    return int(text) if text.isdigit() else None


# The clock


def clock() -> Check:
    wall, steady = time.time(), time.monotonic()
    time.sleep(WATCHED_S)
    newest = max(path.stat().st_mtime for path in (ROOT / "core").glob("*.py"))
    return c.clock(time.time() - wall, time.monotonic() - steady, wall, newest, synchronised(), time.tzname[0])


def synchronised() -> bool | None:
    """What the kernel says of its clock, or systemd; None where nobody knows."""
    if sys.platform == "linux":
        timex = (ctypes.c_byte * 256)()  # modes 0: only read; then offset, freq, maxerror, esterror, status
        try:
            state = ctypes.CDLL(None, use_errno=True).adjtimex(ctypes.byref(timex))
        except (OSError, AttributeError):
            state = -1
        if state >= 0:
            status = ctypes.c_int.from_buffer(timex, 5 * ctypes.sizeof(ctypes.c_long)).value
            return not status & UNSYNCHRONISED
    if shutil.which("timedatectl"):
        asked = ["timedatectl", "show", "-p", "NTPSynchronized", "--value"]
        done = subprocess.run(asked, capture_output=True, text=True, timeout=5, check=False)
        if done.returncode == 0:
            return done.stdout.strip() == "yes"
    return None


# Tracing


def tracing() -> Check:
    """eBPF wants the kernel's types (or headers), the Debian package, and rights. Nothing but tracing needs it."""
    missing, mend = [], []
    release = platform.release()
    if not Path("/sys/kernel/btf/vmlinux").exists() and not Path(f"/lib/modules/{release}/build").exists():
        missing.append(f"no headers of kernel {release}")
        mend.append(f"apt-get install linux-headers-{release}")
    if not Path("/usr/lib/python3/dist-packages/bcc").is_dir():
        missing.append("python3-bpfcc is not installed")
        mend.append("apt-get install python3-bpfcc")
    if not may_trace():
        missing.append("no right to load programs into the kernel (CAP_BPF)")
        mend.append("run as root, or in a container with --cap-add BPF --cap-add PERFMON")
    if missing:
        return c.warn("tracing", f"eBPF cannot be used: {'; '.join(missing)}", "; ".join(mend))
    return c.ok("tracing", "eBPF can be used")


def may_trace() -> bool:
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        return False
    line = next((line for line in status.splitlines() if line.startswith("CapEff:")), "CapEff: 0")
    held = int(line.split()[1], 16)
    return bool(held >> CAP_SYS_ADMIN & 1 or held >> CAP_BPF & 1)
