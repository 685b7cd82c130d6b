"""The generated market on disk: made once, made anew when a setting changes, and never half there."""

import gzip
import json
from pathlib import Path

import pytest

from core.market import GENERATED
from core.settings import Generator, Quality, SettingsError
from core.store import Store
from tasks import generated
from tasks.generated import path_of, side_path, write_day, write_market
from tasks.recordings import read_recording


def made(folder: Path, **changed: object) -> list[Path]:
    return write_market(Generator(**({"frames_per_s": 0.5} | changed)), folder, each=write_day.fn)  # type: ignore[arg-type]


def events(path: Path, kind: str) -> list[dict]:
    frames = (json.loads(line.split(b" ", 1)[1]) for line in gzip.decompress(path.read_bytes()).splitlines())
    return [frame["data"] for frame in frames if frame.get("data", {}).get("e") == kind]


def test_a_file_per_symbol_and_day_and_nothing_else_but_sidecars(tmp_path: Path):
    paths = made(tmp_path, symbols=("AUSDT", "BUSDT"), days=2)
    assert [p.name for p in paths] == ["ausdt_20260105.gz", "ausdt_20260106.gz", "busdt_20260105.gz", "busdt_20260106.gz"]
    assert sorted(tmp_path.iterdir()) == sorted([*paths, *map(side_path, paths)])


def test_unchanged_settings_mean_no_work_and_equal_ones_equal_bytes(tmp_path: Path):
    (path,) = made(tmp_path / "a")
    before = path.stat().st_mtime_ns
    made(tmp_path / "a")
    assert path.stat().st_mtime_ns == before
    (again,) = made(tmp_path / "b")
    assert again.read_bytes() == path.read_bytes()


@pytest.mark.parametrize(
    "changed",
    [{"seed": 8}, {"signal": 0.0}, {"volatility": 0.5}, {"price": 70_000.0}, {"tick_size": 0.5}, {"lot_size": 0.01}, {"frames_per_s": 0.6}],
    ids=lambda c: next(iter(c)),
)
def test_any_other_setting_makes_the_file_anew(tmp_path: Path, changed: dict):
    (path,) = made(tmp_path)
    before = path.read_bytes()
    made(tmp_path, **changed)
    assert path.read_bytes() != before


def test_more_days_keep_the_first_and_go_on_from_it(tmp_path: Path):
    (first,) = made(tmp_path)
    written = first.stat().st_mtime_ns
    _, second = made(tmp_path, days=2)
    assert first.stat().st_mtime_ns == written
    assert events(second, "depthUpdate")[0]["pu"] == events(first, "depthUpdate")[-1]["u"]
    ended, began = events(first, "trade")[-1], events(second, "trade")[0]
    assert began["t"] == ended["t"] + 1
    assert float(began["p"]) == pytest.approx(float(ended["p"]), rel=0.01)


@pytest.mark.parametrize("damage", ["cut", "gone", "sidecar gone", "sidecar torn"])
def test_a_damaged_file_is_made_again_just_as_it_was(tmp_path: Path, damage: str):
    (path,) = made(tmp_path)
    whole = path.read_bytes()
    match damage:
        case "cut":
            path.write_bytes(whole[:-100])
        case "gone":
            path.unlink()
        case "sidecar gone":
            side_path(path).unlink()
        case _:
            side_path(path).write_bytes(b'{"form":')
    made(tmp_path)
    assert path.read_bytes() == whole


def test_what_breaks_half_way_leaves_no_half_file_and_no_sidecar(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def broken(*_: object) -> bytes:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(generated, "text", broken)
    with pytest.raises(generated.StoreError, match=r"simusdt_20260105.gz: the disk is full"):
        made(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_leftovers_of_killed_processes_are_swept(tmp_path: Path):
    left = tmp_path / ".simusdt_20260105.gz.999999999-abc.partial"
    left.write_bytes(b"half")
    made(tmp_path)
    assert not left.exists()


@pytest.mark.parametrize(
    ("changed", "said"),
    [({"day": "2026-13-05"}, "month"), ({"price": 10.0}, "ticks"), ({"symbols": ("a/b",)}, "symbol")],
    ids=["no day", "too few ticks", "no symbol"],
)
def test_a_market_that_cannot_be_names_the_setting(tmp_path: Path, changed: dict, said: str):
    with pytest.raises(SettingsError, match=f"generator: .*{said}"):
        made(tmp_path, **changed)


def test_the_decoder_refuses_no_line_of_it(tmp_path: Path, store: Store):
    recordings = pytest.importorskip("tasks.recordings")
    from core.settings import Quality

    (path,) = made(tmp_path)
    facts = recordings.read_recording.fn(store, str(path), quality=Quality(), venue="generated", generated=True)
    assert facts["error"] is None
    assert facts["n_refused"] == 0
    assert facts["instruments"] == [["generated", "SIMUSDT"]]
    assert set(facts["frames"]) == {"trade", "bookTicker", "depthUpdate", "markPriceUpdate", "snapshot"}
    assert {day for *_, day, _ in facts["pieces"]} == {"2026-01-05"}
    assert path == path_of(tmp_path, "SIMUSDT", generated.date(2026, 1, 5))


def test_a_copy_read_as_a_recording_leaves_the_generated_day_where_it_is(tmp_path: Path):
    (path,), store = made(tmp_path / "generated"), Store(tmp_path / "lake")
    copy = tmp_path / "copy.gz"
    copy.write_bytes(path.read_bytes())
    read_recording.fn(store, str(path), quality=Quality(), venue=GENERATED, generated=True)
    before = store.parts("raw_*__*")
    told = read_recording.fn(store, str(copy), quality=Quality())
    assert {venue for venue, _ in told["instruments"]} == {"binance-usdm"}
    assert set(before) < set(store.parts("raw_*__*"))
    moved = copy.rename(tmp_path / "moved.gz")
    read_recording.fn(store, str(moved), quality=Quality())
    assert len(store.parts("raw_binance__trades")) == 1, "the same bytes at another address are the same file"
