"""Book levels `[["61800.20","2.909"],…]` to floats, compiled: most of a recording's numbers stand in them.

Digits are taken as an integer m with k decimals; m / 10^k is the nearest float of the text where m <= 10^15 (see
`kernels.decimals`). Anything written otherwise (bare or longer numbers, exponents, blanks, NaN) is left to msgspec.
"""

from collections.abc import Sequence

import msgspec
import numpy as np
import numpy.typing as npt
from numba import njit

from kernels.decimals import EXACT, TENS

Levels = list[tuple[float, float]]
OPEN, CLOSE, COMMA, QUOTE, POINT, ZERO, NINE, NEWLINE = (ord(c) for c in '[],".09\n')
OTHERWISE = -1


def levels_of(sides: Sequence[msgspec.Raw]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
    """Levels of each side, all (price, size) pairs, and which sides are lists of pairs of numbers; the others have none."""
    text = b"\n".join(sides) + b"\n"
    counts = np.zeros(len(sides), np.int64)
    pairs = np.empty((text.count(b'","') + 1, 2))
    n = parse(np.frombuffer(text, np.uint8), counts, pairs, TENS, EXACT)
    sound = counts != OTHERWISE
    if sound.all():
        return counts, pairs[:n].copy(), sound
    parts, at = [], 0
    for side, count in enumerate(counts.tolist()):
        some = pairs[at : at + max(count, 0)]
        at += len(some)
        if count == OTHERWISE:
            try:
                some = np.array(msgspec.json.decode(sides[side], type=Levels, strict=False), np.float64).reshape(-1, 2)
                sound[side] = True
            except msgspec.DecodeError:
                some = np.empty((0, 2))
            counts[side] = len(some)
        parts.append(some)
    return counts, np.concatenate(parts), sound


@njit(cache=True, nogil=True)
def parse(text, counts, pairs, tens, exact):  # pragma: no cover - compiled
    """Fill `counts` (-1 where a side is written otherwise) and `pairs`, one line of text a side; returns how many pairs."""
    at, n = 0, 0
    for side in range(len(counts)):
        before = n
        sound = text[at] == OPEN
        at += 1
        if sound and text[at] == CLOSE and text[at + 1] == NEWLINE:
            counts[side] = 0
            at += 2
            continue
        while sound:
            sound = False
            if text[at] != OPEN:
                break
            at += 1
            for place in range(2):
                if text[at] != QUOTE:
                    break
                at += 1
                units, digits, places, pointed = 0, 0, 0, False
                while True:
                    c = text[at]
                    if ZERO <= c <= NINE and units <= exact:
                        units = units * 10 + (c - ZERO)
                        digits += 1
                        places += pointed
                    elif c == POINT and not pointed and digits:
                        pointed = True
                    else:
                        break
                    at += 1
                if c != QUOTE or units > exact or not digits or (pointed and not places) or places > 22:
                    break
                pairs[n, place] = units / tens[places]
                at += 1
                if text[at] != (COMMA if place == 0 else CLOSE):
                    break
                at += 1
                sound = place == 1
            if not sound:
                break
            n += 1
            if text[at] == COMMA:
                at += 1
                continue
            if text[at] == CLOSE and text[at + 1] == NEWLINE:
                at += 2
                break
            sound = False
        if sound:
            counts[side] = n - before
        else:
            counts[side] = OTHERWISE
            n = before
            at -= 1
            while text[at] != NEWLINE:
                at += 1
            at += 1
    return n
