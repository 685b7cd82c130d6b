"""How the partitions that a backfill is asked for stand: from footers alone, by the same functions that the builders ask.

Wanted -> raw (of the generated market), clean, features, model: fresh | missing | stale, and why
"""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from datetime import date, timedelta
from typing import NamedTuple

from core import asking
from core.asking import BadParameter, Grain
from core.backfills import Found, Kind, Only, Partition, Stage
from core.freshness import FRESH, Freshness
from core.market import GENERATED, SYMBOL
from core.settings import Settings
from core.states import State
from core.store import Part, Store, StoreError
from core.tables import raw_table
from tasks.accounts import ROWS
from tasks.asked import today
from tasks.clean import day_to_build
from tasks.features import INPUTS, seconds_fresh
from tasks.pieces import NOUNS, days_of
from tasks.raw import pieces_of
from tasks.span import INSTRUMENTS, Span
from tasks.trade_features import trade_inputs_of
from tasks.train import model_to_train

DAY = timedelta(days=1)
KINDS = {Grain.SECOND: (Kind.FEATURES,), Grain.TRADE: (Kind.TRADES,), Grain.BOTH: (Kind.FEATURES, Kind.TRADES)}
NOT_YET = Freshness(State.MISSING, "the market generator makes it")


class Wanted(NamedTuple):
    """What a backfill is asked for, checked: days of symbols of a venue, both ends included."""

    stage: Stage
    venue: str
    symbols: tuple[str, ...]
    start: date
    end: date
    only: Only = Only.ALL
    grain: Grain = Grain.SECOND
    upstream: bool = True

    @property
    def days(self) -> list[date]:
        return [self.start + n * DAY for n in range((self.end - self.start).days + 1)]

    @property
    def kinds(self) -> set[Kind]:
        """What is looked at, and made."""
        own = {
            Stage.INGEST: {Kind.RAW, Kind.CLEAN},
            Stage.FEATURES: {*KINDS[self.grain]},
            Stage.TRAIN: {Kind.MODEL},
        }
        stages = list(Stage)
        asked = stages[: stages.index(self.stage) + 1] if self.upstream else [self.stage]
        return {kind for stage in asked for kind in own[stage]} | ({Kind.FEATURES} if len(asked) == 3 else set())


class Survey(NamedTuple):
    found: list[Found]
    absent: list[str]  # days asked for that nothing can be made of, a sentence each


def wanted(store: Store, config: Settings, asked: Wanted) -> Wanted:
    """What was asked for, with all symbols there are where none was named. Raises `BadParameter`."""
    asking.span(asked.start, asked.end, today())
    if asked.venue == GENERATED:
        known = sorted({*config.generator.symbols, *(part.symbol for part in store.parts(raw_table(GENERATED, "files"), GENERATED))})
        for symbol in asked.symbols:
            if not SYMBOL.fullmatch(symbol) or symbol != symbol.upper():
                raise BadParameter("symbols", f"{symbol!r} cannot be generated: capital letters, digits, . _ and -, such as SIMUSDT")
            if symbol not in known:  # a slip would else be a market of its own from then on
                raise BadParameter(
                    "symbols", f"the generated market has no {symbol!r}, but {', '.join(known)}; SCALP_GENERATOR__SYMBOLS says what it has"
                )
        return asked._replace(symbols=asked.symbols or config.generator.symbols)
    tables = [ROWS, *(raw_table(asked.venue, noun) for noun in NOUNS)]
    there = {(p.venue, p.symbol) for table in tables for p in store.parts(table, asked.venue)}
    if not there:
        others = {p.venue for table in store.tables() if table == ROWS for p in store.parts(table)}
        asking.one_of("venue", asked.venue, others | {GENERATED}, "scalp ingest reads data in")
    asking.instruments(asked.venue, asked.symbols, there, "scalp ingest reads data in")
    return asked._replace(symbols=asked.symbols or tuple(sorted(symbol for _, symbol in there)))


def survey(store: Store, config: Settings, asked: Wanted) -> Survey:
    """How every partition stands. `store` is best one that is `still`: the same footers are asked for again and again.

    Raises `ValueError` for settings that nothing can be made by.
    """
    found: list[Found] = []
    absent: list[str] = []
    built: dict[str, list[date]] = {}
    for symbol in asked.symbols:
        days = days_wanted(store, config, asked, symbol)
        if Kind.CLEAN in asked.kinds:
            raw = [*raw_of(store, asked, symbol)] if asked.venue == GENERATED else []
            clean = [*clean_of(store, config, asked, symbol, days)]
            found += [*raw, *clean]
            to_come = {one.partition.day for one in (*raw, *clean) if one.state is not State.FRESH}
        else:
            to_come = set()
        if gone := [day for day in asked.days if day not in days]:
            absent.append(f"{asked.venue}/{symbol}: no {'raw rows' if Kind.CLEAN in asked.kinds else 'clean day'} of {spans(gone)}")
        # A clean day may be there without a row: nothing can be made of it.
        built[symbol] = [day for day in days if day in to_come or store.exists(Part(INSTRUMENTS, asked.venue, symbol, day))]
        for kind in sorted(asked.kinds & {Kind.FEATURES, Kind.TRADES}):
            found += features_of(store, config, asked, symbol, built[symbol], kind)
    if Kind.MODEL in asked.kinds:
        found += model_of(store, config, asked, built)
    return Survey(found, absent)


