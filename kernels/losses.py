"""What the network is taught: the direction, how big the moves will be, and when it is right."""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

VOLATILITY_FLOOR = 1e-7  # a thousandth of a basis point, added so that a still market has a logarithm


class Loss(NamedTuple):
    """Means over the batch. `mse` and `huber` are of log volatility in training standard deviations."""

    total: Tensor
    direction: Tensor
    confidence: Tensor
    mse: Tensor
    huber: Tensor


def log_volatility(volatility: Tensor) -> Tensor:
    """Realised volatility (fraction of price, >= 0) on the scale it is learnt on: its logarithm is near normal
    (Andersen, Bollerslev, Diebold & Ebens 2001)."""
    return torch.log(volatility + VOLATILITY_FLOOR)


def volatility_loss(predicted: Tensor, target: Tensor, *, huber_share: float) -> tuple[Tensor, Tensor, Tensor]:
    """((1 - huber_share) MSE + huber_share Huber, MSE, Huber), Huber (1964) with its bend at one standard deviation."""
    mse = functional.mse_loss(predicted, target)
    huber = functional.huber_loss(predicted, target, delta=1.0)
    return (1.0 - huber_share) * mse + huber_share * huber, mse, huber


def loss(
    raw: tuple[Tensor, Tensor, Tensor],
    direction: Tensor,
    volatility: Tensor,
    *,
    huber_share: float,
    volatility_weight: float,
    confidence_weight: float,
) -> Loss:
    """Loss of `Network.raw` outputs against direction classes [B] (0 down, 1 flat, 2 up) and scaled log volatility [B].

    Confidence learns, by cross-entropy, whether the likeliest direction of this very pass is the right one.
    """
    logits, sure, scaled = (part.float() for part in raw)
    of_direction = functional.cross_entropy(logits, direction)
    right = (logits.argmax(dim=-1) == direction).to(sure.dtype)
    of_confidence = functional.binary_cross_entropy_with_logits(sure, right)
    of_volatility, mse, huber = volatility_loss(scaled, volatility, huber_share=huber_share)
    total = of_direction + volatility_weight * of_volatility + confidence_weight * of_confidence
    return Loss(total, of_direction, of_confidence, mse, huber)
