"""Where market data comes from: what the options of the verbs that read it mean together."""

from pathlib import Path

from core import settings
from core.market import VENUE
from scalp.failures import UsageError

SOURCES = {
    "generated": "",
    "recordings": "*.gz, *.jsonl or *.txt files, or sessions of scalp live",
    "archives": "*-aggTrades-*.zip files, as data.binance.vision has them",
    "tables": "Parquet files that a mapping names",
}


def guessed(folder: Path | None, mapping: str) -> str:
    """The source that the other options mean; empty where they mean none."""
    if mapping:
        return "tables"
    if folder is None:
        return ""
    return "archives" if next(folder.rglob("*-aggTrades-*.zip"), None) else "recordings"


def resolve(source: str, folder: Path | None, mapping: str, venue: str = "") -> tuple[str, Path | None, str]:
    """Source, folder and mapping after defaults; raises `UsageError` where they, or a venue, do not go together."""
    config = settings.load()
    source = source or guessed(folder, mapping) or config.ingest.source
    mapping = mapping or config.ingest.mapping
    if source not in SOURCES:
        raise UsageError(f"--source {source}: there are generated, recordings, archives and tables")
    if venue and source != "archives":
        raise UsageError(f"--venue goes with --source archives; {source} tell it themselves")
    if venue and not VENUE.fullmatch(venue):
        raise UsageError(f"--venue {venue}: small letters, digits and -, such as binance-spot, binance-usdm, binance-cm")
    if source == "generated":
        if folder:
            raise UsageError("--from goes with --source recordings, archives or tables; the generated market needs none")
        return source, None, mapping
    if folder is None:
        raise UsageError(f"--source {source} needs --from FOLDER: where the {source} lie")
    if not folder.is_dir():
        raise UsageError(f"--from {folder}: there is no such folder (from here, {Path.cwd()})")
    if source == "tables" and mapping not in config.mappings:
        raise UsageError(f"--mapping {mapping}: there are {', '.join(config.mappings)}; add yours under [mappings.{mapping}] in scalp.toml")
    if not any(folder.iterdir()):
        raise UsageError(f"--from {folder}: the folder is empty; expected {SOURCES[source]}")
    return source, folder.resolve(), mapping
