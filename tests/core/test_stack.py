"""A stack starts its parts in order, keeps them up within bounds, says what it left down, stops in reverse, and leaves nothing behind."""

import json
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from core import pids, ports, stack
from core.holding import Held
from core.log_following import Following
from core.services import Service, free_port
from core.stack_keeper import Keeper
from core.stack_marks import end_marked, marked, marks
from core.stack_parts import Care, Part, State, chosen
from core.stack_supervisor import Supervisor

QUICK = Care(start_timeout_s=60, slow_s=60, restarts=2, window_s=600, backoff_s=0.05, probe_s=0.05)
PATIENCE_S = 60.0
LIVES = """
    import pathlib, signal, sys, time
    name, diary = sys.argv[1], pathlib.Path(sys.argv[2])
    def note(what):
        with diary.open("a") as file:
            file.write(f"{what} {name}\\n")
    def end(*_):
        note("stopped")
        sys.exit(0)
    signal.signal(signal.SIGTERM, end)
    note("started")
    print(f"{name} is at work", flush=True)
    time.sleep(600)
"""


class World:
    """Parts that are tiny programs with one diary, and everything a supervisor said of them."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.diary = folder, folder / "diary"
        self.diary.touch()
        self.events: list[tuple[str, str]] = []
        self.lines: list[tuple[str, str]] = []
        self.down: list[tuple[str, str]] = []

    def service(self, name: str, source: str, ready: Callable[[], bool]) -> Service:
        command = [sys.executable, "-c", textwrap.dedent(source), name, str(self.diary)]
        return Service(name, command, os.environ | marks(self.folder), self.folder / "logs" / f"{name}.log", ready, grace_s=5)

    def part(self, name: str, source: str = LIVES, *, ready: Callable[[], bool] | None = None, **more: object) -> Part:
        """Healthy as soon as it has written that it started, unless `ready` says otherwise."""
        begun = f"started {name}\n"
        made = self.service

        def start() -> tuple[Service, str]:
            before = self.diary.read_text().count(begun)
            return made(name, source, ready or (lambda: self.diary.read_text().count(begun) > before)), f"at {name}"

        return Part(name, name, start, **more)  # pyright: ignore[reportArgumentType]

    @contextmanager
    def supervised(self, *parts: Part, care: Care = QUICK) -> Iterator[Supervisor]:
        made = Supervisor(
            parts, care, said=lambda *told: self.events.append(told), line=lambda *told: self.lines.append(told), changed=lambda _: None,
            down=lambda *told: self.down.append(told),
        )  # fmt: skip
        try:
            yield made
        finally:
            made.stop()

    def said(self, name: str) -> str:
        return "\n".join(text for of, text in self.events if of == name)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def states(supervisor: Supervisor) -> dict[str, str]:
    return {tended.part.name: str(tended.state) for tended in supervisor.parts}


def until(supervisor: Supervisor, so: Callable[[], object]) -> None:
    began = time.monotonic()
    while not so():
        assert time.monotonic() - began < PATIENCE_S, states(supervisor)
        supervisor.tick()
        time.sleep(0.01)


def gone(*numbers: int) -> bool:
    began = time.monotonic()
    while any(psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE for pid in numbers):
        assert time.monotonic() - began < PATIENCE_S
        time.sleep(0.05)
    return True


def test_parts_start_in_order_each_when_the_one_before_is_healthy_and_stop_in_reverse(world: World):
    with world.supervised(world.part("one"), world.part("two", needs=("one",)), world.part("three")) as supervisor:
        until(supervisor, lambda: set(states(supervisor).values()) == {"healthy"})
        assert [tended.address for tended in supervisor.parts] == ["at one", "at two", "at three"]
    named = ["started one", "started two", "started three", "stopped three", "stopped two", "stopped one"]
    assert world.diary.read_text().splitlines() == named
    assert ("two", "two is at work") in world.lines


def test_what_dies_is_started_again_and_so_is_what_is_tied_to_it(world: World):
    parts = world.part("market"), world.part("worker", needs=("market",), tied=("market",)), world.part("other")
    with world.supervised(*parts) as supervisor:
        until(supervisor, lambda: set(states(supervisor).values()) == {"healthy"})
        market, worker, other = (tended.pid for tended in supervisor.parts)
        assert market is not None
        os.kill(market, signal.SIGKILL)
        until(supervisor, lambda: supervisor.parts[0].pid not in (market, None))
        until(supervisor, lambda: set(states(supervisor).values()) == {"healthy"})
        assert supervisor.parts[1].pid != worker and supervisor.parts[2].pid == other
        assert [tended.restarts for tended in supervisor.parts] == [1, 0, 0]
    assert "ended with SIGKILL" in world.said("market") and "tied to market" in world.said("worker")
    assert (world.folder / "logs" / "market.log.1").exists(), "the log of the one that died is kept"


def test_what_dies_too_often_is_left_down_and_said_and_the_rest_goes_on(world: World):
    dying = world.part("dying", "raise SystemExit('no such key')")
    with world.supervised(dying, world.part("needy", needs=("dying",)), world.part("other")) as supervisor:
        settled = threading.Event()
        asked = threading.Event()
        threading.Thread(target=lambda: settled.wait(PATIENCE_S) and asked.set(), daemon=True).start()
        assert supervisor.run(asked, settled.set), "the rest ends only when it is asked to"
        assert states(supervisor) == {"dying": "down", "needy": "waiting", "other": "healthy"}
        assert supervisor.parts[1].why == "for dying (down)"
    assert "it died 3 times within 600 s and is left down" in world.said("dying")
    assert world.down == [("dying", "ended with exit code 1")], "whoever is on call is told, once"
    assert world.lines.count(("dying", "no such key")) == 3


def test_the_whole_ends_with_what_is_essential(world: World):
    with world.supervised(world.part("heart", "raise SystemExit(3)", essential=True), world.part("other")) as supervisor:
        assert not supervisor.run(threading.Event(), lambda: None)
        assert states(supervisor)["heart"] == "down"


def test_a_set_up_step_ends_before_what_needs_it_begins(world: World):
    step = world.part("step", "import pathlib, sys; pathlib.Path(sys.argv[2]).open('a').write('set up\\n')", once=True)
    with world.supervised(step, world.part("worker", needs=("step",))) as supervisor:
        until(supervisor, lambda: states(supervisor) == {"step": "done", "worker": "healthy"})
    assert world.diary.read_text().splitlines() == ["set up", "started worker", "stopped worker"]


def test_a_farewell_is_said_when_the_part_has_stopped_and_what_it_needs_is_still_up(world: World):
    words = "import pathlib, sys; pathlib.Path(sys.argv[2]).open('a').write('farewell\\n'); print('goodbye')"
    worker = world.part("worker", needs=("server",), farewell=lambda: world.service("words", words, lambda: False))
    with world.supervised(world.part("server"), worker) as supervisor:
        until(supervisor, lambda: set(states(supervisor).values()) == {"healthy"})
        assert "farewell" not in world.diary.read_text()
    assert world.diary.read_text().splitlines()[2:] == ["stopped worker", "farewell", "stopped server"]
    assert ("worker", "goodbye") in world.lines


def test_a_part_without_work_is_skipped_with_the_reason_and_started_when_there_is_some(world: World, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("core.stack_supervisor.LOOK_S", 0.05)
    model = world.folder / "model"
    part = world.part("serving", skipped=lambda: None if model.exists() else "no model deployed yet")
    with world.supervised(part, world.part("other")) as supervisor:
        until(supervisor, lambda: states(supervisor) == {"serving": "skipped", "other": "healthy"})
        assert supervisor.parts[0].why == "no model deployed yet"
        model.touch()
        until(supervisor, lambda: states(supervisor)["serving"] == "healthy")


def test_a_part_that_runs_and_does_not_answer_is_unhealthy_and_then_started_again(world: World):
    broken = world.folder / "broken"
    care = Care(start_timeout_s=60, restarts=2, backoff_s=0.05, probe_s=0.05, slow_s=0.3, unhealthy_s=1.0)
    with world.supervised(world.part("mute", ready=lambda: not broken.exists()), care=care) as supervisor:
        until(supervisor, lambda: states(supervisor) == {"mute": "healthy"})
        first = supervisor.parts[0].pid
        broken.touch()
        until(supervisor, lambda: states(supervisor) == {"mute": "unhealthy"})
        until(supervisor, lambda: supervisor.parts[0].pid not in (first, None))
        broken.unlink()
        until(supervisor, lambda: states(supervisor) == {"mute": "healthy"})
    assert "did not answer as it should" in world.said("mute")


def test_a_part_that_mends_itself_is_left_alone_while_it_does_not_answer(world: World):
    broken = world.folder / "broken"
    care = Care(start_timeout_s=60, restarts=2, backoff_s=0.05, probe_s=0.05, slow_s=0.2, unhealthy_s=0.4)
    mute, other = (world.part(name, ready=lambda: not broken.exists(), mends_itself=name == "mute") for name in ("mute", "other"))
    with world.supervised(mute, other, care=care) as supervisor:
        until(supervisor, lambda: states(supervisor) == {"mute": "healthy", "other": "healthy"})
        pids_before = [tended.pid for tended in supervisor.parts]
        broken.touch()
        until(supervisor, lambda: "did not answer as it should" in world.said("other"))
        until(supervisor, lambda: states(supervisor)["mute"] == "unhealthy")
        broken.unlink()
        until(supervisor, lambda: states(supervisor) == {"mute": "healthy", "other": "healthy"})
        assert supervisor.parts[0].pid == pids_before[0] and supervisor.parts[1].pid != pids_before[1]
    assert "answers again" in world.said("mute")


def test_a_part_that_is_not_healthy_in_time_is_stopped_and_counts_as_dead(world: World):
    care = Care(start_timeout_s=0.3, restarts=0, probe_s=0.05)
    with world.supervised(world.part("slow", ready=lambda: False), care=care) as supervisor:
        assert not supervisor.run(threading.Event(), lambda: None), "nothing is left to look after"
        assert supervisor.parts[0].why == "was not healthy after 0.3 s"


# What is asked for


def named(*names: str, needs: dict[str, tuple[str, ...]]) -> list[Part]:
    return [Part(name, "", lambda: (_ for _ in ()).throw(AssertionError()), needs=needs.get(name, ())) for name in names]


LISTED = named("server", "pool", "worker", "venue", "live", needs={"pool": ("server",), "worker": ("server", "pool"), "live": ("venue",)})


@pytest.mark.parametrize(
    ("only", "without", "started", "left_out"),
    [
        ((), (), ["server", "pool", "worker", "venue", "live"], []),
        (("worker",), (), ["server", "pool", "worker"], []),
        (("live", "pool"), (), ["server", "pool", "venue", "live"], []),
        ((), ("venue",), ["server", "pool", "worker"], ["live"]),
        ((), ("server",), ["venue", "live"], ["pool", "worker"]),
    ],
)
def test_what_is_asked_for_comes_with_what_it_needs(
    only: tuple[str, ...], without: tuple[str, ...], started: list[str], left_out: list[str]
):
    parts, told = chosen(LISTED, only, without)
    assert [part.name for part in parts] == started
    assert list(told) == left_out


def test_a_part_there_is_not_is_an_error_that_lists_those_there_are():
    with pytest.raises(LookupError, match="no part tritn; there are server, pool"):
        chosen(LISTED, ["tritn"], [])


# One stack, and what a killed one leaves


def test_the_second_stack_of_a_folder_is_refused_by_the_first_ones_pid(tmp_path: Path):
    me = os.getpid()
    told = stack.Running(pid=me, started=pids.start_time(me), since="today", parts={"server": stack.PartTold(state=State.HEALTHY)})
    with stack.the_stack(tmp_path) as before:
        assert before is None
        stack.write(tmp_path, told)
        assert stack.running(tmp_path) == told
        with pytest.raises(Held, match=rf"process {me}, since today.*scalp down"), stack.the_stack(tmp_path):
            pass
    assert stack.last(tmp_path) is None


def test_a_stack_that_was_killed_is_not_running_whoever_has_its_pid_now(tmp_path: Path):
    stack.write(tmp_path, stack.Running(pid=os.getpid(), started=1.0, since="long ago"))
    assert stack.running(tmp_path) is None
    with stack.the_stack(tmp_path) as before:
        assert before is not None and before.since == "long ago"
    (tmp_path / stack.FILE).write_text('{"pid": 1')
    assert stack.last(tmp_path) is None


OWNER = """
    import os, subprocess, sys, time
    from pathlib import Path
    from core.services import Service
    from core.stack_keeper import Keeper
    from core.stack_marks import marks

    folder, deaf = Path({folder!r}), {deaf!r}
    keeper = Keeper(folder, 0.5)
    start = f"import subprocess as s, sys, time; c = s.Popen([sys.executable, '-c', {{deaf!r}}], start_new_session=True); " + (
        "print(c.pid, flush=True); time.sleep(600)"
    )
    log = folder / "logs" / "thing.log"
    one = Service("thing", [sys.executable, "-c", start], os.environ | marks(folder), log, lambda: log.read_text().endswith("\\n")).start()
    one.wait_ready(60)
    print(keeper.pid, one.pid, log.read_text(), flush=True)
    time.sleep(600)
