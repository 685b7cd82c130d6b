"""One pass over columns, any chunks, one trade at a time, interleaved symbols: the same bits."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernels import trade_chunk, trade_interleaved, trade_step
from kernels import trade_formulas as f
from kernels.book_features import Tops
from kernels.trade_features import SPECS, Trades, build
from tests.kernels.trade_market import AT, OF, market, same, stepped


@given(seed=st.integers(0, 10**6), n=st.integers(1, 300), moves=st.sampled_from([0, 1, 5, 50_000]), gaps=st.integers(0, 4))
@settings(deadline=None, max_examples=25)
def test_a_pass_over_columns_is_the_step_repeated(seed: int, n: int, moves: int, gaps: int):
    trades, tops = market(n, seed=seed, moves=moves, gaps=gaps)
    same(build(trades, tops, **OF), stepped(trades, tops))


@given(
    seed=st.integers(0, 10**6), n=st.integers(1, 9_000), moves=st.sampled_from([0, 1, 5]), gaps=st.integers(0, 6), threads=st.integers(2, 9)
)
@settings(deadline=None, max_examples=50)
def test_threads_change_no_bit(seed: int, n: int, moves: int, gaps: int, threads: int):
    trades, tops = market(n, seed=seed, moves=moves, gaps=gaps)
    same(build(trades, tops, **OF, threads=threads), build(trades, tops, **OF))


@pytest.mark.parametrize("still", [1_000, 3_000, 6_000], ids=["within the halo", "past the halo", "over several chunks"])
def test_a_long_still_market_at_a_border_changes_no_bit(still: int):
    trades, tops = market(9_000, seed=3)
    price = trades.price.copy()
    price[1_100 : 1_100 + still] = price[1_100]
    trades = trades._replace(price=price)
    same(build(trades, tops, **OF, threads=8), build(trades, tops, **OF))


def test_recurrences_that_were_guessed_wrong_are_mended():
    trades, _ = market(5_000, seed=1)
    carried = np.array([1.0, 2.0, 3.0, 4.0, 5.0])
    places, rows = f.chosen(None), tuple(map(f.read_only, trades))
    out, ends = np.zeros((len(SPECS), 5_000)), np.zeros((5, 5))
    trade_chunk.mend(1_024, 5_000, rows, 100.0, carried, places, out, ends)
    expected = carried.tolist()
    for i in range(1_024, 5_000):
        x, change = trades.price[i] / 100.0, float(trades.price[i] - trades.price[i - 1])
        expected[0] += (x - expected[0]) * f.K_FAST
        expected[1] += (x - expected[1]) * f.K_SLOW
        expected[2] += (expected[0] - expected[1] - expected[2]) * f.K_SMOOTH
        expected[3] += (max(change, 0.0) - expected[3]) * f.K_WILDER
        expected[4] += (max(-change, 0.0) - expected[4]) * f.K_WILDER
    assert ends[-1].tolist() == expected
    assert out[AT["ema_12"], -1] == expected[0]


@given(seed=st.integers(0, 10**6), n=st.integers(1, 1_500), symbols=st.integers(1, 4), gaps=st.integers(0, 3))
@settings(deadline=None, max_examples=25)
def test_interleaved_symbols_are_each_symbol_alone(seed: int, n: int, symbols: int, gaps: int):
    trades, tops = market(n, seed=seed, gaps=gaps)
    trades = trades._replace(known_at=np.maximum.accumulate(trades.known_at))
    rng = np.random.default_rng(seed)
    of_trade, of_top = rng.integers(0, symbols, n), rng.integers(0, symbols, len(tops.known_at))
    made = trade_interleaved.build_interleaved(of_trade, trades, of_top, tops, n_symbols=symbols, **OF)
    for s in range(symbols):
        own, quoted = Trades._make(column[of_trade == s] for column in trades), Tops(*(column[of_top == s] for column in tops))
        same(made[:, of_trade == s], build(own, quoted, **OF))


def test_many_symbols_in_one_call_are_each_in_its_own():
    rng = np.random.default_rng(0)
    one, many = trade_step.state(20, **OF), trade_step.state(20, **OF)
    for i in range(300):
        events = np.column_stack([rng.integers(1, 10**6, (20, 3)), rng.integers(0, 9, (20, 1)), rng.integers(-1, 2, (20, 1))])
        top = np.tile([i, 600, 5, 601, 7], (20, 1))
        events = np.ascontiguousarray(np.column_stack([events, np.full(20, i // 200), top]))
        order = rng.permutation(20)
        ours, theirs = np.empty((20, len(SPECS))), np.empty((20, len(SPECS)))
        trade_step.step_many(many, order, events, ours)
        for k, s in enumerate(order):
            trade_step.step(one, int(s), *map(int, events[k]), theirs[k])
        same(ours.T, theirs.T)
