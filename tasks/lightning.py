"""The network in training: data, optimiser, callbacks, and the trainer that drives them (PyTorch Lightning)."""

import contextlib
import json
import logging
import signal
import sys
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback, EarlyStopping, LearningRateMonitor, ModelCheckpoint, TQDMProgressBar
from pytorch_lightning.loggers import Logger
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from core.settings import Train
from kernels import losses, model
from tasks.windows import Ints, Windows

log = logging.getLogger("scalp")

Batch = tuple[Tensor, Tensor, Tensor]
MONITOR = "validation_loss"
CURVES_FILE = "curves.json"
BAR = 24  # characters of progress
CURVES = ("train_loss", "validation_loss", "train_mse", "train_huber", "validation_accuracy", "learning_rate")


class Sample(Dataset[Batch]):
    """Some of the windows. A whole batch is cut out of the rows at once: (features, direction class, scaled log volatility)."""

    def __init__(self, windows: Windows, entries: Ints, network: model.Network) -> None:
        volatility = losses.log_volatility(torch.from_numpy(windows.volatility[entries]))
        self.windows, self.entries = windows, entries
        self.direction = torch.from_numpy(windows.outcomes.direction[entries].astype(np.int64))
        self.volatility = ((volatility - network.volatility_mean.double()) / network.volatility_std.double()).float()

    def __len__(self) -> int:
        return len(self.entries)

    def __getitem__(self, index: int) -> Batch:
        return self.__getitems__([index])

    def __getitems__(self, indices: list[int]) -> Batch:
        return torch.from_numpy(self.windows.batch(self.entries[indices])), self.direction[indices], self.volatility[indices]


class Data(pl.LightningDataModule):
    def __init__(self, train: Sample, validation: Sample, *, batch_size: int, seed: int) -> None:
        super().__init__()
        self.train, self.validation, self.batch_size, self.seed = train, validation, batch_size, seed

    def train_dataloader(self) -> DataLoader[Batch]:
        order = torch.Generator().manual_seed(self.seed)
        return DataLoader(self.train, self.batch_size, shuffle=True, generator=order, collate_fn=whole)

    def val_dataloader(self) -> DataLoader[Batch]:
        return DataLoader(self.validation, 4 * self.batch_size, collate_fn=whole)


def whole(batch: Any) -> Any:
    return batch  # it left the data set as a batch


class Scalper(pl.LightningModule):
    """Teaches a network; every hyper-parameter is kept in the checkpoints and by the logger."""

    def __init__(self, network: model.Network, knobs: dict[str, Any]) -> None:
        super().__init__()
        self.save_hyperparameters(knobs)
        self.network, self.knobs = network, knobs

    def losses(self, batch: Batch) -> tuple[losses.Loss, Tensor]:
        features, direction, volatility = batch
        raw = self.network.raw(features)
        shares = {name: self.knobs[name] for name in ("huber_share", "volatility_weight", "confidence_weight")}
        return losses.loss(raw, direction, volatility, **shares), (raw[0].argmax(dim=-1) == direction).float().mean()

    def training_step(self, batch: Batch, _: int) -> Tensor:
        made, _right = self.losses(batch)
        said = {"train_loss": made.total, "train_mse": made.mse, "train_huber": made.huber, "train_direction": made.direction}
        self.log_dict(said, on_step=False, on_epoch=True, batch_size=len(batch[0]), sync_dist=True)
        return made.total

    def validation_step(self, batch: Batch, _: int) -> None:
        made, right = self.losses(batch)
        said = {MONITOR: made.total, "validation_accuracy": right, "validation_mse": made.mse, "validation_huber": made.huber}
        self.log_dict(said, on_epoch=True, batch_size=len(batch[0]), sync_dist=True)

    def configure_optimizers(self) -> Any:
        rate = self.knobs["learning_rate"]
        optimizer = torch.optim.AdamW(self.parameters(), lr=rate, weight_decay=self.knobs["weight_decay"])
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=int(self.trainer.estimated_stepping_batches))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


class Curves(Callback):
    """One point an epoch, told, and kept in a file: it outlives the processes of a run on several devices."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.points: dict[str, list[float]] = {name: [] for name in CURVES}

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        rate = trainer.optimizers[0].param_groups[0]["lr"]
        for name in CURVES:
            self.points[name].append(float(rate if name == "learning_rate" else trainer.callback_metrics[name]))
        if trainer.is_global_zero:
            self.path.write_text(json.dumps(self.points))
            done, of = len(self.points[MONITOR]), trainer.max_epochs or 1
            bar = "━" * round(BAR * done / of) + "╌" * (BAR - round(BAR * done / of))
            log.info("epoch %2d/%d %s loss %.3f, validation %.3f", done, of, bar, self.points["train_loss"][-1], self.points[MONITOR][-1])


@dataclass(frozen=True, slots=True)
class Fitted:
    """`network` holds the best epoch's weights, on the CPU, in eval mode."""

    network: model.Network
    curves: dict[str, list[float]]
    epochs: int
    best_validation: float


