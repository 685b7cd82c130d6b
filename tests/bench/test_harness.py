"""A row of the benchmark says what its variants took: ours, the best peer, the ratio, the share of the limit."""

from pathlib import Path

import numpy as np
import pytest

from bench import runner
from bench.harness import Bench, BenchError, Row, Taken, Variant, same
from bench.worker import measure


def took(*times: float, peak: int = 0) -> list[Taken]:
    return [Taken(list(times), [0.5 * t for t in times], 9.0, peak, peak // 2)]


def bench(*rows: Row) -> Bench:
    names = ("ours", "slow", "fast", "limit")
    variants = tuple(Variant(name, lambda _: dict) for name in names)
    return Bench("b", "about", lambda _f, _n: {}, 1, 1, variants, rows, lambda _: "")


TAKEN = {"ours": took(1.0, 2.0, 3.0, peak=8_000_000), "slow": took(10.0), "fast": took(4.0, peak=20_000_000), "limit": took(0.5)}


@pytest.mark.parametrize(
    ("unit", "ours", "peer", "ratio", "share"),
    [("rows/s", 50.0, 25.0, 2.0, 0.25), ("s", 0.02, 0.04, 2.0, 0.25), ("us", 2e4, 4e4, 2.0, 0.25), ("MB", 8.0, 20.0, 2.5, None)],
)
def test_a_ratio_over_one_is_always_better_than_the_best_peer(unit: str, ours: float, peer: float, ratio: float, share: float | None):
    row = Row("r", unit, "ours", ("slow", "fast") if unit != "MB" else ("fast",), 100, limit="limit" if share else None)
    made = runner.made(bench(row), row, TAKEN, {})
    assert made["peer"] == "fast"
    assert made["ours"] == pytest.approx(ours) and made["peer_value"] == pytest.approx(peer)
    assert made["ratio"] == pytest.approx(ratio)
    assert made["limit_share"] == (None if share is None else pytest.approx(share))
    assert made["first_s"] == 9.0 and made["cpu_share"] == pytest.approx(0.5) and made["n"] == 3


@pytest.mark.parametrize(
    ("asked", "met"),
    [
        ({}, None),
        ({"target": 2.0}, True),
        ({"target": 2.1}, False),
        ({"target": 1.0, "share": 0.3, "limit": "limit"}, False),
        ({"at_least": 49.0}, True),
        ({"at_least": 51.0}, False),
        ({"target": 1.5, "at_most": 10.0}, False),
    ],
)
def test_a_target_is_met_only_if_all_that_was_asked_is(asked: dict, met: bool | None):
    row = Row("r", "rows/s", "ours", ("fast",), "n", **asked)
    assert runner.made(bench(row), row, TAKEN, {"n": 100})["met"] is met


def test_a_process_measures_its_passes_its_first_pass_and_its_memory(tmp_path: Path):
    np.save(tmp_path / "a.npy", np.zeros(1_000_000))
    passes = []

    def prepare(folder: Path):
        a = np.load(folder / "a.npy")
        return lambda: passes.append(float(a.sum()))

    found = measure(Variant("v", prepare, repeats=7, seconds=0.0), tmp_path)
    assert len(found.times) == len(found.cpu) == 7 == len(passes) - 1
    assert min(found.times) > 0 and found.first > 0
    assert found.peak - found.grown > 8_000_000, "inputs were there before it began to grow"


@pytest.mark.parametrize(
    ("ours", "peer", "within"),
    [
        ([1.0, 2.0], [1.0], 0.0),
        ([1.0, 2.0], [1.0, 2.0000001], 0.0),
        ([1.0, np.nan], [1.0, 2.0], 1e-3),
        ([1, 2], [1, 3], 0.0),
        ([2**60], [2**60 + 1], 0.0),
    ],
    ids=["shapes", "an ulp", "NaN against a number", "integers", "integers that are one float"],
)
def test_results_that_differ_are_not_timed(ours: list, peer: list, within: float):
    with pytest.raises(BenchError, match=r"x: .* against"):
        same("x", np.array(ours), np.array(peer), within=within)


def test_equal_results_are_equal():
    same("x", np.array([1.0, np.nan]), np.array([1.0, np.nan]))
    same("x", np.array([9.0, 1.0]), np.array([5.0, 1.0 + 1e-10]), within=1e-9, skip=1)
    same("x", np.array([1, 2]), np.array([1, 2]))
