"""The engine on the real recordings: it follows them from their snapshots, trades them in paper, and does so again the same."""

import gzip
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from msgspec import structs

from core.events import Approved, Ask, Incident, Refused, Signal, Snapshot
from kernels.engine_plan import caps
from kernels.fusion import Weights
from tests.kernels.engine_market import MODEL, SYMBOLS, Session, listing, of, plan, replayed, shown, sure

pytestmark = pytest.mark.recordings
ENOUGH = 60_000  # lines


def lines(folder: Path) -> Iterator[tuple[int, str, bytes]]:
    """(ts_recv, symbol, payload) of both symbols, in order of receipt."""
    made = []
    for symbol in SYMBOLS:
        (path,) = folder.glob(f"{symbol.lower()}_*.gz")
        with gzip.open(path) as file:
            made += [(int(ts), symbol, payload.rstrip()) for ts, _, payload in (line.partition(b" ") for line in file)]
    yield from sorted(made, key=lambda one: one[0])[:ENOUGH]


def told(symbol: str, ts: int, payload: bytes) -> Snapshot:
    of_it = json.loads(payload)
    sides = {side: tuple((round(float(p) * 100), round(float(s) * 1000)) for p, s in of_it[side]) for side in ("bids", "asks")}
    return Snapshot(ts=ts, symbol=symbol, update_id=of_it["lastUpdateId"], **sides)


def test_a_recording_is_traded_on_paper_and_again_the_same(shared: Path):
    feed = list(lines(shared / "data" / "hftbacktest" / "usdm"))
    start = feed[0][0]
    given = plan(
        models=(MODEL,), weights=Weights(rule=0.0, model=1.0), caps=caps(SYMBOLS, {}, 4_000.0),
        listings={symbol: structs.replace(listing(symbol), tick=1) for symbol in SYMBOLS},
    )  # fmt: skip
    session = Session(given, answering=sure, start=start, follows=False).open()
    for ts, symbol, payload in feed:
        if payload.startswith(b'{"lastUpdateId"'):
            snapshot = told(symbol, ts, payload)
            session.venue.snapshot(ts, symbol, *(np.array(side, np.int64).T for side in (snapshot.bids, snapshot.asks)), snapshot.update_id)
            session.put(snapshot)
        else:
            session.market(ts, [payload])
    made = session.decisions
    assert not session.state.market.stale(SYMBOLS[0]) and not session.state.market.stale(SYMBOLS[1])
    assert len(of(made, Signal)) > 100 and len(of(made, Ask)) > 100 and len(of(made, Approved)) > 10
    assert not of(made, Refused) and not of(made, Incident)
    assert shown(replayed(given, session.inputs, start)) == shown(made)
    for position in session.venue.positions():
        assert session.state.holdings.positions[position.symbol].size == position.size
