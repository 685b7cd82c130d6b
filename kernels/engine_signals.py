"""From a second that closed to an opinion: the rule at once, each model when it answers, both fused, and the strategy asked.

second -> rule (JAX) -> window complete? -> Ask                -> Signal of the rule alone, where no champion is asked
prediction of the champion, or its deadline                    -> Signal, fused -> strategy -> targets -> orders
prediction of a shadow                                         -> Signal that nothing is traded on, scored on the same inputs
"""

import hashlib
from collections.abc import Sequence
from math import isfinite, nan

import numpy as np
from numpy.typing import NDArray

from core.events import Ask, Prediction, PredictionFailed, Signal
from core.market import NS
from kernels import fusion, rule_signals
from kernels.engine_state import QUIET, Decisions, Desk, Scored, State, Window
from kernels.engine_targets import consult
from kernels.fusion import Opinion
from kernels.live_market import Second

IN_PRICES = 4  # of the rule's indicators


def second(state: State, closed: Second, told: NDArray[np.float64], out: Decisions) -> None:
    """A second of one symbol closed; `told` is what the rule says to it (`ruled`)."""
    desk = state.desks[closed.symbol]
    champion = next((w for w in desk.windows if w.asked and w.model.alias == "champion"), None)
    if champion is not None:  # the answer about the second before this one never came
        champion.asked = 0
        conclude(state, desk, None, out)
    _follow_rule(desk, told)
    desk.ts_bar, desk.known_at, desk.close = closed.ts_bar, closed.known_at, float(closed.close)
    desk.features, desk.model, desk.volatility = closed.features, None, nan
    desk.features_hash = hashlib.blake2b(closed.features.tobytes(), digest_size=8).hexdigest()
    desk.signal_seq = state.seq
    _score(state, desk)
    if closed.away:
        desk.rule, desk.fused, desk.fresh_until = None, QUIET, 0
        desk.pending.clear()
    awaits = False
    for window in desk.windows:
        if _extend(window, closed) and not closed.away:
            awaits = _ask(state, desk, window, out) or awaits
    if not awaits and not closed.away:
        conclude(state, desk, None, out)


def ruled(state: State, closed: Sequence[Second]) -> NDArray[np.float64]:
    """The rule's word on these seconds, at most one of a symbol: rows by symbol, columns `rule_signals.TOLD`."""
    for one in closed:
        state.bars[one.code] = one.close_units if one.close_units > 0 else nan, max(one.volume, 0), 1
    state.rule_state, told = rule_signals.step_packed(state.rule_state, state.bars, state.rule)
    state.bars[:, 2] = 0
    return np.asarray(told)


def _follow_rule(desk: Desk, told: NDArray[np.float64]) -> None:
    direction, score, *values = told.tolist()
    desk.rule = Opinion(int(direction), score) if isfinite(score) else None
    unit = desk.listing.price_unit
    desk.values = tuple(value / unit for value in values[:IN_PRICES]) + tuple(values[IN_PRICES:])


def _extend(window: Window, closed: Second) -> bool:
    """One more row; whether the window is complete."""
    length = window.model.window
    with np.errstate(over="ignore"):
        row = closed.features[window.columns].astype(np.float32)
    follows = closed.segment == window.segment and closed.ts_bar == window.ts_bar + NS
    window.ts_bar, window.segment = closed.ts_bar, closed.segment
    if not np.isfinite(row).all():
        window.run = 0
        return False
    window.run = window.run + 1 if follows else 1
    if window.end == len(window.rows):
        window.rows[:length] = window.rows[length:]
        window.end = length
    window.rows[window.end] = row
    window.end += 1
    return window.run >= length


def _ask(state: State, desk: Desk, window: Window, out: Decisions) -> bool:
    """Ask for a prediction; whether a signal has to wait for it."""
    window.asked, window.deadline = desk.known_at, state.clock.now + state.plan.deadline_ns
    rows = window.rows[window.end - window.model.window : window.end].copy()
    out.append(
        Ask(
            ts=state.clock.now, symbol=desk.symbol, as_of=desk.known_at, ts_bar=desk.ts_bar, deadline_ns=state.plan.deadline_ns,
            window=rows, version=window.model.version, alias=window.model.alias,
        )
    )  # fmt: skip
    return window.model.alias == "champion"


