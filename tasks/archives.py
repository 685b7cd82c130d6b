"""Reads Binance's public archives of aggregated trades into the raw layer: <symbol>-aggTrades-<day or month>.zip, CSV inside.

A file is taken whole or not at all: archives can be fetched again, so one that is cut off, damaged, or not what its CHECKSUM file
says gives an error and no row. An archive has no time of receipt: `ts_recv` is the venue's own time. Lines that are no trades go to
quarantine.
"""

import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
from prefect import task
from prefect.cache_policies import NO_CACHE

from core.market import VENUE
from core.store import Store
from core.tables import TS
from kernels.archive_layouts import Layout
from kernels.archive_rows import INTS
from tasks.archive_batches import Batch, Refused, Tally, Unfit, batches, looked, refusals
from tasks.clean import recoverable
from tasks.lines import Broken
from tasks.raw import About, Rows, Source, alone, listed, reading, receipt_of, source_of, write_pieces

FORM = 1  # raised when the same bytes would give other rows
GLOB = "*-aggTrades-*.zip"
NAME = re.compile(r"(?P<symbol>[A-Za-z0-9][A-Za-z0-9._-]{0,63})-aggTrades-\d{4}-\d{2}(?:-\d{2})?(?P<other>.*)\.zip")
COIN_MARGINED = re.compile(r".+USD_(?:PERP|\d{6})")  # the symbols of COIN-M
FOLDERS = {("spot",): "binance-spot", ("futures", "um"): "binance-usdm", ("futures", "cm"): "binance-cm"}
SPOT, FUTURES = ("binance-spot",), ("binance-usdm", "binance-cm")


def archives_in(folder: Path) -> list[Path]:
    """The archives of a folder and of those in it, in order of name. Raises `FileNotFoundError` where there is none."""
    expected = f"expected {GLOB} files, as data.binance.vision has them"
    return listed(folder, folder.rglob(GLOB), expected)


@task(task_run_name=reading, retries=2, retry_delay_seconds=[1, 3], retry_condition_fn=recoverable, cache_policy=NO_CACHE)
def read_archive(store: Store, uri: str, *, venue: str = "") -> dict[str, Any]:
    """Read one archive into pieces of the raw tables. Returns its receipt's facts (`tasks.raw.write_pieces`) with name, venue, symbol,

    skipped (it was read before and nothing was done), seconds, rows_per_s. `error` is None, or says why nothing of it was read.
    `venue` is of all archives; else the folders told it (spot, futures/um, futures/cm, as data.binance.vision has them), else
    the columns: spot has one more than futures, and the symbols of COIN-M end in USD_PERP or USD_<day>.

    Raises `FileNotFoundError` where the file is missing, `StoreError` on a full disk.
    """
    began = time.perf_counter()
    path = Path(uri)
    held = state_of(path)
    source = source_of(path)
    params = {"form": FORM, "venue": venue or folder_venue(path)}
    with alone(source):
        try:
            checked(path, source)
            facts = receipt_of(store, source.sha256, params)
            skipped = facts is not None
            if facts is None:
                facts = decode(store, path, source, params, held)
        except Broken as broken:
            skipped = False
            error = f"{path}: {broken.why}; nothing of it is kept"
            facts = write_pieces(store, source, (), about={}, params=params, error=error)
    seconds = time.perf_counter() - began
    of, symbol = facts["main"] or (None, None)
    timing = {"seconds": round(seconds, 3), "rows_per_s": None if skipped else round(facts["n_rows"] / seconds)}
    return facts | {"name": path.name, "skipped": skipped, "venue": of, "symbol": symbol} | timing


def folder_venue(path: Path) -> str | None:
    """The venue the folders of an archive tell, the nearest of them first; None where they do not."""
    parts = [part.lower() for part in path.resolve().parts[:-1]]
    for end in range(len(parts), 0, -1):
        for words, venue in FOLDERS.items():
            if tuple(parts[max(0, end - len(words)) : end]) == words:
                return venue
    return None


def state_of(path: Path) -> tuple[int, ...]:
    """What changes with a file's bytes: another file of its name, another length, a later write."""
    found = path.stat()
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


def unchanged(path: Path, held: tuple[int, ...]) -> None:
    """Raise `Broken` where a file is not, or is no longer, the one whose hash was taken."""
    if not path.exists() or state_of(path) != held:
        raise Broken("it was changed while it was read: read it again once it is whole", 0)


