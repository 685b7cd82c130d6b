"""The engine against the venue's matching: the same inputs make the same decisions, and only a champion trades."""

from itertools import pairwise

import msgspec
import numpy as np
import pytest

from core.events import Approved, Ask, Cancel, Decision, Prediction, PredictionFailed, Refused, Signal
from core.market import NS
from core.orders import Purpose, Tif
from kernels import engine
from kernels.engine_plan import ModelFacts, Plan
from kernels.engine_receipts import decoded
from kernels.frames_live import Live
from kernels.fusion import Weights
from tests.kernels.engine_market import MODEL, START, SYMBOLS, Session, of, plan, replayed, shown, sure

MODELS = {"futures by the rule": {}, "futures by both": {"models": (MODEL,)}, "spot by both": {"spot": True, "models": (MODEL,)}}


@pytest.fixture(scope="module", params=MODELS, ids=MODELS)
def session(request: pytest.FixtureRequest) -> Session:
    return Session(plan(**MODELS[request.param]), answering=sure).open().run(300)


def test_a_session_told_again_decides_the_same_bit_for_bit(session: Session):
    first, second = (replayed(session.plan, session.inputs) for _ in range(2))
    assert shown(first) == shown(second) == shown(session.decisions)
    assert len(of(first, Approved)) > 4


def test_a_session_does_not_depend_on_how_its_receipts_are_cut(session: Session):
    """Payload by payload, each at the same time as before; only the numbers of inputs may be others."""
    pieces = [(ts, [one]) for told in session.inputs if isinstance(told, tuple) for ts, payloads in [told] for one in payloads]
    cut, at = [], iter(pieces)
    for told in session.inputs:
        cut += [next(at) for _ in told[1]] if isinstance(told, tuple) else [told]
    again, first = (shown([numberless(one) for one in made]) for made in (replayed(session.plan, cut), session.decisions))
    assert again == first


def numberless(one: Decision) -> Decision:
    if isinstance(one, Signal):
        return msgspec.structs.replace(one, seq=0)
    return msgspec.structs.replace(one, order=msgspec.structs.replace(one.order, signal=0)) if isinstance(one, Approved) else one


def test_position_and_orders_are_the_venues(session: Session):
    for symbol, position in session.state.holdings.positions.items():
        held = {p.symbol: p.size for p in session.venue.positions()}
        if not session.plan.listings[symbol].spot:
            assert position.size == held.get(symbol, 0)
    assert set(session.state.orders.by_id) == {order.client_id for order in session.venue.open_orders()}


def test_it_enters_post_only_and_leaves_reduce_only(session: Session):
    made = [one.order for one in of(session.decisions, Approved)]
    assert {order.tif for order in made if order.purpose is Purpose.ENTRY} == {Tif.GTX}
    assert all(order.reduce_only for order in made if order.purpose is not Purpose.ENTRY)
    assert {order.purpose for order in made} >= {Purpose.ENTRY, Purpose.TAKE_PROFIT}
    assert not of(session.decisions, Refused)


def test_order_ids_are_the_epochs_and_never_repeat():
    made = of(Session(plan(epoch=40, first_order=35), answering=sure).open().run(200).decisions, Approved)
    assert made[0].order.order_id == "sc14-10"
    assert len({one.order.order_id for one in made}) == len(made)


def test_the_plans_hash_is_of_all_of_it_and_it_reads_back():
    one = plan(models=(MODEL,))
    assert msgspec.json.decode(msgspec.json.encode(one), type=Plan, strict=False).hash == one.hash
    assert plan().hash != one.hash != plan(models=(MODEL,), epoch=2).hash


BY_MODEL = {"weights": Weights(rule=0.0, model=1.0), "models": (MODEL,)}


def test_a_window_holds_the_last_rows_of_features():
    asks = of(Session(plan(**BY_MODEL)).open().run(90).decisions, Ask)
    of_one = [ask for ask in asks if ask.symbol == SYMBOLS[0]]
    assert of_one[0].window.shape == (MODEL.window, len(MODEL.features))
    for before, after in pairwise(of_one):
        assert after.ts_bar == before.ts_bar + NS
        np.testing.assert_array_equal(after.window[:-1], before.window[1:])


