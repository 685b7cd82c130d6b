"""Train: stored features and labels become a scored model version, or the one that is already there.

feat_market__1s_inputs, feat_market__1s_labels -> models/<version_id>
"""

from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

from prefect import flow
from prefect.runtime import flow_run

from core import asking, machine, runs, settings
from core.parts import told
from core.store import Part, Store
from tasks.announcing import TRAINED, announce
from tasks.asked import parts_asked, today
from tasks.hooks import HOOKS
from tasks.pages import publish
from tasks.run_record import run_of
from tasks.train import train_model
from tasks.windows import INPUTS


def asked_name() -> str:
    return f"train on {asking.named(flow_run.parameters)}"


def parts_name() -> str:
    return f"train on {told(flow_run.parameters['parts'])}"


@flow(name="train", flow_run_name=asked_name, **HOOKS)
async def train(venue: str = "*", symbols: tuple[str, ...] = (), start: date | None = None, end: date | None = None) -> runs.Stage:
    """A model from the features there are, scored beside the baselines, gross and after cost. The same data is not trained on twice.

    Args:
        venue: Only this venue, such as binance-usdm; * for all.
        symbols: Only these symbols, such as BTCUSDT; none for all.
        start: The first day (UTC) to learn from; None for the first there is.
        end: The last day (UTC), included; None for the last there is.
    """
    asking.span(start, end, today())  # said at once, also where the run has to wait for another
    asked: dict[str, Any] = {"venue": venue, "symbols": symbols, "start": start, "end": end}
    async with run_of("train", asked) as folder:
        made = await fit(folder, parts_asked(Store(settings.load().lake), INPUTS, hint="scalp features makes it", **asked))
        if made.changed:
            announce(TRAINED, version_id=made.facts["version_id"])
        return made


@flow(name="train", flow_run_name=parts_name, validate_parameters=False, **HOOKS)
async def train_on(parts: Sequence[Part]) -> runs.Stage:
    """Train on the parts that the features stage made: a stage of a larger run."""
    async with run_of("train", {"parts": [str(part) for part in parts]}) as folder:
        return await fit(folder, parts)


async def fit(folder: Path, parts: Sequence[Part]) -> runs.Stage:
    """Train on these parts; the result is kept in the run's `folder`."""
    config = settings.load()
    store = Store(config.lake, code=machine.code_version())
    stage = train_model(store, parts, train=config.train, data_dir=config.data_dir, wandb_api_key=config.wandb_api_key, label=told(parts))
    runs.save(folder, stage)
    await publish(stage, store)
    return stage
