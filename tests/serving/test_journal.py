"""What the engine got is on disk in that order, whole lines only, whatever happened to the process or the disk."""

import gzip
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.events import Ask, Cancel, Command, CommandKind, Timer
from serving import journal, launch, recorder
from serving.journal import Frames, Journal
from serving.recorder import Recorder

PAYLOADS = st.lists(st.binary(max_size=30).map(lambda b: b'{"x":"' + b.hex().encode() + b'"}'), min_size=1, max_size=5)
STEPS = st.lists(st.one_of(PAYLOADS, st.integers(0, 2**62)), max_size=30)


@given(steps=STEPS, rotate=st.sampled_from([1e-4, 1.0]))
@settings(deadline=None, max_examples=40)
def test_a_session_reads_back_as_the_engine_got_it(tmp_path_factory: pytest.TempPathFactory, steps: list, rotate: float):
    folder = tmp_path_factory.mktemp("session") / "s"
    made = Journal(folder, {"plan": "p"}, rotate_mb=rotate)
    expected = []
    for step in steps:
        if isinstance(step, int):
            expected.append((made.input(Timer(ts=step)), Timer(ts=step)))
        else:
            made.aside([b"not for the engine"], 1)
            expected.append((made.frames(step, len(expected)), Frames(step, len(expected))))
    before = list(journal.read(folder))
    made.close()
    assert list(journal.read(folder)) == before == expected
    assert [seq for seq, _ in expected] == sorted({seq for seq, _ in expected})
    assert journal.meta_of(folder) == {"plan": "p"}


def test_decisions_read_back_with_what_led_to_them(tmp_path: Path):
    made = Journal(tmp_path / "s", {})
    cancel = Cancel(ts=1, order_id="a", symbol="B", reason="r")
    made.decisions(4, [cancel, Ask(ts=1, symbol="B", as_of=1, ts_bar=1, deadline_ns=5, window=object())])
    made.close()
    assert [(d.seq, type(d.decision)) for d in journal.decided(tmp_path / "s")] == [(4, Cancel), (4, Ask)]


def test_a_payload_with_line_ends_stays_one_line(tmp_path: Path):
    made = Recorder(tmp_path)
    assert made.write([b'{\n"a":1}', b"{}"], 5) == (1, 0)
    assert made.write([b"{}"], 6) == (1, 2)
    made.close()
    assert gzip.decompress((tmp_path / "frames-00001.gz").read_bytes()) == b'5 { "a":1}\n5 {}\n6 {}\n'


def test_a_full_disk_is_told_and_leaves_no_half_line(tmp_path: Path):
    made = Recorder(tmp_path)
    made.write([b"first"], 1)
    had = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20, limits[1]))
    try:
        with pytest.raises(OSError, match=r"too large|No space"):
            made.write([b"x" * 100], 2)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, had)
    assert made.path.read_bytes() == b"1 first\n"
    made.write([b"again"], 3)
    made.close()
    assert gzip.decompress((tmp_path / "frames-00001.gz").read_bytes()) == b"1 first\n3 again\n"


KILLED = """
import os, sys
from pathlib import Path
from core.events import Timer
from serving.journal import Journal
made = Journal(Path(sys.argv[1]) / "s", {})
made.frames([b"{}", b"{}"], 7)
made.input(Timer(ts=8))
os.kill(os.getpid(), 9)
"""


def test_what_was_written_outlives_a_killed_process_and_is_packed_by_the_next(tmp_path: Path):
    done = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)], check=False, cwd=Path(__file__).parents[2])
    assert done.returncode == -signal.SIGKILL
    expected = [(1, Frames([b"{}", b"{}"], 7)), (3, Timer(ts=8))]
    assert list(journal.read(tmp_path / "s")) == expected
    with (tmp_path / "s" / "journal-00001.log").open("ab") as file:
        file.write(b'{"seq":4,"inp')  # as a power loss may leave it
    assert list(journal.read(tmp_path / "s")) == expected
    packed = launch.pack_dead(tmp_path)
    assert sorted(p.name for p in packed) == ["frames-00001.gz", "journal-00001.gz"]
    assert list(journal.read(tmp_path / "s")) == expected
    assert launch.pack_dead(tmp_path) == []


def test_packing_again_after_a_crash_keeps_everything(tmp_path: Path):
    plain = tmp_path / "frames-00001.log"
    plain.write_bytes(b"1 a\n")
    (tmp_path / f".frames-00001.gz.{os.getpid()}").write_bytes(b"half")
    assert recorder.pack(plain) == tmp_path / "frames-00001.gz"
    assert recorder.pack(plain) is None
    assert gzip.decompress((tmp_path / "frames-00001.gz").read_bytes()) == b"1 a\n"


def test_a_folder_that_is_no_session_says_so(tmp_path: Path):
    with pytest.raises(FileNotFoundError, match="no session"):
        journal.meta_of(tmp_path)


def test_a_journal_line_is_plain_json(tmp_path: Path):
    made = Journal(tmp_path / "s", {})
    made.input(Command(ts=1, kind=CommandKind.KILL, key="k", who="me"))
    made.close()
    line = gzip.decompress((tmp_path / "s" / "journal-00001.gz").read_bytes())
    assert msgspec.json.decode(line) == {"seq": 1, "input": {"type": "Command", "ts": 1, "kind": "kill", "key": "k", "who": "me"}}
