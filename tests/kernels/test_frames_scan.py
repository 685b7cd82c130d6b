"""The compiled reading of plain lines and the reading of any JSON are one reading: same rows, same refusals, whatever is on the line."""

import json
import random
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernels.decimals import EXACT
from kernels.frames import Frames
from kernels.frames_batch import receive_times
from kernels.frames_bytes import decimal, whole
from kernels.frames_columns import Tables
from kernels.frames_shapes import KINDS

NS, MS = 1723161255088176367, 1723161256322
FUTURE = {"E": MS, "T": MS - 1, "s": "BTCUSDT"}
LISTS = {"b": [["61800.20", "0.014"], ["1.5", "0.000"]], "a": [["61800.30", "2.5"]]}
FRAMES: list[tuple[str, dict[str, Any]]] = [
    ("trade", {"e": "trade", **FUTURE, "t": 7, "p": "61800.30", "q": "0.006", "X": "MARKET", "m": False}),
    ("trade", {"e": "trade", **FUTURE, "t": 8, "p": "61800.2", "q": "12", "X": "INSURANCE_FUND", "m": True, "st": 2}),
    ("bookTicker", {"e": "bookTicker", "u": 9, **FUTURE, "b": "61800.20", "B": "2.507", "a": "61800.30", "A": "2.510"}),
    ("depth@0ms", {"e": "depthUpdate", **FUTURE, "U": 8, "u": 9, "pu": 7, **LISTS}),
    ("depth@500ms", {"e": "depthUpdate", **FUTURE, "U": 10, "u": 12, "pu": 9, "b": [], "a": LISTS["b"]}),
    ("markPrice@1s", {"e": "markPriceUpdate", "E": MS, "s": "BTCUSDT", "p": "6.7", "P": "", "i": "6.5", "r": "0.0001", "T": MS + 9}),
    ("trade", {"e": "trade", "E": MS, "s": "ETHBTC", "t": 7, "p": "0.05180000", "q": "2", "T": MS, "m": True, "M": True, "b": 1, "a": 2}),
    ("bookTicker", {"u": 9, "s": "ETHBTC", "b": "0.05170000", "B": "2.00000000", "a": "0.05180000", "A": "3"}),
    ("depth@100ms", {"e": "depthUpdate", "E": MS, "s": "ETHBTC", "U": 8, "u": 9, "b": [["0.0518", "3"]], "a": []}),
    ("bookTicker", {"u": 3, "e": "bookTicker", "s": "BTCUSD_PERP", "ps": "BTCUSD", "b": "6.1", "B": "35", "a": "6.2", "A": "5", "T": MS}),
    ("depth", {"e": "depthUpdate", "E": MS, "s": "BTCUSD_PERP", "ps": "BTCUSD", "U": 1, "u": 2, "pu": 0, "b": [["6.1", "1"]], "a": []}),
]
HOSTILE: list[Any] = [
    "NaN", "Infinity", "-1.5", "+1", "1e3", "1E-3", "007", "0.", ".5", "", " 1", "1_0", "0x1", "1.2.3", "9" * 15, "9" * 16, "1" + "0" * 15,
    "0.1234567890123456", "0." + "0" * 25 + "1", "123456789.1234567", "six", "\\u0031", "é", 0, -1, 1.5, 1e30, 10**17, 10**18, 2**63 - 1,
    2**63, 2**64, True, False, None, [], {}, [["1", "2"], ["3"]], [["1", "2", "3"]], [[1, 2]], [["1", "x"]], "MARKET", "trade", "ADL",
    "NEWUSDT", "-BAD", ".BAD", "a b", "x" * 64, "x" * 65, 5, MS * 1000, MS * 10**6, 10**12, "BTCUSDT",
]  # fmt: skip
ODD_BYTES = b'"\\,:{}[]0179.-+eE \t\r\x00\xffusTaX@'


def written(frame: tuple[str, dict[str, Any]], recv: object = NS, *, wrapped: bool = True, blanks: bool = False) -> bytes:
    stream, data = frame
    body = {"stream": f"{data['s'].lower() if isinstance(data.get('s'), str) else 'x'}@{stream}", "data": data} if wrapped else data
    return f"{recv} {json.dumps(body, separators=None if blanks else (',', ':'))}".encode()


