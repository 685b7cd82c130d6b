"""What the market is, frame by frame: books, fused tops, one-second bars and their features, as the batch build makes them.

    snapshot, advance(rows of a batch) -> why it stopped;  closed, top, book, mark -> what is known now

`LiveMarket` follows a feed by the rules of the batch kernels: the sequence rules of `kernels.book`, the fusion of `kernels.top`, the
clock and the lateness of `kernels.bars`, the formulas of `kernels.features`. What it says of a second equals the batch row of it:
`known_at` and sums exactly, recurrences to 1e-9.
"""

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from core.market import NS
from kernels import live_market_state as c
from kernels import live_seconds as g
from kernels import live_seconds_close as told_of
from kernels.book import BROKEN as NO_LONGER
from kernels.book import CROSSED as AMISS
from kernels.book import NONE
from kernels.decimals import Ints
from kernels.features import names
from kernels.frames_live_scan import FIELDS, KIND, ODD
from kernels.live_market_quiet import quiet
from kernels.live_market_rows import BROKEN, CROSSED, END, GROWS, SECOND, TOP, WAITS, differ, restart, run
from kernels.live_market_top import lose
from kernels.live_market_trades import remembered
from kernels.live_market_words import Best, Mark, Second, best_of, mark_of, second_of
from kernels.live_seconds_close import close
from kernels.live_seconds_windows import NULL

__all__ = ["BROKEN", "CROSSED", "END", "SECOND", "TOP", "Best", "LiveMarket", "Mark", "Second"]

WAITING = 20_000  # diffs kept for a snapshot to come
ROOM = 4_096  # levels of a side to begin with