def checked(path: Path, source: Source) -> None:
    """Raise `Broken` where a CHECKSUM file lies beside an archive and has another hash."""
    beside = path.with_name(f"{path.name}.CHECKSUM")
    if not beside.is_file():
        return
    words = beside.read_text(errors="replace").split()
    if not words or words[0].lower() != source.sha256:
        raise Broken(f"{beside.name} says {words[0][:64] if words else 'nothing'}, but its SHA-256 is {source.sha256}: fetch both again", 0)


def instrument_of(path: Path, told: str | None, layout: Layout) -> tuple[str, str]:
    """(venue, symbol) of an archive: its name has the symbol, `told` is what was asked for or the folders say.

    Raises `Broken` where they are not told, or the columns say otherwise.
    """
    named = NAME.fullmatch(path.name)
    if not named:
        raise Broken("its name tells no symbol; expected <symbol>-aggTrades-<year>-<month>[-<day>].zip", 0)
    symbol = named["symbol"]
    fitting = SPOT if layout.best else ("binance-cm",) if COIN_MARGINED.fullmatch(symbol) else ("binance-usdm",)
    if told and told in SPOT + FUTURES and (told in SPOT) != layout.best:
        what = "has the columns of a spot archive" if layout.best else "has the columns of a futures archive"
        raise Broken(f"lies in a folder of {told}, or {told} was asked for, but it {what}: name its venue with --venue", 0)
    venue = told or fitting[0]
    if not VENUE.fullmatch(venue):
        raise Broken(f"{venue!r} is no venue", 0)
    return venue, symbol


def decode(store: Store, path: Path, source: Source, params: dict[str, Any], held: tuple[int, ...]) -> dict[str, Any]:
    """Read an archive and write its pieces and receipt; once more where a number is finer than the first ones were."""
    layout, places = looked(path, whole=False)
    of = instrument_of(path, params["venue"], layout)
    try:
        return taken(store, path, source, params, held, of, places, settled=False)
    except Unfit:
        return taken(store, path, source, params, held, of, looked(path, whole=True)[1], settled=True)


def taken(
    store: Store,
    path: Path,
    source: Source,
    params: dict[str, Any],
    held: tuple[int, ...],
    of: tuple[str, str],
    places: tuple[int, int],
    *,
    settled: bool,
) -> dict[str, Any]:
    tally, kinds = Tally(), {}

    def rows() -> Iterator[Rows]:
        for batch in batches(path, places, tally, settled=settled):
            yield Rows("trades", *of, trades(batch))
        if not tally.rows:
            refused = tally.first_refused
            raise Broken(f"none of its {tally.lines:,} lines is a trade" + (f"; {first(refused)}" if refused else ""), 0)
        kinds["aggTrade"] = tally.rows
        unchanged(path, held)
        if tally.refused:
            for some in refusals(path, places):
                yield Rows("refused", *of, refused_rows(some, tally))
            unchanged(path, held)

    return write_pieces(store, source, rows(), about={of: About(*places)}, params=params, frames=kinds)


def first(refused: Refused) -> str:
    return f"line {refused.line:,} was refused: {refused.reason}: {refused.text[:80]!r}"


def trades(batch: Batch) -> pl.DataFrame:
    """A batch as raw trades; its columns are not copied."""
    ints = dict(zip(INTS, batch.rows.ints[:, : batch.n], strict=True))
    time = pa.array(ints["ts_event"]).view(pa.timestamp("ns", "UTC"))
    columns = {
        "ts_recv": time,
        "ts_event": time,
        "trade_id": pa.array(ints["trade_id"]),
        "price": pa.array(ints["price"]),
        "size": pa.array(ints["size"]),
        "side": pa.array(batch.rows.side[: batch.n]),
        "row": pa.array(batch.rows.row[: batch.n]),
    }
    made = pl.from_arrow(pa.table(columns))
    assert isinstance(made, pl.DataFrame)
    return made.with_columns(order_kind=pl.lit(None, pl.String))


def refused_rows(some: list[Refused], tally: Tally) -> pl.DataFrame:
    """Refused lines, each at the time of the row before it (of the first row, where there is none)."""
    ts = [tally.first_ts if refused.ts is None else refused.ts for refused in some]
    return pl.DataFrame(
        {
            "ts_recv": pl.Series(ts, dtype=pl.Int64).cast(TS),
            "reason": [refused.reason for refused in some],
            "text": [refused.text for refused in some],
            "row": pl.Series([refused.line for refused in some], dtype=pl.UInt32),
        }
    )
