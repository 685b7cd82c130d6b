"""The compiled simulation is the plain one (`fills_reference`), fill for fill."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numba import njit

from kernels import fills, fills_events
from kernels.fills import GTC, GTX, IOC, LIMIT, MARKET
from kernels.fills_account import ID
from kernels.fills_book import CLEAR, DEPTH, TRADE
from kernels.fills_queue import LOG, POWER, RISK_AVERSE
from tests.kernels.fills_reference import LOW, SPAN, STEP, plain


@njit(cache=True, nogil=True)
def scripted(run, feed, script):
    """Acts as the rows (step, cancel, side, price, size or id, kind, time in force) say."""
    at, n_steps = 0, 0
    while fills.elapse(run, feed, STEP):
        while at < len(script) and script[at, 0] <= n_steps:
            _, cancels, side, price, size, kind, tif = script[at]
            if cancels:
                for i in range(run.clock[fills.N_OPEN]):
                    if run.orders[i, 0] == size:
                        fills.cancel(run, i)
            else:
                fills.submit(run, side, price, size, kind, tif)
            at += 1
        n_steps += 1
    return n_steps


PRICES = st.integers(LOW, LOW + SPAN)
KINDS = st.sampled_from([DEPTH] * 6 + [TRADE] * 2 + [CLEAR])
EVENTS = st.lists(
    st.tuples(st.integers(0, 7), st.integers(0, 30), KINDS, st.integers(0, 1), PRICES, st.integers(0, 6)), min_size=1, max_size=120
)
ORDERS = st.sampled_from([LIMIT] * 4 + [MARKET])
IN_FORCE = st.sampled_from([GTC, GTX, GTX, IOC])
ACTIONS = st.lists(
    st.tuples(st.integers(0, 30), st.sampled_from([0, 0, 1]), st.integers(0, 1), PRICES, st.integers(1, 9), ORDERS, IN_FORCE),
    max_size=40,
)


@given(EVENTS, ACTIONS, st.integers(0, 25), st.integers(0, 25), st.sampled_from([RISK_AVERSE, LOG, POWER]), st.booleans())
@settings(deadline=None, max_examples=150)
def test_the_compiled_simulation_is_the_plain_one(events, actions, entry, response, model, partial):
    rows, ts = [], 1_000
    for wait, latency, kind, side, price, size in events:
        ts += wait
        rows.append((ts, ts + latency, kind, side, price, max(size, 1) if kind == TRADE else size))
    script = sorted(actions, key=lambda a: a[0])
    rules = fills.Rules(LOW, SPAN, lot=0.5, model=model, power=2.0, partial=partial, entry_ns=entry, response_ns=response)
    expected, end = plain(rows, script, rules)
    run = fills.run(rules)
    feed = fills_events.feed(fills_events.made(*(np.array(c) for c in zip(*rows, strict=True))))
    steps = scripted(run, feed, np.array(script, np.int64).reshape(-1, 7))
    assert steps == end["steps"]
    assert sorted(map(tuple, fills.fills(run).tolist())) == sorted(expected)
    assert run.account[fills.POSITION] == end["position"]
    assert fills.totals(run)["cash"] == pytest.approx(end["cash"] * 0.5)
    assert {int(o[ID]): int(o[fills.LEFT]) for o in run.orders[: run.clock[fills.N_OPEN]]} == end["open"]
    assert [None if (b := fills.best(run, side)) == fills.NONE else b for side in (0, 1)] == end["best"]
