"""A backfill makes what is not fresh and only that, goes on past what fails, and takes up where it was ended."""

import asyncio
import gzip
import json
import re
import shutil
import signal
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from core import run_records, runs, settings
from core.asking import BadParameter, Grain, Source
from core.backfills import FILE, Kind, Only, Stage
from core.store import Part, Store
from flows.backfill import backfill
from flows.ingest import ingest
from tasks.backfill import kept
from tasks.backfill_plan import planned
from tasks.backfill_survey import Wanted
from tasks.backfill_told import FAILED, PLAN, PROGRESS, BackfillFailed
from tasks.recordings import take_recording
from tests.flows.conftest import FIRST
from tests.scalp.conftest import Started, contents, gone, half_files, scalp, times

pytestmark = [pytest.mark.server, pytest.mark.usefixtures("prefect")]

DAYS = 30
MONTH = {"stage": Stage.FEATURES, "grain": Grain.TRADE, "start": FIRST, "end": FIRST + timedelta(days=DAYS - 1)}
SPARSE = {"SCALP_GENERATOR__FRAMES_PER_S": "0.05"}
VENUE, SYMBOL = "binance-usdm", "SIMUSDT"
TRAINED = {
    "SCALP_QUALITY__GAP_S": "900",  # of a market as sparse as this
    "SCALP_TRAIN__WINDOW": "20",
    "SCALP_TRAIN__MAX_EPOCHS": "1",
    "SCALP_TRAIN__MAX_WINDOWS": "200",
    "SCALP_TRAIN__BOOTSTRAP": "20",
    "SCALP_TRAIN__LOGGER": "none",
}


@pytest.fixture
def at(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Path]]:
    """Points the settings at a data folder."""

    def point(data: Path, **given: str) -> Path:
        for name, value in ({"SCALP_DATA_DIR": str(data)} | given).items():
            monkeypatch.setenv(name, value)
        settings.load.cache_clear()
        return data

    yield point
    settings.load.cache_clear()


def run(**asked: Any) -> runs.Stage:
    return asyncio.run(backfill(**asked))  # type: ignore[arg-type]


def plan(data: Path, **asked: Any) -> dict[str, str]:
    """Partition -> why, from footers alone."""
    of = planned(Store(data / "lake"), settings.load(), Wanted(**({"venue": "generated", "symbols": ()} | asked)))
    return {str(step.partition): step.why for step in of.steps}


def shown(data: Path, key: str) -> Any:
    """The artifact of the newest run."""
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import ArtifactFilter

    folder = max((data / "runs").iterdir())
    of = ArtifactFilter.model_validate(
        {"flow_run_id": {"any_": [run_records.load(folder).flow_run_id]}, "key": {"any_": [key]}}  # type: ignore[union-attr]
    )
    with get_client(sync_client=True) as client:
        found = client.read_artifacts(artifact_filter=of)
    return max(found, key=lambda artifact: artifact.created).data if found else None  # type: ignore[arg-type,return-value]


