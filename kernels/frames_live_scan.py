"""Payloads of Binance's live streams to rows of integers, compiled; what is written in any other way is pointed out and left alone.

    {"stream":"<symbol>@<stream>","data":{"<key>":<value>,…}}        the frame alone is plain too

Plain is what it is in `kernels.frames_scan`: known keys in any order, none twice, no blank, no escape, no sign, no exponent. Prices and
sizes never pass through a float: their digits are brought to the decimals of the instrument, or the frame is left alone.
"""

import numpy as np
from numba import njit

from kernels.decimals import EXACT
from kernels.frames_bytes import (
    ALL,
    AT,
    CLOSE,
    COMMA,
    DATA,
    DIFFS,
    END,
    LETTER,
    NEWLINE,
    OPEN,
    QUOTED,
    QUOTES,
    SPEEDS,
    TRADES,
    same,
    units_of,
    whole,
)

TRADE, QUOTE, DIFF, AGGREGATE, BOOK, MARK, ODD = 0, 1, 2, 3, 4, 5, -1
KIND, SYMBOL, EVENT, ID, FIRST, LAST, PRICE, SIZE, ASK, ASK_SIZE, SIDE, MARKET, BIDS, N_BIDS, ASKS, N_ASKS = range(16)
FIELDS, LONGEST = 16, 64  # fields of a row; letters of a symbol

HEAD, E_FIRST, U_FIRST = (np.frombuffer(word, np.uint8) for word in (b'{"stream":"', b'"e":"', b'"u":'))
AGGREGATES, DEPTH = (np.frombuffer(word, np.uint8) for word in (b'aggTrade"', b"depth"))
TOPS = tuple(np.frombuffer(word, np.uint8) for word in (b"5", b"10", b"20"))
LAST_ID, THEN_BIDS, THEN_ASKS = (np.frombuffer(word, np.uint8) for word in (b'"lastUpdateId":', b',"bids":', b',"asks":'))
TENS = 10 ** np.arange(19)
ROOM = EXACT // TENS  # the most units that so many more decimals leave exact

INT, NUMBER, LEVELS, BOOL, NAME, PAIR, WHAT, WORD = range(8)  # what a key's value is
GIVEN_EVENT, GIVEN_SENT, GIVEN_ID, GIVEN_FIRST, GIVEN_LAST, GIVEN_MAKER, GIVEN_WORD, IGNORED = range(8)
PS, PU, ST, NQ = range(4)  # keys of two letters, as letters
COMMON = {"T": (INT, GIVEN_EVENT), "E": (INT, GIVEN_SENT), "s": (NAME, 0), "e": (WHAT, 0), chr(PS): (PAIR, 0), chr(ST): (INT, IGNORED)}
PRINT = {"p": (NUMBER, 0), "q": (NUMBER, 1), "m": (BOOL, GIVEN_MAKER), "M": (BOOL, IGNORED)}
DEPTHS = {"U": (INT, GIVEN_FIRST), "u": (INT, GIVEN_ID), chr(PU): (INT, GIVEN_LAST), "b": (LEVELS, 0), "a": (LEVELS, 1)}
KEYS: tuple[dict[str, tuple[int, int]], ...] = (
    COMMON | PRINT | {"t": (INT, GIVEN_ID), "X": (WORD, 0), "b": (INT, IGNORED), "a": (INT, IGNORED)},
    COMMON | {"u": (INT, GIVEN_ID), "b": (NUMBER, 0), "B": (NUMBER, 1), "a": (NUMBER, 2), "A": (NUMBER, 3)},
    COMMON | DEPTHS,
    COMMON | PRINT | {"a": (INT, GIVEN_ID), "f": (INT, GIVEN_FIRST), "l": (INT, GIVEN_LAST), chr(NQ): (NUMBER, 4)},
    COMMON | DEPTHS,
)  # fmt: skip
NEEDED = tuple("stpqTm"), tuple("subBaA"), tuple("sUuba"), tuple("sapqflTm"), tuple("sUuba")
ROLES = np.full((len(KEYS), 128), -1, np.int64)  # role, slot and number of each key of each kind, four bits each
for _kind, _keys in enumerate(KEYS):
    for _n, (_key, (_role, _slot)) in enumerate(_keys.items()):
        ROLES[_kind, ord(_key)] = _role | _slot << 4 | _n << 8
MUST = np.array([sum(1 << int(ROLES[kind, ord(key)] >> 8) for key in keys) for kind, keys in enumerate(NEEDED)])