@contextlib.contextmanager
def steady(threads: int, seed: int) -> Iterator[None]:
    """Seeded, deterministic, on so many threads, and quiet; torch's process-wide switches are put back."""
    before, strict = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    loud = [logging.getLogger(name) for name in ("pytorch_lightning", "lightning.pytorch", "lightning_fabric")]
    levels = [log.level for log in loud]
    interrupt = signal.getsignal(signal.SIGINT)
    try:
        for log in loud:
            log.setLevel(logging.ERROR)
        torch.set_num_threads(threads)
        pl.seed_everything(seed, workers=True, verbose=False)
        with warnings.catch_warnings():
            # Lightning's advice on worker processes and logging intervals; the batches are cut in no time and few.
            warnings.filterwarnings("ignore", module=r"pytorch_lightning|lightning_fabric|torch\.optim\.lr_scheduler")
            yield
    except SystemExit as error:
        # Lightning turns Ctrl-C into an exit and leaves the signal ignored.
        if isinstance(error.__context__, KeyboardInterrupt):
            signal.signal(signal.SIGINT, interrupt)
            raise KeyboardInterrupt from None
        raise
    finally:
        torch.set_num_threads(before)
        torch.use_deterministic_algorithms(strict)
        for log, level in zip(loud, levels, strict=True):
            log.setLevel(level)


def precision(train: Train) -> Any:
    """The setting, or what pays: bfloat16 on a GPU that has it; a CPU is slower for it."""
    if train.precision != "auto":
        return train.precision
    on_gpu = train.accelerator != "cpu" and torch.cuda.is_available()
    return "bf16-mixed" if on_gpu and torch.cuda.is_bf16_supported() else "32-true"


def scaled(network: model.Network, windows: Windows, entries: Ints) -> None:
    """Give the network the moments of the rows these windows look at, and of their log volatility."""
    seen = np.zeros(len(windows.rows) + 1, dtype=np.int64)
    np.add.at(seen, windows.ends[entries] - windows.window + 1, 1)
    np.add.at(seen, windows.ends[entries] + 1, -1)
    rows = windows.rows[np.cumsum(seen)[:-1] > 0]
    mean, std = rows.mean(axis=0, dtype=np.float64), rows.std(axis=0, dtype=np.float64)
    volatility = losses.log_volatility(torch.from_numpy(windows.volatility[entries]))
    network.set_scaler(torch.from_numpy(mean), torch.from_numpy(std), float(volatility.mean()), float(volatility.std(correction=0)))


def fit(
    windows: Windows,
    *,
    of_train: Ints,
    of_validation: Ints,
    config: model.ModelConfig,
    train: Train,
    folder: Path,
    logger: Logger | None,
) -> Fitted:
    """Train on some windows, watching others (inside `steady`, to be repeatable); checkpoints and curves go to `folder`.

    Raises `ValueError` where it diverged.
    """
    network = model.new(config)
    scaled(network, windows, of_train)
    data = Data(Sample(windows, of_train, network), Sample(windows, of_validation, network), batch_size=train.batch_size, seed=train.seed)
    knobs = train.model_dump(mode="json") | {"config": msgspec.to_builtins(config), "n_train": len(of_train)}
    best = ModelCheckpoint(folder / "checkpoints", "epoch{epoch:02d}", monitor=MONITOR, save_top_k=train.keep_best,
                           auto_insert_metric_name=False)  # fmt: skip
    curves = Curves(folder / CURVES_FILE)
    callbacks: list[Callback] = [best, EarlyStopping(MONITOR, patience=train.patience), curves]
    if logger:
        callbacks.append(LearningRateMonitor(logging_interval="epoch"))
    # Rich's spinner stands before standard output and swallows a bar that redraws itself; the lines of `Curves` are seen in any case.
    show = sys.stdout.isatty() and sys.stdout is sys.__stdout__
    if show:
        callbacks.append(TQDMProgressBar(refresh_rate=10, leave=False))
    several = train.accelerator != "cpu" and torch.cuda.device_count() > 1
    trainer = pl.Trainer(
        accelerator=train.accelerator,
        devices="auto" if several else 1,
        strategy="ddp_spawn" if several else "auto",
        precision=precision(train),
        max_epochs=train.max_epochs,
        gradient_clip_val=train.gradient_clip,
        deterministic=True,
        logger=logger or False,
        callbacks=callbacks,
        default_root_dir=folder,
        enable_progress_bar=show,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        log_every_n_steps=50,
    )
    trainer.fit(Scalper(network, knobs), datamodule=data)
    # The curves come from a file and the path from Lightning: of a run on several devices nothing else comes back to this process.
    points: dict[str, list[float]] = json.loads((folder / CURVES_FILE).read_text()) if (folder / CURVES_FILE).exists() else {}
    reached = [loss for loss in points.get(MONITOR, []) if np.isfinite(loss)]
    if not best.best_model_path or not reached:
        raise ValueError("training diverged: no epoch had a finite validation loss; lower train.learning_rate")
    state = torch.load(best.best_model_path, map_location="cpu", weights_only=True)["state_dict"]
    network = model.new(config)
    network.load_state_dict({name.removeprefix("network."): value for name, value in state.items()})
    return Fitted(network.eval(), points, len(points[MONITOR]), min(reached))
