"""What stands at a byte of a line of frames: names, digits, levels; compiled, and exact or refused.

Each function gets the text, which ends in a newline, and a place in it; what it looks for holds no newline, so nothing after the
text is looked at. An integer m with k decimals is taken as m / 10^k, the float nearest to its text (`kernels.decimals`).
"""

from typing import Any

import numpy as np
from numba import njit
from numba.cpython.unsafe.numbers import trailing_zeros

from kernels.decimals import EXACT, TENS
from kernels.frames_batch import MARKET

TRADE, QUOTE, DIFF = range(3)
HEAD, DATA = (np.frombuffer(word, np.uint8) for word in (b' {"stream":"', b',"data":{'))
BARE, TRUE, FALSE, PERP = (np.frombuffer(word, np.uint8) for word in (b" {", b"true", b"false", MARKET.encode() + b'"'))
TRADES, QUOTES, DIFFS, ALL = (np.frombuffer(word, np.uint8) for word in (b'trade"', b'bookTicker"', b'depthUpdate"', b'!bookTicker"'))
DEPTH, E_FIRST, U_FIRST = (np.frombuffer(word, np.uint8) for word in (b"depth", b'"e":"', b'"u":'))
SPEEDS = tuple(np.frombuffer(f'@{ms}ms"'.encode(), np.uint8) for ms in (0, 100, 250, 500, 1000))
ZEROS, OVER_NINE, TOPS = (np.uint64(int(byte * 8, 16)) for byte in ("30", "76", "80"))
PAIRS, HUNDREDS, ONES = np.uint64(0xFF000000FF), np.uint64(100 + (1_000_000 << 32)), np.uint64(1 + (10_000 << 32))
POWERS = 10 ** np.arange(9)
low_zeros: Any = trailing_zeros  # its stub is of the compiler's side
MOST = np.iinfo(np.int64).max
QUOTED, COMMA, COLON, OPEN, CLOSE, END, AT, POINT, ZERO, NINE, NEWLINE, RETURN = (ord(c) for c in '",:[]}@.09\n\r')
LETTER = np.zeros(256, np.bool_)  # of a symbol
LETTER[[ord(c) for c in "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-"]] = True


@njit(cache=True, nogil=True)
def same(text, at, word):  # pragma: no cover - compiled
    """Whether the word stands there. No word holds a newline, so nothing after the last line is looked at."""
    for i in range(len(word)):  # noqa: SIM110
        if text[at + i] != word[i]:
            return False
    return True


@njit(cache=True, nogil=True)
def run(text, at):  # pragma: no cover - compiled
    """(how many digits stand there, at most 8, the number they make). Eight bytes of the text are read at once, whatever they are."""
    p, one = np.uintp(at), np.uintp(1)
    word = np.uint64(0)
    shift = np.uint64(0)
    for _ in range(8):
        word |= np.uint64(text[p]) << shift
        p += one
        shift += np.uint64(8)
    digits = word ^ ZEROS
    odd = ((digits + OVER_NINE) | digits) & TOPS  # its lowest bit stands over the first byte that is no digit
    n = low_zeros(odd) >> np.uint64(3)
    if n == 0:
        return np.int64(0), np.int64(0)
    # The digits go to the top, zeros before them; then pairs, fours and all eight are put together (D. Lemire, "Number parsing at a
    # gigabyte per second", Software: Practice and Experience 51, 2021).
    digits <<= np.uint64(64) - np.uint64(8) * n
    digits = digits * np.uint64(10) + (digits >> np.uint64(8))
    digits = ((digits & PAIRS) * HUNDREDS + ((digits >> np.uint64(16)) & PAIRS) * ONES) >> np.uint64(32)
    return np.int64(n), np.int64(digits)


@njit(cache=True, nogil=True)
def whole(text, at):  # pragma: no cover - compiled
    """(an integer of up to 18 digits, where it ends), or where -1."""
    value, start = 0, at
    if at + 24 <= len(text):
        n, value = run(text, at)
        at += n
        if n == 8:
            n, more = run(text, at)
            value = value * POWERS[n] + more
            at += n
    while ZERO <= text[at] <= NINE and at < start + 19:
        value = value * 10 + (text[at] - ZERO)
        at += 1
    n = at - start
    return value, (at if 0 < n < 19 and (n == 1 or text[start] != ZERO) else -1)