def predicted(state: State, said: Prediction, out: Decisions) -> None:
    """An answer. One that nobody waits for any more (late, told twice, of another version) changes nothing."""
    desk = state.desks.get(said.symbol)
    if desk is None:
        return
    for window in desk.windows:
        if window.model.version != said.version or window.model.alias != said.alias or window.asked != said.as_of:
            continue
        window.asked = 0
        heard = fusion.opinion(said, state.plan.weights.min_confidence)
        if window.model.alias != "champion":
            _shadow(state, desk, window, heard or fusion.NONE, out)
            continue
        fresh = state.clock.now - said.as_of <= state.plan.max_age_ns
        desk.volatility = said.volatility if heard is not None and said.volatility > 0 else nan
        conclude(state, desk, heard if fresh else None, out)


def failed(state: State, told: PredictionFailed, out: Decisions) -> None:
    """No answer will come."""
    desk = state.desks.get(told.symbol)
    if desk is None:
        return
    for window in desk.windows:
        if window.asked == told.as_of and told.version in ("", window.model.version):
            window.asked = 0
            if window.model.alias == "champion":
                conclude(state, desk, None, out)


def give_up(state: State, desk: Desk, out: Decisions) -> None:
    """Answers whose time is over."""
    for window in desk.windows:
        if window.asked and state.clock.now > window.deadline:
            window.asked = 0
            if window.model.alias == "champion":
                conclude(state, desk, None, out)


def conclude(state: State, desk: Desk, model: Opinion | None, out: Decisions) -> None:
    """All that will be said about this second was said: fuse it, tell it, and ask the strategy."""
    plan = state.plan
    desk.model = model
    desk.fused = fusion.fuse(desk.rule, model, plan.weights, needs_model=plan.champion is not None)
    desk.fresh_until = desk.known_at + plan.max_age_ns if desk.fused.fresh else 0
    if desk.rule is None and model is None:
        return
    rule = desk.rule or fusion.NONE
    champion = plan.champion
    out.append(
        Signal(
            ts=state.clock.now, symbol=desk.symbol, ts_bar=desk.ts_bar, rule=rule.direction, rule_score=rule.score,
            model=model.direction if model else 0, model_score=model.score if model else 0.0, fused=desk.fused.direction,
            strength=desk.fused.strength, version=champion.version if champion and model else "", features=desk.features_hash,
            price=desk.close, values=desk.values, alias="champion" if champion and model else "", seq=desk.signal_seq,
        )
    )  # fmt: skip
    said = (("rule", rule.direction), ("fused", desk.fused.direction))
    _remember(state, desk, (*said, ("model", model.direction)) if model else said)
    consult(state, desk, out)


def _shadow(state: State, desk: Desk, window: Window, heard: Opinion, out: Decisions) -> None:
    rule = desk.rule or fusion.NONE
    out.append(
        Signal(
            ts=state.clock.now, symbol=desk.symbol, ts_bar=desk.ts_bar, rule=rule.direction, rule_score=rule.score,
            model=heard.direction, model_score=heard.score, fused=0, strength=0.0, version=window.model.version,
            features=desk.features_hash, price=desk.close, alias=window.model.alias, seq=desk.signal_seq,
        )
    )  # fmt: skip
    _remember(state, desk, ((f"{window.model.alias} {window.model.version}", heard.direction),))


def _remember(state: State, desk: Desk, said: tuple[tuple[str, int], ...]) -> None:
    quote = state.quote(desk.symbol)
    if 0 < quote.bid < quote.ask:
        desk.pending.append((desk.ts_bar, (quote.bid + quote.ask) / 2, said))


def _score(state: State, desk: Desk) -> None:
    """Signals that are `score_s` bars old, by where the middle went: gross basis points of a unit position, by source."""
    due = desk.ts_bar - state.plan.score_s * NS
    while desk.pending and desk.pending[0][0] <= due:
        ts_bar, was, said = desk.pending.popleft()
        quote = state.quote(desk.symbol)
        if not 0 < quote.bid < quote.ask or ts_bar < due - NS:
            continue
        moved = ((quote.bid + quote.ask) / 2 / was - 1) * 1e4
        for source, direction in said:
            if direction:
                scored = state.scores.setdefault(source, Scored())
                scored.n += 1
                scored.right += moved * direction > 0
                scored.gross_bps += moved * direction
                scored.squares += moved * moved