"""
DEAF = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"


def killed_owner(folder: Path) -> tuple[int, int, int]:
    """A stack that was killed: pids of its keeper, its part, and a deaf process in a session of its own that the part had started."""
    source = textwrap.dedent(OWNER.format(folder=str(folder), deaf=DEAF))
    program = subprocess.Popen([sys.executable, "-c", source], stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2])
    assert program.stdout is not None
    keeper, part, grandchild = map(int, program.stdout.readline().split())
    program.kill()
    program.wait()
    return keeper, part, grandchild


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's death signal is Linux's")
def test_a_killed_stack_leaves_nothing_not_even_what_its_parts_had_started(tmp_path: Path):
    assert gone(*killed_owner(tmp_path))


def test_what_outlived_even_the_keeper_is_found_by_its_mark(tmp_path: Path):
    environment = os.environ | marks(tmp_path)
    lonely = subprocess.Popen([sys.executable, "-c", DEAF], env=environment, start_new_session=True)
    stranger = subprocess.Popen([sys.executable, "-c", DEAF], env=os.environ | marks(tmp_path / "another"), start_new_session=True)
    try:
        assert list(marked(tmp_path)) == [lonely.pid]
        assert len(end_marked(tmp_path, 0.3)) == 1
        assert lonely.wait(10) in (-signal.SIGKILL, -signal.SIGTERM)
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_a_keeper_that_is_told_goodbye_ends_and_touches_nothing(tmp_path: Path):
    other = subprocess.Popen([sys.executable, "-c", DEAF], env=os.environ | marks(tmp_path), start_new_session=True)
    try:
        keeper = Keeper(tmp_path, 0.1)
        keeper.bye()
        assert not keeper.alive and other.poll() is None
    finally:
        other.kill()
        other.wait()


# Logs and ports


def test_a_log_is_followed_line_by_line_over_a_restart(tmp_path: Path):
    log = tmp_path / "thing.log"
    following = Following(log)
    assert following.lines() == []
    log.write_text("one\n\ntw")
    assert following.lines() == ["one"]
    with log.open("a") as file:
        file.write("o\n")
    assert following.lines() == ["two"]
    log.replace(tmp_path / "thing.log.1")
    log.write_text("new\n")
    assert following.lines() == ["new"]


def test_a_taken_port_is_told_with_the_process_that_has_it():
    port = free_port()
    assert not ports.taken("127.0.0.1", port)
    source = f"import socket, time; s = socket.create_server(('127.0.0.1', {port})); print('on', flush=True); time.sleep(600)"
    server = subprocess.Popen([sys.executable, "-c", source], stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None and server.stdout.readline() == "on\n"
        assert ports.taken("127.0.0.1", port)
        assert f"process {server.pid} (" in ports.holder(port)
    finally:
        server.kill()
        server.wait()


def test_the_file_that_others_read_is_plain_json(tmp_path: Path):
    stack.write(tmp_path, stack.Running(pid=1, started=0.0, since="", parts={"live": stack.PartTold(state=State.BACKING_OFF, restarts=2)}))
    told = json.loads((tmp_path / stack.FILE).read_text())
    assert told["parts"]["live"]["state"] == "backing off" and told["parts"]["live"]["restarts"] == 2
