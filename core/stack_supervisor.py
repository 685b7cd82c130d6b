"""Looking after the parts of a stack: started in order, asked how they are, started again when they die, stopped in reverse.

    Supervisor(parts, care, ...).run(asked) -> whether it was asked to stop;   .stop()

One thread looks after everything, ten times a second; what may take a while (a probe, an orderly stop) is done in others. At most one
part is starting at a time: on a small machine the slowest would else keep all from becoming healthy in time.
"""

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

from core.log_following import Following
from core.services import Service, ServiceError
from core.stack_parts import SETTLED, UP, Care, Part, Standing, State

TICK_S = 0.1
LOOK_S = 5.0  # between two looks at whether a skipped part has something to do now
FAREWELL_S = 30.0
GONE = frozenset({State.SKIPPED, State.DOWN, State.STOPPED})

Said = Callable[[str, str], None]  # name of the part, and what


@dataclass
class Tended(Standing):
    """A part with what looking after it takes. Times are monotonic."""

    begun: float = 0.0
    heard: float = 0.0  # last healthy answer
    next_look: float = 0.0
    probe: "Future[bool] | None" = None
    ending: "Future[None] | None" = None
    death: str | None = None  # what it is stopped for; None: to be started again with what it is tied to
    logs: list[Following] = field(default_factory=list)


