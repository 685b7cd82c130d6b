"""Plain lines of trades, quotes and diffs to arrays, compiled; a line written in any other way is pointed out and left alone.

    <digits> {"stream":"<symbol>@<kind>","data":{"<key>":<value>,…}}        the frame alone is plain too

Plain: known keys in any order, none twice, no blank, no escape, no sign, no exponent (`kernels.frames_bytes`). What is plain has
no other reading, so `kernels.frames_json`, which reads all the rest, would read it alike.
"""

import numpy as np
from numba import njit

from kernels.frames_batch import EARLIEST, LATEST
from kernels.frames_bytes import (
    COLON,
    COMMA,
    DIFF,
    DIFFS,
    FALSE,
    LETTER,
    NEWLINE,
    NINE,
    PERP,
    QUOTE,
    QUOTED,
    QUOTES,
    TRADE,
    TRADES,
    TRUE,
    ZERO,
    decimal,
    ended,
    event,
    levels,
    nanoseconds,
    opened,
    same,
    whole,
)

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


@njit(cache=True, nogil=True)
def named(text, start, n, names, sizes, guess):  # pragma: no cover - compiled
    """The index of a symbol, -1 if it is a new one; `guess` is looked at first."""
    for turn in range(-1, len(sizes)):
        code = guess if turn < 0 else turn
        if code < len(sizes) and sizes[code] == n and same(text, start, names[code, :n]):
            return code
    return -1


@njit(cache=True, nogil=True)
def scan(text, at, line, names, sizes, known, ints, floats, counts, pairs, odd, n):  # pragma: no cover - compiled
    """Read lines from byte `at` on, the first being number `line`. Returns (byte, line) of the end of the text, or of a plain
    line whose symbol is not `known` [kinds, symbols] of its kind yet.

    `text` ends in a newline. Symbols are `names` [symbols, 64], `sizes` long. Each kind's frames are added to `ints`
    [kinds, fields, lines], `floats` [2, values, lines], `counts` [sides, lines] and `pairs` [sides, 2, levels]; `odd` [lines, 3]
    gets (number, first byte, end) of each line that is not plain. `n` counts what was added: kinds, odd lines, pairs a side.
    """
    given, values = np.zeros(8, np.int64), np.zeros(N_FLOATS)
    guess = 0
    while at < len(text):
        start = at
        recv = np.int64(0)
        while ZERO <= text[at] <= NINE and at < start + 19:
            recv = recv * 10 + (text[at] - ZERO)
            at += 1
        # Nineteen digits that begin with a nine may be too many for an integer.
        recv = np.int64(0) if at == start + 19 and text[start] == NINE else nanoseconds(recv)
        kind, wrapped, at = opened(text, at) if EARLIEST <= recv < LATEST else (-1, False, at)
        seen, when, code, sound = np.int64(0), np.int64(0), -1, kind >= 0
        given[:] = 0
        given[OWN + 2] = -1 if kind == DIFF else 0
        first, second = n[4], n[5]
        while sound:
            sound = False
            if text[at] != QUOTED:
                break
            key = np.int64(text[at + 1])
            if key < 33 or key > 126 or text[at + 2] == NEWLINE:
                break
            at += 2
            if text[at] != QUOTED:
                key = PS if key == 112 and text[at] == 115 else PU if key == 112 and text[at] == 117 else ST
                if key == ST and (text[at - 1] != 115 or text[at] != 116):
                    break
                at += 1
                if text[at] != QUOTED:
                    break
            at += 1
            if text[at] != COLON:
                break
            at += 1
            what = ROLES[kind, key]
            if what < 0 or seen >> what & 1:
                break
            seen |= 1 << what
            role, slot = what >> 3, what & 7
            if role == INT:
                given[slot], at = whole(text, at)
            elif role == NUMBER:
                values[slot], at = decimal(text, at)
            elif role == LEVELS:
                if slot == 0:
                    first, at = levels(text, at, pairs[0], n[4])
                else:
                    second, at = levels(text, at, pairs[1], n[5])
            elif role == BOOL:
                given[slot] = same(text, at, TRUE)
                at = at + 4 if given[slot] else at + 5 if same(text, at, FALSE) else -1
            elif text[at] != QUOTED:
                break
            elif role == KIND:
                at = at + 1 + len(TRADES if kind == TRADE else QUOTES if kind == QUOTE else DIFFS) if event(text, at + 1) == kind else -1
            elif role == WORD:
                given[slot] = 1
                at = at + 1 + len(PERP) if same(text, at + 1, PERP) else -1
            else:
                at += 1
                begun = at
                while LETTER[text[at]] and at < begun + LONGEST:
                    at += 1
                if text[at] != QUOTED or at == begun:
                    break
                if role == NAME:
                    if text[begun] == 45 or text[begun] == 46:  # a symbol begins with no hyphen, no point
                        break
                    code = named(text, begun, at - begun, names, sizes, guess)
                at += 1
            if at < 0:
                break
            sound = True
            if text[at] != COMMA:
                break
            at += 1
        if sound:
            at = ended(text, at, wrapped)
            time = given[TIME] if given[TIME] else given[SENT]
            when = nanoseconds(time)
            sound = at >= 0 and seen & MUST[kind] == MUST[kind] and (when != 0 or time == 0)
        if not sound:
            at = start
            while text[at] != NEWLINE:
                at += 1
            odd[n[3], 0], odd[n[3], 1], odd[n[3], 2] = line, start, at
            n[3] += 1
            at += 1
        elif code < 0 or not known[kind, code]:
            return start, line
        else:
            i = n[kind]
            guess = code
            ints[kind, ROW, i], ints[kind, RECV, i], ints[kind, EVENT, i], ints[kind, SYMBOL, i] = line, recv, when, code
            for slot in range(3):
                ints[kind, FIRST + slot, i] = given[OWN + slot]
            if kind == DIFF:
                counts[0, i], counts[1, i] = first - n[4], second - n[5]
                n[4], n[5] = first, second
            else:
                for slot in range(N_FLOATS if kind == QUOTE else 2):
                    floats[kind, slot, i] = values[slot]
            n[kind] += 1
        line += 1
    return at, line
