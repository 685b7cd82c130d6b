"""What is too old goes from a real folder; what was made from it stays as it is, and what serves stays in any case."""

import json
import os
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from core import run_records, settings
from core.serving_record import Serving, Version, record_path
from core.store import Part, Store
from kernels.retention import Fate, Policy, fates
from tasks import retention
from tasks.retention_models import Tracked
from tests.tasks.test_clean import SYMBOL, VENUE, File, build

TODAY = datetime.now(UTC).date()
OLD, NEXT = TODAY - timedelta(days=60), TODAY - timedelta(days=59)


def clean_days(store: Store) -> list[dict]:
    """Two old days in a row, the second with its book from the first."""
    for day, first in ((OLD, 1), (NEXT, 3)):
        file = File(f"{day}.gz", day)
        if day == OLD:
            file.snapshot(1, 10)
        file.diff(2, 8 + 2 * first, 10 + 2 * first).trade(3, first).trade(86_399.5, first + 1).refused(4, "not a trade", "x").write(store)
    return [build(store, day) for day in (OLD, NEXT)]


def kept(data: Path, store: Store, policy: Policy, **options) -> list[Fate]:
    found = fates(retention.items(store, data, **options), policy)
    troubles = [trouble for _, trouble in retention.carry_out(found, store, data, lambda _: None) if trouble]
    assert troubles == []
    return found


def test_raw_and_quarantined_rows_go_and_the_clean_days_stay_as_they_are(tmp_path: Path):
    store = Store(tmp_path / "lake", code="test")
    clean_days(store)
    before = {str(p): store.content(p) for table in store.tables() for p in store.parts(table)}
    rows = {str(p): store.scan(p).collect() for p in store.parts("clean_market__trades")}

    found = kept(tmp_path, store, Policy({"raw": 30, "quarantine": 30}))
    assert {fate.item.kind for fate in found if fate.goes} == {"raw", "quarantine"}
    assert sum(fate.item.n_bytes for fate in found) > 0
    emptied = [*store.parts("raw_binance__trades"), *store.parts("quarantine_market__rows")]
    assert [store.scan(part).collect().height for part in emptied] == [0] * len(emptied)

    assert {str(p): store.content(p) for table in store.tables() for p in store.parts(table)} == before
    assert [build(store, day)["changed"] for day in (OLD, NEXT)] == [False, False]
    assert [build(store, day, max_jump_pct=1.0)["changed"] for day in (OLD, NEXT)] == [False, False]
    assert all(store.scan(part).collect().equals(rows[str(part)]) for part in store.parts("clean_market__trades"))
    assert fates(retention.items(store, tmp_path), Policy({"raw": 30, "quarantine": 30})) == []


def test_what_comes_later_for_a_day_whose_raw_rows_are_gone_is_not_taken_in_and_that_is_said(tmp_path: Path):
    store = Store(tmp_path / "lake", code="test")
    clean_days(store)
    kept(tmp_path, store, Policy({"raw": 30}))
    assert "raw rows of it are gone" not in " ".join(build(store, NEXT)["warnings"])
    File("late.gz", NEXT).trade(50_000, 99).write(store)
    told = build(store, NEXT)
    assert not told["changed"]
    assert any("raw rows of it are gone (retention.raw_days)" in warning for warning in told["warnings"])


def test_an_unchanged_file_is_known_when_its_rows_are_gone(tmp_path: Path):
    from tasks.raw import receipt_of

    store = Store(tmp_path / "lake", code="test")
    clean_days(store)
    kept(tmp_path, store, Policy({"raw": 30}))
    sha = f"{OLD}.gz".encode().hex().ljust(64, "0")
    assert receipt_of(store, sha) is not None


def model(data: Path, name: str, days: float, inputs: dict[str, str]) -> None:
    folder = data / "models" / name
    folder.mkdir(parents=True)
    (folder / "train.json").write_text(json.dumps({"inputs": inputs}))
    at = time.time() - days * 86_400
    os.utime(folder / "train.json", (at, at))


