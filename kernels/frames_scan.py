"""Plain lines of trades, quotes and diffs to arrays, compiled; a line written in any other way is pointed out and left alone.

    <digits> {"stream":"<symbol>@<kind>","data":{"<key>":<value>,…}}        the frame alone is plain too

Plain: known keys in any order, none twice, no blank, no escape, no sign, no exponent; prices and sizes as text of digits, at most
10^15 without the point. An integer m with k decimals is taken as m / 10^k, the float nearest to the text (`kernels.decimals`). What
is plain has no other reading, so `kernels.frames_json`, which reads all the rest, would read it alike.
"""

import numpy as np
from numba import njit

from kernels.decimals import EXACT, TENS
from kernels.frames_batch import EARLIEST, LATEST, MARKET

TRADE, QUOTE, DIFF = range(3)
ROW, RECV, EVENT, SYMBOL, FIRST = range(5)  # fields of `ints`: those of every kind, then up to three of its own
N_INTS, N_FLOATS, LONGEST = FIRST + 3, 4, 64  # a symbol has at most 64 characters
INT, NUMBER, LEVELS, BOOL, NAME, PAIR, KIND, WORD = range(8)  # what a key's value is
PS, PU, ST = range(3)  # keys of two letters, as letters
TIME, SENT, OWN, IGNORED = 0, 1, 2, 5  # slots of integers: T, E, those that are kept, those that are not

KEYS: tuple[dict[str, tuple[int, int]], ...] = (
    {
        "t": (INT, OWN), "m": (BOOL, OWN + 1), "X": (WORD, OWN + 2), "p": (NUMBER, 0), "q": (NUMBER, 1),
        "M": (BOOL, IGNORED), "b": (INT, IGNORED), "a": (INT, IGNORED + 1),
    },
    {"u": (INT, OWN), "b": (NUMBER, 0), "B": (NUMBER, 1), "a": (NUMBER, 2), "A": (NUMBER, 3)},
    {"U": (INT, OWN), "u": (INT, OWN + 1), chr(PU): (INT, OWN + 2), "b": (LEVELS, 0), "a": (LEVELS, 1)},
)  # fmt: skip
COMMON = {"T": (INT, TIME), "E": (INT, SENT), "s": (NAME, 0), "e": (KIND, 0), chr(PS): (PAIR, 0), chr(ST): (INT, IGNORED + 2)}
NEEDED = tuple("stpqTm"), tuple("subBaA"), tuple("sUuba")

ROLES = np.full((3, 128), -1, np.int64)  # role * 8 + slot of each key of each kind
for _kind, _keys in enumerate(KEYS):
    for _key, (_role, _slot) in (COMMON | _keys).items():
        ROLES[_kind, ord(_key)] = _role * 8 + _slot
MUST = np.array([sum(1 << int(ROLES[kind, ord(key)]) for key in keys) for kind, keys in enumerate(NEEDED)])

HEAD, DATA = (np.frombuffer(word, np.uint8) for word in (b' {"stream":"', b',"data":{'))
BARE, TRUE, FALSE, PERP = (np.frombuffer(word, np.uint8) for word in (b" {", b"true", b"false", MARKET.encode() + b'"'))
TRADES, QUOTES, DIFFS, ALL = (np.frombuffer(word, np.uint8) for word in (b'trade"', b'bookTicker"', b'depthUpdate"', b'!bookTicker"'))
DEPTH, E_FIRST, U_FIRST = (np.frombuffer(word, np.uint8) for word in (b"depth", b'"e":"', b'"u":'))
SPEEDS = tuple(np.frombuffer(f'@{ms}ms"'.encode(), np.uint8) for ms in (0, 100, 250, 500, 1000))
MOST = np.iinfo(np.int64).max
QUOTED, COMMA, COLON, OPEN, CLOSE, END, AT, POINT, ZERO, NINE, NEWLINE, RETURN = (ord(c) for c in '",:[]}@.09\n\r')
LETTER = np.zeros(256, np.bool_)  # of a symbol
LETTER[[ord(c) for c in "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-"]] = True


@njit(cache=True, nogil=True)
def same(text, at, word):  # pragma: no cover - compiled
    """Whether the word stands there. No word holds a newline, so nothing after the last line is looked at."""
    for i in range(len(word)):
        if text[at + i] != word[i]:
            return False
    return True


@njit(cache=True, nogil=True)
def whole(text, at):  # pragma: no cover - compiled
    """(an integer of up to 18 digits, where it ends), or where -1."""
    value, start = 0, at
    while ZERO <= text[at] <= NINE and at < start + 19:
        value = value * 10 + (text[at] - ZERO)
        at += 1
    n = at - start
    return value, (at if 0 < n < 19 and (n == 1 or text[start] != ZERO) else -1)


@njit(cache=True, nogil=True)
def decimal(text, at):  # pragma: no cover - compiled
    """(a number in quotes, where its quotes end), or where -1."""
    if text[at] != QUOTED:
        return 0.0, -1
    at += 1
    start, units, point = at, 0, 0
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
        return 0.0, -1
    if text[start] == ZERO and start + 1 != (point if point else at):
        return 0.0, -1  # JSON has no 007
    return units / TENS[places], at + 1


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
        pairs[n, 0], pairs[n, 1] = price, size
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
