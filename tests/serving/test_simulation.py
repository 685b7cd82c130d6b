"""Whatever goes wrong on the way, no order is sent twice, no fill is lost, and everybody agrees at the end."""

import json
from pathlib import Path

import msgspec
import pytest
from typer.testing import CliRunner

from scalp.main import app
from serving import journal, simulation, virtual
from serving.simulation import Broken, drawn, simulate
from serving.virtual import Deadlock, VirtualLoop


@pytest.mark.parametrize("seeds", [range(n, n + 10) for n in range(0, 60, 10)], ids=lambda seeds: f"{seeds.start} to {seeds.stop - 1}")
def test_a_history_of_trouble_breaks_nothing(seeds: range):
    for seed in seeds:
        simulate(seed)


def test_the_histories_hold_every_kind_of_trouble():
    histories = [drawn(seed) for seed in range(60)]
    faults = [msgspec.to_builtins(history.faults) for history in histories]
    for name in faults[0]:
        assert any(f[name] for f in faults), name
    assert any(len(history.killed_at) == 2 for history in histories)
    assert {history.spot for history in histories} == {True, False}
    assert any(history.kill_switch_at for history in histories)


def test_a_seed_is_the_same_history_each_time(tmp_path: Path):
    seed = next(seed for seed in range(99) if drawn(seed).killed_at)
    outcomes = [simulate(seed, tmp_path / str(n)) for n in range(2)]
    assert outcomes[0] == outcomes[1]
    for run in sorted((tmp_path / "0").iterdir()):
        inputs, decisions = (list(read(run)) for read in (journal.read, journal.decided))
        assert inputs == list(journal.read(tmp_path / "1" / run.name))
        assert decisions == list(journal.decided(tmp_path / "1" / run.name))


class Forgetful(simulation._Run):
    """A worker whose ledger loses what it was told at the end."""

    what = ""

    def _check(self, worker) -> None:
        table = {"fill": "fills", "order": "orders"}[self.what]
        with self.ledger.write() as connection:
            if table == "orders":
                connection.exec_driver_sql("DELETE FROM order_events")
            connection.exec_driver_sql(f"DELETE FROM {table}")
        super()._check(worker)


@pytest.mark.parametrize(("what", "told"), [("fill", "the ledger has 0 fills"), ("order", "not in the ledger")])
def test_what_is_lost_is_noticed(what: str, told: str):
    run = Forgetful(drawn(0), Path())
    run.what = what
    with pytest.raises(Broken, match=told):
        virtual.run(run.play(), run.loop)


def test_an_order_that_is_sent_twice_is_noticed():
    class Twice(simulation._Run):
        def _check(self, worker) -> None:
            self.exchange.sent.append(self.exchange.sent[0])
            super()._check(worker)

    run = Twice(drawn(0), Path())
    with pytest.raises(Broken, match="sent twice"):
        virtual.run(run.play(), run.loop)


def test_time_jumps_to_what_happens_next():
    loop = VirtualLoop(5)
    seen = []

    async def work() -> None:
        import asyncio

        await asyncio.gather(later(2.0, "b"), later(1.5, "a"))

    async def later(seconds: float, name: str) -> None:
        import asyncio

        await asyncio.sleep(seconds)
        seen.append((name, loop.clock()))

    virtual.run(work(), loop)
    assert seen == [("a", 1_500_000_005), ("b", 2_000_000_005)]


def test_waiting_for_what_never_comes_is_an_error():
    async def work() -> None:
        import asyncio

        await asyncio.Event().wait()

    with pytest.raises(Deadlock):
        virtual.run(work(), VirtualLoop(0))


def test_the_command_line_runs_many_and_tells_what_happened():
    done = CliRunner().invoke(app, ["sim", "--seed", "3", "--count", "4", "--workers", "1", "--json"])
    told = json.loads(done.stdout)
    assert done.exit_code == 0, done.output
    assert told["histories"] == 4
    assert told["broken"] == []
    assert told["n_orders"] > 10


def test_the_command_line_keeps_the_journals_of_one(tmp_path: Path):
    done = CliRunner().invoke(app, ["sim", "--seed", "3", "--journal", str(tmp_path / "kept")])
    assert done.exit_code == 0, done.output
    assert "no fill lost" in done.output
    assert (tmp_path / "kept" / "run0" / "meta.json").exists()