class Supervisor:
    """`said` hears what happens to the parts, `line` each line of their logs, `changed` that something else stands now, `down` of a part
    that is left down."""

    def __init__(
        self, parts: Sequence[Part], care: Care, *, said: Said, line: Said, changed: Callable[[list[Standing]], None],
        down: Said = lambda name, why: None,
    ) -> None:  # fmt: skip
        self.parts: list[Tended] = [Tended(part) for part in parts]
        self.care, self._said, self._line, self._changed, self._down = care, said, line, changed, down
        self._names = {tended.part.name: tended for tended in self.parts}
        self._threads = ThreadPoolExecutor(max_workers=2 * len(parts) + 1, thread_name_prefix="stack")
        self._news = True

    def run(self, asked: threading.Event, settled: Callable[[], None], beside: Callable[[], None] = lambda: None) -> bool:
        """Until `asked` is set (True), an essential part is left down or nothing is left to look after (False).

        `settled` is called once, as soon as every part is healthy or will not be; `beside` at every look.
        """
        told = False
        while not asked.is_set():
            self.tick()
            beside()
            if not told and all(map(self._settled, self.parts)):
                told = True
                settled()
            if self._over():
                return False
            asked.wait(TICK_S)
        return True

    def stop(self) -> list[str]:
        """Stop all, last started first, following their logs; what is deaf is killed after its grace. Returns what ran."""
        stopped = []
        for tended in reversed(self.parts):
            if tended.service is None:
                if tended.state not in (State.DONE, State.SKIPPED, State.DOWN):
                    self._to(tended, State.STOPPED)
                continue
            began = time.monotonic()
            self._to(tended, State.STOPPING)
            ending = tended.ending or self._threads.submit(tended.service.stop)
            while not ending.done():
                self._read(self.parts)
                self._tell()
                time.sleep(TICK_S)
            tended.service = tended.pid = None
            self._farewell(tended)
            self._read([tended])
            self._to(tended, State.STOPPED)
            self._said(tended.part.name, f"stopped in {time.monotonic() - began:.1f} s")
            stopped.append(tended.part.name)
        self._tell()
        self._threads.shutdown(wait=False, cancel_futures=True)
        return stopped

    def _farewell(self, tended: Tended) -> None:
        part = tended.part
        if part.farewell is None or any(self._names[name].state not in UP for name in part.needs if name in self._names):
            return
        try:
            step = part.farewell().start()
        except (ServiceError, OSError) as error:
            self._said(part.name, str(error))
            return
        tended.logs.append(Following(step.log))
        until = time.monotonic() + FAREWELL_S
        while step.alive and time.monotonic() < until:
            self._read(self.parts)
            time.sleep(TICK_S)
        step.stop()

    def tick(self) -> None:
        """One look at every part."""
        self._read(self.parts)
        for tended in self.parts:
            match tended.state:
                case State.WAITING:
                    self._wait(tended)
                case State.SKIPPED if time.monotonic() >= tended.next_look:
                    self._wait(tended)
                case State.BACKING_OFF if time.monotonic() >= tended.next_look:
                    self._to(tended, State.WAITING)
                case State.STARTING | State.HEALTHY | State.UNHEALTHY:
                    self._look(tended)
                case State.STOPPING if tended.ending is not None and tended.ending.done():
                    self._ended(tended)
                case _:
                    pass
        self._tell()

    # A part begins

    def _wait(self, tended: Tended) -> None:
        part = tended.part
        if reason := part.skipped():
            tended.next_look = time.monotonic() + LOOK_S
            self._to(tended, State.SKIPPED, reason)
            return
        missing = [name for name in part.needs if name in self._names and self._names[name].state not in UP]
        if missing:
            self._to(tended, State.WAITING, f"for {', '.join(f'{name} ({self._names[name].state})' for name in missing)}")
        elif not any(one.state is State.STARTING for one in self.parts):
            self._start(tended)

    def _start(self, tended: Tended) -> None:
        tended.begun = tended.heard = time.monotonic()
        tended.next_look, tended.probe = 0.0, None
        try:
            tended.service, tended.address = tended.part.made()
            tended.service.start()
        except (ServiceError, OSError) as error:
            self._died(tended, str(error))
            return
        tended.pid, tended.log = tended.service.pid, str(tended.service.log)
        if not any(one.path == tended.service.log for one in tended.logs):
            tended.logs.append(Following(tended.service.log))
        self._to(tended, State.STARTING)

    # It lives

    def _look(self, tended: Tended) -> None:
        part, now = tended.part, time.monotonic()
        service = tended.service
        assert service is not None
        if not service.alive:
            if part.once and service.exit_code == 0:
                self._forget(tended)
                self._to(tended, State.DONE)
                self._said(part.name, f"done in {now - tended.begun:.1f} s")
            else:
                self._died(tended, f"ended with {service.exit_words}")
            return
        limit = part.start_timeout_s or self.care.start_timeout_s
        if tended.state is State.STARTING and now - tended.begun > limit:
            self._end(tended, f"was not {'done' if part.once else 'healthy'} after {limit:g} s")
            return
        if part.once:
            return
        if tended.probe is not None:
            if not tended.probe.done():
                return
            well, tended.probe = tended.probe.result(), None
            if well:
                self._well(tended, now)
                return
        silent = now - tended.heard
        if tended.state is not State.STARTING and silent > self.care.unhealthy_s and not part.mends_itself:
            self._end(tended, f"did not answer as it should for {silent:.0f} s")
        elif tended.state is State.HEALTHY and silent > self.care.slow_s:
            self._to(tended, State.UNHEALTHY, "it runs, and does not answer as it should")
            self._said(part.name, "does not answer as it should")
        elif now >= tended.next_look:
            tended.next_look = now + (self.care.probe_s if tended.state is not State.STARTING else min(0.25, self.care.probe_s))
            tended.probe = self._threads.submit(asked, service)

    def _well(self, tended: Tended, now: float) -> None:
        if tended.state is State.STARTING:
            self._said(tended.part.name, f"healthy after {now - tended.begun:.1f} s" + (f", {tended.address}" if tended.address else ""))
        elif tended.state is State.UNHEALTHY:
            self._said(tended.part.name, f"answers again after {now - tended.heard:.0f} s")
        tended.heard = now
        self._to(tended, State.HEALTHY)

    # It ends

    def _end(self, tended: Tended, death: str | None) -> None:
        """Stop it in order, in the background; then it has died of `death`, or (None) waits for its turn again."""
        assert tended.service is not None
        tended.death, tended.ending = death, self._threads.submit(tended.service.stop)
        self._to(tended, State.STOPPING, death or "what it is tied to is started again")

    def _ended(self, tended: Tended) -> None:
        tended.ending = None
        if tended.death is not None:
            self._died(tended, tended.death)
        else:
            self._forget(tended)
            self._to(tended, State.WAITING)

    def _died(self, tended: Tended, why: str) -> None:
        now, name = time.monotonic(), tended.part.name
        self._forget(tended)
        tended.deaths = [at for at in tended.deaths if now - at < self.care.window_s]
        n = len(tended.deaths)
        if n >= self.care.restarts:
            self._to(tended, State.DOWN, why)
            self._said(name, f"{why}; it died {n + 1} times within {self.care.window_s:g} s and is left down. Its log: {tended.log}")
            self._threads.submit(self._down, name, why)  # whoever is told may be slow to answer
        else:
            wait = self.care.backoff(n)
            tended.deaths.append(now)
            tended.restarts += 1
            tended.next_look = now + wait
            self._to(tended, State.BACKING_OFF, why)
            self._said(name, f"{why}; started again in {wait:g} s ({n + 1} of {self.care.restarts} within {self.care.window_s:g} s)")
        for other in self.parts:
            if name in other.part.tied and other.state in (State.STARTING, State.HEALTHY, State.UNHEALTHY):
                self._said(other.part.name, f"is stopped: it is tied to {name}")
                self._end(other, None)

    def _forget(self, tended: Tended) -> None:
        """What is left of its process goes, and the last lines of its log are read."""
        if tended.service is not None:
            tended.service.stop()
            self._read([tended])
        tended.service = tended.pid = tended.probe = None

    # Telling

    def _to(self, tended: Tended, state: State, why: str = "") -> None:
        if (tended.state, tended.why) != (state, why):
            if tended.state is not state:
                tended.since = time.time()
            tended.state, tended.why, self._news = state, why, True

    def _tell(self) -> None:
        if self._news:
            self._news = False
            self._changed(list(self.parts))

    def _read(self, of: Iterable[Tended]) -> None:
        for tended in of:
            for following in tended.logs:
                for text in following.lines():
                    self._line(tended.part.name, text)

    def _blocked(self, tended: Tended) -> bool:
        """Whether it waits for something that will not come by itself."""
        needs = [self._names[name] for name in tended.part.needs if name in self._names]
        return tended.state is State.WAITING and any(need.state in GONE or self._blocked(need) for need in needs)

    def _settled(self, tended: Tended) -> bool:
        return tended.state in SETTLED or self._blocked(tended)

    def _over(self) -> bool:
        if any(tended.part.essential and tended.state is State.DOWN for tended in self.parts):
            return True
        return all(tended.state in GONE | {State.DONE} or self._blocked(tended) for tended in self.parts)


def asked(service: Service) -> bool:
    """Its own answer to how it is; one that cannot be had is none."""
    try:
        return service.ready()
    except OSError:
        return False
