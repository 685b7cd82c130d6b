"""The network answers in probabilities, keeps its scaler and calibration with its weights, and exports as it is."""

from pathlib import Path

import numpy as np
import pytest
import torch

from kernels import model

CONFIG = model.ModelConfig(
    n_features=5, window=20, conv_channels=8, lstm_hidden=8, heads=2, feature_names=tuple("abcde"), feature_set_hash="f00d"
)


@pytest.fixture
def network() -> model.Network:
    torch.manual_seed(1)
    made = model.new(CONFIG)
    made.set_scaler(torch.arange(5.0), torch.tensor([1.0, 2.0, 0.0, 4.0, 5.0]), -8.0, 0.5)
    made.set_calibration(1.5, 0.7, 0.2)
    return made.eval()


def features(n: int) -> torch.Tensor:
    return torch.randn(n, CONFIG.window, CONFIG.n_features, generator=torch.Generator().manual_seed(n)) * 3


def test_answers_are_probabilities_and_a_positive_volatility(network: model.Network):
    with torch.no_grad():
        direction, confidence, volatility = network(features(7) * 1e6)  # wild inputs too
    assert direction.shape == (7, 3) and confidence.shape == (7, 1) and volatility.shape == (7, 1)
    torch.testing.assert_close(direction.sum(dim=1), torch.ones(7))
    assert ((confidence > 0) & (confidence < 1)).all()
    assert (volatility > 0).all() and (volatility < 0.1).all()


def test_an_answer_does_not_depend_on_its_batch(network: model.Network):
    x = features(6)
    with torch.no_grad():
        together = network(x)
        alone = [network(x[i : i + 1]) for i in range(6)]
    for column, found in enumerate(together):
        torch.testing.assert_close(found, torch.cat([a[column] for a in alone]), rtol=1e-5, atol=1e-6)


def test_a_constant_feature_is_not_divided_by_nothing(network: model.Network):
    assert network.std.tolist() == [1.0, 2.0, 1.0, 4.0, 5.0]


def test_what_is_saved_is_what_is_loaded(network: model.Network, tmp_path: Path):
    model.save(tmp_path, network, CONFIG)
    loaded, config = model.load(tmp_path)
    assert config == CONFIG and not loaded.training
    with torch.no_grad():
        for ours, theirs in zip(network(features(3)), loaded(features(3)), strict=True):
            assert torch.equal(ours, theirs)


def test_calibration_never_changes_which_direction_is_likeliest(network: model.Network):
    with torch.no_grad():
        before = network(features(50))[0].argmax(dim=1)
        network.set_calibration(4.0, 0.1, -1.0)
        assert torch.equal(before, network(features(50))[0].argmax(dim=1))


def test_heads_must_divide_the_states():
    with pytest.raises(ValueError, match="heads"):
        model.new(model.ModelConfig(n_features=5, window=20, lstm_hidden=8, heads=3))


def test_the_attention_pooling_is_torchs_own():
    torch.manual_seed(2)
    pooling = model.AttentionPooling(8, 2)
    states = torch.randn(4, 10, 8)
    theirs = torch.nn.MultiheadAttention(8, 2, batch_first=True)
    with torch.no_grad():
        theirs.in_proj_weight.copy_(torch.cat([pooling.query.weight, pooling.key.weight, pooling.value.weight]))
        theirs.in_proj_bias.copy_(torch.cat([pooling.query.bias, pooling.key.bias, pooling.value.bias]))
        theirs.out_proj.load_state_dict(pooling.out.state_dict())
        expected = theirs(states[:, -1:], states, states)[0][:, 0]
        torch.testing.assert_close(pooling(states), expected)


@pytest.mark.filterwarnings("ignore")
def test_onnx_runtime_gives_the_same_answers_at_any_batch(network: model.Network, tmp_path: Path):
    ort = pytest.importorskip("onnxruntime")
    names = ["direction", "confidence", "volatility"]
    file = tmp_path / "model.onnx"
    axes = {name: {0: "batch"} for name in ["features", *names]}
    torch.onnx.export(network, (features(2),), file, dynamo=False, input_names=["features"], output_names=names, dynamic_axes=axes)
    session = ort.InferenceSession(file, providers=["CPUExecutionProvider"])
    for n in (1, 2, 64):
        with torch.no_grad():
            expected = network(features(n))
        for ours, theirs in zip(expected, session.run(names, {"features": features(n).numpy()}), strict=True):
            np.testing.assert_allclose(theirs, ours.numpy(), atol=1e-5, rtol=0)
