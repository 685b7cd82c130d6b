"""Live payloads: exact units, the reading a recording would get, and an answer to whatever comes."""

import gzip
import json
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernels.decimals import EXACT, scale
from kernels.frames import Frames
from kernels.frames_columns import Tables
from kernels.frames_live import Depth, Event, Live, Quote, Refused, Trade
from kernels.frames_live_json import Reader
from kernels.frames_live_scan import KIND, ODD

NS, MS = 1723161255088176367, 1723161256322
SCALES = {"BTCUSDT": (2, 3), "ETHBTC": (8, 8), "BTCUSD_PERP": (1, 0)}
FUTURE = {"E": MS, "T": MS - 1, "s": "BTCUSDT"}
SIDES = {"b": [["61800.20", "0.014"], ["1.5", "0.000"]], "a": [["61800.30", "2.5"]]}
TRADE = {"e": "trade", **FUTURE, "t": 7, "p": "61800.30", "q": "0.006", "X": "MARKET", "m": False}
AGGREGATE = {"e": "aggTrade", "E": MS, "s": "BTCUSDT", "a": 5, "p": "61800.30", "q": "0.006", "f": 7, "l": 9, "T": MS - 1, "m": True}
TICKER = {"e": "bookTicker", "u": 9, **FUTURE, "b": "61800.20", "B": "2.507", "a": "61800.30", "A": "2.510"}
DIFF = {"e": "depthUpdate", **FUTURE, "U": 8, "u": 9, "pu": 7, **SIDES}
SPOT_BOOK = {"lastUpdateId": 77, "bids": SIDES["b"], "asks": SIDES["a"]}
RECORDED = [  # what a recording may hold too
    ("trade", TRADE),
    ("trade", TRADE | {"X": "INSURANCE_FUND", "m": True}),
    ("trade", {"e": "trade", "E": MS, "s": "ETHBTC", "t": 7, "p": "0.05180000", "q": "2", "T": MS, "m": True, "M": True}),
    ("bookTicker", TICKER),
    ("bookTicker", {"u": 9, "s": "ETHBTC", "b": "0.05170000", "B": "2.00000000", "a": "0.05180000", "A": "3"}),
    ("bookTicker", {"u": 3, "e": "bookTicker", "s": "BTCUSD_PERP", "ps": "BTCUSD", "b": "6.1", "B": "35", "a": "6.2", "A": "5", "T": MS}),
    ("depth@0ms", DIFF),
    ("depth@100ms", {"e": "depthUpdate", "E": MS, "s": "ETHBTC", "U": 8, "u": 9, "b": [["0.0518", "3"]], "a": []}),
]
LIVE_ONLY = [("aggTrade", AGGREGATE), ("aggTrade", AGGREGATE | {"nq": "0.005"}), ("depth20@100ms", DIFF), ("depth5", SPOT_BOOK)]
HOSTILE: list[Any] = [
    "NaN", "Infinity", "-1.5", "1e3", "007", "0.", ".5", "", " 1", "9" * 15, "9" * 16, "1" + "0" * 15, "0.1234567890123456", "12345678.5",
    "0.12345678901", "123456789", "1.2.3", "0." + "0" * 25 + "1", "61800.301", 0, -1, 1.5, 10**17, 2**63 - 1, 2**63, True, None, [], {},
    [["1", "2"], ["3"]], [["1", "2", "3"]], [[1, 2]], [["1", "x"]], [["1.001", "1"]], "MARKET", "trade", "NEWUSDT", "-BAD", "x" * 65,
    "ETHBTC",
]  # fmt: skip


def written(stream: str, data: dict[str, Any], *, wrapped: bool = True, blanks: bool = False) -> bytes:
    name = data["s"].lower() if isinstance(data.get("s"), str) else "btcusdt"
    body = {"stream": f"{name}@{stream}", "data": data} if wrapped else data
    return json.dumps(body, separators=None if blanks else (",", ":")).encode()


