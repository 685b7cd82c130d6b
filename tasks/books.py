"""The book of a day: carried over midnight, rebuilt from the depth rows, written batch by batch, compared with the venue's quotes."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from core.settings import Quality
from core.store import Part, Sink, Store
from core.tables import RAW, table
from kernels import quality as checks
from kernels.book import NONE, Book, Chain
from kernels.rebuild import ARRIVAL, State, finish, init, step
from kernels.top import COLUMNS
from tasks.accounts import CLEAN, DUPLICATE, Account
from tasks.depth import batches, index_of
from tasks.pieces import Piece

TOP = ("bid", "bid_size", "ask", "ask_size")
LIGHT = [*COLUMNS, "known", "is_snapshot", *ARRIVAL]
SHAPE = table("clean_market__top").columns | table("clean_market__book").columns
NO_ROWS = pl.DataFrame(schema={c: SHAPE.get(c, pl.Int64) for c in LIGHT})


class End(NamedTuple):
    """The book at the end of a day (unknown where it was), the decimals it is in, and where the diffs stood."""

    book: Book
    decimals: tuple[int, int]
    chain: Chain


class Rebuilt(NamedTuple):
    """`rows`: what the top needs of each book row, in order of arrival; `facts` as the book's part has them; `state` at the end."""

    state: State
    rows: pl.DataFrame
    facts: dict[str, Any]


def end_of(store: Store, part: Part) -> End | None:
    """Where a day ended, if it is there."""
    lineage = store.lineage(part) if store.exists(part) else None
    if lineage is None:
        return None
    decimals, chain = (lineage.facts["price_decimals"], lineage.facts["size_decimals"]), chain_of(lineage.facts)
    if not lineage.facts["known"]:
        return End(Book(), decimals, chain)
    rows = store.scan(part).collect()
    sides = [rows.filter(pl.col("side") == side).sort("price", descending=side < 0) for side in (1, -1)]
    levels = [np.array(side[c].to_numpy(), dtype=np.int64) for side in sides for c in ("price", "size")]
    facts = lineage.facts
    book = Book(*levels, last_id=facts["last_update_id"], known=True, awaits_first=facts["awaits_first"])
    return End(book, decimals, chain)


def chain_of(facts: Mapping[str, Any]) -> Chain:
    """Where the diffs stood at the end of a day, from the facts of its `book_end`; those of form 1 tell it of a known book only."""
    own = (facts["last_update_id"], facts["awaits_first"]) if facts["known"] else (NONE, False)
    return Chain(*facts.get("chain", own))


def carried(end: End | None, decimals: tuple[int, int]) -> Book:
    """The book to start from, in units of `decimals`."""
    if end is None or not end.book.known:
        return Book()
    price, size = (10 ** (to - own) for to, own in zip(decimals, end.decimals, strict=True))
    book = end.book
    levels = book.bid_prices * price, book.bid_sizes * size, book.ask_prices * price, book.ask_sizes * size
    return Book(*levels, last_id=book.last_id, known=book.known, awaits_first=book.awaits_first)


def end_rows(book: Book, decimals: tuple[int, int]) -> pl.DataFrame:
    """The rows of `clean_market__book_end`, best levels first; none where the book is unknown."""
    sides = ((1, book.bid_prices, book.bid_sizes), (-1, book.ask_prices, book.ask_sizes))
    frames = [pl.DataFrame({"side": np.full(len(p), sign), "price": p[::-1], "size": s[::-1]}) for sign, p, s in sides if book.known]
    rows = pl.concat(frames) if frames else pl.DataFrame(schema={"side": pl.Int8, "price": pl.Int64, "size": pl.Int64})
    given = {"update_id": book.last_id, "price_decimals": decimals[0], "size_decimals": decimals[1]}
    return rows.with_columns(**{name: pl.lit(value) for name, value in given.items()})


def compare(rows: pl.DataFrame, quotes: pl.DataFrame) -> tuple[int, int]:
    """How many quotes have the update id of an applied diff, and how many of them differ from the book after it."""
    known = rows.filter(pl.col("known") & ~pl.col("is_snapshot") & pl.all_horizontal(pl.col(c).is_not_null() for c in TOP))
    both = known.select("update_id", *TOP).join(quotes, on="update_id", suffix="_quoted")
    differs = pl.any_horizontal(pl.col(c) != pl.col(f"{c}_quoted") for c in TOP)
    return both.height, int(both.select(differs.sum()).item())


class Rebuild(NamedTuple):
    """What the rebuild of one day needs."""

    store: Store
    pieces: list[Piece]
    sources: dict[tuple[str, str], int]
    start: int
    decimals: tuple[int, int]
    quality: Quality
    account: Account
    keep_levels: int

    def run(self, book: Book, chain: Chain | None, quotes: pl.DataFrame, sink: Sink) -> Rebuilt:
        """Write the day's book rows, from `book` and `chain` on, into `sink`; `quotes` are those to compare with.

        Every depth row is accounted for.
        """
        pieces = [p for p in self.pieces if p.noun == "depth"]
        index = index_of(self.store, pieces, self.sources, self.start, quality=self.quality, before=not book.known)
        state, light = init(book, chain), []
        for after, rows in self.told(state, pieces, index):
            state = after
            for some in rows:
                told = some.with_columns(locked=checks.locked())
                sink.add(told.select(pl.col(c).cast(t) for c, t in table("clean_market__book").columns.items()))
                self.account.count(some, CLEAN)
                light.append(some.select(LIGHT))
        rows = pl.concat(light) if light else NO_ROWS
        compared, different = compare(rows, quotes)
        n_known = int(rows["known"].sum())
        facts = {
            "n": rows.height,
            "compared": compared,
            "different": different,
            "sequence_breaks": state.n_breaks,
            "snapshots": state.n_snapshots,
            "known_share": n_known / rows.height if rows.height else 0.0,
            "last_update_id": state.book.last_id if state.book.known and state.book.last_id > 0 else None,
            "ends_known": state.book.known,
        }
        return Rebuilt(state, rows, facts)

    def told(self, state: State, pieces: list[Piece], index: pl.DataFrame) -> Iterator[tuple[State, list[pl.DataFrame]]]:
        """The state after each batch, and the book rows it made."""
        replaces = bool(index.height and index["replaces"][0])
        if index.height:
            for good, twice, refused in batches(self.store, pieces, index, self.decimals, quality=self.quality):
                self.account.count(twice, DUPLICATE)
                self.account.refuse(refused, "depth", RAW["depth"].columns)
                given = good.with_columns(known_at="ts_recv", at_source="source", at_row="row")
                state, out = step(state, given, keep=self.keep_levels, replaces=replaces)
                for rows in out.superseded:
                    self.account.count(rows, DUPLICATE)
                for rows in out.crossed:
                    self.account.refuse(rows.with_columns(reason=pl.lit(checks.CROSSED_BOOK)), "depth", RAW["depth"].columns)
                yield state, out.rows
        yield state, finish(state).rows


def end_facts(books: Rebuilt, decimals: tuple[int, int]) -> dict[str, Any]:
    """What `end_of` reads beside the rows; `chain` is the last id of the diffs received, known book or not, and whether a snapshot's."""
    book, chain = books.state.book, books.state.chain
    sequence = {"known": book.known, "last_update_id": book.last_id, "awaits_first": book.awaits_first}
    return sequence | {"chain": [chain.last_id, chain.awaits_first], "price_decimals": decimals[0], "size_decimals": decimals[1]}
