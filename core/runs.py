"""What a stage has to say: what it made, what it left alone, and the facts its page shows."""

import secrets
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from core import trail
from core.store import Part

RUN_FOLDER = trail.RUN_FOLDER  # the folder of the run that is at work
STAGES = ("ingest", "features", "train", "deploy", "benchmark")
BESIDE = ("backfill", "maintain")  # runs of their own, with one stage each


class Stage(msgspec.Struct, kw_only=True):
    """The result of one stage of one run. `facts` are JSON values only; each stage documents its keys in its task module."""

    name: str
    changed: bool  # false: everything was up to date and no work was done
    seconds: float = 0.0
    parts: list[Part] = []  # what the next stage starts from
    warnings: list[str] = []
    facts: dict[str, Any] = {}


class Read(msgspec.Struct, frozen=True, kw_only=True):
    """A part (or a file) that a run read or wrote, as it was then."""

    part: str
    content: str = ""
    rows: int | None = None


def new_run_id() -> str:
    """Sorts by time, and two in a second differ."""
    return f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"


def new_folder(data_dir: Path) -> Path:
    """A folder for a run that begins now; its name is the run's id."""
    folder = data_dir / "runs" / new_run_id()
    folder.mkdir(parents=True)
    return folder


def save(folder: Path, stage: Stage) -> Path:
    """Keep a stage's result in a run's folder, whole or not at all: a torn one would hide how the run ended."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{stage.name}.json"
    partial = folder / f"{path.name}.partial"
    partial.write_bytes(msgspec.json.format(msgspec.json.encode(stage), indent=1))
    return partial.replace(path)


def load(folder: Path) -> dict[str, Stage]:
    """The results kept in a run's folder, by stage, in order of the stages."""
    return {
        name: msgspec.json.decode((folder / f"{name}.json").read_bytes(), type=Stage)
        for name in (*STAGES, *BESIDE)
        if (folder / f"{name}.json").exists()
    }
