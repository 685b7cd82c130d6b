"""What the lake holds of the real recordings is, to the last digit, what plain Python and exact decimals find in them."""

import gzip
import json
import shutil
import subprocess
import sys
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from core.settings import Quality
from core.store import Part, Store
from tasks.accounts import accounts
from tasks.clean import clean_day
from tasks.pieces import days_of
from tasks.recordings import read_recording

pytestmark = pytest.mark.recordings
QUALITY = Quality()


def number(value: int, decimals: int) -> str:
    return format(Decimal(int(value)).scaleb(-decimals).normalize(), "f")


def ingested(store: Store, files: list[Path]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The receipts of the files and the facts of their days."""
    receipts = [read_recording.fn(store, str(file), quality=QUALITY) for file in files]
    days = []
    for venue, symbol in sorted({(venue, symbol) for receipt in receipts for venue, symbol in receipt["instruments"]}):
        for day in days_of(store, venue, symbol, QUALITY.max_clock_skew_s):
            days.append(clean_day.fn(store, venue, symbol, day, quality=QUALITY, keep_levels=20, fees=(2.0, 5.0)))
    return receipts, days


def rows(store: Store, noun: str, facts: list[dict[str, Any]]) -> pl.DataFrame:
    parts = [Part(f"clean_market__{noun}", f["venue"], f["symbol"], date.fromisoformat(f["day"])) for f in facts]
    return store.scan(parts).collect()


def agree(store: Store, answer: dict[str, Any], days: list[dict[str, Any]]) -> None:
    """Hold the days of one recording to its answer."""
    trades, wanted = rows(store, "trades", days), answer["trades"]
    price, size = trades["price_decimals"][0], trades["size_decimals"][0]
    notional = sum(p * s for p, s in trades.select("price", "size").iter_rows())
    assert (trades.height, trades["trade_id"].n_unique()) == (wanted["market"], wanted["distinct_ids"])
    assert (trades["trade_id"].min(), trades["trade_id"].max()) == (wanted["first_id"], wanted["last_id"])
    assert (number(trades["size"].sum(), size), number(notional, price + size)) == (wanted["size"], wanted["notional"])

    book = answer["book"]
    assert rows(store, "quotes", days).height == book["tickers"]
    for key in ("compared", "different", "sequence_breaks"):
        assert sum(day[key] for day in days) == book[key], key
    if book["final"] is None:
        assert not any(day["ends_known"] for day in days)
        return
    assert days[-1]["last_update_id"] == book["last_update_id"]
    last = rows(store, "book", days[-1:]).tail(1)
    whole = rows(store, "book_end", days[-1:])
    for sign, side, key in ((1, "bid", "bids"), (-1, "ask", "asks")):
        of_side = whole.filter(pl.col("side") == sign).sort("price", descending=sign > 0).head(5).select("price", "size").rows()
        listed = list(zip(*(last[f"{side}_{what}"][0].head(5) for what in ("prices", "sizes")), strict=True))
        for levels in (of_side, listed):
            assert [[number(p, price), number(s, size)] for p, s in levels] == book["final"][key]


@pytest.mark.parametrize("market", ["usdm", "spot", "cm"])
def test_every_answer_is_met(store: Store, shared: Path, market: str):
    folder = shared / "data" / "hftbacktest" / market
    receipts, days = ingested(store, sorted(folder.glob("*.gz")))
    for answer in json.loads((shared / "checks" / f"{market}.json").read_bytes()).values():
        agree(store, answer, [day for day in days if day["symbol"] == answer["symbol"]])
    for receipt, account in zip(receipts, accounts(store, receipts), strict=True):
        assert sum(account[way] for way in ("clean", "duplicate", "quarantined")) == receipt["n_rows"]
        assert account["quarantined"] == 0


def answers(shared: Path, folder: Path) -> dict[str, Any]:
    """What the independent program finds in a folder."""
    ran = subprocess.run([sys.executable, str(shared / "checks" / "recordings.py"), str(folder)], capture_output=True, check=True)
    return json.loads(ran.stdout)


def edited(source: Path, target: Path, edit: Any, n_lines: int = 12_000) -> None:
    """The first lines of a recording, each through `edit(number, local time, frame)`, which returns lines to write."""
    with gzip.open(source, "rt") as lines, gzip.open(target, "wt", compresslevel=1) as out:
        for n, line in enumerate(lines):
            if n >= n_lines:
                break
            local, _, text = line.partition(" ")
            for at, frame in edit(n, int(local), json.loads(text)):
                out.write(f"{at} {json.dumps(frame, separators=(',', ':'))}\n")


YEAR = 365 * 86_400


def a_year_later(_n: int, local: int, frame: dict[str, Any]) -> list[tuple[int, Any]]:
    if "stream" not in frame:
        return []  # and without its snapshot
    data = frame["data"]
    moved = {key: data[key] + YEAR * 1000 for key in ("E", "T") if key in data}
    return [(local + YEAR * 10**9, frame | {"data": data | moved})]


def test_a_year_between_two_recordings_carries_nothing_over(store: Store, shared: Path, tmp_path: Path):
    source = shared / "data" / "hftbacktest" / "usdm" / "btcusdt_20240808.gz"
    edited(source, tmp_path / "btcusdt_20240808.gz", lambda _n, local, frame: [(local, frame)])
    edited(source, tmp_path / "btcusdt_20250808.gz", a_year_later)
    receipts, days = ingested(store, sorted(tmp_path.glob("*.gz")))
    first, second = answers(shared, tmp_path).values()
    assert [day["day"] for day in days] == ["2024-08-08", "2025-08-08"]
    agree(store, first, days[:1])
    agree(store, second, days[1:])
    assert "no snapshot" in days[1]["warnings"][0]
    assert rows(store, "top", days[1:])["bid"].null_count() == 0, "quotes tell the top all the same"
    accounts(store, receipts)


def test_a_lost_diff_and_a_trade_of_the_insurance_fund(store: Store, shared: Path, tmp_path: Path):
    seen = {"diffs": 0, "trades": 0}

    def edit(_n: int, local: int, frame: dict[str, Any]) -> list[tuple[int, Any]]:
        kind = frame.get("data", {}).get("e")
        if kind == "depthUpdate":
            seen["diffs"] += 1
            if seen["diffs"] == 400:
                return []
        if kind == "trade":
            seen["trades"] += 1
            if seen["trades"] == 50:
                frame["data"]["X"] = "INSURANCE_FUND"
        return [(local, frame)]

    edited(shared / "data" / "hftbacktest" / "usdm" / "btcusdt_20240808.gz", tmp_path / "btcusdt_20240808.gz", edit)
    receipts, (day,) = ingested(store, [tmp_path / "btcusdt_20240808.gz"])
    (answer,) = answers(shared, tmp_path).values()
    wanted = answer["trades"]
    assert (day["trades"], wanted["other"]) == (wanted["market"], {"INSURANCE_FUND": 1})
    assert (day["sequence_breaks"], answer["book"]["sequence_breaks"]) == (1, 1)
    assert not day["ends_known"]
    assert 0 < day["book_known_share"] < 1
    book = rows(store, "book", [day])
    assert book["bid_prices"].null_count() == book.height - int(book["known"].sum()) > 0
    (account,) = accounts(store, receipts)
    assert account["by_reason"] == {"not a market trade": 1}


def test_the_same_recording_twice_is_read_once(store: Store, shared: Path, tmp_path: Path):
    source = shared / "data" / "hftbacktest" / "spot" / "btcusdt_20240808.gz"
    _, days = ingested(store, [source])
    copied = shutil.copy(source, tmp_path / "again.gz")
    receipts, again = ingested(store, [source, Path(copied)])
    assert [day["trades"] for day in again] == [day["trades"] for day in days]
    assert [receipt["skipped"] for receipt in receipts] == [True, True]