class LiveMarket:
    """Follows the symbols of `scales`: symbol -> (price decimals, size decimals), in the order of the decoder's (`Live(scales)`).

    A bar closes at the first event `lateness_ns` younger than its end; a silence of one symbol's trades, quotes and book of longer than
    `gap_ns` is time away, and an older top or book says nothing. `offset_ns` is the venue's clock less ours; an event whose time is off
    by more than `skew_ns` is no event; a trade further than `jump_pct` from the last one is refused, as `kernels.quality` does.

    Receive times rise: all that is received at one `ts_recv` is given before anything of a later one, for what closes a second is
    decided at the end of a receipt. Raises `ValueError` without a symbol, or for decimals below 0.
    """

    def __init__(
        self,
        scales: Mapping[str, tuple[int, int]],
        *,
        lateness_ns: int = NS // 4,
        gap_ns: int = 10 * NS,
        offset_ns: int = 0,
        skew_ns: int = 86_400 * NS,
        jump_pct: int = 20,
    ) -> None:
        if not scales or min(min(of) for of in scales.values()) < 0:
            raise ValueError(f"not symbols with their decimals: {scales}")
        if names() != g.FEATURES:
            raise ValueError("the features of a closing second are not those of the batch build")
        n = len(scales)
        self.symbols = tuple(scales)
        self.codes = {symbol: code for code, symbol in enumerate(scales)}
        self._units = np.array([[10.0**price, 10.0**size] for price, size in scales.values()])
        self._rules = np.array([lateness_ns, gap_ns, offset_ns, skew_ns, jump_pct], np.int64)
        self._states = np.zeros((n, c.STATES), np.int64)
        self._states[:, [c.LAST_ID, c.TOP_ID, c.LATEST, c.OPEN_SECOND, c.TOUCHED, c.PRINTS]] = NONE
        self._states[:, c.CARRIED] = NULL
        self._states[:, [c.CARRIED_S, c.SPREAD_S]] = told_of.CARRY_S
        self._books = np.empty((n, 4, ROOM), np.int64)
        self._pending = np.full((n, c.SLOTS, c.SLOT), -1, np.int64)
        self._pending[:, :, c.N_TRADES] = 0
        self._weights, self._seen, self._spreads = np.zeros((n, c.SLOTS, c.WEIGHTS)), remembered(n), np.full(n, np.nan)
        self._rings = g.cold_rings(n)
        self._moved = np.empty(ROOM, np.int64), np.empty(ROOM, np.int64)
        self._work = np.zeros(2, np.int64), np.empty((2, 20), np.int64), np.empty((2, 1))
        self._told, self._given = np.empty(told_of.TOLD, np.int64), np.empty(g.GIVEN)
        self._whole, self._features = np.empty(g.WHOLES, np.int64), np.empty(len(g.FEATURES))
        self._closed = 0
        self._begun: tuple[int, int, int] | None = None  # what `quiet` found, for `advance` to tell
        self.timer: Callable[[], int] = lambda: 0  # for whoever wants to know how long it took to close a second
        self.closing_ns = 0
        self._waiting: tuple[deque[tuple[Ints, Ints]], ...] = tuple(deque(maxlen=WAITING) for _ in scales)

    def advance(self, rows: Ints, levels: Ints, start: int, ts_recv: int) -> tuple[int, int, int]:
        """Follow rows [n, 16] with their `levels` [2, m] (`kernels.frames_live.Batch`) from `start` on, received at `ts_recv` (ns).

        Returns (the row to go on with, why it stopped, the symbol's code): call again with that row until `END`, which has no symbol (-1).
        `SECOND`: a second of the symbol closed, see `closed`; there may be more at the same row. `TOP`: the top left the bounds of `watch`,
        which is over with it. `BROKEN`: the book is unknown until its snapshot (its diffs wait for it). `CROSSED`: the same, its best bid
        being above its best ask. Rows that were refused, and those of the past, are passed over.
        """
        self.closing_ns = 0
        while True:
            if self._begun is None:
                at, why, code = run(rows, levels, start, ts_recv, *self._followed())
            else:
                (at, why, code), self._begun = self._begun, None
            if why == SECOND:
                began = self.timer()
                self._close(code, ts_recv)
                self.closing_ns = self.timer() - began
            elif why in (WAITS, BROKEN):
                self._wait(code, rows[at - 1], levels)
            elif why == GROWS:
                self._grow(int(self._states[code, c.N_BIDS : c.N_ASKS + 1].max()) + levels.shape[1])
            if why not in (WAITS, GROWS):
                return at, why, code
            start = at

    def quiet(self, rows: Ints, levels: Ints, ends: Ints, ts_recv: Ints, first: int, now: int, usual_ns: int) -> int:
        """Follow whole receipts, from the one `first` on, as `advance` would one by one while it says `END`; returns the one to go on with.

        `ends` [n]: the row after the last of each receipt, `ts_recv` [n] when it came. It stops at the first receipt that has something to
        tell (the next call has to be `advance` with its rows from 0 on: it says what), or before one that is not within `usual_ns` after
        the one before it, the first of them coming after `now`.
        """
        at, *told = quiet(rows, levels, ends, ts_recv, first, now, usual_ns, *self._followed())
        self._begun = None if told[1] == END else (told[0], told[1], told[2])
        return at

    def _followed(self) -> tuple[Any, ...]:
        return self._states, self._rules, self._books, self._pending, self._weights, self._seen, *self._moved

    @property
    def closed(self) -> Second:
        """The second that closed last."""
        code = self._closed
        return second_of(self.symbols[code], code, self._told, self._given, self._features, float(self._units[code, 0]))

    def snapshot(self, symbol: str, ts_recv: int, update_id: int, bids: Ints, asks: Ints) -> bool:
        """Take a whole book ([2, levels] each side: prices, sizes, best first) and what waited for it; whether the book is known then.

        A known book stays as it is. False: the diffs that waited do not continue the snapshot, or the book is crossed: ask for another.
        """
        code = self.codes[symbol]
        state = self._states[code]
        if state[c.KNOWN]:
            return True
        waiting = list(self._waiting[code])
        self._waiting[code].clear()
        levels = np.ascontiguousarray(np.concatenate([np.asarray(side, np.int64).reshape(2, -1) for side in (bids, asks)], axis=1))
        self._grow(levels.shape[1])
        n_bids = np.asarray(bids).reshape(2, -1).shape[1]
        state[c.BOOK_BY] = c.BY_DIFFS
        if not restart(state, self._rules, self._books[code], levels, n_bids, update_id, ts_recv):
            self._waiting[code].extend(waiting)
            return False
        for n, (row, of) in enumerate(waiting):
            self._grow(int(state[c.N_BIDS : c.N_ASKS + 1].max()) + of.shape[1])
            became = differ(state, self._rules, self._books[code], of, row, ts_recv, *self._moved)
            if became in (NO_LONGER, AMISS):
                self._waiting[code].extend(waiting[n if became == NO_LONGER else n + 1 :])
                lose(state, self._rules, ts_recv)
                return False
        return True

    def watch(self, symbol: str, bid_low: int, bid_high: int, ask_low: int, ask_high: int) -> None:
        """Have `advance` stop, once, at the next row of the top by which bid or ask is outside these bounds (units, both ends inside)."""
        state = self._states[self.codes[symbol]]
        state[c.BID_LOW], state[c.BID_HIGH], state[c.ASK_LOW], state[c.ASK_HIGH], state[c.WATCHED] = bid_low, bid_high, ask_low, ask_high, 1

    def unwatch(self, symbol: str) -> None:
        self._states[self.codes[symbol], c.WATCHED] = 0

    def top(self, symbol: str) -> Best:
        """The best bid and ask, fused from book and tickers by update id; all prices and sizes 0 where unknown."""
        return best_of(self._states[self.codes[symbol]])

    def heard(self, symbol: str) -> int:
        """Receive time of the symbol's last event of any kind: a quiet market is not a stale one. 0 before the first."""
        return int(self._states[self.codes[symbol], c.RECV])

    def book(self, symbol: str, n: int) -> tuple[Ints, Ints]:
        """Copies of the best `n` bids and asks, [2, levels] (prices, sizes), best first; empty while the book is unknown."""
        code = self.codes[symbol]
        state, book = self._states[code], self._books[code]
        n_bids, n_asks = (int(state[k]) if state[c.KNOWN] else 0 for k in (c.N_BIDS, c.N_ASKS))
        return book[:2, max(n_bids - n, 0) : n_bids][:, ::-1].copy(), book[2:, max(n_asks - n, 0) : n_asks][:, ::-1].copy()

    def mark(self, symbol: str) -> Mark | None:
        """The newest mark price of a futures symbol; None before the first."""
        return mark_of(self._states[self.codes[symbol]])

    def stale(self, symbol: str) -> bool:
        """Whether the book is unknown: none came yet, its sequence broke, it crossed, or frames were lost."""
        return not self._states[self.codes[symbol], c.KNOWN]

    def late_trades(self, symbol: str) -> int:
        """How many trades came after their second had closed: they are in no bar."""
        return int(self._states[self.codes[symbol], c.N_LATE])

    def disconnected(self, symbols: Iterable[str]) -> None:
        """Frames of these symbols may be missing: their books are unknown until a snapshot. Tops stay, grow old, and give way to any."""
        for symbol in symbols:
            code = self.codes[symbol]
            self._states[code, c.KNOWN], self._states[code, c.TOP_ID] = 0, NONE
            self._waiting[code].clear()

    def overflowed(self, symbols: Iterable[str]) -> None:
        """Frames of these symbols were dropped: as `disconnected`."""
        self.disconnected(symbols)

    def compile(self) -> None:
        """Compile, or load, all that following a feed needs: seconds the first time. What is known is spoilt by it."""
        rows, levels = np.zeros((1, FIELDS), np.int64), np.ones((2, 2), np.int64)
        rows[0, KIND] = ODD
        for of in (levels, np.ones((2, 3), np.int64)[:, :2]):  # those of a batch are a slice of the decoder's: another compiled form
            self.advance(rows, of, 0, 1)
        self.snapshot(self.symbols[0], 1, 1, levels[:, :1], levels[:, 1:] + 1)
        differ(self._states[0], self._rules, self._books[0], levels, rows[0], 1, *self._moved)
        self._close(0, 1)

    def _close(self, code: int, ts_recv: int) -> None:
        floats, wholes, recur = self._rings
        close(
            code,
            ts_recv,
            self._states[code],
            self._rules,
            self._books[code],
            self._pending[code],
            self._weights[code],
            self._spreads,
            self._units[code],
            (floats[code], wholes[code], recur[code]),
            self._work,
            self._told,
            self._given,
            self._whole,
            self._features,
        )
        self._closed = code

    def _wait(self, code: int, row: Ints, levels: Ints) -> None:
        """Keep a diff for the snapshot to come, with the levels that are its own."""
        b, n_bids, a, n_asks = row[12:16].tolist()
        own = np.concatenate([levels[:, b : b + n_bids], levels[:, a : a + n_asks]], axis=1)
        kept = row.copy()
        kept[12:16] = 0, n_bids, n_bids, n_asks
        self._waiting[code].append((kept, own))

    def _grow(self, n: int) -> None:
        """Room for `n` levels a side."""
        room = self._books.shape[2]
        if n <= room:
            return
        wide = np.empty((len(self.symbols), 4, 2 * n), np.int64)
        wide[:, :, :room] = self._books
        self._books, self._moved = wide, (np.empty(2 * n, np.int64), np.empty(2 * n, np.int64))
