"""The JAX form is the same network: same weights, same answers."""

import numpy as np
import pytest
import torch

from kernels import model, model_jax


@pytest.mark.parametrize(
    ("stride", "layers", "window"), [(2, 1, 20), (2, 1, 21), (1, 2, 9)], ids=["as trained", "odd window", "two layers"]
)
def test_jax_answers_as_torch(stride: int, layers: int, window: int):
    torch.manual_seed(1)
    config = model.ModelConfig(n_features=5, window=window, conv_channels=8, conv_stride=stride, lstm_hidden=4, lstm_layers=layers, heads=2)
    network = model.new(config).eval()
    network.set_scaler(torch.arange(5.0), torch.tensor([1.0, 2.0, 0.0, 4.0, 5.0]), -8.0, 0.5)
    network.set_calibration(1.5, 0.7, 0.2)
    norm = network.conv[1]
    assert isinstance(norm, torch.nn.BatchNorm1d) and norm.running_mean is not None and norm.running_var is not None
    norm.running_mean.normal_()
    norm.running_var.uniform_(0.5, 2.0)
    ask = model_jax.jitted(network, config)
    for n in (1, 3):
        features = np.random.default_rng(n).standard_normal((n, window, 5)).astype(np.float32) * 3
        with torch.no_grad():
            expected = network(torch.from_numpy(features))
        for ours, theirs in zip(ask(features), expected, strict=True):
            assert ours.dtype == np.float32
            np.testing.assert_allclose(np.asarray(ours), theirs.numpy(), atol=1e-5, rtol=0)
