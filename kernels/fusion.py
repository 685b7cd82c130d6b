"""One opinion from two: the indicator rule's and the model's. The rule is written here, and each is also scored alone.

    model_score = (up - down) x confidence                                    0 where the confidence is below `min_confidence`
    model       = sign of the larger of up and down where it beats flat, else 0
    score       = (rule_weight x rule_score + model_weight x model_score) / (rule_weight + model_weight), an opinion that holds (0) adding 0
    fused       = sign(score) where |score| >= threshold and neither opinion speaks against it, else 0
    strength    = |score| where fused, else 0

An opinion whose weight is 0, or that is not there by plan (no champion), counts as if its weight were 0: then the other one decides alone.
Where a champion is there by plan and its answer is missing or too old, `fused` is 0 and nothing may be opened (`fresh` is false).
"""

from math import isfinite
from typing import NamedTuple

from core.events import Prediction


class Weights(NamedTuple):
    rule: float = 0.5
    model: float = 0.5
    min_confidence: float = 0.0
    threshold: float = 0.05


class Opinion(NamedTuple):
    """-1, 0, 1 and a score from -1 to 1."""

    direction: int
    score: float


class Fused(NamedTuple):
    direction: int
    strength: float
    fresh: bool


NONE = Opinion(0, 0.0)


def opinion(said: Prediction, min_confidence: float) -> Opinion | None:
    """What a prediction says; None where it is no prediction (not finite, not probabilities)."""
    numbers = (said.down, said.flat, said.up, said.confidence, said.volatility)
    if not all(map(isfinite, numbers)) or not all(0 <= p <= 1 for p in numbers[:4]) or abs(said.down + said.flat + said.up - 1) > 1e-3:
        return None
    if said.confidence < min_confidence:
        return NONE
    larger = max(said.up, said.down)
    direction = 0 if larger <= said.flat or said.up == said.down else 1 if said.up > said.down else -1
    return Opinion(direction, (said.up - said.down) * said.confidence)


def fuse(rule: Opinion | None, model: Opinion | None, weights: Weights, *, needs_model: bool) -> Fused:
    """Both as above; None is "no opinion" (a rule that is not warm, a prediction that did not come)."""
    if needs_model and weights.model > 0 and model is None:
        return Fused(0, 0.0, False)
    by_rule = weights.rule if rule is not None else 0.0
    by_model = weights.model if model is not None and needs_model else 0.0
    whole = by_rule + by_model
    if not whole > 0 or (weights.rule > 0 and rule is None):
        return Fused(0, 0.0, False)
    rule, model = rule or NONE, model or NONE
    score = (by_rule * rule.score * abs(rule.direction) + by_model * model.score * abs(model.direction)) / whole
    direction = 0 if abs(score) < weights.threshold else 1 if score > 0 else -1
    against = (by_rule > 0 and rule.direction * direction < 0) or (by_model > 0 and model.direction * direction < 0)
    if not isfinite(score) or against:
        direction = 0
    return Fused(direction, abs(score) if direction else 0.0, True)