def test_a_model_that_serves_or_has_an_alias_stays_and_holds_what_it_was_made_of(tmp_path: Path):
    store = Store(tmp_path / "lake", code="test")
    clean_days(store)
    day = Part("clean_market__trades", VENUE, SYMBOL, OLD)
    model(tmp_path, "aaaa", 50, {str(day): "x"})
    model(tmp_path, "bbbb", 40, {})
    model(tmp_path, "cccc", 30, {})
    model(tmp_path, "dddd", 1, {})
    served = Version(n=1, version_id="aaaa", feature_set_hash="", decision="champion", sha256="", window=1, n_features=1, generated=False)
    path = record_path(tmp_path)
    path.parent.mkdir(parents=True)
    path.write_bytes(msgspec.json.encode(Serving(model_name="m", versions={"1": served}, states=[{"champion": 1}])))

    found = kept(tmp_path, store, Policy({"clean": 30}, 1), tracked=["bbbb"])
    assert sorted(p.name for p in (tmp_path / "models").iterdir()) == ["aaaa", "bbbb", "dddd"]
    why = {fate.item.name: fate.why for fate in found}
    assert "it serves as champion" in why["aaaa"]
    assert "MLflow" in why["bbbb"]
    assert store.exists(day)
    assert "model aaaa was made of it" in why[str(day)]

    found = kept(tmp_path, store, Policy({"clean": 30}, 1, even_needed=True), tracked=["bbbb"])
    assert not store.exists(day)
    assert "can then not be made again" in {fate.item.name: fate.why for fate in found}[str(day)]


def test_runs_sessions_and_logs_go_by_age_and_a_run_at_work_stays(tmp_path: Path):
    old = time.time() - 100 * 86_400
    for name in ("runs/20260101-000000-aaaa", "runs/20260101-000000-bbbb", "sessions/s1"):
        folder = tmp_path / name
        folder.mkdir(parents=True)
        (folder / "x").write_text("x")
    run_records.save(tmp_path / "runs/20260101-000000-bbbb", run_records.begun("20260101-000000-bbbb", "ingest"))
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "old.log").write_text("x")
    (tmp_path / "logs" / "new.log").write_text("x")
    for path in [*tmp_path.rglob("*")]:
        if path.name != "new.log":
            os.utime(path, (old, old))
    kept(tmp_path, Store(tmp_path / "lake"), retention.policy_of(settings.Settings().retention, even_needed=False))
    assert sorted(p.name for p in (tmp_path / "runs").iterdir()) == ["20260101-000000-bbbb"]
    assert [p.name for p in (tmp_path / "sessions").iterdir()] == ["s1"], "nobody else may have what was recorded"
    asked = settings.Settings(retention={"sessions_days": 90}).retention  # pyright: ignore[reportArgumentType]
    kept(tmp_path, Store(tmp_path / "lake"), retention.policy_of(asked, even_needed=False))
    assert list((tmp_path / "sessions").iterdir()) == []
    assert [p.name for p in (tmp_path / "logs").iterdir()] == ["new.log"]


@pytest.mark.parametrize("part", ["clean_market__trades", "raw_binance__trades"])
def test_emptying_twice_is_emptying_once(tmp_path: Path, part: str):
    store = Store(tmp_path / "lake", code="test")
    clean_days(store)
    one = store.parts(part)[0]
    store.empty(one)
    written = Path(store.path(one)).read_bytes()
    store.empty(one)
    assert Path(store.path(one)).read_bytes() == written
    assert store.scan(one).collect_schema().names()


def test_a_model_that_mlflow_does_not_forget_stays_and_the_rest_goes(tmp_path: Path):
    from mlflow.exceptions import MlflowException

    class Refuses:
        def delete_model_version(self, name: str, number: str) -> None:
            raise MlflowException("the server is away")

    tracked = Tracked(tmp_path, settings.Settings(data_dir=tmp_path))
    tracked.client, tracked.numbers = Refuses(), {"aaaa": ["1"]}  # pyright: ignore[reportAttributeAccessIssue]
    for name, days in (("aaaa", 9), ("bbbb", 8), ("cccc", 1)):
        model(tmp_path, name, days, {})
    store = Store(tmp_path / "lake")
    found = fates(retention.items(store, tmp_path), Policy({}, 1))
    troubles = {item.name: trouble for item, trouble in retention.carry_out(found, store, tmp_path, tracked.withdraw)}
    assert "the server is away" in troubles["aaaa"] and troubles["bbbb"] == ""
    assert sorted(path.name for path in (tmp_path / "models").iterdir()) == ["aaaa", "cccc"]
