"""What a stack is made of: parts, in the order they are started, and where each of them stands."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from core.services import Service


class State(StrEnum):
    """Where a part stands."""

    WAITING = "waiting"  # for its turn, or for what it needs
    SKIPPED = "skipped"  # there is nothing for it to do; started when there is
    STARTING = "starting"
    HEALTHY = "healthy"
    UNHEALTHY = "unhealthy"  # runs, and does not answer as it should
    DONE = "done"  # a set-up step that ended well
    BACKING_OFF = "backing off"  # died; started again in a moment
    STOPPING = "stopping"
    STOPPED = "stopped"
    DOWN = "down"  # died too often: left down


UP = frozenset({State.HEALTHY, State.DONE})
SETTLED = UP | {State.SKIPPED, State.DOWN, State.UNHEALTHY}


def nothing() -> str | None:
    return None


@dataclass(frozen=True)
class Part:
    """One thing a stack looks after.

    `made` gives its process, not yet started, and its address; it is asked anew for each start. The process's `ready` is its health
    probe, and goes on being asked. `skipped` says why there is nothing to start, or None.
    """

    name: str
    what: str  # in a few words, for people
    made: Callable[[], tuple[Service, str]]
    needs: tuple[str, ...] = ()  # parts that have to be up before
    tied: tuple[str, ...] = ()  # of those, the ones whose end ends it too: it is started again after them
    once: bool = False  # a set-up step: it ends by itself, with 0 when all is well
    essential: bool = False  # the whole ends when it is left down
    mends_itself: bool = False  # unhealthy is said, and not ended: what it waits for may come back
    skipped: Callable[[], str | None] = nothing
    start_timeout_s: float | None = None  # unset: the stack's
    farewell: Callable[[], Service] | None = None  # a step once it was stopped with the whole, while what it needs is still up


@dataclass(frozen=True)
class Care:
    """How a stack looks after its parts."""

    start_timeout_s: float = 180.0
    restarts: int = 5  # of one part within the window; then it is left down
    window_s: float = 600.0
    backoff_s: float = 1.0  # before the first restart; doubled each time
    longest_backoff_s: float = 30.0
    slow_s: float = 30.0  # without a healthy answer for so long it is unhealthy
    unhealthy_s: float = 120.0  # and after so long it is started again
    probe_s: float = 3.0

    def backoff(self, restarts: int) -> float:
        """How long to wait before the restart that comes after so many."""
        return min(self.backoff_s * 2**restarts, self.longest_backoff_s)


@dataclass
class Standing:
    """Where one part stands now, as `up.json` and `scalp status` tell it."""

    part: Part
    state: State = State.WAITING
    why: str = ""
    since: float = 0.0  # wall clock
    address: str = ""
    log: str = ""
    pid: int | None = None
    restarts: int = 0  # since the stack began
    service: Service | None = None
    deaths: list[float] = field(default_factory=list)  # within the window, monotonic


def chosen(parts: Sequence[Part], only: Sequence[str], without: Sequence[str]) -> tuple[list[Part], dict[str, str]]:
    """Which parts to start: those of `only` with what they need (all where it is empty), but for `without` and what needs one of those.

    Returns them in order, and for what was asked for and is left out all the same, why. Raises `LookupError` for a name there is not.
    """
    names = [part.name for part in parts]
    if unknown := [name for name in (*only, *without) if name not in names]:
        raise LookupError(f"there is no part {', '.join(unknown)}; there are {', '.join(names)}")
    wanted = set(only or names)
    for part in reversed(parts):  # what is needed stands before what needs it
        if part.name in wanted:
            wanted |= set(part.needs)
    out = set(without)
    told: dict[str, str] = {}
    for part in parts:
        if part.name in wanted and part.name not in out and (missing := [need for need in part.needs if need in out]):
            out.add(part.name)
            told[part.name] = f"it needs {', '.join(missing)}, which is left out"
    return [part for part in parts if part.name in wanted and part.name not in out], told
