"""Of what is stored, exactly what was asked for; and what is not stored is refused by name, with what there is."""

from datetime import date
from pathlib import Path
from typing import Any

import msgspec
import polars as pl
import pytest

from core.asking import BadParameter
from core.store import Part, Store
from tasks.asked import model_asked, parts_asked

TABLE = "feat_market__1s_inputs"
ROWS = pl.DataFrame({"ts_event": [1], "known_at": [1], "segment": [0]})
DAYS = [date(2026, 1, day) for day in (5, 6, 7)]


@pytest.fixture
def filled(store: Store) -> Store:
    for symbol, days in {"BTCUSDT": DAYS, "ETHUSDT": DAYS[:1]}.items():
        for day in days:
            store.write(Part(TABLE, "binance-usdm", symbol, day), ROWS, inputs={}, params={})
    return store


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ({}, 4),
        ({"venue": "binance-usdm", "symbols": ["BTCUSDT"]}, 3),
        ({"symbols": ["BTCUSDT", "ETHUSDT"], "end": DAYS[0]}, 2),
        ({"start": DAYS[1], "end": DAYS[2]}, 2),
    ],
    ids=str,
)
def test_all_that_was_asked_for_is_found(filled: Store, asked: dict[str, Any], found: int):
    assert len(parts_asked(filled, TABLE, hint="", **asked)) == found


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"venue": "binance-udsm"}, "venue: .*did you mean binance-usdm"),
        ({"symbols": ["BTCUSDT", "ETHUSD"]}, "symbols: .*did you mean ETHUSDT"),
        ({"start": date(2026, 1, 8)}, "start: no day of feat_market__1s_inputs lies from 2026-01-08 .* days from 2026-01-05 to 2026-01-07"),
        ({"end": date(2026, 1, 4)}, "end: no day"),
        ({"start": DAYS[1], "end": DAYS[0]}, "end: 2026-01-05 is before the start"),
    ],
    ids=str,
)
def test_what_is_not_there_is_refused_by_name(filled: Store, asked: dict[str, Any], said: str):
    with pytest.raises(BadParameter, match=said):
        parts_asked(filled, TABLE, hint="", **asked)


def test_an_empty_lake_says_what_fills_it(store: Store):
    with pytest.raises(BadParameter, match="there is no feat_market__1s_inputs yet; scalp features makes it"):
        parts_asked(store, TABLE, hint="scalp features makes it")


def test_the_newest_model_is_taken_where_none_is_named_and_another_is_refused_with_the_nearest(tmp_path: Path):
    with pytest.raises(BadParameter, match="no trained model yet; scalp run"):
        model_asked(tmp_path)
    for version in ("3f2a9c01b7de", "aa11bb22cc33"):
        folder = tmp_path / "models" / version
        folder.mkdir(parents=True)
        (folder / "train.json").write_bytes(msgspec.json.encode({"version_id": version}))
    assert model_asked(tmp_path).facts == {"version_id": "aa11bb22cc33", "folder": str(folder)}
    assert model_asked(tmp_path, "3f2a9c01b7de").facts["version_id"] == "3f2a9c01b7de"
    with pytest.raises(BadParameter, match="version_id: there is no '3f2a9c01b7df'; did you mean 3f2a9c01b7de"):
        model_asked(tmp_path, "3f2a9c01b7df")
