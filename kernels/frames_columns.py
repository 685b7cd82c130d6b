"""Decoded frames to rows of the raw tables: whose they are, at how many decimals, and what cannot be held exactly.

    Frames -> instruments (venue, symbol, decimals, clock offset) -> frames of trades, quotes, depth, marks -> refusals

A venue is told from what a symbol's frames say; one file is taken to hold one market of a symbol. Decimals are found over all
trades, quotes and depth of an instrument together.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from core.market import MAX_DECIMALS
from core.tables import TS
from kernels import decimals
from kernels.decimals import EXACT, Floats, Ints
from kernels.frames import Frames
from kernels.frames_batch import Batch, Refusal, merged, taken
from kernels.frames_rows import absent, clocks, quotes, ragged, trades
from kernels.frames_shapes import KINDS
from kernels.frames_told import owners, venue_of

GROUP = 200_000  # rows and levels that make one frame: what a row group of the raw layer holds
MARK_DECIMALS = 8
NOUNS = {
    "trades": ("trade",),
    "quotes": ("bookTicker",),
    "depth": ("depthUpdate", "snapshot"),
    "marks": ("markPriceUpdate",),
}
Table = tuple[str, str, str, pl.DataFrame]  # noun, venue, symbol, rows


class Told(NamedTuple):
    """What the frames say of one instrument; `offset_ns` is the median of ts_event - ts_recv, `frames` counts kinds."""

    price_decimals: int
    size_decimals: int
    offset_ns: int | None
    frames: dict[str, int]


class Tables:
    """The raw tables of a file's frames: ask for `rows` first, for `refusals` after."""

    def __init__(self, frames: Frames, *, off_grid_share: float, venue: str | None = None) -> None:
        self.refused = list(frames.refused)
        self.instruments = {
            code: (venue or venue_of(symbol, frames.json.markets[symbol]), symbol) for symbol, code in frames.symbols.items()
        }
        self._written = [frames.json.size_places[symbol] for symbol in frames.symbols]
        self._words = pl.Series(list(frames.json.words), dtype=pl.String)
        self._grouped = self._groups(frames)
        present = sorted({code for code, _ in self._grouped})
        self.told = {self.instruments[code]: self._told(code, off_grid_share) for code in present}

    @property
    def kinds(self) -> dict[str, int]:
        """How many frames of each kind were decoded, by the names Binance gives them."""
        counts: Counter[str] = Counter()
        for (_, kind), batches in self._grouped.items():
            counts[kind] += sum(len(batch.row) for batch in batches)
        return dict(counts)

    def rows(self) -> Iterator[Table]:
        """(noun, venue, symbol, rows) of the raw tables, all of one (noun, venue, symbol) in one run, in order of lines."""
        for code, (venue, symbol) in self.instruments.items():
            for noun, (kind, *others) in NOUNS.items():
                about = self.told.get((venue, symbol))
                if about is None:
                    continue
                batches = self._grouped.get((code, kind), [])
                # Snapshots are few: all at once, and each put where it stood among the diffs.
                apart = [self._frame(other, batch, about) for other in others for batch in self._grouped.get((code, other), [])]
                rest = pl.concat(apart) if apart else None
                for n, batch in enumerate(batches, 1):
                    frame = self._frame(kind, batch, about)
                    if rest is not None:
                        due = pl.lit(n == len(batches)) | (pl.col("row") <= int(batch.row.max()))
                        frame, rest = pl.concat([frame, rest.filter(due)]), rest.filter(~due)
                    yield noun, venue, symbol, frame if frame["row"].is_sorted() else frame.sort("row")
                if rest is not None and not batches:
                    yield noun, venue, symbol, rest

    def refusals(self, texts: Mapping[int, str]) -> Iterator[Table]:
        """Rows of the refused tables; `texts` holds the lines of those whose text is not known here (`Refusal.text` None).

        A refused line goes to the instrument of the last good line before it, or else the one with most lines, and has its
        own receive time or that of that line.
        """
        if not self.refused or not self._grouped:
            return
        rows, codes, recv = self._lines()
        refused = sorted(self.refused)
        at = np.searchsorted(rows, [r.row for r in refused], side="left") - 1
        main = int(np.bincount(codes).argmax())
        whose = np.where(at >= 0, codes[at], main)
        times = np.where(np.array([r.recv for r in refused]) > 0, [r.recv for r in refused], recv[np.maximum(at, 0)])
        frame = pl.DataFrame(
            {
                "ts_recv": pl.Series(times, dtype=pl.Int64).cast(TS),
                "reason": [r.reason for r in refused],
                "text": [texts.get(r.row, "") if r.text is None else r.text for r in refused],
                "row": pl.Series([r.row for r in refused], dtype=pl.UInt32),
            }
        )
        for code in np.unique(whose).tolist():
            yield "refused", *self.instruments[code], frame.filter(pl.Series(whose == code))

    def _lines(self) -> tuple[Ints, Ints, Ints]:
        """Line number, instrument and receive time of all good lines, in order of lines."""
        some = [batch for batches in self._grouped.values() for batch in batches]
        row, code, recv = (np.concatenate([getattr(batch, name) for batch in some]) for name in ("row", "symbol", "recv"))
        order = np.argsort(row)
        return row[order], code[order], recv[order]

    def _told(self, code: int, off_grid_share: float) -> Told:
        prices, sizes = np.zeros(14, np.int64), np.zeros(14, np.int64)
        offsets, counts = [], {}
        for kind in KINDS:
            for batch in self._grouped.get((code, kind), []):
                counts[kind] = counts.get(kind, 0) + len(batch.row)
                offsets.append((batch.event - batch.recv)[batch.event != 0])
                if kind in ("trade", "bookTicker"):
                    prices += decimals.census(batch.floats[::2])
                    sizes += decimals.census(batch.floats[1::2])
                for _, levels in batch.levels:
                    prices += decimals.census(levels[0])
                    sizes += decimals.census(levels[1])
        offset = np.concatenate(offsets)
        return Told(
            decimals.chosen(prices, off_grid_share),
            decimals.chosen(sizes, off_grid_share, min(self._written[code], MAX_DECIMALS)),
            round(float(np.median(offset))) if len(offset) else None,
            counts,
        )

    def _groups(self, frames: Frames) -> dict[tuple[int, str], list[Batch]]:
        """Each instrument's frames of each kind, merged to large batches; the small ones are given up as they are merged."""
        grouped: dict[tuple[int, str], list[Batch]] = {}
        owners(frames.batches, len(frames.symbols))
        for kind, batches in frames.batches.items():
            waiting: dict[int, list[Batch]] = {}
            weight: Counter[int] = Counter()
            for batch in batches:
                if (batch.symbol < 0).any():
                    self._refuse(batch, batch.symbol < 0, "no symbol")
                least, most = (int(batch.symbol.min()), int(batch.symbol.max())) if len(batch.symbol) else (0, -1)
                for code in [least] if least == most >= 0 else np.unique(batch.symbol[batch.symbol >= 0]).tolist():
                    some = batch if least == most else taken(batch, batch.symbol == code)
                    waiting.setdefault(code, []).append(some)
                    weight[code] += len(some.row) + sum(levels.shape[1] for _, levels in some.levels)
                    if weight[code] >= GROUP:
                        grouped.setdefault((code, kind), []).append(merged(waiting.pop(code)))
                        weight[code] = 0
            batches.clear()
            for code, some in waiting.items():
                grouped.setdefault((code, kind), []).append(merged(some))
        return grouped

    def _frame(self, kind: str, batch: Batch, about: Told) -> pl.DataFrame:
        if kind == "markPriceUpdate":
            return self._marks(batch)
        if kind in ("trade", "bookTicker"):
            prices, sizes, sound = self._exact(batch, about)
            if not sound.all():
                batch, prices, sizes = taken(batch, sound), prices[:, sound], sizes[:, sound]
            return trades(batch, prices, sizes, self._words) if kind == "trade" else quotes(batch, prices, sizes)
        return self._depth(kind, batch, about)

    def _exact(self, batch: Batch, about: Told) -> tuple[Ints, Ints, npt.NDArray[np.bool_]]:
        """Prices and sizes [1 or 2, frames] of trades or quotes in units, and which frames can be held."""
        sound = np.ones(len(batch.row), bool)
        units = []
        for what, values, places in (
            ("price", batch.floats[::2], about.price_decimals),
            ("size", batch.floats[1::2], about.size_decimals),
        ):
            scaled, exact = decimals.scale(values, places)
            units.append(scaled)
            for one, fine in zip(values, exact, strict=True):
                self._refuse_values(batch, what, one, fine, sound, places)
        return units[0], units[1], sound

    def _depth(self, kind: str, batch: Batch, about: Told) -> pl.DataFrame:
        sound = np.ones(len(batch.row), bool)
        units = {}
        for what, place, places in (("price", 0, about.price_decimals), ("size", 1, about.size_decimals)):
            for side, (counts, levels) in zip(("bid", "ask"), batch.levels, strict=True):
                units[f"{side}_{what}s"], exact = decimals.scale(levels[place], places)
                if not exact.all():
                    frame, first = np.unique(np.repeat(np.arange(len(counts)), counts)[~exact], return_index=True)
                    values, ok = np.zeros(len(sound)), np.ones(len(sound), bool)
                    values[frame], ok[frame] = levels[place, ~exact][first], False
                    self._refuse_values(batch, what, values, ok, sound, places)
        kept = taken(batch, sound)
        lists = {}
        for side, (counts, _) in zip(("bid", "ask"), batch.levels, strict=True):
            for name in (f"{side}_prices", f"{side}_sizes"):
                lists[name] = ragged(counts, units[name]) if sound.all() else ragged(counts[sound], units[name][np.repeat(sound, counts)])
        diff = kind == "depthUpdate"
        nothing = pl.Series([None] * len(kept.row), dtype=pl.Int64)
        return pl.DataFrame(
            clocks(kept)
            | {
                "is_snapshot": pl.Series([not diff], dtype=pl.Boolean).new_from_index(0, len(kept.row)),
                "first_id": kept.ints[0] if diff else nothing,
                "update_id": kept.ints[1 if diff else 0],
                "prev_id": absent(kept.ints[2], -1) if diff else nothing,
            }
            | lists
        )

    def _marks(self, batch: Batch) -> pl.DataFrame:
        sound = np.ones(len(batch.row), bool)
        units = []
        for what, values in zip(("mark price", "index price", "settlement price"), batch.floats[:3], strict=True):
            scaled, exact = decimals.scale(values, MARK_DECIMALS)
            empty = np.isnan(values) & (what != "mark price")
            self._refuse_values(batch, what, values, exact | empty, sound, MARK_DECIMALS)
            units.append(pl.DataFrame({"u": scaled}).select(pl.when(pl.Series(~empty)).then("u"))["u"])
        mark, index, settle = units
        columns = {"mark_e8": mark, "index_e8": index, "settle_e8": settle, "funding_rate": pl.Series(batch.floats[3]).fill_nan(None)}
        frame = pl.DataFrame(clocks(batch) | columns | {"ts_funding": absent(batch.ints[0], 0).cast(TS)})
        return frame.filter(pl.Series(sound))

    def _refuse_values(self, batch: Batch, what: str, values: Floats, exact: npt.NDArray, sound: npt.NDArray, places: int) -> None:
        """Refuse the frames whose value has no exact units, each once; `sound` is updated."""
        if exact.all():
            return
        for at in np.flatnonzero(~exact & sound).tolist():
            value = values[at]
            reason = f"{what} is not a number" if not np.isfinite(value) else f"{what} off the grid"
            if np.isfinite(value) and abs(value) * 10.0**places > EXACT:
                reason = f"absurd {what}"
            self.refused.append(Refusal(int(batch.row[at]), int(batch.recv[at]), reason, None))
        sound &= exact

    def _refuse(self, batch: Batch, which: npt.NDArray, reason: str) -> None:
        self.refused += [Refusal(int(batch.row[at]), int(batch.recv[at]), reason, None) for at in np.flatnonzero(which)]
