"""Recordings that try to lose rows: damage that inflates, equal files at once, a clock that is days off."""

import gzip
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path

import pytest

from core.settings import Quality
from core.store import Store
from tasks.accounts import close_accounts
from tasks.clean import clean_day
from tasks.pieces import days_of
from tasks.recordings import read_recording

QUALITY = Quality()
VENUE, SYMBOL = "binance-usdm", "BTCUSDT"
N = 3_000

pytestmark = pytest.mark.recordings


@pytest.fixture(scope="module")
def lines(shared: Path) -> list[bytes]:
    with gzip.open(shared / "data/hftbacktest/usdm/btcusdt_20240808.gz", "rb") as file:
        return list(islice(file, N))


def built(store: Store, files: list[dict]) -> list[dict]:
    days = days_of(store, VENUE, SYMBOL, QUALITY.max_clock_skew_s)
    facts = [clean_day.fn(store, VENUE, SYMBOL, day, quality=QUALITY, keep_levels=20, fees=(2.0, 5.0)) for day in days]
    close_accounts.fn(store, files)
    return facts


def test_damage_that_inflates_does_not_replace_the_sound_reading(store: Store, lines: list[bytes], tmp_path: Path):
    path = tmp_path / "btcusdt_20240808.gz"
    path.write_bytes(gzip.compress(b"".join(lines), mtime=0))
    sound = read_recording.fn(store, str(path), quality=QUALITY)
    damaged = bytearray(path.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    path.write_bytes(damaged)
    again = read_recording.fn(store, str(path), quality=QUALITY)
    assert path.name in again["error"]
    assert again["pieces"] == sound["pieces"]
    assert (again["n_rows"], again["n_refused"]) == (N, 0)


def test_two_equal_files_read_at_once_are_read_once(store: Store, lines: list[bytes], tmp_path: Path):
    paths = [tmp_path / name for name in ("a.gz", "b.gz")]
    for path in paths:
        path.write_bytes(gzip.compress(b"".join(lines), mtime=0))
    with ThreadPoolExecutor(2) as pool:
        files = list(pool.map(lambda path: read_recording.fn(store, str(path), quality=QUALITY), paths))
    assert sorted(file["skipped"] for file in files) == [False, True]
    assert all(store.parts(part[0], part[1], part[2], part[3], part[4]) for file in files for part in file["pieces"])
    assert sum(day["trades"] for day in built(store, files)) == sum(b"@trade" in line for line in lines)


@pytest.mark.parametrize("days", [-2, 2, 400], ids=["two days behind", "two days ahead", "a year ahead"])
def test_a_clock_that_is_days_off_costs_no_row(store: Store, lines: list[bytes], tmp_path: Path, days: int):
    shift = days * 86_400_000_000_000
    moved = [b"%d %s" % (int(line.split(b" ", 1)[0]) + shift, line.split(b" ", 1)[1]) for line in lines]
    path = tmp_path / "btcusdt.gz"
    path.write_bytes(gzip.compress(b"".join(moved), mtime=0))
    file = read_recording.fn(store, str(path), quality=QUALITY)
    assert file["clock_offset_ms"] == pytest.approx(1_270 - days * 86_400_000, abs=100)
    facts = built(store, [file])
    assert [day["day"] for day in facts] == ["2024-08-08"]
    assert facts[0]["trades"] == sum(b"@trade" in line for line in lines)
