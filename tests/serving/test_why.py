"""From an order id to verdict, signal, features and frames; what cannot be found is said."""

import shutil
from pathlib import Path

import msgspec
import pytest
from sqlalchemy import text

from core.events import Approved, Refused, Signal
from core.ledger import Ledger
from core.orders import Purpose
from kernels.features import names
from kernels.risk_limits import Limits
from serving import backtest, journal
from serving.journal import Frames
from serving.why import NoOrder, frames_around, why

from .backtests import FACTS, answering, setup


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with a ledger and one session in it, with a model, and limits that refuse now and then."""
    data_dir = tmp_path_factory.mktemp("data")
    made = setup(
        data_dir, models=(FACTS,), ask={"v1": answering()}, limits=Limits(max_position=1_500.0, max_order=1_500.0, max_orders_per_s=1)
    )
    backtest.run(made, "optimistic", folder=data_dir / "sessions/one")
    return data_dir


@pytest.fixture
def ledger(kept: Path):
    with Ledger(f"sqlite:///{kept / 'ledger.db'}") as opened:
        yield opened


def decisions(kept: Path, kind: type) -> list:
    return [one.decision for one in journal.decided(kept / "sessions/one") if isinstance(one.decision, kind)]


def test_an_order_of_a_signal_has_everything_behind_it(kept: Path, ledger: Ledger):
    order = next(d.order for d in decisions(kept, Approved) if d.order.purpose is Purpose.ENTRY)
    found = why(ledger, kept / "sessions", order.order_id)
    assert found.missing == []
    assert found.verdict is not None
    assert found.signal is not None
    assert (found.verdict["verdict"], found.verdict["signal_seq"]) == ("approved", order.signal)
    assert found.signal["seq"] == order.signal
    assert found.signal["version"] == "v1"
    assert found.model == {"version": "v1", "alias": "champion", "window": 3, "features": 3}
    assert found.features_hash == found.signal["features"] == found.verdict["features"]
    assert list(found.features) == list(names())
    assert any(value is not None for value in found.features.values())
    led = [frame for frame in found.frames if frame.led]
    assert [frame.seq for frame in led] == [order.signal]
    assert [frame.seq for frame in found.frames] == list(range(order.signal - 3, order.signal + 4))
    assert msgspec.json.decode(msgspec.json.encode(found))["order_id"] == order.order_id


def test_every_order_has_its_signal_or_says_why_not(kept: Path, ledger: Ledger):
    signals = {(s.seq, s.symbol) for s in decisions(kept, Signal)}
    for approved in decisions(kept, Approved):
        found = why(ledger, kept / "sessions", approved.order.order_id, around=0)
        if approved.order.purpose in (Purpose.ENTRY, Purpose.EXIT):
            assert (approved.order.signal, approved.order.symbol) in signals
            assert found.signal is not None
        assert [frame.seq for frame in found.frames] == [approved.order.signal]


def test_a_refused_order_has_its_reason(kept: Path, ledger: Ledger):
    refused = decisions(kept, Refused)[0]
    found = why(ledger, kept / "sessions", refused.order.order_id)
    assert found.order is None
    assert found.verdict is not None
    assert (found.verdict["verdict"], found.verdict["detail"]) == (refused.code, refused.detail)
    assert found.frames


def test_frames_are_those_of_the_file(kept: Path):
    folder = kept / "sessions/one"
    seq, item = next((seq, item) for seq, item in journal.read(folder) if isinstance(item, Frames) and seq > 50)
    (found,) = frames_around(folder, seq, 0)
    number, line = int(found.file.split()[0].rpartition("-")[2]), int(found.file.split()[-1])
    row = journal.lines_of(folder, "frames", number)[line - 1]
    assert row == b"%d " % item.ts_recv + item.payloads[0]
    assert row.partition(b" ")[2].decode().startswith(found.text.partition("... (")[0])
    assert list(frames_around(folder, 10**9, 3)) == []


def test_an_unknown_order_is_an_error_that_helps(kept: Path, ledger: Ledger):
    with pytest.raises(NoOrder, match="no order sc9-zz in the ledger"):
        why(ledger, kept / "sessions", "sc9-zz")


def test_what_is_gone_is_named(kept: Path, ledger: Ledger, tmp_path: Path):
    order = next(d.order for d in decisions(kept, Approved) if d.order.purpose is Purpose.ENTRY)
    found = why(ledger, tmp_path, order.order_id)
    assert (found.features, found.frames) == ({}, [])
    assert "is not in" in found.missing[0]
    shutil.copytree(kept / "sessions/one", tmp_path / "one")
    (tmp_path / "one/frames-00001.gz").unlink()
    assert "cannot be read" in why(ledger, tmp_path, order.order_id).missing[0]


def test_other_features_are_not_passed_off_as_those_of_then(kept: Path, tmp_path: Path):
    shutil.copy(kept / "ledger.db", tmp_path / "ledger.db")
    order = next(d.order for d in decisions(kept, Approved) if d.order.purpose is Purpose.ENTRY)
    with Ledger(f"sqlite:///{tmp_path / 'ledger.db'}") as ledger:
        with ledger.write() as connection:
            connection.execute(text("UPDATE signals SET features = '0123456789abcdef'"))
        found = why(ledger, kept / "sessions", order.order_id)
    assert found.features == {}
    assert "other features" in found.missing[0]
