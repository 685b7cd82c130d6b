"""Recordings of Binance frames to events, book, top of book and the comparison with the ticker, beside msgspec with a dictionary book.

In memory, and with the Parquet parts the pipeline writes; two symbols in two threads, as the flow runs them. Where the recordings are
not there, the rows are of a generated market, and named so.
"""

# pyright: reportMissingImports=false

import asyncio
import atexit
import shutil
import tempfile
from collections.abc import Mapping
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from bench.harness import Arrays, Bench, Pass, Row, Variant, same
from bench.runner import ROOT

DATA = ROOT.parent / "shared" / "data" / "hftbacktest"
FILES = {"usdm": "usdm/btcusdt_20240808.gz", "spot": "spot/btcusdt_20240808.gz", "cm": "cm/btcusd_perp_20240808.gz"}
MARKETS = tuple(m for m, file in FILES.items() if (DATA / file).exists()) or ("generated",)
PAIR = ("usdm/btcusdt_20240808.gz", "usdm/ethusdt_20240808.gz")
BATCH, SMALL = 16_384, 5_000


def make(folder: Path, size: int) -> Mapping[str, Any]:
    """One recording a market, its first `size` lines; and two symbols for the row on threads."""
    from isal import igzip

    facts = {}
    sources = {m: DATA / FILES[m] if m in FILES else generated(folder) for m in MARKETS}
    pair = [DATA / file if (DATA / file).exists() else sources[MARKETS[0]] for file in PAIR]
    for market, source in (sources | {f"pair{n}": source for n, source in enumerate(pair)}).items():
        with igzip.open(source) as lines, igzip.open(folder / f"{market}.gz", "wb", compresslevel=1) as out:
            some: Any = list(islice(lines, size))
            out.writelines(some)
        facts[market] = len(some)
    return facts | {"pair": sum(facts[f"pair{n}"] for n in range(2))}


def generated(folder: Path) -> Path:
    from core import settings
    from tasks.generated import write_day, write_market

    config = settings.load()
    market = config.generator.model_copy(update={"symbols": ("BENCHUSDT",), "days": 1, "frames_per_s": 2.0})
    (file,) = write_market(market, folder / "market", write_day.fn)
    return file


def in_memory(folder: Path, *, market: str) -> Pass:
    """Inflate, decode, judge levels, book, top and comparison by the tasks' kernels; without their other checks, sides and accounts."""
    import polars as pl

    from kernels.book import Book
    from kernels.frames import Frames
    from kernels.frames_columns import Tables
    from kernels.levels import level_faults
    from kernels.rebuild import SIDES, finish, init, side, step
    from kernels.top import COLUMNS, top
    from tasks.books import LIGHT, compare
    from tasks.lines import blocks

    path = folder / f"{market}.gz"
    size = path.stat().st_size

    def once() -> Arrays:
        frames = Frames()
        for block in blocks(path, size):
            frames.add(block.lines)
        found: dict[str, list[pl.DataFrame]] = {}
        tables = Tables(frames, off_grid_share=0.001)
        for noun, _, _, rows in tables.rows():
            found.setdefault(noun, []).append(rows)
        offset = pl.duration(nanoseconds=next(iter(tables.told.values())).offset_ns or 0)
        arrived = {
            "ts_estimated": pl.col("ts_event").is_null(),
            "ts_event": pl.coalesce("ts_event", pl.col("ts_recv") + offset),
            "known_at": pl.col("ts_recv"),
            "at_recv": pl.col("ts_recv").to_physical().cum_max(),
            "at_source": pl.lit(0),
            "at_row": pl.col("row"),
        }
        depth = pl.concat(found["depth"]).with_columns(**arrived, emit=pl.lit(True))
        quotes = pl.concat(found["quotes"]).with_columns(**arrived)
        state, light = init(Book()), []
        for at in range(0, depth.height, BATCH):
            rows = depth[at : at + BATCH]
            if level_faults(side(rows, *SIDES[0]), side(rows, *SIDES[1]), max_price=2**53, max_size=2**53).any():
                raise ValueError("a level that no book can have")
            state, out = step(state, rows, keep=20)
            light += [some.select(LIGHT) for some in out.rows]
        light += [some.select(LIGHT) for some in finish(state).rows]
        books = pl.concat(light)
        compared, different = compare(books, quotes)
        tops = top(quotes.select(*COLUMNS, "at_recv", "at_source", "at_row"), books)
        if different or not tops.height:
            raise ValueError(f"{different} of {compared} quotes differ from the book")
        book = state.book
        return {
            "bids": np.stack([book.bid_prices, book.bid_sizes]),
            "asks": np.stack([book.ask_prices[::-1], book.ask_sizes[::-1]]),
            "scale": np.array(next(iter(tables.told.values()))[:2]),
        }

    return once