def plain_values(event: Event) -> Any:
    """The event as something that can be compared."""
    fields = {name: getattr(event, name) for name in event.__struct_fields__}
    return type(event).__name__, {k: v.tolist() if isinstance(v, np.ndarray) else v for k, v in fields.items()}


def recorded(payload: bytes) -> Event | None:
    """What `kernels.frames_json` makes of the payload on a line of a recording; None where it refuses it or its values are not exact."""
    frames = Frames(keep_unknown_fields=False)
    frames.json.decode([b"%d %s" % (NS, payload)], [1], frames.batches)
    (kind, batch) = next(((k, b[0]) for k, b in frames.batches.items() if b and len(b[0].row)), (None, None))
    if batch is None or kind is None:
        return None
    symbol = next((name for name, code in frames.symbols.items() if code == batch.symbol[0]), "")
    if symbol not in SCALES:
        return None
    units, exact = [], True
    pairs = [batch.floats[:, 0].reshape(-1, 2).T] if len(batch.floats) else [levels for _, levels in batch.levels]
    for both in pairs:
        for values, decimals in zip(both, SCALES[symbol], strict=True):
            found, fine = scale(values, decimals)
            units.append(found)
            exact &= bool(fine.all())
    if not exact:
        return None
    ids, event = batch.ints[:, 0].tolist(), int(batch.event[0])
    if kind == "trade":
        market = list(frames.json.words)[ids[2]] in (None, "MARKET")
        return Trade(symbol, event, NS, ids[0], ids[0], ids[0], int(units[0][0]), int(units[1][0]), -1 if ids[1] else 1, market)
    if kind == "bookTicker":
        return Quote(symbol, event, NS, ids[0], *(int(units[at][n]) for n in (0, 1) for at in (0, 1)))
    return Depth(symbol, event, NS, ids[0], ids[1], ids[2], False, np.array(units[:2]), np.array(units[2:]))


def hold_equal(payloads: list[bytes]) -> None:
    """One batch reads each payload as it is read alone, and both as a recording's line."""
    together = [plain_values(event) for event in Live(SCALES).decode(payloads, NS)]
    for payload, event in zip(payloads, together, strict=True):
        assert plain_values(Live(SCALES).event(payload, NS)) == event
        other = recorded(payload)
        if other is not None:
            assert event == plain_values(other), payload
        elif b"aggTrade" not in payload and b"@depth20" not in payload and b"@depth5" not in payload:
            assert event[0] == "Refused", payload


BIDS, ASKS = np.array([[6180020, 150], [14, 0]]), np.array([[6180030], [2500]])
CASES = {
    "trade": (("trade", TRADE), Trade("BTCUSDT", (MS - 1) * 10**6, NS, 7, 7, 7, 6180030, 6, 1, True)),
    "aggregate": (("aggTrade", AGGREGATE), Trade("BTCUSDT", (MS - 1) * 10**6, NS, 5, 7, 9, 6180030, 6, -1, True)),
    "quote": (("bookTicker", TICKER), Quote("BTCUSDT", (MS - 1) * 10**6, NS, 9, 6180020, 2507, 6180030, 2510)),
    "spot quote": (RECORDED[4], Quote("ETHBTC", 0, NS, 9, 5170000, 200000000, 5180000, 300000000)),
    "diff": (("depth", DIFF), Depth("BTCUSDT", (MS - 1) * 10**6, NS, 8, 9, 7, False, BIDS, ASKS)),
    "partial": (("depth20", DIFF), Depth("BTCUSDT", (MS - 1) * 10**6, NS, 8, 9, 7, True, BIDS, ASKS)),
    "spot partial": (("depth5@100ms", SPOT_BOOK), Depth("BTCUSDT", 0, NS, 77, 77, -1, True, BIDS, ASKS)),
}


@pytest.mark.parametrize("blanks", [False, True], ids=["plain", "as JSON"])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_payload_becomes_its_event(case: str, blanks: bool):
    (stream, data), event = CASES[case]
    assert plain_values(Live(SCALES).event(written(stream, data, blanks=blanks), NS)) == plain_values(event)


