"""Writes the generated market as files of raw frames, one per symbol and day, for the same decoder as recordings.

    settings.Generator -> <folder>/<symbol>_<yyyymmdd>.gz, each with a sidecar .json

The sidecar says what the file was made from, so that unchanged settings mean no work, and how the market stood at midnight,
so that the next day goes on from there.
"""

import contextlib
import errno
import os
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import IO, Any

import msgspec
from isal import igzip
from prefect import task
from prefect.cache_policies import NO_CACHE

from core.market import NS
from core.settings import Generator, SettingsError
from core.store import StoreError
from kernels import generator as market_generator
from kernels.generator import Market, State
from kernels.generator_frames import text

FORM = 1  # raise it when the same settings give other frames
DAY_NS = 86_400 * NS
LEVEL = 1  # of compression


class Sidecar(msgspec.Struct, kw_only=True):
    """What a file was made from, and how its day ended."""

    form: int
    seed: int
    first_day: date
    day: date
    market: Market
    n_frames: int = 0
    n_bytes: int = 0
    end: State | None = None

    def made_of(self) -> tuple[Any, ...]:
        return self.form, self.seed, self.first_day, self.day, self.market


def write_market(settings: Generator, folder: Path, each: Callable[..., Path] | None = None) -> list[Path]:
    """The files of all symbols and days, written where they are not there yet or came of other settings.

    `each` is what makes one of them, by default the task `write_day`. Raises `SettingsError` on a market that cannot be.
    """
    each = each or write_day
    try:
        first_day = date.fromisoformat(settings.day)
        markets = [market_of(settings, symbol) for symbol in settings.symbols]
    except ValueError as error:
        raise SettingsError(f"wrong setting: generator: {error}") from error
    days = [first_day + timedelta(days=n) for n in range(settings.days)]
    return [each(market, settings.seed, first_day, day, folder) for market in markets for day in days]


def market_of(settings: Generator, symbol: str) -> Market:
    return Market(
        symbol=symbol,
        price=settings.price,
        tick_size=settings.tick_size,
        lot_size=settings.lot_size,
        volatility=settings.volatility,
        signal=settings.signal,
        frames_per_s=settings.frames_per_s,
    )


def make_file(market: Market, seed: int, first_day: date, day: date, folder: Path) -> Path:
    """Write one symbol-day unless it is there. A day after the first needs the one before it in the same folder."""
    path = path_of(folder, market.symbol, day)
    wanted = Sidecar(form=FORM, seed=seed, first_day=first_day, day=day, market=market)
    found = sidecar_of(path)
    if found and found.made_of() == wanted.made_of():
        return path
    rng = market_generator.stream(seed, market.symbol, (day - date(1970, 1, 1)).days)
    if day == first_day:
        state = market_generator.first(market, rng)
    else:
        before = sidecar_of(path_of(folder, market.symbol, day - timedelta(days=1)))
        if before is None or before.end is None:
            raise FileNotFoundError(f"{market.symbol} {day}: the day before is not in {folder}")
        state = before.end
    side_path(path).unlink(missing_ok=True)  # from here on the file is nobody's until the new sidecar is there
    begin = int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()) * NS
    with replacing(path) as file, igzip.IGzipFile(filename="", mode="wb", compresslevel=LEVEL, fileobj=file, mtime=0) as lines:
        for after, records in market_generator.simulate(market, state, rng, begin, begin + DAY_NS):
            lines.write(text(market, records))
            wanted.n_frames += len(records.frames)
            wanted.end = after
    wanted.n_bytes = path.stat().st_size
    with replacing(side_path(path)) as file:
        file.write(msgspec.json.encode(wanted))
    return path


write_day = task(name="write_day", task_run_name="generate {market.symbol} {day}", persist_result=False, cache_policy=NO_CACHE)(make_file)


def make_next(settings: Generator, symbol: str, day: date, folder: Path) -> Path:
    """The file of any day. It goes on from the day before where that was made of the same market, else the market opens on it."""
    market = market_of(settings, symbol)
    there = [sidecar_of(path_of(folder, symbol, d)) for d in (day, day - timedelta(days=1))]
    same = (found.first_day for found in there if found and found.end and (found.market, found.seed) == (market, settings.seed))
    return make_file(market, settings.seed, next(same, day), day, folder)


def path_of(folder: Path, symbol: str, day: date) -> Path:
    return folder / f"{symbol.lower()}_{day:%Y%m%d}.gz"


def side_path(path: Path) -> Path:
    return path.with_suffix(".json")


def sidecar_of(path: Path) -> Sidecar | None:
    """The sidecar of a file that is there in the length it was written; None where it has to be made."""
    try:
        found = msgspec.json.decode(side_path(path).read_bytes(), type=Sidecar)
        return found if found.n_bytes == path.stat().st_size else None
    except (FileNotFoundError, msgspec.DecodeError):
        return None


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """A file that takes the place of `path`, whole, at the end. A full disk raises `StoreError`; `path` is then as it was."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{uuid.uuid4().hex[:8]}.partial")
    sweep(path)
    try:
        with temporary.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException as error:
        temporary.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.errno == errno.ENOSPC:
            raise StoreError(f"{path}: the disk is full. Free some space and run again") from error
        raise


def sweep(path: Path) -> None:
    """Remove what killed processes of this machine left half written of `path`."""
    for left in path.parent.glob(f".{path.name}.*.partial"):
        pid = left.name.removeprefix(f".{path.name}.").split("-")[0]
        if not Path(f"/proc/{pid}").exists():
            left.unlink(missing_ok=True)
