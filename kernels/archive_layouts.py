"""How the columns of an archive stand: told from its first lines. What is not as usual is put in the usual order, line by line.

The usual order, with or without its header line, is `kernels.archive_rows.COLUMNS` (a futures archive ends one column before a spot
one). Any other order is understood where a header line names the columns, with further columns or without the trade ids.
"""

import re
from collections import Counter
from typing import NamedTuple

from kernels.archive_rows import COLUMNS, FUTURES

BOM = b"\xef\xbb\xbf"
SEPARATORS = (b",", b";", b"\t")
NAMES = (
    ("agg_trade_id", "aggtradeid", "aggregatetradeid", "a", "id", "trade_id", "tradeid"),
    ("price", "p"),
    ("quantity", "q", "qty", "size"),
    ("first_trade_id", "firsttradeid", "f"),
    ("last_trade_id", "lasttradeid", "l"),
    ("transact_time", "transacttime", "T", "timestamp", "time"),
    ("is_buyer_maker", "isbuyermaker", "m", "wasthebuyerthemaker"),
    ("is_best_match", "isbestmatch", "M", "wasthetradethebestpricematch"),
)  # what each column of `COLUMNS` is called elsewhere
NEEDED = (0, 1, 2, 5, 6)
EXPECTED = f"expected the columns {','.join(COLUMNS[:FUTURES])} (and {COLUMNS[-1]} in a spot archive), with or without these names above"


class LayoutError(ValueError):
    """Columns nobody can tell; the message says what was found and what was expected."""


class Layout(NamedTuple):
    """`best`: is_best_match is there, as in spot archives. `places`: where each of `COLUMNS` stands, None if as usual."""

    best: bool
    header: bool
    places: tuple[int | None, ...] | None = None
    separator: str = ","


def layout_of(head: bytes) -> Layout:
    """The layout of the whole lines in `head`, the first of a member. Raises `LayoutError`."""
    lines = [line.strip() for line in head.removeprefix(BOM).split(b"\n", 100)[:100] if line.strip()]
    if not lines:
        return Layout(best=False, header=False)
    first = lines[0]
    by = max(SEPARATORS, key=first.count)
    names = [known_as(field) for field in first.split(by)]
    usual = tuple(names) in (COLUMNS, COLUMNS[:FUTURES]) and by == b","
    if usual:
        return Layout(best=len(names) == len(COLUMNS), header=True)
    if any(field[:1].isdigit() for field in (field.strip(b'" ') for field in first.split(by))):
        return headless(lines)
    places = tuple(next((at for at, name in enumerate(names) if name in known), None) for known in NAMES)
    if missing := [COLUMNS[at] for at in NEEDED if places[at] is None]:
        if len(lines) > 1 and lines[1][:1].isdigit() and lines[1].count(by) != first.count(by):
            return headless(lines[1:])  # the first line is neither: it will be refused
        shown = first[:200].decode(errors="replace")
        raise LayoutError(f"its first line {shown!r} names no {', '.join(missing)}; {EXPECTED}")
    return Layout(best=places[-1] is not None, header=True, places=places, separator=by.decode())


def known_as(field: bytes) -> str:
    """A column's name in small letters; one of a single letter as it is: m and M are two of them."""
    name = re.sub(r"[^A-Za-z_]", "", field.decode(errors="replace"))
    return name if len(name) == 1 else name.lower()


def headless(lines: list[bytes]) -> Layout:
    """Of lines without names over them: as many columns as most of them have."""
    n = Counter(line.count(b",") + 1 for line in lines).most_common(1)[0][0]
    if n not in (FUTURES, len(COLUMNS)):
        raise LayoutError(f"has lines of {n} columns, such as {lines[-1][:200].decode(errors='replace')!r}; {EXPECTED}")
    return Layout(best=n == len(COLUMNS), header=False)


def usual(text: bytes, layout: Layout) -> bytes:
    """Whole lines with their columns in the usual order, futures' seven: as many lines, a blank one for a blank one.

    Fields lose blanks and quotes around them; a trade id the archive has not is 0. A line that lacks a column stays unreadable.
    """
    import polars as pl

    assert layout.places is not None
    lines = pl.Series("line", text.removesuffix(b"\n").decode(errors="replace").split("\n"), dtype=pl.String).str.strip_chars()
    fields = lines.str.split(layout.separator)
    column = [
        pl.lit("0") if place is None else pl.col("field").list.get(place, null_on_oob=True).str.strip_chars('" ').fill_null("")
        for place in layout.places[:FUTURES]
    ]
    blank = pl.col("line") == ""
    made = pl.DataFrame({"line": lines, "field": fields}).select(
        pl.when(~blank).then(pl.concat_str(column, separator=",")).otherwise(pl.lit(""))
    )
    return "\n".join(made.to_series().to_list()).encode() + b"\n"
