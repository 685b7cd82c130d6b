"""How fast ingest and features are on this machine: made-up data through the real tasks, on a scratch lake.

Frames come from a stretch of the generated market; the features are built over a busy day, drawn at random, because a quiet day
measures the 86,400 seconds and not the trades. The first pass compiles and does not count. `scalp bench` takes these.
"""

import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from prefect import task
from prefect.cache_policies import NO_CACHE

from core import settings
from core.market import GENERATED, NS
from core.store import Part, Store
from core.tables import table
from tasks.clean import clean_day
from tasks.features import build_bars, build_inputs, build_labels
from tasks.generated import write_day, write_market
from tasks.measuring import Measured
from tasks.recordings import read_recording
from tasks.trade_features import build_trade_inputs

PASSES = 3
N_TRADES, LEVELS = 3_000_000, 20
SYMBOL, DELAY = "BENCHUSDT", 5_000_000  # ns


@task(task_run_name="measure ingest and features", cache_policy=NO_CACHE)
def paces(config: settings.Settings) -> list[Measured]:
    """Frames a second through decode, book rebuild and clean tables; trades a second through bars, inputs and labels, and through the
    features of every trade: medians."""
    market = config.generator.model_copy(update={"symbols": (SYMBOL,), "days": 1, "frames_per_s": 4.0})
    day = date.fromisoformat(market.day)
    with tempfile.TemporaryDirectory(prefix="scalp-bench-") as folder:
        scratch = Path(folder)
        (file,) = write_market(market, scratch / "market", write_day.fn)
        frames = [ingested(Store(scratch / f"frames{n}"), file, day, config) for n in range(PASSES + 1)]
        trades = [built(Store(scratch / f"trades{n}"), day, config) for n in range(PASSES + 1)]
    of_seconds, of_trades = zip(*trades[1:], strict=True)
    return [
        rate("decode, book rebuild, clean tables", "frames/s", frames[1:]),
        rate("bars, inputs and labels", "trades/s", of_seconds),
        rate("trade features", "trades/s", of_trades),
    ]


def ingested(store: Store, file: Path, day: date, config: settings.Settings) -> float:
    """Frames a second of one file, from its bytes to the clean tables; one thread."""
    began = time.perf_counter()
    facts = read_recording.fn(store, str(file), quality=config.quality, venue=GENERATED, generated=True)
    fees = config.fees.by_venue[GENERATED]
    clean_day.fn(store, GENERATED, SYMBOL, day, quality=config.quality, keep_levels=config.ingest.keep_levels, fees=fees)
    return facts["n_rows"] / (time.perf_counter() - began)


def built(store: Store, day: date, config: settings.Settings) -> tuple[float, float]:
    """Trades a second of one busy day, from the clean tables to labels, and to the features of every trade."""
    busy_day(store, day)
    began = time.perf_counter()
    build_bars.fn(store, GENERATED, SYMBOL, day, rules=config.bars)
    build_inputs.fn(store, GENERATED, SYMBOL, day, rules=config.bars, quality=config.quality)
    build_labels.fn(store, GENERATED, SYMBOL, day, rules=config.labels, quality=config.quality)
    halfway = time.perf_counter()
    build_trade_inputs.fn(store, GENERATED, SYMBOL, day, quality=config.quality)
    return N_TRADES / (halfway - began), N_TRADES / (time.perf_counter() - halfway)


def busy_day(store: Store, day: date, symbol: str = SYMBOL, n_trades: int = N_TRADES) -> None:
    """Clean tables of a day with `n_trades` trades, evenly spread, around a random walk; a tenth of that in tops, a thirtieth in books."""
    n_tops, n_books = n_trades // 10, n_trades // 30
    rng = np.random.default_rng(7)
    start = int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()) * NS

    def walk(n: int) -> np.ndarray:
        return 600_000 + np.cumsum(rng.integers(-1, 2, n))

    def sizes(*shape: int) -> np.ndarray:
        return rng.integers(1, 9_000, shape)

    def write(name: str, n: int, **columns: Any) -> None:
        ts = start + np.sort(rng.integers(0, 86_400 * NS, n))
        clocks = {"ts_event": ts, "ts_recv": ts + DELAY, "known_at": ts + DELAY}
        row = {"price_decimals": 1, "size_decimals": 3, "source": 0, "ts_estimated": False, "locked": False, "row": np.arange(n)}
        filled = clocks | row | columns
        series = {c: filled.get(c) for c in table(name).columns}
        made = {c: pl.Series(v) if isinstance(v, np.ndarray) else pl.repeat(v, n, eager=True) for c, v in series.items()}
        frame = pl.DataFrame({c: made[c].cast(t) for c, t in table(name).columns.items()})
        store.write(Part(name, GENERATED, symbol, day), frame, inputs={}, params={})

    side = rng.choice(np.array([-1, 1], dtype=np.int8), n_trades)
    ids = np.arange(n_trades)
    write("clean_market__trades", n_trades, trade_id=ids, price=walk(n_trades), size=sizes(n_trades), side=side, side_inferred=False)
    bid = walk(n_tops)
    top = {"update_id": ids[:n_tops], "bid": bid, "ask": bid + 1, "bid_size": sizes(n_tops), "ask_size": sizes(n_tops)}
    write("clean_market__top", n_tops, from_book=False, **top)
    write("clean_market__quotes", n_tops, **top)
    mid, away = walk(n_books)[:, None], np.arange(LEVELS)
    levels = {"bid_prices": mid - away, "ask_prices": mid + 1 + away}
    levels |= {"bid_sizes": sizes(n_books, LEVELS), "ask_sizes": sizes(n_books, LEVELS)}
    write("clean_market__book", n_books, update_id=ids[:n_books], is_snapshot=False, known=True, **levels)
    write("clean_market__marks", 0)
    about = {"venue": GENERATED, "symbol": symbol, "day": day, "base": "BENCH", "quote": "USDT", "settlement": "USDT"}
    costs = {"maker_bps": 0.0, "taker_bps": 0.5, "fee_tier": "default", "tick_size": 0.1, "lot_size": 0.001, "contract_multiplier": 1.0}
    write("clean_market__instruments", 1, inverse=False, **about, **costs)


def rate(name: str, unit: str, values: Sequence[float]) -> Measured:
    ordered = sorted(values)
    return Measured(name, unit, ordered[len(ordered) // 2], ordered[-1] - ordered[0], True)
