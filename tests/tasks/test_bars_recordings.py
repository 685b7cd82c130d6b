"""Bars of the real recordings are exactly those of an independent answer, both days of a recording taken together."""

import gzip
import json
from datetime import date
from decimal import Decimal
from pathlib import Path

import polars as pl
import pytest

from core.settings import Bars
from core.store import Part, Store
from core.tables import table
from tasks import features as tasks

pytestmark = pytest.mark.recordings
MS = 1_000_000
SCALE = {"price_decimals": 3, "size_decimals": 5}


def units(text: str, decimals: int) -> int:
    return int(Decimal(text).scaleb(decimals))


def frame(name: str, rows: list[dict[str, int]]) -> pl.DataFrame:
    shape = dict(table(name).columns)
    made = pl.DataFrame(rows, schema_overrides={"ts_event": pl.Int64, "ts_recv": pl.Int64})
    return made.select(pl.col(c).cast(t) if c in made.columns else pl.lit(None, t).alias(c) for c, t in shape.items())


def write(store: Store, name: str, symbol: str, rows: list[dict[str, int]]) -> set[date]:
    """The rows as parts by exchange day; the days there are."""
    made = frame(name, rows)
    days = made["ts_event"].dt.date()
    for day in days.unique():
        store.write(Part(name, "test", symbol, day), made.filter(days == day), inputs={}, params={})
        instrument = pl.DataFrame([SCALE | {"venue": "test", "symbol": symbol, "day": day, "taker_bps": 5.0}])
        shape = dict(table(tasks.INSTRUMENTS).columns)
        whole = instrument.select(
            pl.col(c).cast(t) if c in instrument.columns else pl.lit(None, t).alias(c) for c, t in shape.items()
        )  # fmt: skip
        store.write(Part(tasks.INSTRUMENTS, "test", symbol, day), whole, inputs={}, params={})
    return set(days)


@pytest.mark.parametrize("market", ["usdm", "spot", "cm"])
def test_bars_equal_the_independent_answer(market: str, shared: Path, store: Store):
    answers = json.loads((shared / "checks" / f"{market}.json").read_text())
    for name, answer in answers.items():
        trades, depth = [], []
        for file in answer["files"]:
            with gzip.open(shared / "data" / "hftbacktest" / market / file, "rt") as lines:
                for line in lines:
                    if '"e":"trade"' not in line and '"e":"depthUpdate"' not in line:
                        continue
                    received, _, text = line.partition(" ")
                    data = json.loads(text)["data"]
                    row = {"ts_event": data.get("T", data["E"]) * MS, "ts_recv": int(received)} | SCALE
                    if data["e"] == "depthUpdate":
                        depth.append(row | {"ts_estimated": False})
                    elif data.get("X", "MARKET") == "MARKET":
                        price, size = units(data["p"], 3), units(data["q"], 5)
                        trades.append(row | {"price": price, "size": size, "side": -1 if data["m"] else 1})
        days = write(store, "clean_market__trades", name, trades) | write(store, "clean_market__book", name, depth)
        for day in days:
            tasks.build_bars.fn(store, "test", name, day, rules=Bars())
        made = store.scan(store.parts(tasks.BARS, "test", name)).collect().sort("ts_event")

        expected = answer["bars_1s"]
        assert made.height == expected["count"]
        assert made["n_trades"].sum() == answer["trades"]["market"]
        assert made["n_late"].sum() == 0
        assert made["volume"].sum() == units(answer["trades"]["size"], 5)
        assert made["notional"].sum() == units(answer["trades"]["notional"], 8)
        for row, (close, *prices, volume, n) in zip(
            [*made.head(3).rows(named=True), made.row(-1, named=True)], [*expected["first"], expected["last"]], strict=True
        ):
            assert row["ts_event"].timestamp() == close
            assert [row["open"], row["high"], row["low"], row["close"]] == [units(p, 3) for p in prices]
            assert (row["volume"], row["n_trades"]) == (units(volume, 5), n)
        for part in store.parts(tasks.BARS, "test", name):
            stamps = store.scan(part).collect()["ts_event"].dt.offset_by("-1ns")  # midnight is the end of the day, not the next one's
            assert set(stamps.dt.date()) <= {part.day}