@pytest.mark.parametrize("data", [DIFF, SPOT_BOOK], ids=["futures", "spot"])
def test_a_connection_to_a_partial_book_knows_its_frames_for_one(data: dict[str, Any]):
    event = Live(SCALES, stream="btcusdt@depth20@100ms").event(written("", data, wrapped=False), NS)
    assert isinstance(event, Depth)
    assert event.partial
    assert event.symbol == "BTCUSDT"


@pytest.mark.parametrize("value", HOSTILE, ids=repr)
def test_every_value_of_every_field_is_read_as_a_recording_would_be(value: Any):
    changed = [(stream, data | {key: value}) for stream, data in RECORDED for key in data]
    hold_equal([written(*frame, wrapped=bool(at % 3)) for at, frame in enumerate(changed)])


@st.composite
def payloads(draw: st.DrawFn) -> bytes:
    stream, data = draw(st.sampled_from(RECORDED + LIVE_ONLY))
    items = draw(st.permutations(list(data.items()))) if draw(st.booleans()) else list(data.items())
    at = draw(st.integers(0, len(items) - 1))
    change = draw(st.sampled_from(["none", "value", "drop", "add", "bytes", "cut", "noise"]))
    if change == "value":
        items[at] = items[at][0], draw(st.sampled_from(HOSTILE))
    elif change == "drop":
        del items[at]
    elif change == "add":
        items.insert(at, (draw(st.sampled_from(["st", "ps", "zz", "X", "pu", "nq", "é"])), draw(st.sampled_from(HOSTILE))))
    text = bytearray(written(stream, dict(items), wrapped=draw(st.booleans()), blanks=draw(st.integers(0, 9)) == 0))
    if change == "bytes":
        spot, byte = draw(st.integers(0, len(text) - 1)), draw(st.sampled_from(list(b'"\\,:{}[]0179.-+eE \t\r\n\x00\xffusTaX@')))
        how = draw(st.sampled_from(["set", "put", "cut"]))
        text[spot : spot + (how != "put")] = b"" if how == "cut" else bytes([byte])
    elif change == "cut":
        del text[draw(st.integers(0, len(text))) :]
    elif change == "noise":
        return draw(st.binary(max_size=60))
    return bytes(text)


@given(st.lists(payloads(), min_size=1, max_size=10))
@settings(deadline=None, max_examples=200)
def test_whatever_comes_is_an_event_or_refused_and_read_as_a_recording_would_be(drawn: list[bytes]):
    hold_equal(drawn)


@given(st.lists(payloads(), min_size=1, max_size=10))
@settings(deadline=None, max_examples=100)
def test_what_the_scanner_reads_is_what_json_says(drawn: list[bytes]):
    for stream in ("", "btcusdt@depth5"):
        live = Live(SCALES, stream=stream)
        rows = live.decode(drawn, NS).rows.copy()
        reader = Reader(SCALES, live._reader.own, keep_unknown_fields=False)
        for payload, row in zip(drawn, rows, strict=True):
            found = reader.read(payload)
            if row[KIND] != ODD:
                assert not isinstance(found, str), (payload, found)
                own = (found.kind, live.symbols.index(found.symbol), found.event, *found.ids)
                assert tuple(row[:6]) == own


