"""What may be asked of a flow or a verb: the choices, and the refusals that name the parameter and say what to ask instead.

The user interface's form, the command line and Python all come through here, before any work is done.
"""

import difflib
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from enum import StrEnum
from pathlib import Path
from typing import Any

from core.market import VENUE
from core.settings import Settings

ANY = "*"
MANY = 8  # names in a sentence


class Source(StrEnum):
    """Where market data comes from."""

    GENERATED = "generated"
    RECORDINGS = "recordings"
    ARCHIVES = "archives"
    TABLES = "tables"


FILES = {
    Source.RECORDINGS: "*.gz, *.jsonl or *.txt files, or sessions of scalp live",
    Source.ARCHIVES: "*-aggTrades-*.zip files, as data.binance.vision has them",
    Source.TABLES: "Parquet files that a mapping names",
}


class Grain(StrEnum):
    """What a row of features stands for."""

    SECOND = "second"
    TRADE = "trade"
    BOTH = "both"


class BadParameter(ValueError):
    """A parameter that cannot be meant; `name` is the parameter, `said` what is wrong and what there is instead."""

    def __init__(self, name: str, said: str) -> None:
        super().__init__(name, said)
        self.name, self.said = name, said

    def __str__(self) -> str:
        return f"{self.name}: {self.said}"


def one_of(name: str, value: str, there: Iterable[str], hint: str = "") -> None:
    """Refuse a value that is not there, with the nearest that is; `hint` says what to do where there is none at all."""
    known = sorted(set(there))
    if value in known:
        return
    if not known:
        raise BadParameter(name, f"there is no {value!r} yet" + (f"; {hint}" if hint else ""))
    near = difflib.get_close_matches(value.lower(), [n.lower() for n in known], n=1, cutoff=0.6)
    meant = f"; did you mean {next(n for n in known if n.lower() == near[0])}?" if near else ""
    listed = ", ".join(known[:MANY]) + (f" and {len(known) - MANY} more" if len(known) > MANY else "")
    raise BadParameter(name, f"there is no {value!r}{meant or f'; there are {listed}'}")


def span(start: date | None, end: date | None, today: date) -> None:
    """Refuse days in the wrong order, and those that have not come."""
    for name, day in (("start", start), ("end", end)):
        if day is not None and day > today:
            raise BadParameter(name, f"{day} has not come yet; today is {today} (UTC)")
    if start is not None and end is not None and end < start:
        raise BadParameter("end", f"{end} is before the start, {start}")


def instruments(venue: str, symbols: Sequence[str], there: Iterable[tuple[str, str]], hint: str) -> None:
    """Refuse a venue or a symbol that has no data; `there` are the (venue, symbol) that have some."""
    known = list(there)
    if venue != ANY:
        one_of("venue", venue, (at for at, _ in known), hint)
    for symbol in symbols:
        if symbol != ANY:
            one_of("symbols", symbol, (of for at, of in known if venue in (ANY, at)), hint)


def source(config: Settings, source: str, folder: Path | None, mapping: str, venue: str) -> None:
    """Refuse a source, a folder, a mapping and a venue that do not go together."""
    one_of("source", source, Source)
    if venue and source != Source.ARCHIVES:
        raise BadParameter("venue", f"it goes with the source archives; {source} tell it themselves")
    if venue and not VENUE.fullmatch(venue):
        raise BadParameter("venue", f"{venue!r} is none: small letters, digits and -, such as binance-spot, binance-usdm, binance-cm")
    if source == Source.GENERATED:
        if folder:
            raise BadParameter("folder", "it goes with the sources recordings, archives and tables; the generated market needs none")
        return
    if folder is None:
        raise BadParameter("folder", f"the source {source} needs one: where the {source} lie")
    if not folder.is_dir():
        raise BadParameter("folder", f"there is no folder {folder}" + ("" if folder.is_absolute() else f" (from here, {Path.cwd()})"))
    if source == Source.TABLES and mapping not in config.mappings:
        there = ", ".join(config.mappings)
        raise BadParameter("mapping", f"there is no {mapping!r}; there are {there}; add yours under [mappings.{mapping}] in scalp.toml")
    if not any(folder.iterdir()):
        raise BadParameter("folder", f"{folder} is empty; expected {FILES[Source(source)]}")


def named(asked: Mapping[str, Any]) -> str:
    """What was asked for in a few words, for the names of runs: `binance-usdm BTCUSDT from 2026-01-01 to 2026-01-05`, or `everything`."""
    venue, symbols = str(asked.get("venue") or ANY), [str(symbol) for symbol in asked.get("symbols") or ()]
    start, end = asked.get("start"), asked.get("end")
    words = [venue] if venue != ANY else []
    words += [", ".join(symbols[:3]) + (f" and {len(symbols) - 3} more" if len(symbols) > 3 else "")] if symbols else []
    if start and str(start) == str(end):
        words.append(str(start))
    else:
        words += [f"from {start}"] if start else []
        words += [f"to {end}"] if end else []
    return " ".join(words) or "everything"
