"""What is kept, and for how long: everything of a data folder as items, and what has to go taken away.

lake, models, runs, sessions, logs, the orchestrator's runs -> kernels.retention -> gone, or emptied
"""

import json
import logging
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, date, datetime
from pathlib import Path

from core import run_records
from core.ops_settings import Retention
from core.parts import Part
from core.serving_record import read_record, record_path
from core.store import Store, StoreError
from kernels.retention import EMPTIED, MODEL, PARTS, Fate, Item, Policy

log = logging.getLogger("scalp")
DAY_S = 86_400.0
LAYERS = {"raw": "raw", "clean": "clean", "feat": "features", "quarantine": "quarantine"}  # beginning of a table's name -> kind
SESSIONS, LOGS = "sessions", "logs"


def policy_of(retention: Retention, *, even_needed: bool) -> Policy:
    days = {
        "runs": retention.runs_days,
        "prefect": retention.runs_days,
        "raw": retention.raw_days,
        "clean": retention.clean_days,
        "features": retention.feature_days,
        "quarantine": retention.quarantine_days,
        "sessions": retention.sessions_days,
        "logs": retention.logs_days,
    }
    return Policy(days, retention.model_versions, even_needed)


def items(store: Store, data_dir: Path, tracked: Iterable[str] = ()) -> list[Item]:
    """All there is but the orchestrator's runs; `tracked` are versions that an alias elsewhere names."""
    now = time.time()
    return [
        *of_lake(store, datetime.now(UTC).date()),
        *of_models(data_dir, now, frozenset(tracked)),
        *of_runs(data_dir, now),
        *of_folders(data_dir / SESSIONS, "sessions", now),
        *(Item("logs", str(path), age(path, now), path.stat().st_size) for path in files(data_dir / LOGS)),
    ]


def of_lake(store: Store, today: date) -> Iterator[Item]:
    """Parts that have rows. Receipts of files stay: by them a file is known, also when its rows are taken out."""
    for table in store.tables():
        kind = LAYERS.get(table.lstrip("_").split("_", 1)[0])
        if kind is None or table.endswith("__files"):
            continue
        for part in store.parts(table):
            try:
                lineage = store.lineage(part)
            except StoreError:
                continue  # unreadable: the next build makes it again, or says so
            if lineage is not None and not lineage.facts.get("emptied"):
                days = float((today - part.day).days)
                yield Item(kind, str(part), days, size(store, part), needs=tuple(lineage.inputs))


def size(store: Store, part: Part) -> int:
    return int(store.fs.size(store.path(part)) or 0)


def of_models(data_dir: Path, now: float, tracked: frozenset[str]) -> Iterator[Item]:
    serving = read_record(record_path(data_dir))
    served = {version.version_id: f"version {version.n}" for version in serving.versions.values()} if serving else {}
    live = {serving.versions[str(n)].version_id: alias for alias, n in serving.aliases.items()} if serving else {}
    for folder in sorted((data_dir / "models").glob("*/")):
        done, name = folder / "train.json", folder.name
        needs = tuple(json.loads(done.read_bytes()).get("inputs") or ()) if done.is_file() else ()
        keep = f"it serves as {live[name]}" if name in live else f"{served[name]} can be gone back to" if name in served else ""
        keep = keep or ("an alias in MLflow names it" if name in tracked else "")
        yield Item(MODEL, name, age(done if done.is_file() else folder, now), folder_size(folder), needs=needs, keep=keep)


def of_runs(data_dir: Path, now: float) -> Iterator[Item]:
    for folder in sorted((data_dir / "runs").glob("*/")):
        record = run_records.load(folder)
        running = record is not None and run_records.state_of(record) == "running"
        yield Item("runs", folder.name, age(folder, now), folder_size(folder), keep="it is at work" if running else "")


def of_folders(root: Path, kind: str, now: float) -> Iterator[Item]:
    """Folders, as old as what was written into them last."""
    for folder in sorted(root.glob("*/")):
        last = min((age(path, now) for path in files(folder)), default=age(folder, now))
        yield Item(kind, str(folder.relative_to(root)), last, folder_size(folder))


def age(path: Path, now: float) -> float:
    return max(now - path.stat().st_mtime, 0.0) / DAY_S


def files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file()) if folder.is_dir() else []


def folder_size(folder: Path) -> int:
    return sum(path.stat().st_size for path in files(folder))


def carry_out(fates: Iterable[Fate], store: Store, data_dir: Path, withdraw: Callable[[str], None]) -> Iterator[tuple[Item, str]]:
    """Take away what goes, but the orchestrator's runs; gives each item, and what went wrong with it. `withdraw` forgets a model."""
    parts: dict[str, Part] = {}
    for fate in fates:
        item = fate.item
        if not fate.goes or item.kind == "prefect":
            continue
        try:
            if item.kind in PARTS:
                parts = parts or {str(part): part for table in store.tables() for part in store.parts(table)}
                (store.empty if item.kind in EMPTIED else store.remove)(parts[item.name])
            elif item.kind == "logs":
                Path(item.name).unlink(missing_ok=True)
            else:
                if item.kind == MODEL:
                    withdraw(item.name)
                shutil.rmtree(data_dir / item.kind / item.name)
            yield item, ""
        except (OSError, StoreError, KeyError) as error:
            log.warning("%s %s could not be removed: %s", item.kind, item.name, error)
            yield item, str(error) or type(error).__name__