@njit(cache=True, nogil=True)
def units_of(text, at):  # pragma: no cover - compiled
    """(digits, decimals, where its quotes end) of a number in quotes, which is digits / 10^decimals; or where -1."""
    if text[at] != QUOTED:
        return 0, 0, -1
    at += 1
    start = at
    if at + 32 <= len(text):
        # Up to seven digits on either side of the point, or eight after it: nearly all there are.
        n, units = run(text, at)
        at += n
        places = np.int64(0)
        if text[at] == POINT:
            places, more = run(text, at + 1)
            units = units * POWERS[places] + more
            at += 1 + places
            if not places:
                return 0, 0, -1
        if n and text[at] == QUOTED and units <= EXACT:
            return (units, places, at + 1) if n == 1 or text[start] != ZERO else (0, 0, -1)  # JSON has no 007
        at = start
    units, point = 0, 0
    while True:
        c = text[at]
        if ZERO <= c <= NINE and units <= EXACT:
            units = units * 10 + (c - ZERO)
        elif c == POINT and not point and at > start:
            point = at
        else:
            break
        at += 1
    places = at - point - 1 if point else 0
    if c != QUOTED or at == start or units > EXACT or (point and not places) or places > 22:
        return 0, 0, -1
    if text[start] == ZERO and start + 1 != (point if point else at):
        return 0, 0, -1
    return units, places, at + 1


@njit(cache=True, nogil=True)
def decimal(text, at):  # pragma: no cover - compiled
    """(a number in quotes, where its quotes end), or where -1."""
    units, places, at = units_of(text, at)
    return units / TENS[places], at


@njit(cache=True, nogil=True)
def levels(text, at, pairs, n):  # pragma: no cover - compiled
    """(how many pairs there are after those of `[[price,size],…]`, where it ends), or where -1."""
    if text[at] != OPEN:
        return n, -1
    at += 1
    if text[at] == CLOSE:
        return n, at + 1
    while text[at] == OPEN:
        price, at = decimal(text, at + 1)
        if at < 0 or text[at] != COMMA:
            return n, -1
        size, at = decimal(text, at + 1)
        if at < 0 or text[at] != CLOSE:
            return n, -1
        pairs[0, n], pairs[1, n] = price, size
        n += 1
        at += 1
        if text[at] == CLOSE:
            return n, at + 1
        if text[at] != COMMA:
            return n, -1
        at += 1
    return n, -1


@njit(cache=True, nogil=True)
def nanoseconds(time):  # pragma: no cover - compiled
    """As `kernels.frames_batch.to_ns`."""
    factor = 1 if time >= 10**17 else 1_000 if time >= 10**14 else 1_000_000 if time >= 10**11 else 0
    return time * factor if factor and time <= MOST // factor else 0


@njit(cache=True, nogil=True)
def opened(text, at):  # pragma: no cover - compiled
    """(kind, whether it is wrapped in a stream frame, where its first key is) of the text after the receive time; kind -1: not plain."""
    if not same(text, at, HEAD):
        at += len(BARE)
        if not same(text, at - len(BARE), BARE):
            return -1, False, at
        if same(text, at, U_FIRST):
            return QUOTE, False, at
        kind = event(text, at + len(E_FIRST)) if same(text, at, E_FIRST) else -1
        return kind, False, at
    at += len(HEAD)
    if same(text, at, ALL):
        kind, at = QUOTE, at + len(ALL)
    else:
        while LETTER[text[at]]:
            at += 1
        if text[at] != AT:
            return -1, True, at
        at += 1
        kind = -1
        if same(text, at, TRADES):
            kind, at = TRADE, at + len(TRADES)
        elif same(text, at, QUOTES):
            kind, at = QUOTE, at + len(QUOTES)
        elif same(text, at, DEPTH):
            at += len(DEPTH)
            if text[at] == QUOTED:
                kind, at = DIFF, at + 1
            else:
                for speed in SPEEDS:
                    if kind < 0 and same(text, at, speed):
                        kind, at = DIFF, at + len(speed)
    if kind < 0 or not same(text, at, DATA):
        return -1, True, at
    return kind, True, at + len(DATA)


@njit(cache=True, nogil=True)
def event(text, at):  # pragma: no cover - compiled
    """The kind of an event name."""
    return TRADE if same(text, at, TRADES) else QUOTE if same(text, at, QUOTES) else DIFF if same(text, at, DIFFS) else -1


@njit(cache=True, nogil=True)
def ended(text, at, wrapped):  # pragma: no cover - compiled
    """Where the next line begins, if this one ends here as a frame does; else -1."""
    for _ in range(2 if wrapped else 1):
        if text[at] != END:
            return -1
        at += 1
    at += text[at] == RETURN
    return at + 1 if text[at] == NEWLINE else -1