def days_wanted(store: Store, config: Settings, asked: Wanted, symbol: str) -> list[date]:
    """The days of exchange time in the range that have a clean day, or raw rows for one; all of them on the generated market."""
    if asked.venue == GENERATED and Kind.CLEAN in asked.kinds:
        return asked.days
    days = {part.day for part in store.parts(ROWS, asked.venue, symbol)}
    if Kind.CLEAN in asked.kinds:
        days |= {*days_of(store, asked.venue, symbol, config.quality.max_clock_skew_s, known=days)}
    return sorted(day for day in days if asked.start <= day <= asked.end)


def raw_of(store: Store, asked: Wanted, symbol: str) -> Iterator[Found]:
    """Days of the generated market: each goes on from the one before."""
    read: set[date] = set()
    for part in store.parts(raw_table(GENERATED, "files"), GENERATED, symbol):
        with contextlib.suppress(StoreError):  # a torn receipt is none
            if (lineage := store.lineage(part)) and all(store.exists(piece) for piece in pieces_of(lineage.facts)):
                read.add(part.day)
    for day in asked.days:
        of = (Partition(Kind.RAW, GENERATED, symbol, day - DAY),)
        yield found_as(Partition(Kind.RAW, GENERATED, symbol, day), FRESH if day in read else NOT_YET, of)


def clean_of(store: Store, config: Settings, asked: Wanted, symbol: str, days: Sequence[date]) -> Iterator[Found]:
    fees = config.fees.by_venue.get(asked.venue, config.fees.default)
    for day in days:
        raw = [Partition(Kind.RAW, asked.venue, symbol, day + n * DAY) for n in (-1, 0, 1)]
        of = (Partition(Kind.CLEAN, asked.venue, symbol, day - DAY), *raw)

        def state(symbol: str = symbol, day: date = day) -> Freshness:
            rules = {"quality": config.quality, "keep_levels": config.ingest.keep_levels, "fees": fees}
            return day_to_build(store, asked.venue, symbol, day, **rules).freshness()

        yield found_as(Partition(Kind.CLEAN, asked.venue, symbol, day), state_of(state), of)


def features_of(store: Store, config: Settings, asked: Wanted, symbol: str, days: Sequence[date], kind: Kind) -> Iterator[Found]:
    for day in days:
        of = tuple(Partition(Kind.CLEAN, asked.venue, symbol, day + n * DAY) for n in (-1, 0, 1))

        def state(day: date = day) -> Freshness:
            if kind is Kind.TRADES:
                return trade_inputs_of(Span(store, asked.venue, symbol, day), config.quality).freshness(store)
            return seconds_fresh(store, asked.venue, symbol, day, bars=config.bars, quality=config.quality, labels=config.labels)

        yield found_as(Partition(kind, asked.venue, symbol, day), state_of(state), of)


def model_of(store: Store, config: Settings, asked: Wanted, built: dict[str, list[date]]) -> Iterator[Found]:
    """The model over all days of all symbols."""
    of = [Partition(Kind.FEATURES, asked.venue, symbol, day) for symbol, days in built.items() for day in days]
    parts = [Part(INPUTS, asked.venue, one.symbol, one.day) for one in of]
    if Kind.FEATURES not in asked.kinds:
        parts = [part for part in parts if store.exists(part)]
    if not parts:
        return

    def state() -> Freshness:
        if not all(store.exists(part) for part in parts):
            return Freshness(State.MISSING, "not all of its features are there yet")
        return model_to_train(store, parts, train=config.train, data_dir=config.data_dir).freshness()

    name = "+".join(sorted({part.symbol for part in parts}))
    yield found_as(Partition(Kind.MODEL, asked.venue, name, max(part.day for part in parts)), state_of(state), tuple(of))


def found_as(partition: Partition, state: Freshness, of: tuple[Partition, ...]) -> Found:
    return Found(partition, state.state, state.why, of)


def state_of(ask: Callable[[], Freshness]) -> Freshness:
    """The state; where something it is made of cannot be read, stale, and why: making it will fail with just that."""
    try:
        return ask()
    except StoreError as error:
        return Freshness(State.STALE, str(error))


def spans(days: Sequence[date]) -> str:
    """Days in order as stretches: `2026-01-05, 2026-01-07 to 2026-01-09`."""
    stretches: list[list[date]] = []
    for day in days:
        if stretches and day - stretches[-1][-1] == DAY:
            stretches[-1].append(day)
        else:
            stretches.append([day])
    return ", ".join(str(of[0]) if len(of) == 1 else f"{of[0]} to {of[-1]}" for of in stretches)
