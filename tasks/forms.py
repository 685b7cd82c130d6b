"""A model's form, chosen on this machine: each is made, compared with torch, judged, timed; the fastest that passes serves.

A row of the table: form · p50_us p99_us (one window) · batch_64_us · max_error · flips loss_bps n_windows n_trades (judged forms) ·
passes · chosen · why. Times are kept in `<data_dir>/tuning/<key>.json` for the next model of this shape; errors and worth
depend on the weights and are found each time.
"""

import gc
import logging
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from core import form, settings
from core.inference import Answers, Floats
from core.serving_record import sha256
from kernels import forms as rules
from tasks import forms_made, judged, tuned
from tasks.export import by_torch, read_recorded, repeated
from tasks.forms_made import COMPARED, Ask, Missing

log = logging.getLogger("scalp")

FORM = 1  # of what is measured and how; a change measures again
ROUNDS = 4
SINGLES = 32  # recorded windows asked one by one
SINGLES_S, BATCHES_S = 0.04, 0.03  # a round, for each form
LEAST = 5  # calls a round
BATCH = 64
WARM = 5
ALONE = {"jax"}  # it compiles for seconds for each size of batch: asked for one window only


class Chosen(NamedTuple):
    form: str
    why: str
    table: list[dict[str, Any]]
    again: bool  # whether the times are those of an earlier deployment
    sha256: str  # of the form's own file; empty where it has none


def choose(folder: Path, *, deploy: settings.Deploy, data_dir: Path, only_onnxruntime: str = "") -> Chosen:
    """The form for the exported model of `folder`. `only_onnxruntime` says why nothing but the default may be chosen, if so."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as the others have
    try:
        return found_among(folder, deploy, data_dir, only_onnxruntime)
    finally:
        torch.set_num_threads(threads)


def found_among(folder: Path, deploy: settings.Deploy, data_dir: Path, only_onnxruntime: str) -> Chosen:
    from kernels import model

    network, config = model.load(folder)
    recorded, _ = read_recorded(folder, config)
    allowed = [name for name in form.FORMS if name in {*deploy.forms, form.DEFAULT}]
    key = tuned.key(folder / form.of(form.DEFAULT).file, {"forms": FORM, "allowed": allowed})
    kept = tuned.read(data_dir, key).get("forms")
    names = allowed if kept else [*allowed, *COMPARED]
    made = {name: forms_made.make(name, folder, network, config) for name in names}
    asks = {name: ask for name, ask in made.items() if not isinstance(ask, Missing)}
    want = by_torch(network, recorded)
    errors = {name: error(ask, recorded, want, alone=name in ALONE) for name, ask in asks.items()}
    found = kept or times(asks, recorded)
    if not kept:
        found = {name: {**row, "max_error": errors[name]} for name, row in found.items()}
        tuned.write(data_dir, key, forms=found)
    worths = judge({name: ask for name, ask in asks.items() if precision(name) not in ("", "f32")}, asks[form.DEFAULT], folder)
    table = [row(name, made.get(name), found.get(name), errors.get(name), worths.get(name), deploy) for name in [*allowed, *COMPARED]]
    return decide(table, folder, again=bool(kept), only_onnxruntime=only_onnxruntime)


def precision(name: str) -> str:
    return "" if name in COMPARED else form.of(name).precision


def error(ask: Ask, recorded: Floats, want: Answers, *, alone: bool = False) -> float:
    """The largest against torch, over the recorded windows one by one and (unless `alone`) in batches."""
    parts = [(i, i + 1) for i in range(min(SINGLES, len(recorded)))]
    if not alone:
        parts += [(i, min(i + BATCH, len(recorded))) for i in range(0, len(recorded), BATCH)]
    return max(ask(recorded[i:end]).error(Answers(*(values[i:end] for values in want))) for i, end in parts)


def times(asks: Mapping[str, Ask], recorded: Floats) -> dict[str, dict[str, float]]:
    """Microseconds of a call, the forms taking turns over some rounds: medians over the rounds."""
    one, many = repeated(recorded, 1), repeated(recorded, BATCH)
    for name, ask in asks.items():
        for window in [one] * WARM + [many] * (0 if name in ALONE else 2):
            ask(window)
    taken: dict[str, list[list[float]]] = {name: [] for name in asks}
    gc.collect()
    gc.disable()
    try:
        for _ in range(ROUNDS):
            for name, ask in asks.items():
                singles, batches = calls(ask, one, SINGLES_S), [] if name in ALONE else calls(ask, many, BATCHES_S)
                taken[name].append([*np.percentile(singles, [50, 99]), *([float(np.median(batches))] if batches else [])])
    finally:
        gc.enable()
    return {
        name: dict(zip(("p50_us", "p99_us", "batch_64_us"), (round(float(v), 2) for v in np.median(rounds, axis=0)), strict=False))
        for name, rounds in taken.items()
    }


def calls(ask: Ask, windows: Floats, seconds: float) -> list[float]:
    took: list[float] = []
    ask(windows)  # the caches are those of the form before
    end = time.perf_counter() + seconds
    while len(took) < LEAST or time.perf_counter() < end:
        begun = time.perf_counter_ns()
        ask(windows)
        took.append((time.perf_counter_ns() - begun) / 1e3)
    return took


def judge(asks: Mapping[str, Ask], by_f32: Ask, folder: Path) -> dict[str, rules.Worth]:
    """What each form's decisions on the kept test windows are worth: the worse of windows asked together and one by one."""
    windows = judged.read(folder) if asks else None
    if windows is None or not len(windows.ends):
        return {}
    base = decided(by_f32, windows, BATCH)
    found = {}
    for name, ask in asks.items():
        both = [rules.worth(decided(ask, windows, n), base, windows.outcomes) for n in (1, BATCH)]
        found[name] = max(both, key=lambda worth: (worth.flips, worth.loss_bps))._replace(loss_bps=max(w.loss_bps for w in both))
    return found


