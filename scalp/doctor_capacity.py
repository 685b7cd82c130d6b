"""`scalp doctor --capacity`: disk and time for so many symbols and days, and whether the disk has room, from the lake and the runs here."""

import json
import shutil
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import msgspec
from rich.console import Console
from rich.table import Table

from core import runs, settings
from core.capacity import Estimate, Line, Stored, Took, estimate
from core.machine import machine
from core.store import Store
from scalp.console import counted, out
from scalp.doctor_machine import nearest
from scalp.failures import FAILED, OK
from scalp.up_shown import WIDE

GENERATED = "generated"
SPARE = 0.1  # of the disk that should stay free


def tell(symbols: int, days: int, *, as_json: bool) -> int:
    """Returns the exit code: 1 where it would not fit."""
    config = settings.load()
    stored, of = stored_days(Store(config.lake))
    made = estimate(stored, took(config.data_dir), symbols, days, runs.STAGES)
    disk = shutil.disk_usage(nearest(config.data_dir))
    room = disk.free - SPARE * disk.total
    fits = made.size <= room or bool(config.lake_url)
    if as_json:
        facts = {
            "symbols": symbols,
            "days": days,
            "basis": of,
            "bytes": made.size,
            "seconds": made.seconds,
            "free_bytes": disk.free,
            "fits": fits,
        }
        lines = {"disk": [one._asdict() for one in made.disk], "time": [one._asdict() for one in made.time], "missing": made.missing}
        print(json.dumps(facts | lines))
        return OK if fits else FAILED
    asked = f"{counted(symbols, 'symbol')}, {counted(days, 'day')} of each"
    if not made.disk and not made.time:
        out.print(
            f"{asked}: there is no history here to estimate from. scalp run makes some (on your own data: scalp run --from ...)",
            soft_wrap=True,
        )
        return OK
    show(made, asked, of)
    if config.lake_url:
        out.print("the lake is on another store, whose room cannot be told from here")
    else:
        told = "fits" if fits else "[red]does not fit[/red]: another disk (SCALP_DATA_DIR), fewer days, or scalp maintain"
        out.print(
            f"{bytes_text(made.size)} of {bytes_text(disk.free)} free ({SPARE:.0%} of the disk should stay free): {told}", soft_wrap=True
        )
    return OK if fits else FAILED


def stored_days(store: Store) -> tuple[list[Stored], str]:
    """Bytes of each table's days, and of what market they are. Generated days only where there are no others: they are thinner."""
    sizes: dict[str, dict[tuple[str, str, str], int]] = defaultdict(lambda: defaultdict(int))
    for table in store.tables():
        for part in store.parts(table):
            sizes[table][part.venue, part.symbol, str(part.day)] += store.fs.size(store.path(part)) or 0
    venues = sorted({key[0] for table, of in sizes.items() for key in of if table.startswith("clean_")})  # not that of benchmarks
    venues = [venue for venue in venues if venue != GENERATED] or venues
    made = {table: {key: n for key, n in of.items() if key[0] in venues} for table, of in sizes.items()}
    return [Stored(table, n) for table, of in made.items() for n in of.values()], ", ".join(venues)


def took(data_dir: Path) -> list[Took]:
    """Stages of former runs that had work to do."""
    found = []
    for folder in sorted((data_dir / "runs").glob("*")):
        try:
            stages = runs.load(folder)
        except (msgspec.MsgspecError, OSError):
            continue  # another version's, or torn
        for name, stage in stages.items():
            if stage.changed:
                found.append(Took(name, stage.seconds, len({(p.venue, p.symbol, p.day) for p in stage.parts})))
    return found


def show(made: Estimate, asked: str, of: str) -> None:
    shown = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("", "one day", "all", "at most", "stands on"):
        shown.add_column(name, no_wrap=True)

    def rows(title: str, lines: list[Line], text: Callable[[float], str]) -> None:
        for line in lines:
            shown.add_row(line.name, text(line.each), text(line.all), text(line.most), line.basis)
        if lines:
            total, most = sum(line.all for line in lines), sum(line.most for line in lines)
            shown.add_row(f"[bold]{title}[/bold]", "", f"[bold]{text(total)}[/bold]", text(most), "", end_section=True)

    rows("disk", made.disk, bytes_text)
    rows("time", made.time, seconds_text)
    out.print(f"{asked}, from the days of {of or 'nothing'} and the runs in this folder, on {machine()}:\n", soft_wrap=True)
    (out if out.is_terminal else Console(highlight=False, width=WIDE)).print(shown)
    out.print("one day: of one symbol, the mean; at most: if every day were as the largest, every run as the slowest", soft_wrap=True)
    if made.missing:
        out.print(f"no history of {', '.join(made.missing)}: not in the time", soft_wrap=True)
    out.print("time is that of one process after another; a backfill works on several chunks at a time (backfill.parallel)", soft_wrap=True)


def bytes_text(n: float) -> str:
    for unit, size in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if abs(n) >= size:
            return f"{n / size:,.1f} {unit}"
    return f"{n:.0f} B"


def seconds_text(n: float) -> str:
    if n < 120:
        return f"{n:.1f} s"
    return f"{n / 60:,.0f} min" if n < 7_200 else f"{n / 3_600:,.1f} h"
