"""What `scalp doctor` finds: one thing looked at, how it stands, and what mends it. The judgements are functions of plain numbers."""

from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import NamedTuple

from packaging.markers import default_environment
from packaging.requirements import Requirement

GB = 1e9
LEAST_FREE, LITTLE_FREE = 1 * GB, 10 * GB
LEAST_MEMORY, LITTLE_MEMORY = 1.5 * GB, 4 * GB  # the stack alone takes some 2 GB, a training run as much again
JUMP_S = 0.05


class Level(StrEnum):
    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


class Check(NamedTuple):
    """`mend` is a command, or what to do where no command does it; empty where nothing has to be done."""

    name: str
    level: Level
    said: str
    mend: str = ""


def ok(name: str, said: str) -> Check:
    return Check(name, Level.OK, said)


def warn(name: str, said: str, mend: str = "") -> Check:
    return Check(name, Level.WARN, said, mend)


def fail(name: str, said: str, mend: str = "") -> Check:
    return Check(name, Level.FAIL, said, mend)


def disk(where: str, free: float, total: float) -> Check:
    """Room for what is written."""
    said = f"{free / GB:,.1f} GB free of {total / GB:,.0f} GB at {where}"
    mend = "scalp maintain (it shows what could go first), or choose another disk with SCALP_DATA_DIR"
    if free < LEAST_FREE:
        return fail("disk", said, mend)
    return warn("disk", said, mend) if free < LITTLE_FREE else ok("disk", said)


def inodes(where: str, free: int, total: int) -> Check:
    """Room for files: a part is a file. Some file systems have no limit and say 0."""
    if not total:
        return ok("inodes", f"no limit at {where}")
    said = f"{free:,} of {total:,} free at {where}"
    mend = "delete files that are not needed, or choose another disk with SCALP_DATA_DIR"
    if free < 1_000:
        return fail("inodes", said, mend)
    return warn("inodes", said, mend) if free < 0.05 * total else ok("inodes", said)


def memory(available: float, total: float) -> Check:
    said = f"{available / GB:,.1f} GB available of {total / GB:,.1f} GB"
    mend = "end what is not needed, or start less: scalp up --only server,pool,worker"
    if available < LEAST_MEMORY:
        return fail("memory", said, mend)
    return warn("memory", said, mend) if available < LITTLE_MEMORY else ok("memory", said)


def cores(n: int, load: float) -> Check:
    """`load`: processes that wanted to run, mean of the last minute."""
    said = f"{n} core{'s' * (n != 1)}, load {load:.1f}"
    if n < 2:
        return warn("cores", said, "give the machine two cores: beside the live worker a flow would run late")
    if load > 1.5 * n:
        return warn("cores", f"{said}: more wants to run than can", "top -o %CPU shows what; times measured now are too long")
    return ok("cores", said)


def clock(wall_s: float, steady_s: float, now: float, newest_file: float, synchronised: bool | None, zone: str) -> Check:
    """`wall_s` and `steady_s`: the same moment by either clock; `newest_file`: of the code, which cannot be of tomorrow."""
    if abs(wall_s - steady_s) > JUMP_S:
        return warn(
            "clock", f"it jumped by {wall_s - steady_s:+.3f} s while it was looked at", "timedatectl timesync-status shows who sets it"
        )
    if now < newest_file - 86_400:
        return fail("clock", "it is days behind: the code is younger than now", "timedatectl set-ntp true, or set it by hand: date -s ...")
    if synchronised is False:
        return warn("clock", f"not synchronised with anything, time zone {zone}", "apt-get install chrony, or timedatectl set-ntp true")
    said = "synchronised" if synchronised else "steady (whether it is synchronised cannot be told here)"
    return ok("clock", f"{said}, time zone {zone}; schedules and days are UTC")


def requirements(wanted: list[str], version_of: Callable[[str], str | None], extras: Mapping[str, str]) -> Check:
    """Installed packages against what ours asks for. `extras`: which to look at too -> what wants it."""
    wrong: dict[str, str] = {}  # what is asked for -> what is wrong with it
    n = 0
    environment = {key: str(value) for key, value in default_environment().items()}
    for line in wanted:
        asked = Requirement(line)
        of = [extra for extra in ("", *extras) if asked.marker is None or asked.marker.evaluate(environment | {"extra": extra})]
        if not of:
            continue
        n += 1
        found, spelt = version_of(asked.name), f"{asked.name}{asked.specifier}"
        if found is None:
            wrong[spelt] = f"{asked.name} is not installed" + (f" ({extras[of[0]]})" if of[0] else "")
        elif not asked.specifier.contains(found.split("+")[0], prereleases=True):
            wrong[spelt] = f"{asked.name} {found} is installed, {asked.specifier} is asked for"
    if wrong:
        return fail("packages", "; ".join(wrong.values()), "pip install " + " ".join(f"'{spelt}'" for spelt in wrong))
    return ok("packages", f"{n} as asked for")
