"""The text of generated frames: the lines a recorder of Binance's USD-M streams would have kept, byte for byte alike in shape.

`<receive time, ns> {"stream": ..., "data": ...}` per message and `<receive time> {"lastUpdateId": ...}` for the REST snapshot;
prices and sizes are decimal strings on the grid of the market. A template per kind is cut into literal bytes and fields once,
then a compiled loop fills them in.
"""

import re

import numba
import numpy as np
from numpy.typing import NDArray

from kernels.generator import Market, Records, grid

INT, PRICE, SIZE, E8, FLAG, BIDS, ASKS, END = range(8)
FIELDS = {"int": INT, "price": PRICE, "size": SIZE, "e8": E8, "flag": FLAG, "bids": BIDS, "asks": ASKS}
LONGEST = 24  # bytes of a number
TICKER = (
    '<1:int> {"stream":"STREAM@bookTicker","data":{"e":"bookTicker","u":<4:int>,"s":"SYMBOL","b":"<5:price>","B":"<6:size>",'
    '"a":"<7:price>","A":"<8:size>","T":<3:int>,"E":<2:int>}}\n'
)
TRADE = (
    '<1:int> {"stream":"STREAM@trade","data":{"e":"trade","E":<2:int>,"T":<3:int>,"s":"SYMBOL","t":<4:int>,"p":"<5:price>",'
    '"q":"<6:size>","X":"MARKET","m":<7:flag>}}\n'
)
DEPTH = (
    '<1:int> {"stream":"STREAM@depth@100ms","data":{"e":"depthUpdate","E":<2:int>,"T":<3:int>,"s":"SYMBOL","U":<4:int>,"u":<5:int>,'
    '"pu":<6:int>,"b":[<8:bids>],"a":[<9:asks>]}}\n'
)
SNAPSHOT = '<1:int> {"lastUpdateId":<4:int>,"E":<2:int>,"T":<3:int>,"bids":[<8:bids>],"asks":[<9:asks>]}\n'
MARK = (
    '<1:int> {"stream":"STREAM@markPrice","data":{"e":"markPriceUpdate","E":<2:int>,"s":"SYMBOL","p":"<4:e8>","P":"<6:e8>",'
    '"i":"<5:e8>","r":"<7:e8>","T":<8:int>}}\n'
)
KINDS = (TICKER, TRADE, DEPTH, SNAPSHOT, MARK)  # in the order of `generator_events`

Bytes = NDArray[np.uint8]
Ints = NDArray[np.int64]


def cut(market: Market) -> tuple[Bytes, Ints, Ints]:
    """The templates: literal bytes; steps [k, 4] (a literal's start and end, then a field's code and column); each kind's first step."""
    literals, steps, starts = b"", [], []
    for template in KINDS:
        starts.append(len(steps))
        filled = template.replace("STREAM", market.symbol.lower()).replace("SYMBOL", market.symbol)
        words = re.split(r"<(\d):(\w+)>", filled)
        for literal, column, field in zip(words[::3], [*words[1::3], "0"], [*words[2::3], ""], strict=True):
            steps.append((len(literals), len(literals) + len(literal), FIELDS.get(field, END), int(column)))
            literals += literal.encode()
    return np.frombuffer(literals, np.uint8), np.array(steps, np.int64), np.array(starts, np.int64)


def text(market: Market, records: Records) -> bytes:
    """The frames as lines."""
    literals, steps, starts = cut(market)
    (tick_units, price_decimals), (lot_units, size_decimals) = grid(market.tick_size), grid(market.lot_size)
    longest = max(map(len, KINDS)) + 2 * len(market.symbol) + 10 * LONGEST
    room = len(records.frames) * longest + len(records.level_ticks) * (2 * LONGEST + 8)
    out = np.empty(room, np.uint8)
    scales = (tick_units, price_decimals, lot_units, size_decimals)
    n = fill(out, records.frames, records.level_ticks, records.level_lots, literals, steps, starts, scales)
    return out[:n].tobytes()


@numba.njit(cache=True)
def put_number(out: Bytes, at: int, value: int, decimals: int) -> int:
    """Write a value >= 0 of 10^-decimals units in plain notation; returns the next free place."""
    digits = 1
    rest = value // 10
    while rest > 0 or digits <= decimals:
        digits += 1
        rest //= 10
    end = at + digits + (1 if decimals else 0)
    i = end - 1
    for n in range(digits):
        if decimals and n == decimals:
            out[i] = 46
            i -= 1
        out[i] = 48 + value % 10
        value //= 10
        i -= 1
    return end


@numba.njit(cache=True)
def put_levels(out, at, ticks, lots, start, n, scales):
    """Write `["price","size"]` pairs, comma between; returns the next free place."""
    for k in range(start, start + n):
        if k > start:
            out[at] = 44
            at += 1
        out[at], out[at + 1] = 91, 34
        at = put_number(out, at + 2, ticks[k] * scales[0], scales[1])
        out[at], out[at + 1], out[at + 2] = 34, 44, 34
        at = put_number(out, at + 3, lots[k] * scales[2], scales[3])
        out[at], out[at + 1] = 34, 93
        at += 2
    return at


@numba.njit(cache=True)
def fill(out, frames, ticks, lots, literals, steps, starts, scales):
    """Write all frames; returns how many bytes."""
    at = 0
    for row in range(len(frames)):
        frame = frames[row]
        k = starts[frame[0]]
        while True:
            for i in range(steps[k, 0], steps[k, 1]):
                out[at] = literals[i]
                at += 1
            field, value = steps[k, 2], frame[steps[k, 3]]
            if field == INT:
                at = put_number(out, at, value, 0)
            elif field == PRICE:
                at = put_number(out, at, value * scales[0], scales[1])
            elif field == SIZE:
                at = put_number(out, at, value * scales[2], scales[3])
            elif field == E8:
                at = put_number(out, at, value, 8)
            elif field == FLAG:
                for letter in b"true" if value else b"false":
                    out[at] = letter
                    at += 1
            elif field == BIDS:
                at = put_levels(out, at, ticks, lots, frame[7], value, scales)
            elif field == ASKS:
                at = put_levels(out, at, ticks, lots, frame[7] + frame[8], value, scales)
            else:
                break
            k += 1
    return at
