"""What the options of the verbs mean together, and how a refused parameter is told to who typed it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from core import asking, settings
from core.asking import BadParameter, Source
from scalp.failures import UsageError

OPTIONS = {"folder": "--from", "symbols": "--symbol", "start": "--from", "end": "--to", "version_id": "VERSION_ID", "names": "NAMES"}


@contextmanager
def typed() -> Iterator[None]:
    """A refused parameter becomes a usage error that names the option."""
    try:
        yield
    except BadParameter as error:
        raise UsageError(f"{OPTIONS.get(error.name, f'--{error.name}')}: {error.said}") from None


def guessed(folder: Path | None, mapping: str) -> str:
    """The source that the other options mean; empty where they mean none."""
    if mapping:
        return Source.TABLES
    if folder is None:
        return ""
    return Source.ARCHIVES if next(folder.rglob("*-aggTrades-*.zip"), None) else Source.RECORDINGS


def resolve(source: str, folder: Path | None, mapping: str, venue: str = "") -> tuple[Source, Path | None, str]:
    """Source, folder and mapping after defaults; raises `UsageError` where they, or a venue, do not go together."""
    config = settings.load()
    source = source or guessed(folder, mapping) or config.ingest.source
    mapping = mapping or config.ingest.mapping
    with typed():
        asking.source(config, source, folder, mapping, venue)
    return Source(source), folder.resolve() if folder else None, mapping
