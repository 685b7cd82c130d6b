"""What was deployed, as the worker takes it: the champion and the shadow of the serving record, with what they want to be asked."""

from collections.abc import Callable
from pathlib import Path

import msgspec

from core.serving_record import Version, read_record, record_path
from core.triton import running
from kernels.engine_plan import ModelFacts
from kernels.features import feature_set_hash
from serving.launch import Model


class _Config(msgspec.Struct):
    feature_names: tuple[str, ...]


def deployed(data_dir: Path, use: str, fallback: str, told: Callable[[str], None]) -> tuple[Model, ...]:
    """`use`, `fallback`: as `core.live_settings.Model` names them. One with other features than are made here is left out, and told."""
    record = None if use == "none" else read_record(record_path(data_dir))
    if record is None:
        told("no model: the indicator rule trades alone" + ("" if use == "none" else " (scalp run deploys one)"))
        return ()
    triton = running(data_dir) if use in ("auto", "triton") and record.served_by == "triton" else None
    made: list[Model] = []
    for alias in ("champion", "shadow"):
        version = record.serving(alias)
        if version is None:
            continue
        if (facts := facts_of(data_dir, version, alias, told)) is None:
            continue
        folder = data_dir / "triton" / "models" / record.model_name / str(version.n)
        made.append(
            Model(
                facts=facts, number=version.n, name=record.model_name, folder=folder, url=triton.grpc_url if triton is not None else "",
                fallback=fallback == "in-process" or use == "in-process" or triton is None,
            )
        )  # fmt: skip
    if not any(model.facts.alias == "champion" for model in made):
        told("no champion: the indicator rule trades alone" + (", a shadow is scored beside it" if made else ""))
    return tuple(made)


def facts_of(data_dir: Path, version: Version, alias: str, told: Callable[[str], None]) -> ModelFacts | None:
    """None where the model cannot be asked by this code."""
    path = data_dir / "models" / version.version_id / "config.json"
    try:
        names = msgspec.json.decode(path.read_bytes(), type=_Config).feature_names
        ours = feature_set_hash(names)
    except (OSError, msgspec.MsgspecError, KeyError) as error:
        told(f"the {alias} {version.version_id} is left out: what it wants to know cannot be told ({error})")
        return None
    if ours != version.feature_set_hash:
        told(f"the {alias} {version.version_id} is left out: it was trained on other features ({version.feature_set_hash}, here {ours})")
        return None
    return ModelFacts(version=version.version_id, alias=alias, features=names, window=version.window, feature_set_hash=ours)