def up(ask: Ask, late_ns: int = 0) -> Prediction:
    return Prediction(
        ts=ask.ts + late_ns, symbol=ask.symbol, as_of=ask.as_of, version=ask.version, alias=ask.alias, down=0.0, flat=0.1, up=0.9,
        confidence=0.9, volatility=1e-4,
    )  # fmt: skip


def test_a_champion_that_is_sure_is_traded_on():
    session = Session(plan(**BY_MODEL), answering=up).open()
    assert session.until(Approved).order.purpose is Purpose.ENTRY
    told = of(session.decisions, Signal)[-1]
    assert (told.alias, told.version, told.model, told.fused) == ("champion", "v1", 1, 1)
    assert len(told.features) == 16


@pytest.mark.parametrize(
    "answer",
    [
        lambda ask: up(ask, late_ns=2 * NS),
        lambda ask: None,
        lambda ask: PredictionFailed(ts=ask.ts, symbol=ask.symbol, as_of=ask.as_of, reason="down"),
        lambda ask: msgspec.structs.replace(up(ask), up=float("nan")),
        lambda ask: msgspec.structs.replace(up(ask), version="v0"),
        lambda ask: msgspec.structs.replace(up(ask), as_of=ask.as_of - 1),
    ],
    ids=["too late", "never", "failed", "not a number", "of another version", "of another second"],
)
def test_without_an_answer_that_counts_nothing_is_opened(answer):
    session = Session(plan(models=(MODEL,)), answering=answer).open().run(150)
    assert not of(session.decisions, Approved)
    assert of(session.decisions, Signal)  # the rule is told all the same
    assert all(told.fused == 0 for told in of(session.decisions, Signal))


def test_an_entry_is_cancelled_when_its_answer_grows_old():
    session = Session(plan(**BY_MODEL, max_age_ns=NS // 5), answering=up).open()
    order = session.until(Approved).order
    session.answering = lambda ask: None
    session.run(1.5)
    assert session.state.clock.now > session.state.desks[order.symbol].fresh_until
    assert all(row.order.purpose is not Purpose.ENTRY for row in session.state.orders.by_id.values())
    assert order.order_id in {one.order_id for one in of(session.decisions, Cancel) if one.reason == "not wanted"}


def test_a_shadow_is_scored_on_the_same_inputs_and_never_traded_on():
    shadow = ModelFacts(version="v2", alias="shadow", features=MODEL.features, window=MODEL.window)
    alone = Session(plan(models=(shadow,)), answering=up).open().run(200)
    without = Session(plan()).open().run(200)
    assert [one.order for one in of(alone.decisions, Approved)] != []
    strip = [msgspec.structs.replace(one.order, signal=0) for one in of(alone.decisions, Approved)]
    assert strip == [msgspec.structs.replace(one.order, signal=0) for one in of(without.decisions, Approved)]
    both = Session(plan(models=(MODEL, shadow)), answering=up).open().run(60)
    assert both.state.scores["shadow v2"].n == both.state.scores["model"].n >= 50
    by_alias = {alias: [a.window.tobytes() for a in of(both.decisions, Ask) if a.alias == alias] for alias in ("champion", "shadow")}
    assert by_alias["champion"] == by_alias["shadow"]


def test_a_plan_that_cannot_be_traded_by_is_an_error():
    for wrong in ({"listings": {}}, {"caps": {"XRPUSDT": 1.0}}, {"caps": {SYMBOLS[0]: -1.0}}, {"models": (MODEL, MODEL)}):
        with pytest.raises(ValueError):
            engine.init(plan(**wrong), START)
    with pytest.raises(ValueError, match="nothing_like_it"):
        engine.init(plan(models=(ModelFacts(version="v", alias="champion", features=("nothing_like_it",), window=3),)), START)
    with pytest.raises(ValueError, match="enterr"):
        engine.init(plan(params={"enterr": 1}), START)


def test_every_payload_and_every_other_input_has_one_number(session: Session):
    assert session.state.seq == sum(len(told[1]) if isinstance(told, tuple) else 1 for told in session.inputs)


@pytest.mark.parametrize("at_once", [1, 7, 4096])
def test_receipts_decoded_together_are_the_receipts(session: Session, at_once: int):
    state, live = engine.init(session.plan, START), Live(engine.scales(session.plan))
    made = [one for told in decoded(live, session.inputs, at_once=at_once) for one in engine.step(state, told, session.plan)]
    assert shown(made) == shown(session.decisions)