@pytest.fixture(scope="module")
def month(prefect: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A month of the generated market, from nothing, by the flow."""
    data = tmp_path_factory.mktemp("month") / "data"
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (SPARSE | {"SCALP_DATA_DIR": str(data), "SCALP_BACKFILL__CHUNK_DAYS": "7"}).items():
            patch.setenv(name, value)
        settings.load.cache_clear()
        made = run(**MONTH)
        settings.load.cache_clear()
    assert len(made.facts["made"]) == 3 * DAYS
    return data


def test_a_month_from_nothing_is_planned_shown_and_followed_to_its_end(month: Path):
    table = json.loads(shown(month, PLAN))
    assert {row["state"] for row in table} == {"missing"}
    assert shown(month, PROGRESS) == 100.0
    folder = max((month / "runs").iterdir())
    assert [p.day for o in kept(folder) if (p := o.partition).kind is Kind.CLEAN] == [FIRST + timedelta(days=n) for n in range(DAYS)]


def test_a_month_unchanged_is_no_work_and_not_a_row_is_read(month: Path, at: Callable[..., Path], monkeypatch: pytest.MonkeyPatch):
    data = at(month, **SPARSE)
    before = times(data)

    def read(*_: object, **__: object) -> None:
        raise AssertionError("a row was read")

    monkeypatch.setattr(Store, "scan", read)
    again = run(**MONTH)
    assert (again.changed, again.facts["fresh"], again.facts["plan"]) == (False, 3 * DAYS, [])
    assert again.seconds < 10
    assert times(data) == before


def test_what_is_missing_is_estimated_from_what_was_made_before_and_a_dry_run_makes_nothing(
    month: Path, at: Callable[..., Path], tmp_path: Path
):
    data = at(shutil.copytree(month, tmp_path / "data"), **SPARSE)
    store = Store(data / "lake")
    day = FIRST + timedelta(days=12)
    store.remove(Part("feat_market__trade_inputs", "generated", SYMBOL, day))
    before = times(data)
    told = run(**MONTH, dry_run=True)
    assert [row["partition"] for row in told.facts["plan"]] == [f"trade features generated/SIMUSDT {day}"]
    assert re.fullmatch(r"[\d.]+ s, [\d,]+ rows", told.facts["plan"][0]["estimate"])
    assert times(data) == before
    assert plan(data, **MONTH, only=Only.STALE) == {}
    made = run(**MONTH, only=Only.MISSING)
    assert [one["partition"] for one in made.facts["made"]] == [f"trade features generated/SIMUSDT {day}"]
    assert contents(data, "") == contents(month, "")


def test_a_damaged_part_costs_what_is_made_of_it_and_the_rest_is_made(month: Path, at: Callable[..., Path], tmp_path: Path):
    data = at(shutil.copytree(month, tmp_path / "data"), **SPARSE)
    store = Store(data / "lake")
    lost, sound = FIRST + timedelta(days=3), FIRST + timedelta(days=20)
    for day in (lost, sound):
        store.remove(Part("feat_market__trade_inputs", "generated", SYMBOL, day))
    path = Path(store.path(Part("clean_market__trades", "generated", SYMBOL, lost)))
    path.write_bytes(path.read_bytes()[:4] + b"\xff" * 200 + path.read_bytes()[204:])  # a page, not the footer
    said = rf"1 of 2 partitions failed: trade features generated/SIMUSDT {lost}: clean_market__trades generated/SIMUSDT {lost}: unreadable"
    with pytest.raises(BackfillFailed, match=said) as failed:
        run(**MONTH)
    assert "\n" not in str(failed.value)
    (row,) = json.loads(shown(data, FAILED))
    assert row["partition"] == f"trade features generated/SIMUSDT {lost}"
    assert store.exists(Part("feat_market__trade_inputs", "generated", SYMBOL, sound))
    record = run_records.load(max((data / "runs").iterdir()))
    assert record is not None
    assert record.state == "failed"
    assert str(lost) in record.cause


def test_a_killed_backfill_goes_on_where_it_was_and_another_is_refused_meanwhile(month: Path, tmp_path: Path):
    data, more = tmp_path / "data", SPARSE | {"SCALP_BACKFILL__CHUNK_DAYS": "3"}
    words = ("backfill", "features", "--grain", "trade", "--from", str(FIRST), "--to", str(MONTH["end"]))
    first = Started(data, *words, **more)
    first.until(lambda: len([o for folder in data.glob("runs/*") for o in kept(folder)]) > DAYS + 4)
    second = scalp(data, *words, **more)
    assert second.returncode == 3
    assert f"'scalp backfill' (process {first.process.pid}" in second.stderr
    first.send(signal.SIGKILL)
    assert gone(data)
    (folder,) = data.glob(f"runs/*/{FILE}")
    made = {outcome.partition for outcome in kept(folder.parent) if outcome.changed}
    assert made

    again = scalp(data, *words, "--json", **more)
    assert again.returncode == 0, again.stderr
    told = json.loads(again.stdout)
    assert not {str(partition) for partition in made} & {one["partition"] for one in told["made"]}
    assert len(made) + len(told["made"]) <= 3 * DAYS
    assert contents(data, "raw", "clean", "feat") == contents(month, "raw", "clean", "feat")
    assert not half_files(data)


def days(first: int, last: int) -> dict[str, date]:
    return {"start": date(2026, 1, first), "end": date(2026, 1, last)}


def correct(path: Path) -> None:
    """Another size for the first trade after noon."""
    lines = gzip.decompress(path.read_bytes()).splitlines(keepends=True)
    noon = 1_767_571_200_000_000_000 + 43_200_000_000_000
    n = next(n for n, line in enumerate(lines) if b'"e":"trade"' in line and int(line.split()[0]) > noon)
    lines[n] = re.sub(rb'"q":"[\d.]+"', b'"q":"0.777"', lines[n])
    path.write_bytes(gzip.compress(b"".join(lines), mtime=0))


def test_a_corrected_raw_day_makes_its_days_and_models_stale_and_no_other(recorded: Path, at: Callable[..., Path], tmp_path: Path):
    folder, data = Path(shutil.copytree(recorded, tmp_path / "recorded")), at(tmp_path / "data", **TRAINED)
    of_venue, models = {"stage": Stage.TRAIN, "venue": VENUE}, (days(5, 6), days(7, 7))
    asyncio.run(ingest(Source.RECORDINGS, folder))  # type: ignore[arg-type]
    for of in models:
        assert run(**of_venue, **of).facts["made"][-1]["kind"] == Kind.MODEL
    assert [plan(data, **of_venue, **of) for of in models] == [{}, {}]

    correct(folder / "simusdt_20260105.gz")
    raw = at(Path(shutil.copytree(data, tmp_path / "raw")))
    take_recording(Store(raw / "lake"), str(folder / "simusdt_20260105.gz"), quality=settings.load().quality)
    of_raw = plan(raw, **of_venue, **days(5, 7))
    changed = {name: why for name, why in of_raw.items() if "looked at again" not in why and "model" not in name}
    assert list(changed) == [f"clean {VENUE}/{SYMBOL} 2026-01-05"]
    assert f"raw_binance__depth {VENUE}/{SYMBOL} 2026-01-05 changed" in changed[f"clean {VENUE}/{SYMBOL} 2026-01-05"]

    at(data)
    asyncio.run(ingest(Source.RECORDINGS, folder))  # type: ignore[arg-type]
    features = [f"features {VENUE}/{SYMBOL} 2026-01-0{n}" for n in (5, 6)]
    model = f"model {VENUE}/{SYMBOL} 2026-01-06"
    trades = f"clean_market__trades {VENUE}/{SYMBOL} 2026-01-05 changed"
    assert plan(data, **of_venue, **models[0]) == dict.fromkeys(features, trades) | {model: f"looked at again when {features[1]} is made"}
    assert plan(data, **of_venue, **models[1]) == {}
    made = run(**of_venue, **models[0])
    assert [one["partition"] for one in made.facts["made"]] == [*features, model]
    kept_by_run = runs.load(max((data / "runs").iterdir()))
    assert kept_by_run["train"].facts["n_windows"] == made.facts["made"][-1]["rows"]
    assert [plan(data, **of_venue, **of) for of in models] == [{}, {}]


def test_what_cannot_be_meant_is_refused_before_any_work(at: Callable[..., Path], tmp_path: Path):
    at(tmp_path / "data")
    with pytest.raises(BadParameter, match="end: 2026-01-04 is before the start, 2026-01-05"):
        run(**days(5, 4))
    with pytest.raises(BadParameter, match="venue: there is no 'binance-usdm'"):
        run(venue=VENUE, **days(5, 5))
    with pytest.raises(BadParameter, match="symbols: 'sim' cannot be generated"):
        run(symbols=("sim",), **days(5, 5))
    with pytest.raises(BadParameter, match="symbols: the generated market has no 'SIMUSDX', but SIMUSDT"):
        run(symbols=("SIMUSDX",), **days(5, 5))
