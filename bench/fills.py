"""Simulated market making on level 2 events: our kernel beside hftbacktest, one and five orders a side, made-up and recorded events.

`check` compares every fill (the venue's time, order, side, price, size, maker or taker), the numbers of orders, cancels and steps, and
position, cash and fee, on the very events that are timed.
"""

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from bench import fills_data, fills_peers
from bench.fills_data import LOT, TICK
from bench.fills_peers import ANSWER, ENTRY, MAKER, TAKER
from bench.harness import Arrays, Bench, BenchError, Pass, Row, Variant, same

STEP = 10_000_000  # ns
RECORDED = fills_data.SHARED.exists()
ASKED = {"made": {"half": 5, "size": 10, "most": 100}, "recorded": {"half": 40, "size": 10, "most": 100}}  # ticks and lots
N_SWEPT = 8
NAMES = {"made": "made-up", "recorded": "recorded"} if RECORDED else {"made": "made-up"}
MODELS = {"risk": 0, "log": 1, "power": 2}


def make(folder: Path, size: int) -> Mapping[str, Any]:
    facts = dict(fills_data.write(folder, "made", fills_data.made_up(size)))
    if RECORDED:
        facts |= fills_data.write(folder, "recorded", fills_data.recorded())
    return facts | {"swept": facts["made_events"] * N_SWEPT, "made_twice": facts["made_events"] * 2}


def loaded(folder: Path, name: str) -> tuple[Any, Any]:
    """(feed over a memory-mapped file, rules)"""
    from kernels import fills, fills_events

    feed = fills_events.feed(np.load(folder / f"{name}.npy", mmap_mode="r"))
    low, high = np.load(folder / f"{name}-window.npy").tolist()
    rules = fills.Rules(low, high - low, LOT, TICK, entry_ns=ENTRY, response_ns=ANSWER, maker_fee=MAKER, taker_fee=TAKER)
    return feed, rules


def ours(folder: Path, name: str, levels: int, queue: str = "risk") -> Pass:
    from bench.fills_ours import make_market
    from kernels import fills

    feed, rules = loaded(folder, name)
    rules = rules._replace(model=MODELS[queue], power=fills_peers.POWER)
    asked = ASKED[name]

    def once() -> dict[str, np.ndarray]:
        run = fills.run(rules)
        n_steps = make_market(run, feed, STEP, asked["half"], levels, asked["size"], asked["most"])
        totals, found = fills.totals(run), fills.fills(run)
        found = np.stack([found[:, 0], found[:, 2], 1 - 2 * found[:, 3], found[:, 4], found[:, 5], found[:, 6]], axis=1)
        return {
            "fills": found[np.lexsort((found[:, 1], found[:, 0]))],
            "totals": np.array([totals["position"], totals["cash"], totals["fee"]]),
            "counts": np.array([totals["fills"], totals["orders"], totals["cancels"], n_steps]),
        }

    return once


def peer(folder: Path, name: str, levels: int, queue: str = "risk", *, roi: bool = True) -> Pass:
    return fills_peers.prepared(folder, name, roi=roi, levels=levels, queue=queue, **ASKED[name])


def swept(folder: Path, workers: int) -> Pass:
    """Eight half spreads over the same memory-mapped events."""
    from bench.fills_ours import make_market
    from kernels import fills

    feed, rules = loaded(folder, "made")

    def one(half: int) -> tuple[int, int]:
        run = fills.run(rules)
        make_market(run, feed, STEP, half, 1, 10, 100)
        return int(run.account[fills.POSITION]), len(fills.fills(run))

    pool = ThreadPoolExecutor(workers)

    def once() -> dict[str, np.ndarray]:
        return {"swept": np.array(list(pool.map(one, range(3, 3 + N_SWEPT))))}

    return once


def read_once(folder: Path) -> Pass:
    """The least there is to do: bring the events' 32 bytes through the processor once."""
    words = np.load(folder / "made.npy").view(np.int64)
    return lambda: {"sum": np.array([words.sum()])}


