"""One UTC day of one instrument: every raw row judged, the book rebuilt and checked, the top fused, and all of it accounted for.

    raw pieces (+ the book in which the day before ended) -> clean_market__*, quarantine_market__rows

Facts of every part: sources accounting by_reason. Of the day, as `clean_day` returns them: venue symbol day trades quotes book marks
(rows) compared different sequence_breaks book_known_share (of the book's rows) ends_known last_update_id seconds changed warnings.
"""

import errno
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta
from typing import Any, NamedTuple

import polars as pl
from prefect import task
from prefect.cache_policies import NO_CACHE

from core.freshness import Freshness, joined
from core.settings import Quality
from core.states import State
from core.store import Part, Store, StoreError, inputs_of
from core.tables import table
from kernels.book import NONE
from kernels.clean import DAY_NS, told
from kernels.sides import with_sides
from kernels.top import top
from tasks.accounts import ROWS, Account
from tasks.books import End, Rebuild, Rebuilt, carried, chain_of, end_facts, end_of, end_rows
from tasks.damage import blaming
from tasks.doubts import doubts
from tasks.judge import Judge
from tasks.pieces import MARGIN_NS, Piece, decimals_of, pieces_near, rows_between, start_of

FORM = 2  # of the rows that come out; a change builds again
NEVER_AGAIN = (errno.ENOSPC, errno.EDQUOT, errno.ENOENT, errno.EACCES, errno.EPERM, errno.EROFS)
MARKET = tuple(f"clean_market__{noun}" for noun in ("trades", "quotes", "book", "top", "book_end", "marks", "instruments"))


def recoverable(_task: Any, _run: Any, state: Any) -> bool:
    """Whether a second try of a task may succeed."""
    return hiccup(state.result(raise_on_failure=False))


def hiccup(error: object) -> bool:
    """Whether it is a share or an object store that was away for a moment, not bad data or a full disk."""
    undecodable = type(error) is OSError and error.errno is None  # what Arrow says of a damaged file
    return isinstance(error, OSError) and error.errno not in NEVER_AGAIN and not undecodable


def params_of(quality: Quality, keep_levels: int, fees: tuple[float, float]) -> dict[str, Any]:
    return {"form": FORM, "quality": quality.model_dump(mode="json"), "keep_levels": keep_levels, "fees": list(fees)}


def make_day(
    store: Store, venue: str, symbol: str, day: date, *, quality: Quality, keep_levels: int, fees: tuple[float, float]
) -> dict[str, Any]:
    """Build the day, unless it is there and made of just these pieces by these settings; returns its facts.

    The book keeps `keep_levels` levels a side; `fees` are the maker's and the taker's, in basis points of notional. A day whose pieces
    are all gone stays as it is. Raises `StoreError` for an unreadable part or a full disk.
    """
    of = day_to_build(store, venue, symbol, day, quality=quality, keep_levels=keep_levels, fees=fees)
    if of.freshness().fresh and (known := store.lineage(of.of)):
        kept = of.kept_though(known.inputs)
        return known.facts["day"] | {"changed": False} | ({"warnings": [f"{venue}/{symbol} {day}: {kept}"]} if kept else {})
    with blaming(store, of.inputs):
        return of.build(quality, keep_levels, fees)


clean_day = task(
    name="clean_day",
    task_run_name="clean {venue}/{symbol} {day}",
    retries=2,
    retry_delay_seconds=[1, 3],
    retry_condition_fn=recoverable,
    cache_policy=NO_CACHE,
)(make_day)


def day_to_build(
    store: Store, venue: str, symbol: str, day: date, *, quality: Quality, keep_levels: int, fees: tuple[float, float]
) -> "Day":
    """The day as it would be built now; only footers are read. Raises `StoreError` for an unreadable piece."""
    pieces = pieces_near(store, venue, symbol, day, quality.max_clock_skew_s)
    before = Part("clean_market__book_end", venue, symbol, day - timedelta(days=1))
    inputs = {str(p.part): p.content for p in pieces} | (inputs_of(store, [before]) if store.exists(before) else {})
    # Where the diffs of the day before ended counts too, and no row tells it while the book is unknown.
    chain = list(chain_of(ended.facts)[:2]) if (ended := store.lineage(before) if store.exists(before) else None) else None
    params = params_of(quality, keep_levels, fees) | {"chain_before": chain}
    return Day(store, Part(ROWS, venue, symbol, day), pieces, before, inputs, params)


