"""What a file does not say outright: which market a symbol's frames come from, and whose a snapshot without a symbol is."""

from collections.abc import Mapping

import numpy as np

from kernels.frames_batch import Batch

BATCHES = Mapping[str, list[Batch]]


def venue_of(symbol: str, markers: set[str]) -> str:
    """The venue of a symbol, by what its frames say (`frames.markers`)."""
    if "coin" in markers:
        return "binance-cm"
    return "binance-usdm" if "futures" in markers else "binance-spot"


def owners(batches: BATCHES, n_symbols: int) -> None:
    """Give each snapshot without a symbol one, in place; -1 stays where the file has no symbol at all.

    The only symbol of the file; else the only one whose diffs reach over the snapshot's update id at prices like its own;
    else the one whose prices are nearest.
    """
    anonymous = [batch for batch in batches["snapshot"] if (batch.symbol == -1).any()]
    if not anonymous or not n_symbols:
        return
    ranges, prices = evidence(batches, n_symbols) if n_symbols > 1 else (np.zeros((1, 2)), np.ones(1))
    for batch in anonymous:
        starts = [np.cumsum(counts) - counts for counts, _ in batch.levels]
        for at in np.flatnonzero(batch.symbol == -1):
            best = [levels[0, start[at]] for (counts, levels), start in zip(batch.levels, starts, strict=True) if counts[at]]
            batch.symbol[at] = owner(int(batch.ints[0, at]), float(np.mean(best)) if best else np.nan, ranges, prices)


def owner(update_id: int, price: float, ranges: np.ndarray, prices: np.ndarray) -> int:
    """The symbol a snapshot with this update id and middle price belongs to."""
    with np.errstate(divide="ignore", invalid="ignore"):
        away = np.abs(np.log(prices / price))
    away = np.where(np.isfinite(away), away, np.inf)
    within = (ranges[:, 0] <= update_id) & (update_id <= ranges[:, 1])
    near = within & (away < np.log(1.5))
    return int(np.flatnonzero(near)[0]) if near.sum() == 1 else int(np.argmin(away))


def evidence(batches: BATCHES, n_symbols: int) -> tuple[np.ndarray, np.ndarray]:
    """Per symbol: the update ids its diffs reach from and to, and its median price (NaN where it has none)."""
    ranges = np.tile([np.inf, -np.inf], (n_symbols, 1))
    seen: list[list[np.ndarray]] = [[] for _ in range(n_symbols)]
    for batch in (*batches["trade"], *batches["bookTicker"]):
        for code in np.unique(batch.symbol).tolist():
            seen[code].append(batch.floats[0, batch.symbol == code])
    for batch in batches["depthUpdate"]:
        np.minimum.at(ranges[:, 0], batch.symbol, batch.ints[0])
        np.maximum.at(ranges[:, 1], batch.symbol, batch.ints[1])
    traded = {code for code, some in enumerate(seen) if some}
    for batch in batches["depthUpdate"]:
        counts, levels = batch.levels[0]
        whose = np.repeat(batch.symbol, counts)
        for code in np.unique(whose).tolist():
            if code not in traded:
                seen[code].append(levels[0, whose == code])
    return ranges, np.array([np.median(np.concatenate(some)) if some else np.nan for some in seen])
