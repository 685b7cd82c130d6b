"""Over the real recordings, frame by frame, every second is what the pipeline builds of the same files, to the last bit."""

import gzip
import json
from collections.abc import Iterator
from decimal import Decimal
from itertools import groupby
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from core.settings import Bars, Quality
from core.store import Store
from kernels import features
from kernels.frames_live import Live
from kernels.live_market import END, SECOND, LiveMarket, Second
from tasks.clean import clean_day
from tasks.features import build_bars, day_of_seconds
from tasks.pieces import days_of, pieces_near
from tasks.recordings import read_recording
from tasks.span import Span

pytestmark = pytest.mark.recordings
QUALITY, RULES = Quality(), Bars()
SNAPSHOT = b'{"lastUpdateId"'


def received(files: list[Path]) -> Iterator[tuple[int, list[bytes]]]:
    """The frames that arrived together, in order."""
    for file in files:
        with gzip.open(file, "rb") as lines:
            pairs = (line.rstrip(b"\n").partition(b" ") for line in lines)
            for ts_recv, some in groupby(pairs, key=lambda pair: int(pair[0])):
                yield ts_recv, [text for _, _, text in some]


def lived(files: list[Path], symbol: str, scale: tuple[int, int], offset: int) -> list[Second]:
    decoder, market, found = Live({symbol: scale}), LiveMarket({symbol: scale}, offset_ns=offset), []

    def units(levels: list[list[str]]) -> np.ndarray:
        return np.array([[int(Decimal(text).scaleb(places)) for text, places in zip(level, scale, strict=True)] for level in levels]).T

    for ts_recv, payloads in received(files):
        for text in payloads:
            if text.startswith(SNAPSHOT) and market.stale(symbol):
                whole = json.loads(text)
                assert market.snapshot(symbol, ts_recv, whole["lastUpdateId"], units(whole["bids"]), units(whole["asks"]))
        batch = decoder.decode([text for text in payloads if not text.startswith(SNAPSHOT)], ts_recv)
        assert not batch.refused
        at, why = 0, SECOND
        while why != END:
            at, why, _ = market.advance(batch.rows, batch.levels, at, ts_recv)
            assert why in (END, SECOND)
            if why == SECOND:
                found.append(market.closed)
    assert market.late_trades(symbol) == 0
    return found


@pytest.mark.parametrize(("market", "name"), [("usdm", "btcusdt"), ("spot", "ethusdt"), ("cm", "btcusd_perp")])
def test_a_recording_lived_through_is_the_recording_built(store: Store, shared: Path, market: str, name: str):
    files = sorted((shared / "data" / "hftbacktest" / market).glob(f"{name}_*.gz"))
    receipts = [read_recording.fn(store, str(file), quality=QUALITY) for file in files]
    venue, symbol = receipts[0]["venue"], receipts[0]["symbol"]
    days = days_of(store, venue, symbol, QUALITY.max_clock_skew_s)
    for day in days:
        clean_day.fn(store, venue, symbol, day, quality=QUALITY, keep_levels=20, fees=(2.0, 5.0))
    for day in days:
        build_bars.fn(store, venue, symbol, day, rules=RULES)
    spans = [Span(store, venue, symbol, day) for day in days]
    built = [features.features(day_of_seconds(span, RULES, QUALITY)).collect() for span in spans]
    wanted = pl.concat([of.filter(pl.col("ts_event").to_physical() > span.start) for of, span in zip(built, spans, strict=True)])
    scales = {(span.scale().price_decimals, span.scale().size_decimals) for span in spans}
    offset = pieces_near(store, venue, symbol, days[0], QUALITY.max_clock_skew_s)[0].offset
    (scale,) = scales

    closed = lived(files, symbol, scale, offset)
    n = len(closed)
    assert len(wanted) - 2 <= n, "the last ones are closed by the end of the data"
    for column, name in (("ts_event", "ts_bar"), ("known_at", "known_at")):
        assert wanted[column].to_physical()[:n].to_list() == [getattr(one, name) for one in closed]
    assert wanted["volume_units"].fill_null(0)[:n].to_list() == [one.volume for one in closed]
    assert wanted["close_units"].fill_null(-1)[:n].to_list() == [one.close_units for one in closed]
    made = np.array([one.features for one in closed])
    np.testing.assert_array_equal(made, wanted.select(features.names())[:n].fill_null(np.nan).to_numpy())
    assert np.isfinite(made[-1]).all()
