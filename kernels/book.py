"""The order book as sorted integer arrays: snapshots replace it, diffs change it, and the venue's sequence numbers decide which.

Each side is kept with its best level last, so that changes near the top move little. Sequence rules (Binance, "How to manage a
local order book correctly"): a spot diff (`U`, `u`) continues the book when `U` is the last `u` + 1, a futures diff when its `pu` is
the last `u`; the first one after a snapshot may also span the snapshot's id (on spot: its id + 1), and older ones are superseded.
"""

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numba import njit

from kernels.book_sides import change, emit, put

NONE = -1  # "the venue gives none": every real id is positive
APPLIED, SUPERSEDED, BROKEN, CROSSED = 1, 2, 3, 4
Ints = np.ndarray  # int64, one dimension


class Side(NamedTuple):
    """The levels of one side of many rows: row i has `prices[offsets[i] : offsets[i + 1]]`."""

    offsets: Ints
    prices: Ints
    sizes: Ints


class Rows(NamedTuple):
    """Depth rows in arrival order; ids are `NONE` where the venue gives none."""

    is_snapshot: np.ndarray  # bool
    first_id: Ints
    update_id: Ints
    prev_id: Ints
    bids: Side
    asks: Side


@dataclass(frozen=True, slots=True)
class Book:
    """Sorted levels, best last (bids rise, asks fall), and where the sequence stands."""

    bid_prices: Ints = field(default_factory=lambda: np.empty(0, np.int64))
    bid_sizes: Ints = field(default_factory=lambda: np.empty(0, np.int64))
    ask_prices: Ints = field(default_factory=lambda: np.empty(0, np.int64))
    ask_sizes: Ints = field(default_factory=lambda: np.empty(0, np.int64))
    last_id: int = NONE
    known: bool = False
    awaits_first: bool = False  # the last thing applied was a snapshot: the next diff has to span its id


class Applied(NamedTuple):
    """What became of the first `n` rows given: a code each, and the book after each one that is `APPLIED`.

    `tops` is [n, 4] (bid, bid size, ask, ask size; 0 where a side is empty). `bids` and `asks` hold the best levels, best first,
    and no level where a row was not applied. The row at `n`, if there is one, did not continue the sequence or (code `CROSSED`
    of the row before it) found the book unknown.
    """

    book: Book
    n: int
    broken: bool
    codes: np.ndarray
    tops: np.ndarray
    bids: Side
    asks: Side


@njit(cache=True, nogil=True)
def chained(first_id, update_id, prev_id, last, awaits_first):
    """Whether a diff is superseded (2), continues the book (1) or breaks the sequence (3)."""
    if prev_id == NONE:
        if update_id <= last:
            return SUPERSEDED
        fits = first_id <= last + 1 <= update_id if awaits_first else first_id == last + 1
    else:
        if update_id < last:
            return SUPERSEDED
        fits = prev_id == last or (awaits_first and first_id <= last <= update_id)
    return APPLIED if fits else BROKEN


@njit(cache=True, nogil=True)
def _run(is_snapshot, first_id, update_id, prev_id, bids, asks, bp, bs, ap, az, state, replaces, keep, codes, tops, out_bids, out_asks):
    """The loop of `advance`; `state` is [bids, asks, last id, known, awaits first]. Returns rows done and whether the sequence broke."""
    nb, na, last, known, awaits = state[0], state[1], state[2], state[3] == 1, state[4] == 1
    b_at, a_at = 0, 0
    broken = False
    done = len(update_id)
    widest = 0
    for i in range(len(update_id)):
        widest = max(widest, bids[0][i + 1] - bids[0][i], asks[0][i + 1] - asks[0][i])
    at, which = np.empty(widest, np.int64), np.empty(widest, np.int64)
    for i in range(len(update_id)):
        if is_snapshot[i]:
            code = SUPERSEDED if known and not replaces else APPLIED
        else:
            code = chained(first_id[i], update_id[i], prev_id[i], last, awaits) if known else BROKEN
        if code == BROKEN:
            broken, done, known = True, i, False
            break
        if code == APPLIED:
            if is_snapshot[i]:
                nb, na = 0, 0
                # From the deepest level up: a snapshot lists its best first, so each one lands at the end.
                for j in range(bids[0][i + 1] - 1, bids[0][i] - 1, -1):
                    nb = put(bp, bs, nb, bids[1][j], bids[2][j], 1)
                for j in range(asks[0][i + 1] - 1, asks[0][i] - 1, -1):
                    na = put(ap, az, na, asks[1][j], asks[2][j], -1)
            else:
                if bids[0][i] < bids[0][i + 1]:
                    nb = change(bp, bs, nb, bids[1], bids[2], bids[0][i], bids[0][i + 1], 1, at, which)
                if asks[0][i] < asks[0][i + 1]:
                    na = change(ap, az, na, asks[1], asks[2], asks[0][i], asks[0][i + 1], -1, at, which)
            last, known, awaits = update_id[i], True, is_snapshot[i]
            if nb and na and bp[nb - 1] > ap[na - 1]:
                code, known = CROSSED, False
            else:
                if nb:
                    tops[i, 0], tops[i, 1] = bp[nb - 1], bs[nb - 1]
                if na:
                    tops[i, 2], tops[i, 3] = ap[na - 1], az[na - 1]
                b_at = emit(bp, bs, nb, keep, out_bids[1], out_bids[2], b_at)
                a_at = emit(ap, az, na, keep, out_asks[1], out_asks[2], a_at)
        codes[i] = code
        out_bids[0][i + 1], out_asks[0][i + 1] = b_at, a_at
        if code == CROSSED and not replaces:
            done = i + 1
            break
    state[0], state[1], state[2], state[3], state[4] = nb, na, last, known, awaits
    return done, broken