class Day(NamedTuple):
    """A day to build: its quarantine part, which is written last, and what it is made of."""

    store: Store
    of: Part
    pieces: list[Piece]
    before: Part
    inputs: Mapping[str, str]
    params: Mapping[str, Any]

    def freshness(self) -> Freshness:
        """Of all its tables. A day whose pieces are all gone, or one of which was emptied, is fresh: it stays as it is."""
        try:
            known = self.store.lineage(self.of)
        except StoreError as error:
            return Freshness(State.STALE, str(error))
        if known is None:
            return Freshness(State.MISSING, "not there")
        tables = (*known.facts["tables"], ROWS) if self.pieces and not self.emptied else ()
        return joined({name: self.store.freshness(self.of.of(name), inputs=self.inputs, params=self.params) for name in tables})

    @property
    def emptied(self) -> bool:
        """Whether rows of it were taken away."""
        return any(piece.facts.get("emptied") for piece in self.pieces)

    def kept_though(self, inputs: Mapping[str, str]) -> str:
        """What has to be said of a day that was made of these inputs and stays as it is, for it could not be made again."""
        if not self.pieces:
            return "its raw rows are gone; the day is kept"
        if self.emptied and dict(self.inputs) != dict(inputs):
            return "raw rows of it are gone (retention.raw_days); the day is kept, and what came or changed since is not in it"
        return ""

    def build(self, quality: Quality, keep_levels: int, fees: tuple[float, float]) -> dict[str, Any]:
        began = time.monotonic()
        start = start_of(self.of.day)
        end = end_of(self.store, self.before)
        decimals = decimals_of(self.pieces, *([end.decimals] if end and end.book.known else []))
        sources = {source: n for n, source in enumerate(dict.fromkeys(p.source for p in self.pieces))}
        account = Account(list(sources))
        judge = Judge(account, quality, decimals, start)

        def read(noun: str, margin: int = 0) -> pl.DataFrame:
            return rows_between(self.store, self.pieces, noun, sources, decimals, start - margin, start + DAY_NS + margin)

        account.refuse(read("refused"), "frame", ())
        trades, of_trades = judge.trades(read("trades"))
        quotes, comparable = judge.quotes(read("quotes", MARGIN_NS))
        marks = judge.marks(read("marks"))
        first = carried(end, decimals)
        with self.store.writing(self.of.of("clean_market__book"), inputs=self.inputs, params=self.params) as sink:
            rebuild = Rebuild(self.store, self.pieces, sources, start, decimals, quality, account, keep_levels)
            books = rebuild.run(first, end.chain if end else None, comparable, sink)
            every = account.facts()
            sink.facts.update(every | books.facts)
        tops = top(quotes, books.rows, last_id=first.last_id if first.known else NONE)
        tops = tops.with_columns(price_decimals=pl.lit(decimals[0], dtype=pl.Int8), size_decimals=pl.lit(decimals[1], dtype=pl.Int8))
        trades = with_sides(trades, tops)

        made = {
            "trades": (trades, of_trades | {"sides_inferred": bool(trades["side_inferred"].any())}),
            "quotes": (quotes.sort("ts_event", maintain_order=True), {"n": quotes.height, "locked": int(quotes["locked"].sum())}),
            "top": (tops, {"n": tops.height, "median_age_ms": median_age_ms(tops)}),
            "book_end": (end_rows(books.state.book, decimals), end_facts(books, decimals)),
            "marks": (marks, {"n": marks.height}),
            "instruments": (self.instrument(decimals, fees), {}),
        }
        with ThreadPoolExecutor(len(made)) as pool:  # each waits for the disk once: all wait together
            written = [pool.submit(self.write, f"clean_market__{noun}", frame, every | facts) for noun, (frame, facts) in made.items()]
        for one in written:
            one.result()
        tables = list(MARKET)
        if not (trades.height or quotes.height or books.rows.height or marks.height):
            for name in MARKET:
                self.store.remove(self.of.of(name))
            tables = []
        found = self.facts(trades, quotes, marks, books, end) | {"seconds": round(time.monotonic() - began, 3)}
        self.write(ROWS, account.rows(), every | {"day": found, "tables": tables})
        return found | {"changed": True}

    def write(self, name: str, frame: pl.DataFrame, facts: Mapping[str, Any]) -> None:
        rows = frame.select(list(table(name).columns))
        self.store.write(self.of.of(name), rows, inputs=self.inputs, params=self.params, facts=facts)

    def facts(self, trades: pl.DataFrame, quotes: pl.DataFrame, marks: pl.DataFrame, books: Rebuilt, before: End | None) -> dict[str, Any]:
        of = {"venue": self.of.venue, "symbol": self.of.symbol, "day": self.of.day.isoformat()}
        rows = {"trades": trades.height, "quotes": quotes.height, "book": books.rows.height, "marks": marks.height}
        book = {k: books.facts[k] for k in ("compared", "different", "sequence_breaks", "snapshots", "ends_known", "last_update_id")}
        name = f"{self.of.venue}/{self.of.symbol} {self.of.day}"
        warnings = [f"{name}: {doubt}" for doubt in doubts(books, before, start_of(self.of.day) + DAY_NS)]
        return of | rows | book | {"book_known_share": books.facts["known_share"], "warnings": warnings}

    def instrument(self, decimals: tuple[int, int], fees: tuple[float, float]) -> pl.DataFrame:
        """What (venue, symbol) meant on this day; tick and lot are the finest steps found."""
        price, size = decimals
        of = {"venue": self.of.venue, "symbol": self.of.symbol, "day": self.of.day, "price_decimals": price, "size_decimals": size}
        steps = {"tick_size": 10.0**-price, "lot_size": 10.0**-size}
        cost = {"fee_tier": "default", "maker_bps": fees[0], "taker_bps": fees[1]}
        row = of | steps | told(self.of.venue, self.of.symbol) | cost
        return pl.DataFrame([row], schema=dict(table("clean_market__instruments").columns))


def median_age_ms(tops: pl.DataFrame) -> float | None:
    """The median time a top stood before it was moved or confirmed, in milliseconds."""
    stood = tops.select(pl.col("age_ns").median()).item()
    return None if stood is None else round(stood / 1e6, 3)
