"""A session run again through the same engine comes to the same decisions, every one of them."""

import gzip
from pathlib import Path

import msgspec
import numpy as np
import pytest

from core.events import Ask, Decision
from kernels import engine
from kernels.frames_live import Live
from serving import backtest, journal, replay
from serving.backtest_tape import of_recording
from serving.worker import Rules

from .backtests import FACTS, answering, setup


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A short session with a model; read only."""
    folder = tmp_path_factory.mktemp("sessions") / "one"
    backtest.run(setup(folder.parent, models=(FACTS,), ask={"v1": answering()}), "optimistic", folder=folder)
    return folder


def test_a_session_has_no_difference(session: Path):
    made = replay.replay(session)
    assert made.equal
    assert made.different == []
    assert made.n_inputs == max(seq for seq, _ in journal.read(session))
    assert min(made.n_signals, made.n_orders, made.n_decisions) > 0
    assert made.n_unwritten == 0
    assert made.lived_s > 20


@pytest.mark.recordings
def test_a_hundred_thousand_inputs_have_no_difference(shared: Path, tmp_path: Path):
    market = of_recording(shared / "data/hftbacktest/usdm/btcusdt_20240808.gz", "", {})
    made = setup(tmp_path, rules=Rules(dead_man_s=0, timer_ms=20))
    made = msgspec.structs.replace(made, venue=market.venue, listing=market.listing, tape=market.frames, begin=market.begin)
    tried = backtest.run(made, "pessimistic", folder=tmp_path / "s")
    again = replay.replay(tmp_path / "s")
    assert again.n_inputs >= 100_000
    assert again.n_orders == tried.watched.n_orders > 0
    assert again.n_signals == tried.watched.n_signals
    assert again.n_refused == sum(tried.watched.refused.values())
    assert again.n_different == 0


def test_a_decision_that_was_changed_is_told(session: Path, tmp_path: Path):
    lines = list(journal.lines(session, "decisions"))
    at = next(n for n, line in enumerate(lines) if b'"Approved"' in line)
    changed = lines[at].replace(b'"size":', b'"size":9')
    copy = copied(session, tmp_path / "changed", [*lines[:at], changed, *lines[at + 1 :]])
    made = replay.replay(copy)
    assert made.n_different == 1
    assert not made.equal
    assert type(made.different[0].was) is type(made.different[0].now)
    missing = replay.replay(copied(session, tmp_path / "missing", [*lines[:at], *lines[at + 1 :]]))
    assert not missing.equal
    more = replay.replay(
        copied(session, tmp_path / "more", [*lines, b'{"seq":999999999,"decision":' + lines[0].partition(b'"decision":')[2]])
    )
    assert [(d.seq, d.now) for d in more.different] == [(replay.FAR, None)]


def test_a_session_that_was_killed_before_it_wrote_its_last_decisions_is_equal(session: Path, tmp_path: Path):
    decided = list(journal.decided(session))
    last = decided[-1].seq
    lines = list(journal.lines(session, "decisions"))
    kept = [line for line, one in zip(lines, decided, strict=True) if one.seq != last]
    copy = copied(session, tmp_path / "killed", kept, until=last)
    made = replay.replay(copy)
    assert made.equal
    assert made.n_unwritten == sum(one.seq == last for one in decided)


def test_predicting_afresh_tells_how_far_off_it_was(session: Path):
    def asking(shift: float) -> replay.Replayed:
        model = answering(shift)
        return replay.replay(session, ask=lambda asked: model(np.asarray(asked.window, np.float32)[None]))

    same = asking(0.0)
    assert same.afresh is not None
    assert (same.afresh.largest, same.afresh.flipped) == (0.0, 0)
    assert same.afresh.n > 10
    off = asking(0.4)
    assert off.afresh is not None
    assert off.afresh.largest == pytest.approx(0.4, abs=1e-6)
    assert off.afresh.flipped > 0
    assert off.equal, "the engine was fed what was answered then"


def test_many_receipts_at_once_are_the_steps_of_life(session: Path):
    """Taken one by one, and many at once: the same decisions, the same number of inputs, the same books and features."""
    plan, started = replay.plan_of(session), journal.meta_of(session)["started"]
    one, many = engine.init(plan, started), engine.init(plan, started)
    live = Live(engine.scales(plan), keep_unknown_fields=True)
    singly: list[Decision] = []
    for _, item in journal.read(session):
        singly += engine.step(one, live.decode(*item) if isinstance(item, journal.Frames) else item, plan)
    at_once = [decision for step in replay.steps(session, many, plan) for decision in step.decisions]
    assert [repr(d) for d in at_once] == [repr(d) for d in singly]
    assert many.seq == one.seq
    assert many.clock == one.clock
    for symbol in plan.symbols:
        assert many.market.top(symbol) == one.market.top(symbol)
        assert str(many.market.book(symbol, 50)) == str(one.market.book(symbol, 50))
        assert many.desks[symbol].features_hash == one.desks[symbol].features_hash


def test_every_input_is_in_one_step(session: Path):
    plan = replay.plan_of(session)
    state = engine.init(plan, journal.meta_of(session)["started"])
    at = 0
    for step in replay.steps(session, state, plan):
        assert step.seq + (step.n - 1 if step.told is not None else 0) == at + step.n
        at += step.n
        assert state.seq == at


def test_a_plan_that_is_not_whole_is_refused(session: Path, tmp_path: Path):
    copy = copied(session, tmp_path / "bad", list(journal.lines(session, "decisions")))
    meta = journal.meta_of(copy)
    meta["plan"]["capital"] = 5.0
    (copy / "meta.json").write_bytes(msgspec.json.encode(meta))
    with pytest.raises(ValueError, match="hash"):
        replay.replay(copy)


def test_a_plan_of_before_is_read_with_what_it_did_not_know(session: Path, tmp_path: Path):
    """Its hash is of what was written, so a field that the plan has since then changes nothing."""
    meta = journal.meta_of(session)
    del meta["plan"]["score_s"]
    meta["plan_hash"] = replay._hash(meta["plan"])
    copy = copied(session, tmp_path / "old", list(journal.lines(session, "decisions")))
    (copy / "meta.json").write_bytes(msgspec.json.encode(meta))
    assert replay.plan_of(copy).score_s == 10
    assert replay.replay(copy).equal


def test_frames_that_are_gone_are_told(session: Path, tmp_path: Path):
    copy = copied(session, tmp_path / "gone", [])
    whole = gzip.decompress((copy / "frames-00001.gz").read_bytes()).splitlines(keepends=True)
    (copy / "frames-00001.gz").write_bytes(gzip.compress(b"".join(whole[: len(whole) // 2])))
    with pytest.raises(ValueError, match="missing"):
        replay.replay(copy)


def copied(session: Path, to: Path, decisions: list[bytes], until: int = 2**62) -> Path:
    """The session with other decisions, up to an input."""
    to.mkdir()
    for path in session.iterdir():
        (to / path.name).write_bytes(path.read_bytes())
    (to / "decisions-00001.gz").write_bytes(gzip.compress(b"".join(line + b"\n" for line in decisions)))
    decoder = msgspec.json.Decoder(journal.Line)
    kept = [line for line in journal.lines(session, "journal") if decoder.decode(line).seq <= until]
    (to / "journal-00001.gz").write_bytes(gzip.compress(b"".join(line + b"\n" for line in kept)))
    return to


def test_a_window_is_not_journalled(session: Path):
    asks = [one.decision for one in journal.decided(session) if isinstance(one.decision, Ask)]
    assert asks
    assert all(ask.window is None for ask in asks)
