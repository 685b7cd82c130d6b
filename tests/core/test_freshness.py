"""Why a part is not fresh is told by name: which input, which parameter, which table."""

import pytest

from core.freshness import FRESH, Freshness, freshness, joined
from core.parts import Lineage
from core.states import State

MADE = Lineage(inputs={"trades": "a", "quotes": "b"}, params={"form": 1, "quality": {"gap_s": 10.0, "max_size": 1.0}})
MISSING = Freshness(State.MISSING, "not there")


def of(**changed: object) -> Freshness:
    now = {"inputs": MADE.inputs, "params": MADE.params} | changed
    return freshness(MADE, **now)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"inputs": {"trades": "A", "quotes": "b"}}, "trades changed"),
        ({"inputs": {"trades": "a"}}, "quotes is gone"),
        ({"inputs": MADE.inputs | {"book": "c"}}, "book is new"),
        ({"inputs": {"trades": "a", "quotes v/S 2026-01-05 b-1": "b"}}, "quotes is gone; quotes v/S 2026-01-05 is new"),
        ({"params": MADE.params | {"form": 2}}, "form 1 -> 2"),
        ({"params": {"form": 1, "quality": {"gap_s": 12.0, "max_size": 1.0}}}, "quality.gap_s 10.0 -> 12.0"),
        ({"params": {"form": 1}}, "quality.gap_s 10.0 -> (not set); quality.max_size 1.0 -> (not set)"),
        ({"inputs": dict.fromkeys("abcd", "x"), "params": {}}, "a is new; b is new; c is new; and 6 more"),
    ],
    ids=["input", "gone", "new", "a piece", "parameter", "nested", "a section", "many"],
)
def test_what_changed_is_named(changed: dict[str, object], why: str):
    assert of(**changed) == (State.STALE, why)


def test_the_same_is_fresh_and_nothing_is_missing():
    assert of() == FRESH
    assert of(params={"quality": {"max_size": 1, "gap_s": 10}, "form": 1}) == FRESH, "as JSON holds it"
    assert freshness(None, inputs={}, params={}) == MISSING


def test_a_piece_of_other_bytes_has_another_name_and_is_one_change():
    made = Lineage(inputs={"raw_binance__trades v/S 2026-01-05 f7df665c-1": "a", "kept": "k"})
    why = freshness(made, inputs={"raw_binance__trades v/S 2026-01-05 f7df665c-2": "b", "kept": "k"}, params={}).why
    assert why == "raw_binance__trades v/S 2026-01-05 changed"


def test_another_schema_is_stale():
    old = Lineage(schema_version=0, inputs=MADE.inputs, params=MADE.params)
    assert freshness(old, inputs=MADE.inputs, params=MADE.params).why == "schema 0 -> 1"


@pytest.mark.parametrize(
    ("bars", "labels", "state", "why"),
    [
        (FRESH, FRESH, State.FRESH, ""),
        (MISSING, MISSING, State.MISSING, "not there"),
        (FRESH, MISSING, State.MISSING, "labels missing"),
        (Freshness(State.STALE, "trades changed"), MISSING, State.MISSING, "labels missing; trades changed"),
        (Freshness(State.STALE, "trades changed"), FRESH, State.STALE, "trades changed"),
        (Freshness(State.STALE, "a; b"), Freshness(State.STALE, "b; c"), State.STALE, "a; b; c"),
    ],
    ids=["all fresh", "none there", "one missing", "one of each", "one stale", "two stale, each reason once"],
)
def test_tables_made_together_are_as_fresh_as_the_worst(bars: Freshness, labels: Freshness, state: State, why: str):
    assert joined({"bars": bars, "labels": labels}) == (state, why)
