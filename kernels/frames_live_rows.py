"""The loop over the payloads of one batch: a row each, in order."""

import numpy as np
from numba import njit

from kernels.frames_bytes import COLON, COMMA, FALSE, LETTER, NEWLINE, PERP, QUOTED, TRUE, nanoseconds, same, units_of, whole
from kernels.frames_live_scan import (
    ASKS,
    BIDS,
    BOOK,
    BOOL,
    DIFF,
    EVENT,
    FIRST,
    GIVEN_EVENT,
    GIVEN_FIRST,
    GIVEN_ID,
    GIVEN_LAST,
    GIVEN_MAKER,
    GIVEN_SENT,
    ID,
    INT,
    KIND,
    LAST,
    LAST_ID,
    LEVELS,
    LONGEST,
    MARKET,
    MUST,
    N_ASKS,
    N_BIDS,
    NAME,
    NQ,
    NUMBER,
    ODD,
    PRICE,
    PS,
    PU,
    QUOTE,
    ROLES,
    SIDE,
    ST,
    SYMBOL,
    TRADE,
    WHAT,
    WORD,
    begun,
    book,
    coded,
    event,
    finished,
    levels,
    scaled,
)


@njit(cache=True, nogil=True)
def keyed(text, at):  # pragma: no cover - compiled
    """(the key that stands there as one letter, where its value is), or where -1."""
    if text[at] != QUOTED:
        return np.int64(0), -1
    key, second = np.int64(text[at + 1]), text[at + 2]
    if key < 33 or key > 126 or second == NEWLINE:
        return key, -1
    if second == QUOTED:
        return key, (at + 4 if text[at + 3] == COLON else -1)
    if key == 112:  # p
        key = PS if second == 115 else PU if second == 117 else -1
    elif key == 115 and second == 116:
        key = ST
    elif key == 110 and second == 113:
        key = NQ
    else:
        key = -1
    if key < 0 or text[at + 3] != QUOTED:
        return key, -1
    return key, (at + 5 if text[at + 4] == COLON else -1)


@njit(cache=True, nogil=True)
def scan(text, n_frames, own, names, meta, rows, pairs):  # pragma: no cover - compiled
    """Read `n_frames` lines into `rows` [frames, fields] and `pairs` [price and size, levels]; (byte after the last, odd rows).

    `own` is (kind, symbol) of the connection's stream, -1 where it has none; symbols are `names` [symbols, 64] and `meta` [symbols, 3]:
    length, price decimals, size decimals. A row that is not plain gets kind -1 and nothing else.
    """
    given, units, places = np.zeros(8, np.int64), np.zeros(5, np.int64), np.zeros(5, np.int64)
    at, n, guess, n_odd = 0, 0, 0, 0
    for i in range(n_frames):
        row, start = rows[i], at
        kind, wrapped, first, last, at = begun(text, at, own[0], own[1])
        code, seen, before = -1, np.int64(0), n
        sound = kind >= 0
        if sound and kind == BOOK and same(text, at, LAST_ID):
            code = coded(text, first, last, True, names, meta, guess) if wrapped else own[1]
            n, at = book(text, at, row, pairs, n, code, meta)
            sound = at >= 0 and finished(text, at, wrapped)
        elif sound:
            given[:] = 0
            given[GIVEN_LAST] = -1 if kind in (DIFF, BOOK) else 0
            given[GIVEN_FIRST] = -1
            row[N_BIDS], row[N_ASKS] = 0, 0
            while sound:
                sound = False
                key, at = keyed(text, at)
                if at < 0:
                    break
                what = ROLES[kind, key]
                if what < 0 or seen >> (what >> 8) & 1:
                    break
                seen |= 1 << (what >> 8)
                role, slot = what & 15, what >> 4 & 15
                if role == INT:
                    given[slot], at = whole(text, at)
                elif role == NUMBER:
                    units[slot], places[slot], at = units_of(text, at)
                elif role == LEVELS:
                    if code < 0:
                        break
                    row[BIDS if slot == 0 else ASKS] = n
                    more, at = levels(text, at, pairs, n, meta[code, 1], meta[code, 2])
                    row[N_BIDS if slot == 0 else N_ASKS] = more - n
                    n = more
                elif role == BOOL:
                    given[slot] = same(text, at, TRUE)
                    at = at + 4 if given[slot] else at + 5 if same(text, at, FALSE) else -1
                elif text[at] != QUOTED:
                    break
                elif role == WHAT:
                    named = event(text, at + 1)
                    at = closed(text, at + 1) if named == (DIFF if kind == BOOK else kind) else -1
                elif role == WORD:
                    at = at + 1 + len(PERP) if same(text, at + 1, PERP) else -1
                else:
                    at += 1
                    begin = at
                    while LETTER[text[at]] and at < begin + LONGEST:
                        at += 1
                    if text[at] != QUOTED or at == begin:
                        break
                    if role == NAME:
                        code = coded(text, begin, at, False, names, meta, guess)
                        if code < 0:
                            break
                    at += 1
                if at < 0:
                    break
                sound = True
                if text[at] != COMMA:
                    break
                at += 1
            if sound:
                time = given[GIVEN_EVENT] if given[GIVEN_EVENT] else given[GIVEN_SENT]
                when = nanoseconds(time)
                sound = seen & MUST[kind] == MUST[kind] and (when != 0 or time == 0) and finished(text, at, wrapped)
                row[SYMBOL], row[EVENT], row[ID], row[FIRST], row[LAST] = code, when, given[GIVEN_ID], given[GIVEN_FIRST], given[GIVEN_LAST]
            if sound and kind not in (DIFF, BOOK):
                for slot in range(4 if kind == QUOTE else 2):
                    found = scaled(units[slot], places[slot], meta[code, 1 + (slot & 1)])
                    sound &= found >= 0
                    row[PRICE + slot] = found
                row[SIDE], row[MARKET] = (-1 if given[GIVEN_MAKER] else 1), 1
                if kind == TRADE:
                    row[FIRST], row[LAST] = row[ID], row[ID]
        if sound:
            row[KIND] = kind
            guess = code
        else:
            row[KIND], n = ODD, before
            n_odd += 1
            at = start  # where reading stopped may be past the line's end
        while text[at] != NEWLINE:
            at += 1
        at += 1
    return at, n_odd, n


@njit(cache=True, nogil=True)
def closed(text, at):  # pragma: no cover - compiled
    """The byte after the next quotes."""
    while text[at] != QUOTED:
        at += 1
    return at + 1
