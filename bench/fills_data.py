# pyright: reportMissingImports=false
"""Level 2 events for the simulation: a made-up stream with a seed, and recordings decoded by our own reader. Each is written twice,
as ours (`fills_events.EVENT`) and as hftbacktest's records, from the same whole numbers."""

import gzip
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numba import njit

TICK, LOT = 0.1, 0.001
SHARED = Path(__file__).resolve().parents[2] / "shared" / "data" / "hftbacktest" / "usdm" / "btcusdt_20240808.gz"
REACH = 30_000  # ticks either way of the middle that the dense books hold; what is farther out is left out by both
BASE_LATENCY = 1_000_000  # ns: the least feed latency of recordings, whose clock was behind the venue's
# hftbacktest's records: flags of an event, 64 bytes each.
PEER = np.dtype([("ev", "u8"), ("exch_ts", "i8"), ("local_ts", "i8"), ("px", "f8"), ("qty", "f8"), ("order_id", "u8"), ("ival", "i8"),
                 ("fval", "f8")], align=True)  # fmt: skip
IS_BUY, IS_SELL = 1 << 29, 1 << 28
KINDS = (1, 2, 3)  # depth, trade, clear


@njit(cache=True)
def stream(n, seed, ts_event, ts_recv, kind, side, price, size):
    """A book that is added to, taken from and traded with, some 2,000 rows a second; messages of one to six rows share their times."""
    np.random.seed(seed)
    span, start = 4096, 600_000
    levels = np.zeros((2, span), np.int64)
    best = np.array([span // 2 - 1, span // 2])
    low = start - span // 2
    now, received, i = np.int64(1_700_000_000_000_000_000), np.int64(0), 0
    for s in range(2):
        for d in range(40):
            at = best[s] - d if s == 0 else best[s] + d
            levels[s, at] = 1 + np.int64(np.random.exponential(2000.0))
            if i < n:
                ts_event[i], ts_recv[i], kind[i], side[i], price[i], size[i] = now, now + 2_000_000, 0, s, low + at, levels[s, at]
                i += 1
    received = now + 2_000_000
    drift = 0.0
    while i < n:
        now += 1 + np.int64(np.random.exponential(1_600_000.0))
        received = max(received, now + 1_000_000 + np.int64(np.random.lognormal(14.0, 0.8)))
        drift = 0.99 * drift + np.random.normal() * 0.02 - 1e-5 * (best[0] - span // 2)
        for _ in range(1 + np.random.poisson(2.0)):
            if i >= n:
                break
            s = np.int64(np.random.random() < 0.5 + drift)
            step = -1 if s == 0 else 1  # away from the other side
            if np.random.random() < 0.12:  # a trade that hits side s, and what it leaves
                at = best[s]
                some = 1 + np.int64(np.random.exponential(400.0))
                hits = min(some, levels[s, at])
                ts_event[i], ts_recv[i], kind[i], side[i], price[i], size[i] = now, received, 1, 1 - s, low + at, hits
                i += 1
                if i >= n:
                    break
                levels[s, at] -= hits
            else:
                near = np.int64(np.random.geometric(0.25)) - 1
                at = best[s] + step * near
                gap = best[1] - best[0]
                if near == 0 and gap > 1 and np.random.random() < 0.6:
                    at = best[s] - step  # improve
                if at < 1 or at >= span - 1:
                    continue
                if np.random.random() < 0.42:
                    levels[s, at] = 0
                else:
                    levels[s, at] = 1 + np.int64(np.random.exponential(1500.0))
            ts_event[i], ts_recv[i], kind[i], side[i], price[i], size[i] = now, received, 0, s, low + at, levels[s, at]
            i += 1
            if levels[s, at] and (at - best[s]) * step < 0:
                best[s] = at
            while levels[s, best[s]] == 0:
                best[s] += step
                if best[s] < 2 or best[s] > span - 3:  # the edge: refill where it began
                    best[s] -= step
                    levels[s, best[s]] = 1000


def made_up(n: int, seed: int = 7) -> dict[str, np.ndarray]:
    columns = {name: np.zeros(n, np.int64) for name in ("ts_event", "ts_recv", "kind", "side", "price", "size")}
    stream(n, seed, *columns.values())
    return columns


def recorded(path: Path = SHARED) -> dict[str, np.ndarray]:
    """Depth and trades of a recording of Binance USD-M from its first snapshot on, in ticks of 0.1 and lots of 0.001.

    Receive times are moved by a constant (the recorder's clock was 1.27 s behind): the same rule as hftbacktest's converter.
    """
    import polars as pl

    from kernels.fills_events import settled
    from kernels.frames import Frames
    from kernels.frames_columns import Tables

    frames = Frames()
    frames.add(gzip.decompress(path.read_bytes()))
    tables = Tables(frames, off_grid_share=0.01)
    rows: dict[str, list[pl.DataFrame]] = {}
    for noun, _, _, frame in tables.rows():
        rows.setdefault(noun, []).append(frame)
    told = next(iter(tables.told.values()))
    per_tick, per_lot = 10 ** (told.price_decimals - 1), 10 ** (told.size_decimals - 3)
    depth, trades = pl.concat(rows["depth"]).sort("row"), pl.concat(rows["trades"]).sort("row")
    begun = depth.filter("is_snapshot").row(0, named=True)
    depth = depth.filter((pl.col("row") >= begun["row"]) & (pl.col("is_snapshot") | (pl.col("update_id") > begun["update_id"])))
    parts = []
    for side, names in enumerate((("bid_prices", "bid_sizes"), ("ask_prices", "ask_sizes"))):
        part = depth.select("row", "ts_event", "ts_recv", price=names[0], size=names[1]).explode("price", "size").drop_nulls("price")
        parts.append(part.with_columns(kind=pl.lit(0), side=pl.lit(side)))
    aggressor = (pl.col("side") < 0).cast(pl.Int32)
    parts.append(
        trades.filter(pl.col("row") > begun["row"]).select("row", "ts_event", "ts_recv", "price", "size", kind=pl.lit(1), side=aggressor)
    )
    table = pl.concat(parts, how="diagonal_relaxed").sort("row", maintain_order=True)
    found = {c: table[c].to_physical().cast(pl.Int64).to_numpy() for c in ("ts_event", "ts_recv", "kind", "side", "price", "size")}
    found["price"], found["size"] = found["price"] // per_tick, found["size"] // per_lot
    found["ts_recv"] = settled(found["ts_event"], found["ts_recv"], least=BASE_LATENCY)
    return found


def peer_records(columns: Mapping[str, np.ndarray]) -> np.ndarray:
    """The same as hftbacktest's converters take it: rows as received, to be put in order by `correct_event_order`."""
    kind, buys = np.array(KINDS)[columns["kind"]], columns["side"] == 0
    flags = kind.astype(np.uint64) | np.where(buys, IS_BUY, IS_SELL).astype(np.uint64)
    rows = np.zeros(len(kind), PEER)
    rows["exch_ts"], rows["local_ts"] = columns["ts_event"], columns["ts_recv"]
    rows["px"], rows["qty"], rows["ev"] = columns["price"] * TICK, columns["size"] * LOT, flags
    return rows


def write(folder: Path, name: str, columns: Mapping[str, np.ndarray]) -> Mapping[str, Any]:
    from kernels import fills_events

    events = fills_events.made(*(columns[c] for c in ("ts_event", "ts_recv", "kind", "side", "price", "size")))
    np.save(folder / f"{name}.npy", events)
    np.save(folder / f"{name}-peer.npy", peer_records(columns))
    low, high = fills_events.window(events)
    middle = int(np.median(events["price"]))
    low, high = max(low, middle - REACH), min(high, middle + REACH)
    np.save(folder / f"{name}-window.npy", np.array([low, high]))
    return {f"{name}_events": len(events), f"{name}_seconds": float(np.ptp(events["ts_event"]) / 1e9)}