@njit(cache=True, nogil=True)
def begun(text, at, kind, code):  # pragma: no cover - compiled
    """(kind, whether it is wrapped in a stream frame, first letter of the symbol its stream names, the last, where its first key is).

    `kind` and `code` are those of the connection's own stream (-1 where it has none). Kind -1: not plain.
    """
    if not same(text, at, HEAD):
        if text[at] != 123:  # {
            return ODD, False, at, at, at
        at += 1
        if kind == BOOK:
            return BOOK, False, at, at, at
        if same(text, at, U_FIRST):
            return QUOTE, False, at, at, at
        return (event(text, at + len(E_FIRST)) if same(text, at, E_FIRST) else ODD), False, at, at, at
    at += len(HEAD)
    first = at
    kind = ODD
    if same(text, at, ALL):
        kind, at = QUOTE, at + len(ALL)
        if not same(text, at, DATA):
            return ODD, True, at, at, at
        return kind, True, at, at, at + len(DATA)
    while LETTER[text[at]]:
        at += 1
    last = at
    if text[at] != AT:
        return ODD, True, at, at, at
    at += 1
    if same(text, at, AGGREGATES):
        kind, at = AGGREGATE, at + len(AGGREGATES)
    elif same(text, at, TRADES):
        kind, at = TRADE, at + len(TRADES)
    elif same(text, at, QUOTES):
        kind, at = QUOTE, at + len(QUOTES)
    elif same(text, at, DEPTH):
        at += len(DEPTH)
        depth = DIFF
        for top in TOPS:
            if depth == DIFF and same(text, at, top):
                depth, at = BOOK, at + len(top)
        if text[at] == QUOTED:
            kind, at = depth, at + 1
        else:
            for speed in SPEEDS:
                if kind < 0 and same(text, at, speed):
                    kind, at = depth, at + len(speed)
    if kind < 0 or not same(text, at, DATA):
        return ODD, True, first, last, at  # not past what has not been seen: the line may end here
    return kind, True, first, last, at + len(DATA)


@njit(cache=True, nogil=True)
def event(text, at):  # pragma: no cover - compiled
    """The kind of an event name."""
    if same(text, at, AGGREGATES):
        return AGGREGATE
    return TRADE if same(text, at, TRADES) else QUOTE if same(text, at, QUOTES) else DIFF if same(text, at, DIFFS) else ODD


@njit(cache=True, nogil=True)
def coded(text, first, last, upper, names, meta, guess):  # pragma: no cover - compiled
    """The index of the symbol in those letters, -1 if it is not known; `guess` is looked at first."""
    n = last - first
    for turn in range(-1, len(meta)):
        code = guess if turn < 0 else turn
        if meta[code, 0] == n:
            i = 0
            while i < n:
                c = text[first + i]
                if (c - 32 if upper and 97 <= c <= 122 else c) != names[code, i]:
                    break
                i += 1
            if i == n:
                return code
    return -1


@njit(cache=True, nogil=True)
def scaled(units, places, to):  # pragma: no cover - compiled
    """units / 10^places in units of 10^-to; -1 where that is none, or more than is held exactly."""
    if places == to:
        return units
    if places < to:
        return units * TENS[to - places] if units <= ROOM[to - places] else np.int64(-1)
    if places - to > 18:
        return np.int64(0) if units == 0 else np.int64(-1)
    ten = TENS[places - to]
    found = units // ten
    return found if found * ten == units else np.int64(-1)


@njit(cache=True, nogil=True)
def levels(text, at, pairs, n, price_decimals, size_decimals):  # pragma: no cover - compiled
    """(how many pairs there are after those of `[[price,size],…]`, where it ends), or where -1."""
    if text[at] != OPEN:
        return n, -1
    at += 1
    if text[at] == CLOSE:
        return n, at + 1
    while text[at] == OPEN:
        units, places, at = units_of(text, at + 1)
        if at < 0 or text[at] != COMMA:
            return n, -1
        price = scaled(units, places, price_decimals)
        units, places, at = units_of(text, at + 1)
        if at < 0 or text[at] != CLOSE:
            return n, -1
        size = scaled(units, places, size_decimals)
        if price < 0 or size < 0:
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
def book(text, at, row, pairs, n, code, meta):  # pragma: no cover - compiled
    """Read the whole of a spot book, which names no symbol and no time. Returns (pairs so far, where it ends), or where -1."""
    if code < 0 or not same(text, at, LAST_ID):
        return n, -1
    row[ID], at = whole(text, at + len(LAST_ID))
    if at < 0 or not same(text, at, THEN_BIDS):
        return n, -1
    bids, at = levels(text, at + len(THEN_BIDS), pairs, n, meta[code, 1], meta[code, 2])
    if at < 0 or not same(text, at, THEN_ASKS):
        return n, -1
    asks, at = levels(text, at + len(THEN_ASKS), pairs, bids, meta[code, 1], meta[code, 2])
    row[FIRST], row[LAST], row[SYMBOL], row[EVENT] = row[ID], -1, code, 0
    row[BIDS], row[N_BIDS], row[ASKS], row[N_ASKS] = n, bids - n, bids, asks - bids
    return asks, at


@njit(cache=True, nogil=True)
def finished(text, at, wrapped):  # pragma: no cover - compiled
    """Whether the frame ends there and the line with it."""
    for _ in range(2 if wrapped else 1):
        if text[at] != END:
            return False
        at += 1
    return text[at] == NEWLINE
