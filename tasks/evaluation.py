"""A trained network on windows it has not seen: its answers, its calibration, and what trading on them was worth."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from core.settings import Train
from kernels import baselines, calibration, model, scores
from kernels.splits import Splits, strided
from tasks.windows import Ints, Windows

BATCH = 512
POINTS = 500  # of an equity curve
RECORDED = 256
RECORDED_FILE = "recorded.npz"


class Answers(NamedTuple):
    """What the network says of [n] windows."""

    direction: NDArray[np.float32]
    confidence: NDArray[np.float32]
    volatility: NDArray[np.float32]


def answers(network: model.Network, windows: Windows, entries: Ints) -> Answers:
    made = [np.zeros((0, 3), np.float32)], [np.zeros((0, 1), np.float32)], [np.zeros((0, 1), np.float32)]
    with torch.inference_mode():
        for start in range(0, len(entries), BATCH):
            for column, found in zip(made, network(torch.from_numpy(windows.batch(entries[start : start + BATCH]))), strict=True):
                column.append(found.numpy())
    return Answers(*(np.concatenate(column) for column in made))


def calibrate(network: model.Network, windows: Windows, entries: Ints) -> list[str]:
    """Fit the network's temperature and confidence on these windows; says where it had to make do."""
    if len(entries) < calibration.FEW:
        return [f"not calibrated: {len(entries)} calibration windows, and {calibration.FEW} are the least that say anything"]
    logits, sure = [], []
    with torch.inference_mode():
        for start in range(0, len(entries), BATCH):
            of_direction, of_confidence, _ = network.raw(torch.from_numpy(windows.batch(entries[start : start + BATCH])))
            logits.append(of_direction.numpy())
            sure.append(of_confidence.numpy())
    found, said = np.concatenate(logits).astype(np.float64), np.concatenate(sure).astype(np.float64)
    right = windows.outcomes.direction[entries]
    scale, shift = calibration.platt(said, found.argmax(axis=1) == right)
    network.set_calibration(calibration.temperature(found, right), scale, shift)
    if scale == 0.0:
        return ["the confidence does not tell right from wrong on the calibration windows: it is their share of right answers, for all"]
    return []


def calibration_facts(direction: Ints, right: Ints, confidence: NDArray[np.float32]) -> dict[str, Any]:
    """The reliability table and the expected calibration error of the confidence."""
    table = calibration.reliability(confidence.astype(np.float64), direction == right)
    return {"calibration_error": calibration.calibration_error(table), "calibration": [list(row) for row in table]}


def evaluate(network: model.Network, windows: Windows, parted: Splits, train: Train) -> dict[str, Any]:
    """The scores, baselines, calibration, equity and verdict of the test split (keys as in `tasks.train`)."""
    test = parted.test
    of = windows.outcomes.take(test)
    said = answers(network, windows, test)
    last = windows.rows[windows.ends]
    predicted = said.direction.argmax(axis=1).astype(np.int64)
    others = {
        "no trade": baselines.no_trade(len(test)),
        "last sign": windows.last_sign[test],
        "logistic": baselines.logistic(last[parted.train], windows.outcomes.direction[parted.train], last[test], seed=train.seed),
    }
    kept = {"draws": train.bootstrap, "seed": train.seed}
    of_model = scores.score(predicted, of, **kept)
    of_others = {name: scores.score(decided, of, **kept) for name, decided in others.items()}
    effective = sum(
        scores.effective_samples(of.decided_at[mine], of.known_at[mine]) for mine in (of.instrument == i for i in np.unique(of.instrument))
    )
    apart = kept | {"stretches": int(effective)}  # stretches as long as a label
    mine = scores.trades(predicted, of)
    for name, decided in others.items():
        of_others[name] |= scores.lead(mine, scores.trades(decided, of), len(test), **apart)
    verdict, evidence = scores.judge(of_model, of_others, effective=effective, min_effective=train.min_effective_samples)
    clock = np.unique(np.concatenate([of.decided_at, of.known_at]))
    at = clock[np.unique(np.linspace(0, len(clock) - 1, min(POINTS, len(clock))).astype(np.int64))] if len(clock) else clock
    curves = {name: scores.equity(decided, of, at) for name, decided in ({"model": predicted} | others).items() if name != "no trade"}
    return {
        "n_test": len(test),
        "effective_samples": effective,
        "scores": {"model": of_model, "baselines": of_others},
        **calibration_facts(predicted, of.direction, said.confidence[:, 0]),
        "equity": {"ts": [int(t) for t in at], **curves},
        "verdict": verdict,
        "evidence": evidence,
    }


def record(network: model.Network, windows: Windows, entries: Ints, folder: Path) -> None:
    """Keep up to 256 windows with the network's answers to them: what a served copy is checked against."""
    chosen = strided(entries, RECORDED) if len(entries) else np.arange(len(windows.ends))[-RECORDED:]
    said = answers(network, windows, chosen)
    np.savez_compressed(folder / RECORDED_FILE, features=windows.batch(chosen), **said._asdict())
