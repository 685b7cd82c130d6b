"""The frames Binance documents, field by field, for spot, USD-M and COIN-M: what a line may hold, and nothing else.

Prices and sizes are decimal text on the wire and floats here (`kernels.decimals` turns them into exact integers); an absent
time is 0. `st` is a status the futures streams have carried, `ps` the pair of a COIN-M contract.
"""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

Int = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]
Levels = msgspec.Raw  # [[price, size], …], for `kernels.frames_levels`
Text = str | float  # a number or, where the venue has none, ""


class Trade(Struct, gc=False):
    """One fill. `m`: the buyer was the maker, so the seller was the aggressor. `X`: MARKET, or INSURANCE_FUND, ADL, NA …"""

    s: str
    t: Int
    p: float
    q: float
    T: Int
    m: bool
    e: Literal["trade"] | None = None
    E: Int = 0
    X: str | None = None
    M: bool | None = None  # spot: to be ignored, says Binance
    b: Int | None = None  # spot, once: buyer's order
    a: Int | None = None  # spot, once: seller's order
    ps: str | None = None
    st: Int | str | None = None


class Quote(Struct, gc=False):
    """Best bid and ask (`bookTicker`). Spot sends neither `e` nor times."""

    s: str
    u: Int
    b: float
    B: float
    a: float
    A: float
    e: Literal["bookTicker"] | None = None
    T: Int = 0
    E: Int = 0
    ps: str | None = None
    st: Int | str | None = None


class Diff(Struct):
    """Book levels that changed between update ids `U` and `u`; futures name the `u` before as `pu`."""

    s: str
    U: Int
    u: Int
    b: Levels
    a: Levels
    e: Literal["depthUpdate"] | None = None
    pu: Int = -1
    T: Int = 0
    E: Int = 0
    ps: str | None = None
    st: Int | str | None = None


class Mark(Struct, gc=False):
    """Mark `p`, index `i`, estimated settlement `P`, funding rate `r`, and at `T` the *next funding*."""

    s: str
    E: Int
    p: Text
    e: Literal["markPriceUpdate"] | None = None
    P: Text = ""
    i: Text = ""
    r: Text = ""
    ap: Text = ""
    T: Int = 0
    ps: str | None = None
    st: Int | str | None = None


class Snapshot(Struct):
    """The REST answer with the whole book. Spot and USD-M name no symbol."""

    lastUpdateId: Int
    bids: Levels
    asks: Levels
    E: Int = 0
    T: Int = 0
    symbol: str = ""
    pair: str | None = None


KINDS: dict[str, type[Struct]] = {
    "trade": Trade,
    "bookTicker": Quote,
    "depthUpdate": Diff,
    "markPriceUpdate": Mark,
    "snapshot": Snapshot,
}
STREAMS = {
    "trade": "trade",
    "bookTicker": "bookTicker",
    "depth": "depthUpdate",
    "depth@0ms": "depthUpdate",
    "depth@100ms": "depthUpdate",
    "depth@250ms": "depthUpdate",
    "depth@500ms": "depthUpdate",
    "depth@1000ms": "depthUpdate",
    "markPrice": "markPriceUpdate",
    "markPrice@1s": "markPriceUpdate",
}


def decoders(*, keep_unknown_fields: bool) -> dict[tuple[str, bool], msgspec.json.Decoder]:
    """A decoder of JSON arrays of frames for each (kind, wrapped in a stream frame)."""
    strict = not keep_unknown_fields
    made = {}
    for kind, shape in KINDS.items():
        gc = shape.__struct_config__.gc
        data = msgspec.defstruct(shape.__name__, [], bases=(shape,), forbid_unknown_fields=strict, gc=gc)
        fields = [("stream", str), ("data", data)]
        wrapped = msgspec.defstruct("Stream", fields, forbid_unknown_fields=strict, gc=False)
        made[kind, False] = msgspec.json.Decoder(list[data], strict=False)
        made[kind, True] = msgspec.json.Decoder(list[wrapped], strict=False)
    return made


def kind_of_stream(name: str) -> str | None:
    """The kind of frames a stream such as `btcusdt@depth@100ms` or `!bookTicker` sends; None if it is not one of ours.

    Partial books (`depth20`) are no diffs, though futures name them so; they are not ours.
    """
    return "bookTicker" if name == "!bookTicker" else STREAMS.get(name.partition("@")[2])


def kind_of(frame: object) -> tuple[str, bool] | None:
    """(kind, wrapped) of any frame, by its keys; None if it is not one of ours."""
    if not isinstance(frame, dict):
        return None
    if "stream" in frame:
        kind = kind_of_stream(str(frame["stream"]))
        return (kind, True) if kind else None
    if "lastUpdateId" in frame:
        return "snapshot", False
    if "e" in frame:
        kind = str(frame["e"])
        return (kind, False) if kind in KINDS and kind != "snapshot" else None
    return ("bookTicker", False) if {"u", "s", "b", "B", "a", "A"} <= frame.keys() else None