def decided(ask: Ask, windows: judged.Judged, n: int) -> Any:
    """Directions (0, 1, 2) of all windows, `n` at a time."""
    parts = [ask(windows.batch(i, i + n)).direction.argmax(axis=1) for i in range(0, len(windows.ends), n)]
    return np.concatenate(parts).astype(np.int64)


def row(
    name: str, made: Ask | Missing | None, timed: Mapping[str, float] | None, wrong: float | None, worth: Any, deploy: settings.Deploy
) -> dict[str, Any]:
    timed = timed or {}
    told: dict[str, Any] = {"form": name} | {key: timed.get(key) for key in ("p50_us", "p99_us", "batch_64_us")}
    told["max_error"] = timed.get("max_error") if wrong is None else wrong
    for key in ("flips", "loss_bps", "n_windows", "n_trades"):
        told[key] = getattr(worth, key, None)
    if isinstance(made, Missing):
        why = made.why
    elif name in COMPARED:
        why = "measured for comparison: it is not served" if timed else "not measured"
    elif precision(name) == "f32":
        why = rules.refused_by_error(float("inf") if wrong is None else wrong, max_error=deploy.max_error)
    else:
        why = rules.refused_by_worth(worth, max_flips=deploy.max_flips, max_loss_bps=deploy.max_loss_bps)
    return told | {"passes": not why and bool(timed), "chosen": False, "why": why}


def decide(table: list[dict[str, Any]], folder: Path, *, again: bool, only_onnxruntime: str) -> Chosen:
    """Mark the fastest at batch 1 that passes; the default unless another is clearly faster."""
    if only_onnxruntime:
        for one in table:
            if one["passes"] and one["form"] != form.DEFAULT:
                one |= {"passes": False, "why": only_onnxruntime}
    able = {one["form"]: one["p50_us"] for one in table if one["passes"]} or {form.DEFAULT: 0.0}
    chosen = rules.fastest(able)
    if chosen != form.DEFAULT:
        why = f"{able[chosen]:.0f} us at batch 1 (median) against {able.get(form.DEFAULT, float('nan')):.0f} by {form.DEFAULT}"
    elif len(able) > 1:
        why = f"no form that passes is faster at batch 1 by more than {rules.CLEARLY:.0%}"
    else:
        why = "no other form passes here"
    for one in table:
        if one["form"] == chosen:
            one |= {"chosen": True, "why": why}
        elif one["passes"]:
            slower = one["p50_us"] / able[chosen]
            one["why"] = (
                f"{slower:.2f} times the chosen one's time" if slower >= 1 else f"faster by {1 - slower:.0%} only: the simpler one serves"
            )
    own = form.of(chosen).file
    has_own = own != form.of(form.DEFAULT).file
    return Chosen(chosen, why, table, again, sha256(folder / own) if has_own else "")


def fell_back(chosen: Chosen, reason: str) -> Chosen:
    """The default in place of a form that would not load where it must serve."""
    table = [
        one
        | ({"passes": False, "chosen": False, "why": f"would not load in Triton: {reason}"} if one["form"] == chosen.form else {})
        | ({"chosen": True} if one["form"] == form.DEFAULT else {})
        for one in chosen.table
    ]
    why = f"{chosen.form} would not load in Triton"
    return Chosen(form.DEFAULT, why, [one | ({"why": why} if one["chosen"] else {}) for one in table], chosen.again, "")
