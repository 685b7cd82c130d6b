"""`scalp replay` and `scalp why` as they are typed, on a data folder with one short session."""

import json
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from typer.testing import CliRunner

from core import settings
from core.events import Approved
from scalp.main import app
from serving import backtest, journal
from serving.backtest_tape import of_generator
from serving.launch import Wanted
from serving.worker import Rules

BEGIN = 1_767_225_600_000_000_000
RUN = CliRunner()


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from kernels.generator import Market

    folder = tmp_path_factory.mktemp("data")
    market = Market(symbol="SIMUSDT", price=60_000.0, tick_size=0.1, lot_size=0.001, volatility=2.0, signal=0.3, frames_per_s=20.0)
    tape = of_generator(market, 7, BEGIN, 1.5, {})
    wanted = Wanted(
        data_dir=folder, account="local/one", ledger_url=f"sqlite:///{folder / 'ledger.db'}", strategy="restless", rules=Rules(dead_man_s=0)
    )
    made = backtest.Setup(venue=tape.venue, listing=tape.listing, tape=tape.frames, begin=tape.begin, wanted=wanted)
    backtest.run(made, "optimistic", folder=folder / "sessions/local-1")
    return folder


@pytest.fixture
def folder(kept: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("SCALP_DATA_DIR", str(kept))
    settings.load.cache_clear()
    yield kept
    settings.load.cache_clear()


def typed(*words: str) -> tuple[int, str, str]:
    done = RUN.invoke(app, list(words))
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.exit_code, done.stdout, " ".join(done.stderr.split())


def test_sessions_are_listed(folder: Path):
    code, said, _ = typed("replay", "--list", "--json")
    (row,) = json.loads(said)
    assert (code, row["session"], row["symbols"], row["strategy"]) == (0, "local-1", ["SIMUSDT"], "restless")
    assert "local-1" in typed("replay", "--list")[1]


@pytest.mark.parametrize("name", ["latest", "local-1"])
def test_a_session_is_replayed(folder: Path, name: str):
    code, said, _ = typed("replay", name, "--predict")
    assert code == 0
    assert "differences   0" in said
    assert "inputs/s" in said
    assert "the session asked no model" in said


def test_a_replay_as_json(folder: Path):
    code, said, _ = typed("replay", "latest", "--json")
    told = json.loads(said)
    assert (code, told["equal"], told["n_different"]) == (0, True, 0)
    assert told["n_inputs"] > 1_000


def test_a_difference_fails_the_verb(folder: Path, tmp_path: Path):
    copy = tmp_path / "changed"
    copy.mkdir()
    for path in (folder / "sessions/local-1").iterdir():
        (copy / path.name).write_bytes(path.read_bytes())
    (copy / "decisions-00001.gz").unlink()
    code, said, _ = typed("replay", str(copy))
    assert code == 1
    assert "the first 10:" in said
    assert "then nothing" in said


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("replay",), "name a session"),
        (("replay", "nosuch"), "no session nosuch"),
        (("replay", "latest", "--generated", "1"), "without SESSION"),
        (("replay", "--from", "2024-08-08"), "--symbol"),
        (("replay", "--from", "2024-08-08", "--symbol", "BTCUSDT"), "no raw trades"),
        (("replay", "--from", "2024-08-08", "--to", "2024-08-07", "--symbol", "BTCUSDT"), "is after"),
        (("replay", "--recording", "nowhere.gz"), "nowhere.gz is not there"),
        (("replay", "--generated", "0.2", "--strategy", "nosuch"), "no strategy 'nosuch'"),
        (("replay", "--generated", "1", "--from", "2024-08-08"), "give one"),
        (("why", "sc77-1"), "no order sc77-1"),
    ],
)
def test_a_slip_is_told_what_to_type(folder: Path, words: tuple[str, ...], said: str):
    code, out, err = typed(*words)
    assert (code, out) == (2, "")
    assert said in err


def test_a_backtest_and_its_page(folder: Path, tmp_path: Path):
    page = tmp_path / "deep/page.html"
    code, said, _ = typed("replay", "--generated", "1", "--strategy", "restless", "--out", str(page), "--json")
    told = json.loads(said)
    assert code == 0
    assert set(told["pessimistic"]["markouts_bps"]) == {"0.1", "1", "5", "30"}
    assert told["pessimistic"]["n_frames"] == told["optimistic"]["n_frames"] > 100
    html = page.read_text()
    assert html.count("<svg") == 3
    assert "Generated market" in html
    assert "pessimistic" in html
    assert "<script" not in html
    code, said, _ = typed("replay", "--generated", "1", "--strategy", "restless")
    assert "pessimistic  optimistic" in said


def test_why_tells_it_all(folder: Path):
    order = next(d.decision.order for d in journal.decided(folder / "sessions/local-1") if isinstance(d.decision, Approved))
    code, said, _ = typed("why", order.order_id)
    assert code == 0
    for word in ("risk     approved", "signal ", "the same when run again", "microprice", "frames-00001 line"):
        assert word in said
    code, said, _ = typed("why", order.order_id, "--json")
    assert msgspec.json.decode(said)["signal"]["seq"] == order.signal
