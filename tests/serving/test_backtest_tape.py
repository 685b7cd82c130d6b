"""What a backtest plays is what was received: from a recording, and from the lake that was made of it."""

from datetime import date
from pathlib import Path

import pytest

from core.settings import Quality
from core.store import Store
from kernels.frames_live import Live
from serving.backtest_tape import Market, TapeError, number, of_lake, of_recording
from serving.exchange import Whole
from serving.simulated import SNAPSHOT
from serving.snapshots import snapshot_of
from tasks.recordings import read_recording

from .backtests import BEGIN, generated

DAY = date(2024, 8, 8)


def events(market: Market, n: int) -> list[str]:
    """The first frames as the decoder reads them."""
    of = market.listing.instrument
    live = Live({of.symbol: (of.price_decimals, of.size_decimals)}, keep_unknown_fields=True)
    found: list[str] = []
    for frame, _ in zip(market.frames(), range(n), strict=False):
        if frame.payload.startswith(SNAPSHOT):
            whole = snapshot_of(Whole(symbol=of.symbol, text=frame.payload, ts_recv=frame.ts_recv), market.listing)
            found.append(f"snapshot {frame.ts_recv} {whole.update_id} {sorted(whole.bids)} {sorted(whole.asks)}")
        else:
            found.append(repr(live.event(frame.payload, frame.ts_recv)))
    return found


@pytest.mark.recordings
@pytest.mark.parametrize(("kind", "venue"), [("usdm", "binance-usdm"), ("spot", "binance-spot")])
def test_the_lake_gives_the_frames_that_it_was_made_of(shared: Path, store: Store, kind: str, venue: str):
    path = shared / f"data/hftbacktest/{kind}/btcusdt_20240808.gz"
    read_recording.fn(store, str(path), quality=Quality())
    recorded, kept = of_recording(path, "", {}), of_lake(store, venue, "BTCUSDT", DAY, DAY, {})
    assert (kept.venue, kept.begin, kept.listing) == (recorded.venue, recorded.begin, recorded.listing)
    n = 20_000
    left, right = events(recorded, n), events(kept, n)
    assert len(right) == n
    assert sorted(left) == sorted(right)
    assert sum(a != b for a, b in zip(left, right, strict=True)) == 0


def test_a_lake_without_the_market_says_so(store: Store):
    with pytest.raises(TapeError, match="no raw trades of binance-usdm BTCUSDT"):
        of_lake(store, "binance-usdm", "BTCUSDT", DAY, DAY, {})
    with pytest.raises(TapeError, match="binance-spot or binance-usdm"):
        of_lake(store, "binance-cm", "BTCUSD_PERP", DAY, DAY, {})


def test_a_recording_that_is_not_there_says_so(tmp_path: Path):
    with pytest.raises(TapeError, match="is not there"):
        of_recording(tmp_path / "none.gz", "", {})


@pytest.mark.recordings
def test_of_several_symbols_one_is_named(shared: Path):
    folder = shared / "data/hftbacktest/usdm"
    with pytest.raises(TapeError, match="BTCUSDT, ETHUSDT: say which"):
        of_recording(folder, "", {})
    with pytest.raises(TapeError, match="has no DOGEUSDT"):
        of_recording(folder, "DOGEUSDT", {})
    assert of_recording(folder, "ETHUSDT", {}).listing.instrument.symbol == "ETHUSDT"


def test_the_generated_market_ends_and_begins_again_alike():
    market, frames = generated()
    assert market.generated
    assert list(market.frames()) == list(frames)
    assert frames[0].ts_recv >= BEGIN
    assert frames[-1].ts_recv < BEGIN + 30 * 10**9


@pytest.mark.parametrize(("decimals", "units", "text"), [(0, 12, "12"), (1, 605, "60.5"), (3, 7, "0.007"), (8, 10**8, "1.00000000")])
def test_units_are_written_exactly(decimals: int, units: int, text: str):
    assert number(decimals)(units) == text