def both(folder: Path, one: Callable[..., Pass], name: str, levels: int) -> Pass:
    """The two probability models, one after the other."""
    passes = [one(folder, name, levels, queue) for queue in ("log", "power")]

    def once() -> dict[str, np.ndarray]:
        found = [each() or {} for each in passes]
        return {key: np.concatenate([f[key] for f in found]) for key in ("fills", "totals", "counts")}

    return once


def variants() -> tuple[Variant, ...]:
    made: list[Variant] = []
    for name in NAMES:
        for levels in (1, 5):
            made.append(Variant(f"ours, {name}, {levels}", partial(ours, name=name, levels=levels), repeats=15))
            made.append(Variant(f"hftbacktest, {name}, {levels}", partial(peer, name=name, levels=levels), peer=True, repeats=9))
    by_hash = partial(peer, name="made", levels=1, roi=False)
    made.append(Variant("hftbacktest hash map, made, 1", by_hash, peer=True, checked=False))
    made.append(Variant("ours, made, 5, by probability", partial(both, one=ours, name="made", levels=5)))
    made.append(Variant("hftbacktest, made, 5, by probability", partial(both, one=peer, name="made", levels=5), peer=True))
    made += [Variant(f"sweep, {n}", partial(swept, workers=n), threads=n, repeats=3) for n in (1, 2)]
    return (*made, Variant("read once", read_once, checked=False))


def rows() -> tuple[Row, ...]:
    made = []
    for name in NAMES:
        for levels in (1, 5):
            peers = [f"hftbacktest, {name}, {levels}"]
            if (name, levels) == ("made", 1):
                peers.append("hftbacktest hash map, made, 1")
            title = (
                f"simulation, {'made-up' if name == 'made' else 'recorded'} events, {levels} {'order' if levels == 1 else 'orders'} a side"
            )
            limit = "read once" if name == "made" else None
            made.append(Row(title, "events/s", f"ours, {name}, {levels}", tuple(peers), f"{name}_events", target=2, limit=limit))
    made.append(
        Row("simulation, by log and power probability, 5 orders a side", "events/s", "ours, made, 5, by probability",
            ("hftbacktest, made, 5, by probability",), "made_twice", target=2)
    )  # fmt: skip
    made.append(Row("simulation, sweep of 8 on 2 threads beside 1", "events/s", "sweep, 2", ("sweep, 1",), "swept", target=1.7))
    made.append(Row("simulation, memory of the sweep on 2 threads beside 1", "MB", "sweep, 2", ("sweep, 1",), target=0.9))
    return tuple(made)


def check(found: Mapping[str, Arrays]) -> str:
    n_fills = 0
    for name, result in found.items():
        if not name.startswith("hftbacktest"):
            continue
        mine = found["ours" + name.removeprefix("hftbacktest")]
        if not len(result["fills"]):
            raise BenchError(f"{name} has no fills to compare")
        same(f"{name}: counts of fills, orders, cancels, steps", mine["counts"], result["counts"])
        same(f"{name}: fills", mine["fills"], result["fills"])
        same(f"{name}: position, cash, fee", mine["totals"], result["totals"], within=1e-9)
        n_fills += len(result["fills"])
    same("sweep on two threads", found["sweep, 2"]["swept"], found["sweep, 1"]["swept"])
    skipped = "" if RECORDED else "; recorded events left out: ../shared/data is not here"
    return f"{n_fills:,} fills in {sum(n.startswith('hftbacktest') for n in found)} runs, each equal; cash and fee to 1e-9{skipped}"


BENCH = Bench(
    name="fills",
    about="Simulated market making with latencies and queue position, every 10 ms",
    make=make,
    small=1_000_000,
    large=1_000_000,
    variants=variants(),
    rows=rows(),
    check=check,
    rounds=1,  # each process of the peer compiles for some eight seconds
)
