"""A backtest is the worker on a tape: the same each time, never ahead of its time, and its money adds up."""

from math import isfinite
from pathlib import Path

import msgspec
import pytest

from core.events import Approved
from kernels.engine_plan import Plan
from serving import backtest, journal
from serving.backtest_watch import Seen, drawdown, markout, summary
from serving.simulated import Latency

from .backtests import FACTS, answering, generated, setup


def told(tried: backtest.Tried) -> dict:
    return msgspec.to_builtins(
        summary(tried.watched, queue=tried.queue, n_frames=tried.n_frames, failed=tried.failed, capital=tried.plan.capital)
    )


@pytest.mark.parametrize("queue", backtest.QUEUES)
def test_the_same_tape_gives_the_same_result(tmp_path: Path, queue: backtest.Queue):
    first, second = (backtest.run(setup(tmp_path), queue) for _ in range(2))
    assert told(first) == told(second)
    assert first.watched.samples == second.watched.samples
    assert first.watched.fills, "nothing was traded: the test shows nothing"
    assert not first.failed


def test_queues_differ_only_in_what_rests(tmp_path: Path):
    pessimistic, optimistic = backtest.both(setup(tmp_path))
    assert [t.queue for t in (pessimistic, optimistic)] == ["pessimistic", "optimistic"]
    assert pessimistic.plan.hash == optimistic.plan.hash
    resting = [sum(seen.fill.maker for seen in t.watched.fills) for t in (pessimistic, optimistic)]
    assert resting[1] > 0


def test_an_order_fills_no_sooner_than_it_can_arrive(tmp_path: Path):
    latency = Latency(feed=20_000_000, entry=30_000_000, response=10_000_000)
    made = setup(tmp_path, latency=latency)
    tried = backtest.run(made, "optimistic", folder=tmp_path / "s")
    sent = {d.decision.order.order_id: d.decision.order.ts for d in journal.decided(tmp_path / "s") if isinstance(d.decision, Approved)}
    assert tried.watched.fills
    for seen in tried.watched.fills:
        assert seen.fill.ts_event >= sent[seen.fill.order_id] + latency.entry
        assert seen.fill.ts_recv >= seen.fill.ts_event + latency.response


def test_what_comes_later_changes_nothing_before(tmp_path: Path):
    """No lookahead: cut the tape, and the decisions up to the cut are those of the whole one."""
    _, frames = generated()
    cut = len(frames) * 2 // 3
    backtest.run(setup(tmp_path / "whole"), "pessimistic", folder=tmp_path / "whole/s")
    backtest.run(setup(tmp_path / "part", frames=frames[:cut]), "pessimistic", folder=tmp_path / "part/s")
    until = frames[cut - 1].ts_recv
    whole, part = ([d for d in journal.decided(tmp_path / name / "s") if d.decision.ts < until - 1_000_000] for name in ("whole", "part"))
    assert whole
    assert whole == part


def test_money_adds_up(tmp_path: Path):
    """Equity is what was there, and cash of the fills, less fees, and what is held at the middle."""
    tried = backtest.run(setup(tmp_path), "optimistic")
    of = setup(tmp_path).listing
    unit = 1 / (of.price_unit * of.size_unit)
    cash = -sum(s.fill.side.sign * s.fill.price * s.fill.size * unit for s in tried.watched.fills)
    held = sum(s.fill.side.sign * s.fill.size for s in tried.watched.fills) / of.size_unit
    fees = sum(s.fill.fee for s in tried.watched.fills) / 1e8
    last = tried.watched.samples[-1]
    assert last.size == pytest.approx(held)
    assert last.equity - tried.plan.capital == pytest.approx(cash + held * last.middle - fees, abs=1e-6)
    assert told(tried)["fees"] == pytest.approx(fees)


def test_the_venue_is_ahead_of_us_by_the_feed(tmp_path: Path):
    """A slower feed leaves what the market is as it is, and shows it to us later."""
    fast, slow = (
        backtest.run(setup(tmp_path, latency=Latency(feed=feed, entry=1_000_000, response=1_000_000)), "pessimistic")
        for feed in (0, 400_000_000)
    )
    first = [tried.watched.fills[0] for tried in (fast, slow)]
    assert first[0].fill.ts_event != first[1].fill.ts_event or first[0].fill.price != first[1].fill.price


def test_a_model_answers_on_the_virtual_clock(tmp_path: Path):
    made = setup(tmp_path, models=(FACTS,), ask={"v1": answering()}, model_ns=3_000_000)
    tried = backtest.run(made, "pessimistic", folder=tmp_path / "s")
    asked = [item for _, item in journal.read(tmp_path / "s") if type(item).__name__ == "Prediction"]
    assert len(asked) > 10
    assert tried.watched.n_signals >= len(asked)
    assert isinstance(tried.plan, Plan)
    assert {p.version for p in asked} == {"v1"}


def test_markouts_and_drawdown_are_what_they_say(tmp_path: Path):
    assert drawdown([10.0, 12.0, 9.0, 11.0, 8.0]) == 4.0
    assert drawdown([]) == 0.0
    tried = backtest.run(setup(tmp_path), "optimistic")
    seen = tried.watched.fills[0]
    assert all(isfinite(m) for m in seen.middles[:2])
    up = Seen(seen.fill, 100.0, (seen.fill.price * 1.001 / 10.0,))
    nothing = Seen(seen.fill, 300.0, (float("nan"),))
    assert markout([up, nothing], 0, 10.0) == pytest.approx(10.0 * seen.fill.side.sign)
    assert markout([nothing], 0, 10.0) is None