def written(folder: Path, *, files: tuple[str, ...], threads: int = 1) -> Pass:
    """The pipeline's own tasks, from the file's bytes to the clean tables on disk."""
    from core import settings
    from core.store import Store
    from tasks.clean import clean_day
    from tasks.pieces import days_of
    from tasks.recordings import read_recording

    config = settings.load()
    lakes = Path(tempfile.mkdtemp(prefix="scalp-bench-lakes-"))
    atexit.register(shutil.rmtree, lakes, ignore_errors=True)

    def one(store: Store, file: str) -> None:
        facts = read_recording.fn(store, str(folder / f"{file}.gz"), quality=config.quality)
        for venue, symbol in facts["instruments"]:
            fees = config.fees.by_venue.get(venue, config.fees.default)
            for day in days_of(store, venue, symbol, config.quality.max_clock_skew_s):
                clean_day.fn(store, venue, symbol, day, quality=config.quality, keep_levels=config.ingest.keep_levels, fees=fees)

    async def together(store: Store) -> None:
        await asyncio.gather(*(asyncio.to_thread(one, store, file) for file in files))

    def once() -> None:
        store = Store(tempfile.mkdtemp(dir=lakes), code="bench")
        if threads > 1:
            asyncio.run(together(store))
        else:
            for file in files:
                one(store, file)

    return once


def plain(folder: Path, *, market: str) -> Pass:
    """msgspec's typed structs and a dictionary a side: no Parquet, no levels kept, no top, no comparison, nothing refused."""
    import gzip

    import msgspec

    class Frame(msgspec.Struct, gc=False):
        u: int = 0
        U: int = 0
        pu: int = -1
        s: str = ""
        p: float = 0.0
        q: float = 0.0
        B: float = 0.0
        A: float = 0.0
        b: list[tuple[float, float]] | float | None = None
        a: list[tuple[float, float]] | float | None = None
        lastUpdateId: int = 0
        bids: list[tuple[float, float]] = []
        asks: list[tuple[float, float]] = []

    class Wrapped(msgspec.Struct, gc=False):
        stream: str
        data: Frame

    whole, alone = msgspec.json.Decoder(Wrapped, strict=False).decode, msgspec.json.Decoder(Frame, strict=False).decode

    def apply(side: dict[float, float], levels: Any) -> None:
        for price, size in levels:
            if size:
                side[price] = size
            else:
                side.pop(price, None)

    def once() -> Arrays:
        bids: dict[float, float] = {}
        asks: dict[float, float] = {}
        waiting: list[Frame] = []
        last, n = 0, 0
        with gzip.open(folder / f"{market}.gz") as lines:
            for line in lines:
                text = line[line.index(b" ") + 1 :]
                if text.startswith(b'{"stream'):
                    frame = whole(text).data
                    n += 1
                    if not frame.U:
                        continue
                    if not last:
                        waiting.append(frame)
                        continue
                    apply(bids, frame.b)
                    apply(asks, frame.a)
                elif not last:
                    frame = alone(text)
                    last = frame.lastUpdateId
                    bids.update(frame.bids)
                    asks.update(frame.asks)
                    for frame in waiting:
                        if frame.u >= last:
                            apply(bids, frame.b)
                            apply(asks, frame.a)
        return {"bids": np.array(sorted(bids.items())).T, "asks": np.array(sorted(asks.items())).T}

    return once


def check(found: Mapping[str, Arrays]) -> str:
    for market in MARKETS:
        ours, theirs = found[f"{market}, in memory"], found[f"{market}, msgspec and a dictionary"]
        for side in ("bids", "asks"):
            mine = ours[side] / 10.0 ** ours["scale"][:, None]
            order = np.argsort(mine[0])
            same(f"{market}, {side} at the end", mine[:, order], theirs[side])
    return "the whole book at the end, level by level; no quote of the venue differs from the book of its update id"


def rows_of(market: str) -> tuple[Row, ...]:
    peers = (f"{market}, msgspec and a dictionary",)
    return (
        Row(f"recording to book and top, {market}", "frames/s", f"{market}, in memory", peers, market, at_least=250_000),
        Row(f"the same with all Parquet parts, {market}", "frames/s", f"{market}, written", peers, market),
    )


BENCH = Bench(
    name="feed_recordings",
    about="recordings to events, book, top of book and ticker comparison",
    make=make,
    small=SMALL,
    large=10_000_000,
    variants=(
        *(Variant(f"{m}, in memory", partial(in_memory, market=m), repeats=3, seconds=0.5) for m in MARKETS),
        *(Variant(f"{m}, written", partial(written, files=(m,)), repeats=3, seconds=0.5, checked=False) for m in MARKETS),
        *(Variant(f"{m}, msgspec and a dictionary", partial(plain, market=m), peer=True, repeats=3, seconds=0.5) for m in MARKETS),
        Variant("two symbols, one after the other", partial(written, files=("pair0", "pair1")), repeats=3, checked=False),
        Variant("two symbols, two threads", partial(written, files=("pair0", "pair1"), threads=2), repeats=3, threads=2, checked=False),
    ),
    rows=(
        *(row for market in MARKETS for row in rows_of(market)),
        Row("two symbols on two cores", "frames/s", "two symbols, two threads", ("two symbols, one after the other",), "pair", target=1.7),
    ),
    check=check,
    rounds=1,
)