@njit(cache=True, nogil=True)
def _count(first_id, update_id, prev_id, last, awaits_first):
    n = 0
    for i in range(len(update_id)):
        code = chained(first_id[i], update_id[i], prev_id[i], last, awaits_first)
        if code == SUPERSEDED or (update_id[i] == last and not awaits_first):
            continue
        n += code == BROKEN
        last, awaits_first = update_id[i], False
    return n, last, awaits_first


class Chain(NamedTuple):
    """Where the diffs stand, as received: the last id, whether it is a snapshot's, and the breaks so far. `NONE`: no book so far."""

    last_id: int = NONE
    awaits_first: bool = False
    n_breaks: int = 0

    def on(self, first_id: Ints, update_id: Ints, prev_id: Ints) -> "Chain":
        """After more diffs ([n] each, none a snapshot). A break is counted once, whether or not there is a book to lose."""
        n, last, awaits = _count(first_id, update_id, prev_id, self.last_id, self.awaits_first)
        return Chain(int(last), bool(awaits), self.n_breaks + int(n))


def spans(last_id: int, first_id: int, update_id: int, prev_id: int) -> bool:
    """Whether a snapshot at `last_id` is continued or overtaken by nothing up to the diff: false where diffs between them lack."""
    return chained(first_id, update_id, prev_id, last_id, True) != BROKEN


def _room(levels: Ints, n: int) -> Ints:
    """A copy with space for `n` more."""
    wide = np.empty(len(levels) + n, np.int64)
    wide[: len(levels)] = levels
    return wide


def advance(book: Book, rows: Rows, *, keep: int, replaces: bool = False) -> Applied:
    """Apply rows until the end, or until the book becomes unknown (a sequence break, or a book that crossed).

    With `replaces` every row is a whole book (sources without diffs) and a crossed one is passed over. Else a known book supersedes
    any snapshot, also one ahead of the diffs (which would be lost), and an unknown book takes a snapshot first: any other row is a break.
    """
    n = len(rows.update_id)
    n_bids, n_asks = int(rows.bids.offsets[-1] - rows.bids.offsets[0]), int(rows.asks.offsets[-1] - rows.asks.offsets[0])
    bp, bs = _room(book.bid_prices, n_bids), _room(book.bid_sizes, n_bids)
    ap, az = _room(book.ask_prices, n_asks), _room(book.ask_sizes, n_asks)
    state = np.array([len(book.bid_prices), len(book.ask_prices), book.last_id, book.known, book.awaits_first], np.int64)
    codes, tops = np.zeros(n, np.int8), np.zeros((n, 4), np.int64)
    out_bids, out_asks = (Side(np.zeros(n + 1, np.int64), np.empty(n * keep, np.int64), np.empty(n * keep, np.int64)) for _ in range(2))
    done, broken = _run(*rows, bp, bs, ap, az, state, replaces, keep, codes, tops, out_bids, out_asks)
    nb, na, last, known, awaits = (int(v) for v in state)
    after = Book(bp[:nb].copy(), bs[:nb].copy(), ap[:na].copy(), az[:na].copy(), last, bool(known), bool(awaits))
    return Applied(after, done, broken, codes[:done], tops[:done], _upto(out_bids, done), _upto(out_asks, done))


def _upto(side: Side, n: int) -> Side:
    end = side.offsets[n]
    return Side(side.offsets[: n + 1], side.prices[:end], side.sizes[:end])
