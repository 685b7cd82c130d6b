"""Digits and separators of a text, many bytes at a time; compiled.

Eight bytes are one word (its lowest byte is the first character): its digits become a number by three multiplications (Lemire,
"Quickly parsing eight digits", 2018). All bytes below "0" of 64 are found at once (Langdale and Lemire, "Parsing gigabytes of JSON
per second", 2019), so that the fields of a line are known before any is read. A place is an address, not an array and an
index: numba counts the references to an array at every call, which took three quarters of the time. What a newline is followed by
is never looked at, but may be read: a text has `BEFORE` bytes before its first line and `PAD` after its last.
"""

from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

BEFORE, PAD = 16, 64
MOST = 16  # digits that `number` reads
TENS = np.array([10**n for n in range(19)], np.int64)
ZEROS, HIGH, BELOW_TEN = (np.uint64(int(byte * 8, 16)) for byte in ("30", "80", "76"))
PAIRS, FOURS = np.uint64(0x00FF00FF00FF00FF), np.uint64(0x0000FFFF0000FFFF)
BY_10, BY_100, BY_10_000 = np.uint64(10 * 2**8 + 1), np.uint64(100 * 2**16 + 1), np.uint64(10_000 * 2**32 + 1)
U0, U1, U8, U16, U32 = (np.uint64(n) for n in (0, 1, 8, 16, 32))
EIGHT_DIGITS = np.uint64(10**8)
SMALL = np.uint64(0x2020202020202020)  # makes letters small
TRUE, FALSE = np.uint64(int.from_bytes(b"true", "little")), np.uint64(int.from_bytes(b"false", "little"))
FOUR, FIVE = np.uint64(2**32 - 1), np.uint64(2**40 - 1)
ZERO, POINT = ord("0"), ord(".")


def _loaded(kind: Any, builder: Any, address: Any) -> Any:
    return builder.load(builder.inttoptr(address, kind.as_pointer()), align=1)


def _byte(_: Any, at: Any) -> Any:
    def load(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        return builder.zext(_loaded(ir.IntType(8), builder, given[0]), ir.IntType(64))

    return types.int64(types.int64), load


def _word(_: Any, at: Any) -> Any:
    def load(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        return _loaded(ir.IntType(64), builder, given[0])

    return types.uint64(types.int64), load


def _separators(_: Any, at: Any) -> Any:
    def compare(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        found = _loaded(ir.VectorType(ir.IntType(8), 64), builder, given[0])
        below = builder.icmp_unsigned("<", found, ir.Constant(found.type, [ZERO] * 64))
        return builder.bitcast(below, ir.IntType(64))

    return types.uint64(types.int64), compare


def _zeros_below(_: Any, bits: Any) -> Any:
    def count(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        return builder.cttz(given[0], ir.Constant(ir.IntType(1), 0))

    return types.int64(types.uint64), count


byte: Any = intrinsic(_byte)  # the byte at an address
word: Any = intrinsic(_word)  # the 8 bytes from an address on, the first the lowest
separators: Any = intrinsic(_separators)  # a bit for each of the 64 bytes from an address on that is below "0"
zeros_below: Any = intrinsic(_zeros_below)  # how many zeros are below the lowest bit that is set


@njit(cache=True, nogil=True, forceinline=True)
def following(base, bits):  # pragma: no cover - compiled
    """(the next separator, and what is left of those from `base` on)"""
    while bits == U0:
        base += 64
        bits = separators(base)
    return base + zeros_below(bits), base, bits & (bits - U1)


@njit(cache=True, nogil=True, forceinline=True)
def eight(digits):  # pragma: no cover - compiled
    """The number that eight digits (each a byte, the first the lowest) make."""
    digits = digits * BY_10 >> U8 & PAIRS
    digits = digits * BY_100 >> U16 & FOURS
    return digits * BY_10_000 >> U32


@njit(cache=True, nogil=True, forceinline=True)
def number(start, end):  # pragma: no cover - compiled
    """The number the 1 to 16 digits in [start, end) make; -1 where they are fewer, more, or no digits."""
    n = end - start
    if n < 1 or n > MOST:
        return np.int64(-1)
    shift = np.uint64(max(64 - 8 * n, 0))
    low = (word(end - 8) ^ ZEROS) >> shift << shift
    wrong = (low + BELOW_TEN | low) & HIGH
    value = eight(low)
    if n > 8:
        shift = np.uint64(128 - 8 * n)
        high = (word(end - 16) ^ ZEROS) >> shift << shift
        wrong |= (high + BELOW_TEN | high) & HIGH
        value += eight(high) * EIGHT_DIGITS
    return np.int64(-1) if wrong != U0 else np.int64(value)


@njit(cache=True, nogil=True, forceinline=True)
def flag(at):  # pragma: no cover - compiled
    """(1 true, 0 false, -1 neither; where it ends), in capital letters or small ones"""
    letters = word(at) | SMALL
    yes, no = letters & FOUR == TRUE, letters & FIVE == FALSE
    return (1 if yes else 0 if no else -1), at + 5 - np.int64(yes)


@njit(cache=True, nogil=True, forceinline=True)
def units(whole, n_whole, part, n_part, places, most):  # pragma: no cover - compiled
    """Units of 10^-places of whole.part, or -1 where it is finer, or of more than `most` digits at so many places."""
    if n_whole + places > most:
        return np.int64(-1)
    if n_part > places:
        by = TENS[n_part - places]
        kept = part // by
        return whole * TENS[places] + kept if kept * by == part else np.int64(-1)
    return whole * TENS[places] + part * TENS[places - n_part]
