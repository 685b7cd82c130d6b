"""Short markets and setups for the tests of backtest, replay and why."""

from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from core.inference import Answers
from core.market import NS
from kernels.engine_plan import ModelFacts
from kernels.features import feature_set_hash
from kernels.generator import Market
from kernels.rule_signals import Rule
from serving.backtest import Setup
from serving.backtest_tape import Market as Tape
from serving.backtest_tape import of_generator
from serving.launch import Model, Wanted
from serving.simulated import Frame, Latency
from serving.worker import Rules

BEGIN = 1_767_225_600 * NS
QUICK = Rule(sma_fast=2, sma_slow=3, ema_fast=2, ema_slow=3, ema_signal=2, rsi=2, volume_window=2)
NAMES = ("ret_1", "volume", "imbalance_1")
FACTS = ModelFacts(version="v1", alias="champion", features=NAMES, window=3, feature_set_hash=feature_set_hash(NAMES))


@cache
def generated(minutes: float = 0.5, frames_per_s: float = 40.0) -> tuple[Tape, tuple[Frame, ...]]:
    market = Market(symbol="SIMUSDT", price=60_000.0, tick_size=0.1, lot_size=0.001, volatility=2.0, signal=0.3, frames_per_s=frames_per_s)
    tape = of_generator(market, 7, BEGIN, minutes, {})
    return tape, tuple(tape.frames())


def setup(data_dir: Path, *, frames: Iterable[Frame] | None = None, models: tuple[ModelFacts, ...] = (), **changed: Any) -> Setup:
    tape, whole = generated()
    taken = whole if frames is None else tuple(frames)
    of = {name: changed.pop(name) for name in ("latency", "ask", "model_ns") if name in changed}
    given: dict[str, Any] = {
        "data_dir": data_dir, "account": "test/one", "ledger_url": f"sqlite:///{data_dir / 'ledger.db'}", "strategy": "restless",
        "rule": QUICK, "rules": Rules(dead_man_s=0), "models": tuple(Model(facts=m, number=1, name="m", folder=data_dir) for m in models),
    }  # fmt: skip
    wanted = Wanted(**given | changed)
    return Setup(
        venue=tape.venue, listing=tape.listing, tape=lambda: taken, begin=taken[0].ts_recv, wanted=wanted,
        **{"latency": Latency(feed=2_000_000, entry=5_000_000, response=3_000_000)} | of,
    )  # fmt: skip


def answering(shift: float = 0.0) -> Callable[[np.ndarray], Answers]:
    """A model of sorts: what it says follows from the window alone."""

    def ask(window: np.ndarray) -> Answers:
        up = np.float32(0.5 + 0.4 * np.tanh(window[0, -1, 2] - 0.5) + shift)
        direction = np.array([[0.9 - up, 0.1, up]], np.float32)
        return Answers(direction, np.array([[0.7]], np.float32), np.array([[1e-4]], np.float32))

    return ask
