"""Lines of an archive of aggregated trades to arrays, compiled; a line that is not written so is pointed out, with what is wrong.

    agg_trade_id,price,quantity,first_trade_id,last_trade_id,transact_time,is_buyer_maker[,is_best_match]

Prices and sizes are read as the decimals they are, never through a float, into units of 10^-decimals; a value that has no place there
(finer, or of more than 15 digits) refuses its line as well. Times are ms, µs or ns, told from their digits.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

from core.market import MAX_DECIMALS
from kernels.archive_digits import POINT, byte, flag, following, number, separators, units
from kernels.frames_batch import EARLIEST, LATEST
from kernels.frames_bytes import COMMA, NEWLINE, RETURN, nanoseconds

COLUMNS = ("agg_trade_id", "price", "quantity", "first_trade_id", "last_trade_id", "transact_time", "is_buyer_maker", "is_best_match")
FUTURES = len(COLUMNS) - 1  # a spot archive has one column more
INTS = ("trade_id", "price", "size", "first_id", "last_id", "ts_event")  # rows of `Rows.ints`
MOST_DIGITS = 15  # of a price or a size: so many are exact as a float64, too
MOST_BAD = 4_096  # refused lines of one call
SOUND = -1
UNFIT = 10  # beyond the columns: reasons of the size and the end
REASONS = {
    0: "agg_trade_id is no whole number",
    1: "price is no decimal number",
    2: "quantity is no decimal number",
    3: "first_trade_id is no whole number",
    4: "last_trade_id is no whole number",
    5: "transact_time is no time from 2009 to 2099",
    6: "is_buyer_maker is neither true nor false",
    7: "is_best_match is neither true nor false",
    8: "the line does not end after its last column",
    9: "the line is too long",
    UNFIT: "price of more digits than can be kept exactly",
    UNFIT + 1: "quantity of more digits than can be kept exactly",
}


class Rows(NamedTuple):
    """Room for rows of several calls. `bad` has [start, end, line, reason] of each refused line of the last one."""

    ints: npt.NDArray[np.int64]  # [6, room], see `INTS`; ts_event in ns
    side: npt.NDArray[np.int8]  # [room] the aggressor's sign: -1 where the buyer was the maker
    row: npt.NDArray[np.uint32]  # [room] line numbers
    bad: npt.NDArray[np.int64]  # [MOST_BAD, 4]


def room(n: int) -> Rows:
    return Rows(np.empty((len(INTS), n), np.int64), np.empty(n, np.int8), np.empty(n, np.uint32), np.empty((MOST_BAD, 4), np.int64))


@njit(cache=True, nogil=True, forceinline=True)
def decimal(start, base, bits):  # pragma: no cover - compiled
    """(whole part, its digits, decimals as a number, how many, the comma after them, base, bits); whole part -1: no decimal number."""
    end, base, bits = following(base, bits)
    whole, n_whole, part, n_part = number(start, end), end - start, np.int64(0), 0
    if byte(end) == POINT:
        start = end + 1
        end, base, bits = following(base, bits)
        part, n_part = number(start, end), end - start
        if part < 0:
            whole = np.int64(-1)
    if n_whole > MOST_DIGITS or byte(end) != COMMA:
        whole = np.int64(-1)
    return whole, n_whole, part, n_part, end, base, bits


@njit(cache=True, nogil=True, forceinline=True)
def whole_number(start, base, bits):  # pragma: no cover - compiled
    """(the number that begins there, the comma after it, base, bits); -1: none."""
    end, base, bits = following(base, bits)
    value = number(start, end)
    return (value if byte(end) == COMMA else np.int64(-1)), end, base, bits


@njit(cache=True, nogil=True, forceinline=True)
def read(at, base, bits, price_places, size_places, best):  # pragma: no cover - compiled
    """(reason or `SOUND`, where the next line begins, base, bits, trade_id, price, size, first_id, last_id, time, maker) of a line.

    A separator is looked for only after one that is no newline: nothing is looked for beyond the line.
    """
    price = size = first_id = last_id = time = np.int64(-1)
    maker = matched = 0
    trade_id, at, base, bits = whole_number(at, base, bits)
    if trade_id < 0:
        return 0, at, base, bits, trade_id, price, size, first_id, last_id, time, maker
    whole, n_whole, part, n_part, at, base, bits = decimal(at + 1, base, bits)
    if whole < 0:
        return 1, at, base, bits, trade_id, price, size, first_id, last_id, time, maker
    price = units(whole, n_whole, part, n_part, price_places, MOST_DIGITS)
    whole, n_whole, part, n_part, at, base, bits = decimal(at + 1, base, bits)
    if whole < 0:
        return 2, at, base, bits, trade_id, price, size, first_id, last_id, time, maker
    size = units(whole, n_whole, part, n_part, size_places, MOST_DIGITS)
    first_id, at, base, bits = whole_number(at + 1, base, bits)
    if first_id < 0:
        return 3, at, base, bits, trade_id, price, size, first_id, last_id, time, maker
    last_id, at, base, bits = whole_number(at + 1, base, bits)
    if last_id < 0:
        return 4, at, base, bits, trade_id, price, size, first_id, last_id, time, maker
    time, at, base, bits = whole_number(at + 1, base, bits)
    time = nanoseconds(time)
    if time < EARLIEST or time >= LATEST:
        return 5, at, base, bits, trade_id, price, size, first_id, last_id, time, maker
    maker, at = flag(at + 1)
    if maker < 0:
        return 6, at, base, bits, trade_id, price, size, first_id, last_id, time, maker
    _, base, bits = following(base, bits)
    if best:
        if byte(at) == COMMA:
            matched, at = flag(at + 1)
        else:
            matched = -1
        if matched < 0:
            return 7, at, base, bits, trade_id, price, size, first_id, last_id, time, maker
        _, base, bits = following(base, bits)
    if byte(at) == RETURN:
        at += 1
        _, base, bits = following(base, bits)
    if byte(at) != NEWLINE:
        return 8, at, base, bits, trade_id, price, size, first_id, last_id, time, maker
    reason = UNFIT if price < 0 else UNFIT + 1 if size < 0 else SOUND
    return reason, at + 1, base, bits, trade_id, price, size, first_id, last_id, time, maker


@njit(cache=True, nogil=True)
def parse(text, at, end, line, n, price_places, size_places, best, ints, side, row, bad):  # pragma: no cover - compiled
    """Read the lines from `at` to `end` (just after a newline) into the rows from `n` on.

    `text` has `BEFORE` bytes before `at` and `PAD` after `end`; `line` is the number of the first line; `best`: is_best_match is there.
    Stops early where the rows or `bad` are full. Returns (where the next line begins, its number, rows there are now, lines refused,
    whether a number had no place).
    """
    most, n_bad, unfit = len(side), 0, False
    origin = text.ctypes.data
    at, end = at + origin, end + origin
    base, bits = at, separators(at)
    while at < end and n < most and n_bad < MOST_BAD:
        reason, after, base, bits, trade_id, price, size, first_id, last_id, time, maker = read(
            at, base, bits, price_places, size_places, best
        )
        if reason == SOUND:
            ints[0, n] = trade_id
            ints[1, n] = price
            ints[2, n] = size
            ints[3, n] = first_id
            ints[4, n] = last_id
            ints[5, n] = time
            side[n] = 1 - 2 * maker
            row[n] = line
            n += 1
        else:
            after, blank = ended(at)
            if not blank:
                bad[n_bad, 0], bad[n_bad, 1], bad[n_bad, 2], bad[n_bad, 3] = at - origin, after - 1 - origin, line, reason
                n_bad += 1
                unfit |= reason >= UNFIT
            base, bits = after, separators(after)
        at = after
        line += 1
    return at - origin, line, n, n_bad, unfit


@njit(cache=True, nogil=True, forceinline=True)
def ended(at):  # pragma: no cover - compiled
    """(where the next line begins, whether this one is blank)"""
    blank = True
    while byte(at) != NEWLINE:
        blank &= byte(at) == 32 or byte(at) == 9 or byte(at) == RETURN
        at += 1
    return at + 1, blank


@njit(cache=True, nogil=True)
def _count(text, at, end, fits):  # pragma: no cover - compiled
    """Add the price and the size of each line to `fits` at the fewest decimals that hold them, and take them off after the most."""
    origin = text.ctypes.data
    at, end = at + origin, end + origin
    while at < end:
        base, bits = at, separators(at)
        comma, base, bits = following(base, bits)
        whole = np.int64(0)
        for column in range(2):
            if whole < 0 or byte(comma) != COMMA:
                break
            whole, n_whole, part, n_part, comma, base, bits = decimal(comma + 1, base, bits)
            if whole >= 0:
                while n_part and part % 10 == 0:
                    part //= 10
                    n_part -= 1
                most = min(MOST_DIGITS - n_whole, MAX_DECIMALS)
                if n_part <= most:
                    fits[column, n_part] += 1
                    fits[column, most + 1] -= 1
                    fits[column, -1] += 1
        at, _ = ended(at)


def counted(text: npt.NDArray[np.uint8], start: int, end: int) -> npt.NDArray[np.int64]:
    """[2, 14]: of the prices and the sizes in whole lines what `kernels.decimals.census` tells: to be added up, for `chosen`."""
    fits = np.zeros((2, MAX_DECIMALS + 3), np.int64)
    _count(text, start, end, fits)
    n = fits[:, -1:]
    return np.concatenate([n - np.cumsum(fits[:, :-2], axis=1), n], axis=1)
