"""The losses are what they say, against plain arithmetic."""

import math

import pytest
import torch

from kernels import losses


def test_volatility_loss_mixes_mse_and_huber_by_its_share():
    predicted, target = torch.tensor([0.0, 0.0, 3.0]), torch.tensor([0.5, -2.0, 3.0])
    mse = (0.25 + 4.0 + 0.0) / 3
    huber = (0.125 + (2.0 - 0.5) + 0.0) / 3
    total, of_mse, of_huber = losses.volatility_loss(predicted, target, huber_share=0.3)
    assert of_mse.item() == pytest.approx(mse) and of_huber.item() == pytest.approx(huber)
    assert total.item() == pytest.approx(0.7 * mse + 0.3 * huber)


def test_the_total_is_the_weighted_sum_of_its_terms():
    logits = torch.tensor([[2.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    raw = (logits, torch.tensor([1.0, -1.0]), torch.tensor([0.0, 0.0]))
    made = losses.loss(raw, torch.tensor([0, 1]), torch.tensor([1.0, 0.0]), huber_share=0.3, volatility_weight=0.5, confidence_weight=2.0)
    direction = (math.log(1 + 2 * math.exp(-2)) + math.log(2 + math.e)) / 2
    confidence = (math.log(1 + math.exp(-1)) + math.log(1 + math.exp(-1))) / 2  # right and sure, wrong and unsure
    volatility = 0.7 * 0.5 + 0.3 * 0.25
    assert made.direction.item() == pytest.approx(direction, rel=1e-5)
    assert made.confidence.item() == pytest.approx(confidence, rel=1e-5)
    assert made.total.item() == pytest.approx(direction + 0.5 * volatility + 2.0 * confidence, rel=1e-5)


def test_a_market_that_stood_still_has_a_finite_log_volatility():
    assert torch.isfinite(losses.log_volatility(torch.tensor([0.0, 1e-9, 1.0]))).all()