@given(st.integers(0, 2 * EXACT), st.integers(0, 14), st.integers(0, 8))
@settings(deadline=None, max_examples=200)
def test_units_are_the_digits_themselves(units: int, places: int, decimals: int):
    price = format(Decimal(units).scaleb(-places), "f")
    live = Live({"BTCUSDT": (decimals, 3)})
    event = live.event(written("trade", TRADE | {"p": price}), NS)
    exact = Decimal(price).scaleb(decimals)
    if isinstance(event, Trade):
        assert event.price == exact
    else:
        assert isinstance(event, Refused)
        assert exact != exact.to_integral_value() or exact > EXACT or units > EXACT


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b'{"e":"trade","E":17', "undecodable"),
        (b"", "no frame"),
        (b"\xff\xfe{", "undecodable"),
        (b'{"result":null,"id":1}', "unknown stream"),
        (written("kline_1m", TRADE), "unknown stream"),
        (written("trade", TRADE | {"s": "XRPUSDT"}), "unknown symbol"),
        (written("trade", TRADE | {"zz": 1}), "unknown field zz"),
        (written("trade", TRADE | {"T": 5}), "absurd exchange time"),
        (written("trade", TRADE | {"p": "61800.301"}), "price off the grid"),
        (written("trade", TRADE | {"q": "NaN"}), "size is not a number"),
        (written("depth", DIFF | {"b": [["99999999999999.99", "1"]]}), "absurd price"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_refusal_says_why(payload: bytes, reason: str):
    event = Live(SCALES).event(payload, NS)
    assert event == Refused(NS, reason, payload.decode(errors="replace"))


def test_a_bad_payload_spoils_no_other_of_its_batch():
    good, bad = [written(*frame) for frame in RECORDED + LIVE_ONLY], [b"{", b"", b"\n", b'{"e":"trade"}']
    alone = [plain_values(Live(SCALES).event(p, NS)) for p in good]
    for spoiled in bad:
        mixed = [p for one in good for p in (spoiled, one)]
        assert [plain_values(e) for e in Live(SCALES).decode(mixed, NS)][1::2] == alone


@pytest.mark.parametrize("at", range(1, 60))
def test_a_payload_cut_off_anywhere_costs_no_other_event(at: int):
    cut = written("aggTrade", AGGREGATE)[:at]
    numbered = [written("aggTrade", AGGREGATE | {"a": n}) for n in (2, 1)]
    events = list(Live(SCALES).decode([cut, numbered[0], cut, cut, numbered[1] + b"\n", *[cut] * 100], NS))
    assert [event.trade_id for event in events if isinstance(event, Trade)] == [2, 1]
    assert len(events) == 105 and sum(isinstance(event, Refused) for event in events) == 103


def test_a_batch_names_the_sides_of_a_book_as_the_book_takes_them():
    batch = Live(SCALES).decode([written("depth", DIFF), written("trade", TRADE)], NS)
    bids, asks = batch.sides(0)
    assert (bids.prices.tolist(), bids.sizes.tolist(), asks.prices.tolist()) == ([6180020, 150], [14, 0], [6180030])
    assert bids.offsets.tolist() == [0, 2]


@pytest.mark.parametrize(
    ("scales", "stream"), [({"BTCUSDT": (13, 0)}, ""), ({"": (1, 1)}, ""), ({}, ""), (SCALES, "btcusdt@kline_1m")], ids=str
)
def test_what_no_decoder_can_be_made_of_is_refused(scales: dict[str, tuple[int, int]], stream: str):
    with pytest.raises(ValueError, match=r"not decimals|unknown stream|no symbol"):
        Live(scales, stream=stream)


def test_recorded_depth_is_read_to_the_same_units(shared: Any):
    path = shared / "data" / "hftbacktest" / "usdm" / "btcusdt_20240808.gz"
    if not path.exists():
        pytest.skip("needs the recording of BTCUSDT")
    with gzip.open(path) as file:
        lines = [next(file) for _ in range(3000)]
    frames = Frames()
    frames.add(b"".join(lines))
    tables = Tables(frames, off_grid_share=0.001)
    rows = {noun: frame for noun, _, _, frame in tables.rows()}["depth"]
    told = next(iter(tables.told.values()))
    live = Live({"BTCUSDT": (told.price_decimals, told.size_decimals)})
    events = live.decode([line.partition(b" ")[2].rstrip(b"\n") for line in lines], NS)
    found = [(*e.bids.tolist(), *e.asks.tolist()) for e in events if isinstance(e, Depth)]
    names = ["bid_prices", "bid_sizes", "ask_prices", "ask_sizes"]
    assert found == rows.filter(~rows["is_snapshot"]).select(names).rows()