@st.composite
def lines(draw: st.DrawFn) -> bytes:
    stream, data = draw(st.sampled_from(FRAMES))
    items = draw(st.permutations(list(data.items()))) if draw(st.booleans()) else list(data.items())
    change = draw(st.sampled_from(["none", "none", "value", "drop", "add", "twice", "bytes", "recv", "stream"]))
    at = draw(st.integers(0, len(items) - 1))
    if change == "value":
        items[at] = items[at][0], draw(st.sampled_from(HOSTILE))
    elif change == "drop":
        del items[at]
    elif change == "add":
        items.insert(at, (draw(st.sampled_from(["st", "ps", "zz", "X", "pu", "M", "a", "é", "p"])), draw(st.sampled_from(HOSTILE))))
    elif change == "stream":
        stream = draw(st.sampled_from(["depth20", "depth@1ms", "depth@1000ms", "aggTrade", "trade@x", "TRADE", "", "bookTicker", "trade"]))
    recvs = ["", "x", 17, NS // 1000, NS // 10**6, 10**18, 8 * 10**18, 9 * 10**18, 10**19 - 1, 10**20, f"0{NS}", f"00{NS // 1000}", -NS]
    recv = draw(st.sampled_from(recvs)) if change == "recv" else NS + draw(st.integers(0, 10**6))
    text = bytearray(written((stream, dict(items)), recv, wrapped=draw(st.integers(0, 5)) > 0, blanks=draw(st.integers(0, 9)) == 0))
    if change == "twice" and (cut := text.find(b'"s":')) > 0:
        key, value = items[at]
        text[cut:cut] = f"{json.dumps(key)}:{json.dumps(value)},".encode()
    if change == "bytes":
        for _ in range(draw(st.integers(1, 3))):
            spot, byte = draw(st.integers(0, len(text) - 1)), draw(st.sampled_from(list(ODD_BYTES)))
            how = draw(st.sampled_from(["set", "put", "cut"]))
            text[spot : spot + (how != "put")] = b"" if how == "cut" else bytes([byte])
    return bytes(text) + draw(st.sampled_from([b"", b"", b"", b"\r", b" ", b"}"]))


def answer(frames: Frames) -> tuple[Any, ...]:
    tables = Tables(frames, off_grid_share=0.001)
    rows = {tuple(of): frame.to_dict(as_series=False) for *of, frame in (*tables.rows(), *tables.refusals({}))}
    return rows, sorted(tables.refused), tables.told, tables.kinds


def as_json(some: Sequence[bytes], *, keep: bool) -> Frames:
    """All lines read as JSON, none by the scanner."""
    frames = Frames(keep_unknown_fields=keep)
    frames.json.decode(some, range(1, len(some) + 1), found := {kind: [] for kind in KINDS})
    frames.batches |= found
    return frames


def scanned(some: Sequence[bytes], *, keep: bool, blocks: int = 1) -> Frames:
    frames = Frames(keep_unknown_fields=keep)
    for part in np.array_split(np.arange(len(some)), blocks):
        frames.add(b"".join(some[at] + b"\n" for at in part))
    return frames


PLAIN = [written(frame, NS + at) for at, frame in enumerate(FRAMES)]


@given(st.lists(lines(), min_size=1, max_size=12), st.booleans(), st.integers(1, 3))
@settings(deadline=None, max_examples=150)
def test_both_readings_agree_line_by_line(drawn: list[bytes], keep: bool, blocks: int):
    some = PLAIN + [line for text in drawn for line in text.split(b"\n")]
    assert answer(scanned(some, keep=keep, blocks=blocks)) == answer(as_json(some, keep=keep))


@pytest.mark.parametrize("value", HOSTILE, ids=repr)
def test_both_readings_agree_on_every_value_of_every_field(value: Any):
    changed = [(stream, data | {key: value}) for stream, data in FRAMES for key in data]
    some = PLAIN + [written(frame, NS + at, wrapped=bool(at % 3)) for at, frame in enumerate(changed)]
    assert answer(scanned(some, keep=False)) == answer(as_json(some, keep=False))


@pytest.mark.parametrize("beside", [b"x", b"", b"9" * 30, b"0"], ids=["text", "none", "too long", "zero"])
@pytest.mark.parametrize("stamp", [f"0{NS}", f"00{NS}", "0" * 5000 + str(NS), str(10**19), "0"], ids=["0", "00", "000", "late", "zero"])
def test_a_receive_time_is_the_same_whatever_stands_beside_it(stamp: str, beside: bytes):
    alone = receive_times([stamp.encode()])[0]
    assert receive_times([stamp.encode(), beside])[0] == alone == (NS if stamp.lstrip("0") == str(NS) else 0)


def test_plain_lines_in_any_order_of_keys_are_left_to_the_scanner(monkeypatch: pytest.MonkeyPatch):
    plain = [(stream, data) for stream, data in FRAMES if data.get("X") != "INSURANCE_FUND" and "markPrice" not in stream]
    shuffled = [(stream, dict(random.Random(at).sample(list(data.items()), len(data)))) for at, (stream, data) in enumerate(plain)]
    frames = Frames()
    frames.add(b"".join(line + b"\n" for line in PLAIN))

    def never(*_: object) -> None:
        raise AssertionError("read as JSON")

    monkeypatch.setattr(frames.json, "decode", never)
    frames.add(b"".join(written(frame) + b"\r\n" for frame in shuffled) + written(plain[0]))
    frames.add(b"".join(written(frame, NS // 1000, wrapped=False) + b"\n" for frame in plain))
    assert frames.n_lines == len(PLAIN) + 2 * len(plain) + 1
    assert not frames.refused


@given(st.integers(0, 10 * EXACT), st.integers(0, 24))
@settings(deadline=None, max_examples=300)
def test_a_scanned_number_is_the_float_nearest_to_its_text(units: int, places: int):
    digits = str(units).rjust(places + 1, "0")
    text = f"{digits[: len(digits) - places]}.{digits[len(digits) - places :]}" if places else digits
    value, end = decimal(np.frombuffer(f'"{text}"\n'.encode(), np.uint8), 0)
    if units <= EXACT and places <= 22:
        assert (value, end) == (float(text), len(text) + 2)
    else:
        assert end == -1


@given(st.integers(0, 10**20))
@settings(deadline=None, max_examples=100)
def test_a_scanned_integer_is_itself_or_left_alone(value: int):
    found = whole(np.frombuffer(f"{value}\n".encode(), np.uint8), 0)
    assert found == (value, len(str(value))) if value < 10**18 else found[1] == -1
