"""An exported model answers as torch does, at every batch size, or it is not written."""

from pathlib import Path

import numpy as np
import pytest
import torch

from kernels import model
from tasks.export import BATCHES, ExportError, by_torch, export, repeated, session

CONFIG = model.ModelConfig(n_features=5, window=12, conv_channels=8, lstm_hidden=4, heads=2)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A small trained-looking model: random weights, its scaler and calibration set, windows with torch's answers."""
    torch.manual_seed(3)
    network = model.new(CONFIG)
    network.set_scaler(torch.randn(5), torch.rand(5) + 0.5, -9.0, 0.5)
    network.set_calibration(1.3, 0.8, -0.1)
    model.save(tmp_path, network.eval(), CONFIG)
    features = np.random.default_rng(0).standard_normal((7, 12, 5)).astype(np.float32)
    np.savez(tmp_path / "recorded.npz", features=features, **by_torch(network, features)._asdict())
    return tmp_path


def test_the_export_answers_as_torch_at_every_batch_size(folder: Path):
    facts = export(folder, max_error=1e-5)
    assert facts["max_error_export"] <= 1e-5
    assert set(facts["errors"]) == {"batch 1", "batch 2", "batch 64", "recorded"}
    network, _ = model.load(folder)
    ask = session(folder / "model.onnx")
    for n in (*BATCHES, 3):
        features = np.random.default_rng(n).standard_normal((n, 12, 5)).astype(np.float32) * 4
        assert ask(features).error(by_torch(network, features)) <= 1e-5


def test_an_export_that_differs_is_refused_with_figures_and_not_written(folder: Path):
    with pytest.raises(ExportError, match=r"differs from torch by more than 1e-12: batch 1 .*, batch 2 .*, batch 64 .*, recorded"):
        export(folder, max_error=1e-12)
    assert not (folder / "model.onnx").exists()


def test_recorded_answers_of_other_weights_are_refused(folder: Path):
    torch.manual_seed(4)
    model.save(folder, model.new(CONFIG).eval(), CONFIG)
    with pytest.raises(ExportError, match="recorded"):
        export(folder, max_error=1e-5)


def test_a_model_without_recorded_windows_is_refused(folder: Path):
    (folder / "recorded.npz").unlink()
    with pytest.raises(ExportError, match=r"recorded\.npz is missing"):
        export(folder, max_error=1e-5)


def test_too_few_windows_are_repeated():
    features = np.arange(3, dtype=np.float32).reshape(3, 1, 1)
    assert repeated(features, 5).ravel().tolist() == [0, 1, 2, 0, 1]
    assert repeated(features, 2).ravel().tolist() == [0, 1]
