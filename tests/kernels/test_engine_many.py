"""Many receipts at once are the steps taken one by one, whatever arrived together and however time went."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from core.events import Account, AnyInput, Connected, Decision
from core.market import NS
from kernels import engine, engine_many
from kernels.frames_live import Live
from tests.kernels.engine_market import BID, MODEL, START, frames, plan, shown, snapshot

SOME = [(ts, payload) for ts, payloads in frames(12, per_s=25) for payload in payloads]


def opening() -> list[AnyInput]:
    account = Account(ts=START, positions=(), balances=(), clean=True)
    links = (Connected(ts=START, what="account"), Connected(ts=START, what="market"))
    return [account, *links, *(snapshot(symbol, START, 1, bid) for symbol, bid in BID.items())]


@given(
    sizes=st.lists(st.integers(1, 7), min_size=20, max_size=60),
    jumps=st.lists(st.tuples(st.integers(0, 200), st.sampled_from([-2 * NS, -50_000_000, 3 * NS, 20 * NS])), max_size=3),
    at_once=st.integers(1, 300),
)
@settings(deadline=None, max_examples=30)
def test_many_at_once_are_one_by_one(sizes: list[int], jumps: list[tuple[int, int]], at_once: int):
    told, at, shift = [], 0, 0
    for k in range(10_000):
        n = sizes[k % len(sizes)]
        if at >= len(SOME):
            break
        shift += sum(by for where, by in jumps if where == k)
        told.append(([payload for _, payload in SOME[at : at + n]], SOME[min(at + n, len(SOME)) - 1][0] + shift))
        at += n
    given_plan = plan(models=(MODEL,))
    one, many = engine.init(given_plan, START), engine.init(given_plan, START)
    live = Live(engine.scales(given_plan), keep_unknown_fields=True)
    singly: list[Decision] = []
    at_once_made: list[Decision] = []
    for first in opening():
        singly += engine.step(one, first, given_plan)
        at_once_made += engine.step(many, first, given_plan)
    for payloads, ts in told:
        singly += engine.step(one, live.decode(payloads, ts), given_plan)
    for begin in range(0, len(told), at_once):
        part = told[begin : begin + at_once]
        whole = live.decode([payload for payloads, _ in part for payload in payloads], 0)
        receipts = engine_many.receipts(whole, [len(payloads) for payloads, _ in part], [ts for _, ts in part])
        end = 0
        for start, to, made in engine_many.steps(many, receipts, given_plan):
            assert start == end < to
            end = to
            at_once_made += made
        assert end == len(part)
    assert shown(at_once_made) == shown(singly)
    assert (many.seq, many.clock) == (one.seq, one.clock)
    for symbol in given_plan.symbols:
        assert many.market.top(symbol) == one.market.top(symbol)
        assert all(np.array_equal(a, b) for a, b in zip(many.market.book(symbol, 9), one.market.book(symbol, 9), strict=True))
        assert many.desks[symbol].features_hash == one.desks[symbol].features_hash
