"""A strategy is one file, found by name or path, and runs as it is; the shipped one opens, leaves, and guards what it holds."""

from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest
from typer.testing import CliRunner

from core.events import Approved, Incident, Prediction
from core.market import NS
from kernels import strategies
from kernels.fusion import Fused, Opinion, Weights, fuse, opinion
from kernels.strategies import Seen, View, scalping
from scalp.main import app
from tests.kernels.engine_market import Session, of, plan
from tests.kernels.test_engine import BY_MODEL, up

FLAT = Seen(symbol="A", bid=99.0, ask=101.0, fused=1, strength=0.5, fresh=True, cap=1_000.0, spot=False, exited_at=-(10**12))
PARAMS = scalping.Params()


def asked(seen: Seen, ts: int = 0) -> list[strategies.Target]:
    return scalping.step(PARAMS, View(ts, ("A",), "A", lambda _: seen))[1]


def but(**given) -> Seen:
    return msgspec.structs.replace(FLAT, **given)


def test_a_signal_opens_a_guarded_share_of_the_cap():
    (target,) = asked(FLAT)
    assert target.size == pytest.approx(5.0)
    assert target.stop < 100 < target.take_profit and target.expires == 60 * NS
    (short,) = asked(but(fused=-1))
    assert short.size == pytest.approx(-5.0) and short.take_profit < 100 < short.stop


@pytest.mark.parametrize(
    "seen",
    [
        but(fused=0),
        but(strength=0.1),
        but(fresh=False),
        but(fused=-1, spot=True),
        but(exited_at=0),
        but(bid=float("nan")),
        but(target=3.0),
        but(position=3.0, target=3.0, guarded=True),
    ],
    ids=["no signal", "weak", "old", "short on spot", "just closed", "no quote", "on its way", "held"],
)
def test_else_it_opens_nothing(seen: Seen):
    assert asked(seen) == []


def test_it_leaves_when_the_signal_turns():
    assert asked(but(position=3.0, target=3.0, fused=-1, guarded=True))[0].size == 0
    assert asked(but(position=3.0, target=3.0, fused=-1, spot=True))[0].size == 0
    assert asked(but(target=3.0, fused=0))[0].size == 0


def test_what_it_finds_held_after_a_restart_gets_its_guards():
    (target,) = asked(but(position=3.0, target=3.0))
    assert target.size == 3.0 and target.stop and target.expires


@pytest.mark.parametrize("name", ["nothing", "no/where.py", "not a name", "__init__x"])
def test_a_strategy_that_is_not_there_is_an_error_that_says_where_to_look(name: str):
    with pytest.raises(LookupError, match="strategy"):
        strategies.strategy(name)


def test_a_file_that_is_no_strategy_is_an_error(tmp_path: Path):
    path = tmp_path / "empty.py"
    path.write_text("Params = int\n")
    with pytest.raises(LookupError, match="init, step"):
        strategies.strategy(str(path))


@dataclass
class Point:
    name: str

    def load(self):
        return scalping


def test_an_entry_point_is_found_by_its_name(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(strategies, "entry_points", lambda group: [Point("theirs")] if group == strategies.GROUP else [])
    assert strategies.strategy("theirs") is scalping


def test_a_new_strategy_runs_at_once_and_changing_it_changes_its_hash(tmp_path: Path):
    run = CliRunner()
    made = run.invoke(app, ["strategy", "new", "drift", "--to", str(tmp_path)])
    assert made.exit_code == 0, made.output
    path = tmp_path / "drift.py"
    session = Session(plan(**BY_MODEL, strategy=str(path), params={"enter": 0.1}), answering=up).open()
    assert session.until(Approved, most=90)
    before = strategies.code_hash(str(path))
    path.write_text(path.read_text() + "\n# more\n")
    assert strategies.code_hash(str(path)) != before
    assert run.invoke(app, ["strategy", "new", "drift", "--to", str(tmp_path)]).exit_code == 2
    assert run.invoke(app, ["strategy", "new", "Not-a-name", "--to", str(tmp_path)]).exit_code == 2


def test_a_target_that_is_not_a_number_is_told_and_changes_nothing(tmp_path: Path):
    path = tmp_path / "wild.py"
    path.write_text(
        "from msgspec import Struct\nfrom kernels.strategies import Target\n\nclass Params(Struct):\n    pass\n\n"
        "def init(params, symbols):\n    return 0\n\n"
        "def step(state, view):\n    return state + 1, [Target(symbol=view.changed, size=float('nan')), Target(symbol='X', size=1.0),"
        " Target(symbol=view.changed, size=1.0, take_profit=1e20)]\n"
    )
    session = Session(plan(**BY_MODEL, strategy=str(path)), answering=up).open().run(70)
    assert {one.kind for one in of(session.decisions, Incident)} == {"bad_target"}
    assert session.state.remembered > 0 and not of(session.decisions, Approved)


UP, DOWN, HOLD = Opinion(1, 0.6), Opinion(-1, -0.6), Opinion(0, 0.3)


@pytest.mark.parametrize(
    ("rule", "model", "needs", "expected"),
    [
        (UP, UP, True, Fused(1, 0.6, True)),
        (UP, HOLD, True, Fused(1, 0.3, True)),
        (UP, DOWN, True, Fused(0, 0.0, True)),
        (UP, Opinion(-1, -0.2), True, Fused(0, 0.0, True)),
        (UP, None, True, Fused(0, 0.0, False)),
        (UP, None, False, Fused(1, 0.6, True)),
        (HOLD, None, False, Fused(0, 0.0, True)),
        (None, UP, True, Fused(0, 0.0, False)),
    ],
    ids=["both", "one holds", "against", "weakly against", "no answer", "rule alone", "hold", "rule not warm"],
)
def test_the_rule_of_fusion(rule: Opinion | None, model: Opinion | None, needs: bool, expected: Fused):
    made = fuse(rule, model, Weights(), needs_model=needs)
    assert made == pytest.approx(expected)


def test_an_opinion_of_weight_nothing_says_nothing():
    assert fuse(None, UP, Weights(rule=0.0, model=1.0), needs_model=True) == Fused(1, 0.6, True)
    assert fuse(UP, None, Weights(rule=1.0, model=0.0), needs_model=True) == Fused(1, 0.6, True)


@pytest.mark.parametrize(
    ("numbers", "expected"),
    [
        ((0.1, 0.1, 0.8, 0.5), Opinion(1, 0.35)),
        ((0.8, 0.1, 0.1, 0.5), Opinion(-1, -0.35)),
        ((0.2, 0.5, 0.3, 0.5), Opinion(0, 0.05)),
        ((0.1, 0.1, 0.8, 0.05), Opinion(0, 0.0)),
        ((0.1, 0.1, float("nan"), 0.5), None),
        ((0.5, 0.5, 0.5, 0.5), None),
    ],
    ids=["up", "down", "flat", "not confident", "not a number", "no probabilities"],
)
def test_a_prediction_is_read_as_written(numbers: tuple[float, ...], expected: Opinion | None):
    down, flat, higher, confidence = numbers
    said = Prediction(
        ts=0, symbol="A", as_of=0, version="v", alias="champion", down=down, flat=flat, up=higher, confidence=confidence, volatility=1e-4
    )
    made = opinion(said, 0.1)
    assert made == (expected if expected is None else pytest.approx(expected))
