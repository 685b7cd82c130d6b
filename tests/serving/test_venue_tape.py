"""What a recording is of is told from its frames, and its times keep their order whatever the speed."""

import gzip
from collections.abc import Callable
from decimal import Decimal
from itertools import islice, pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernels.frames_live import Live
from kernels.generator import Market
from serving.venue_tape import Tape, TapeError, frames_from, generated, grid, recorded
from serving.venue_times import Times

MS = 1_000_000


@settings(deadline=None, max_examples=50)
@given(st.lists(st.integers(1, 10**6), min_size=1, max_size=30), st.integers(1, 50), st.integers(0, 4), st.integers(0, 3))
def test_every_number_lies_on_the_grid_that_is_found(steps: list[int], step: int, decimals: int, more: int) -> None:
    words = [f"{Decimal(n * step).scaleb(-decimals):.{decimals + more}f}".encode() for n in steps]
    tick, places, written = grid(words)
    assert written == decimals + more and places <= decimals
    for word in words:
        units = Decimal(word.decode()).scaleb(places)
        assert units == int(units) and int(units) % tick == 0


@settings(deadline=None, max_examples=50)
@given(
    st.lists(st.tuples(st.integers(0, 10**6), st.integers(-5_000, 5_000)), min_size=1, max_size=50),
    st.sampled_from([0.5, 1.0, 7.0, 100.0]),
    st.sampled_from(["scaled", "shifted"]),
)
def test_no_event_is_from_the_future_and_order_is_kept(frames: list[tuple[int, int]], speed: float, mode: str) -> None:
    received = sorted((1_700_000_000_000 + at) * MS for at, _ in frames)
    events = [recv - wait * MS for recv, (_, wait) in zip(received, frames, strict=True)]
    lag = min(recv - event for recv, event in zip(received, events, strict=True))
    times = Times(received[0], lag, 1_800_000_000_000 * MS, speed, mode)  # type: ignore[arg-type]
    for recv, event in zip(received, events, strict=True):
        assert times.event(event) <= times.now(times.due(recv)) + 1_000
    told = [times.event(event) for event in sorted(events)]
    assert all(now <= then for now, then in pairwise(told))


def test_snapshots_belong_to_the_frames_around_them_and_odd_lines_are_passed_over() -> None:
    lines = [
        b"",
        b"# by hand",
        b'1700000000000000001 {"lastUpdateId":5,"bids":[],"asks":[]}',
        b'1700000000000000002 {"stream":"ethusdt@trade","data":{"e":"trade"}}',
        b'1700000000003 {"lastUpdateId":6,"bids":[],"asks":[]}',
    ]
    found = list(frames_from(lines))
    assert [(frame.symbol, frame.stream) for frame in found] == [("ETHUSDT", ""), ("ETHUSDT", "ethusdt@trade"), ("ETHUSDT", "")]
    assert found[1].data == b'{"e":"trade"}' and found[2].ts == 1_700_000_000_003 * MS


def test_what_cannot_be_replayed_is_refused_in_words(tmp_path: Path, tape_of: Callable[..., Tape]) -> None:
    path = Path(tape_of("usdm").source)
    with pytest.raises(TapeError, match="is of usdm, not of spot"):
        recorded(path, "spot")
    tape_of("spot")
    with pytest.raises(TapeError, match="both spot and USD-M"):
        recorded(tmp_path)
    other = tmp_path / "other"
    other.mkdir()
    (other / "cut.gz").write_bytes(path.read_bytes()[:200])
    with pytest.raises(TapeError, match="cut off"):
        recorded(other / "cut.gz")
    (other / "empty.gz").write_bytes(gzip.compress(b"nothing\n"))
    with pytest.raises(TapeError, match="holds no frame"):
        recorded(other / "empty.gz")


def test_the_generated_market_never_ends_and_is_the_same_again() -> None:
    market = Market(symbol="SIMUSDT", price=60_000, tick_size=0.1, lot_size=0.001, volatility=0.8, signal=0.35, frames_per_s=10)
    tape = generated([market], 7, 1_700_000_000 * 10**9)
    listing = tape.listings["SIMUSDT"]
    assert tape.kind == "usdm" and (listing.instrument.tick_size, listing.instrument.lot_size) == (0.1, 0.001)
    first, again = (list(islice(tape.frames(), 3_000)) for _ in range(2))
    assert first == again and first[-1].ts - first[0].ts > 120 * 10**9
    assert all(now.ts <= then.ts for now, then in pairwise(first))


@pytest.mark.recordings
@pytest.mark.parametrize(("kind", "tick", "lot"), [("usdm", 0.1, 0.001), ("spot", 0.01, 1e-05)])
def test_recordings_are_told_apart_and_come_in_order(shared: Path, kind: str, tick: float, lot: float) -> None:
    tape = recorded(shared / "data" / "hftbacktest" / kind)
    assert tape.kind == kind and set(tape.listings) == {"BTCUSDT", "ETHUSDT"} == set(tape.snapshots)
    of = tape.listings["BTCUSDT"].instrument
    assert (of.venue, of.tick_size, of.lot_size) == (f"binance-{kind}", tick, lot)
    assert all(now.ts <= then.ts for now, then in pairwise(islice(tape.frames(), 50_000)))


@pytest.mark.recordings
def test_every_frame_of_a_spot_recording_is_decoded_though_some_sizes_are_older_than_the_lot(shared: Path) -> None:
    tape = recorded(shared / "data" / "hftbacktest" / "spot" / "ethusdt_20240808.gz")
    listing = tape.listings["ETHUSDT"]
    of = listing.instrument
    assert (listing.lot, listing.min_size, of.size_decimals) == (10_000, 10_000, 8)
    live = Live({"ETHUSDT": (of.price_decimals, of.size_decimals)})
    batches = (live.decode([b'{"stream":"%b","data":%b}' % (f.stream.encode(), f.data)], f.ts) for f in tape.frames() if f.stream)
    finer = n = 0
    for batch in batches:
        assert not batch.refused, batch.refused
        finer += int((batch.levels[1] % listing.lot != 0).sum())
        n += 1
    assert finer and n > 10_000
