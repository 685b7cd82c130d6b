"""What the ingest stage does around its tasks: which files, which days, and what it has to say in the end.

Facts of the stage: generated source files (uri name venue symbol rows clean duplicate quarantined by_reason frames error skipped
clock_offset_ms seconds) days (as `tasks.clean.clean_day` returns them) rows_per_second peak_memory_bytes.
"""

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import Any

from core.market import GENERATED
from core.runs import Stage
from core.store import Part, Store
from core.tables import raw_table
from tasks import memory
from tasks.accounts import ROWS
from tasks.pieces import NOUNS, days_of
from tasks.raw import pieces_of

Facts = Mapping[str, Any]
DAY = timedelta(days=1)
OF_FILE = ("uri", "name", "venue", "symbol", "frames", "error", "skipped", "clock_offset_ms", "seconds")


class IngestError(RuntimeError):
    """Files that could not be read to their end; the message names each, and where it stopped."""


def instruments_of(files: Sequence[Facts]) -> list[tuple[str, str]]:
    """The instruments the files hold, (venue, symbol), sorted."""
    return sorted({(venue, symbol) for file in files for venue, symbol in file.get("instruments") or []})


def touched(store: Store, files: Sequence[Facts], venue: str, symbol: str, skew_s: float) -> list[date]:
    """The days of exchange time that the instrument's rows in these files fall on."""
    received = {p.day for file in files for p in pieces_of(file) if (p.venue, p.symbol) == (venue, symbol)}
    return days_of(store, venue, symbol, skew_s, received)


def built(store: Store, venue: str, symbol: str, day: date) -> bool:
    return store.exists(Part(ROWS, venue, symbol, day))


def beside(store: Store, venue: str, symbol: str, days: Sequence[date]) -> list[date]:
    """`days`, and those before each that are there: quotes just after midnight are compared with the book before it."""
    return sorted({*days, *(day - DAY for day in days if built(store, venue, symbol, day - DAY))})


def after(store: Store, queue: Sequence[date], facts: Facts) -> list[date]:
    """The days still to build once one is: a day that changed hands its book on to the next one there is."""
    following = date.fromisoformat(facts["day"]) + DAY
    if facts["changed"] and built(store, facts["venue"], facts["symbol"], following):
        return sorted({*queue, following})
    return list(queue)


def vanished(store: Store, venue: str, symbol: str) -> list[str]:
    """A warning for each clean day none of whose raw rows are left."""
    raw = {p.day + n * DAY for noun in NOUNS for p in store.parts(raw_table(venue, noun), venue, symbol) for n in (-1, 0, 1)}
    gone = [p.day for p in store.parts(ROWS, venue, symbol) if p.day not in raw]
    return [f"{venue}/{symbol} {day}: its raw rows are gone; the day is kept as it is" for day in gone]


def summed(source: str, files: Sequence[Facts], accounts: Sequence[Facts], days: Sequence[Facts], seconds: float, store: Store) -> Stage:
    """The result of the stage; `accounts` stand in the order of `files`."""
    told = [
        {key: file.get(key) for key in OF_FILE}
        | {"rows": file["n_rows"]}
        | {key: account[key] for key in ("clean", "duplicate", "quarantined", "by_reason")}
        for file, account in zip(files, accounts, strict=True)
    ]
    trades = [Part("clean_market__trades", d["venue"], d["symbol"], date.fromisoformat(d["day"])) for d in days]
    warnings = [w for d in days for w in d["warnings"]]
    warnings += [w for venue, symbol in instruments_of(files) for w in vanished(store, venue, symbol)]
    cost = memory.spent(sum(int(f["n_rows"]) for f in files if not f.get("skipped")), seconds)
    return Stage(
        name="ingest",
        changed=any(not f["skipped"] for f in told) or any(d["changed"] for d in days),
        seconds=round(seconds, 3),
        parts=sorted(p for p in trades if store.exists(p)),
        warnings=list(dict.fromkeys(warnings)),
        facts={"generated": source == GENERATED, "source": source, "files": told, "days": list(days), **cost},
    )


def refuse_errors(stage: Stage) -> None:
    """Raise `IngestError` with what each file that could not be read to its end said."""
    wrong = [str(file["error"]) for file in stage.facts["files"] if file["error"]]
    if wrong:
        n = len(stage.facts["files"])
        raise IngestError(f"{len(wrong)} of {n} files could not be read to the end (what was sound is kept): " + "; ".join(wrong))
