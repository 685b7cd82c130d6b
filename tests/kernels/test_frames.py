"""Lines of frames become exact rows of the right instrument, or are refused with the reason; none is lost."""

import json
from decimal import Decimal

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernels.frames import Frames
from kernels.frames_columns import Tables
from kernels.frames_levels import levels_of

NS = 1723161255088176367
MS = 1723161256322
TRADE = {"e": "trade", "E": MS, "T": MS, "s": "BTCUSDT", "t": 7, "p": "61800.30", "q": "0.006", "X": "MARKET", "m": False}
QUOTE = {"e": "bookTicker", "u": 9, "s": "BTCUSDT", "b": "61800.2", "B": "2.5", "a": "61800.3", "A": "1", "T": MS, "E": MS}
DIFF = {"e": "depthUpdate", "E": MS, "T": MS, "s": "BTCUSDT", "U": 8, "u": 9, "pu": 7, "b": [["61800.2", "0"]], "a": []}
MARK = {"e": "markPriceUpdate", "E": MS, "s": "BTCUSDT", "p": "61804.7", "P": "", "i": "61834.26355556", "r": "0.0001", "T": MS + 9}
BOOK = {"lastUpdateId": 9, "E": MS, "T": MS, "bids": [["61800.2", "1"], ["61800.1", "2"]], "asks": [["61800.3", "1"]]}
SPOT = {
    "trade": {"e": "trade", "E": MS, "s": "BTCUSDT", "t": 7, "p": "1.50", "q": "2", "T": MS, "m": True, "M": True, "b": 1, "a": 2},
    "bookTicker": {"u": 9, "s": "BTCUSDT", "b": "1.4", "B": "2", "a": "1.5", "A": "3"},
    "depth@100ms": {"e": "depthUpdate", "E": MS, "s": "BTCUSDT", "U": 8, "u": 9, "b": [], "a": [["1.5", "3"]]},
}
COIN = TRADE | {"s": "BTCUSD_240927"}


def line(data: dict, stream: str = "", recv: int | str = NS) -> str:
    body = {"stream": f"{data['s'].lower()}@{stream}", "data": data} if stream else data
    return f"{recv} {json.dumps(body, separators=(',', ':'))}\n"


def decoded(text: str | bytes, venue: str | None = None, keep: bool = False) -> tuple[Tables, dict[tuple[str, str, str], pl.DataFrame]]:
    frames = Frames(keep_unknown_fields=keep)
    frames.add(text.encode() if isinstance(text, str) else text)
    tables = Tables(frames, off_grid_share=0.001, venue=venue)
    found: dict[tuple[str, str, str], pl.DataFrame] = {}
    for of in (tables.rows(), tables.refusals({})):
        for noun, where, symbol, frame in of:
            assert (noun, where, symbol) not in found
            found[noun, where, symbol] = frame
    return tables, found


@pytest.mark.parametrize(
    ("text", "venue"),
    [
        (line(TRADE, "trade"), "binance-usdm"),
        (line(TRADE), "binance-usdm"),
        (line(QUOTE, "bookTicker"), "binance-usdm"),
        (line(DIFF, "depth@0ms"), "binance-usdm"),
        (line(MARK, "markPrice@1s"), "binance-usdm"),
        (line(SPOT["trade"], "trade"), "binance-spot"),
        (line(SPOT["bookTicker"]), "binance-spot"),
        (line(SPOT["depth@100ms"], "depth@100ms"), "binance-spot"),
        (line(COIN, "trade"), "binance-cm"),
        (line(QUOTE | {"ps": "BTCUSD", "s": "BTCUSD_PERP"}, "bookTicker"), "binance-cm"),
        (line(BOOK | {"symbol": "BTCUSD_PERP", "pair": "BTCUSD"}), "binance-cm"),
    ],
)
def test_the_venue_is_told_from_the_frames(text: str, venue: str):
    tables, found = decoded(text)
    assert [where for _, where, _ in found] == [venue]
    assert not tables.refused
    assert [where for _, where, _ in decoded(text, venue="generated")[1]] == ["generated"]


@pytest.mark.parametrize("recv", [NS, NS // 1000, NS // 10**6], ids=["ns", "us", "ms"])
@pytest.mark.parametrize("by", [1, 1000, 10**6], ids=["ms", "us", "ns"])
def test_units_of_both_clocks_are_told_from_their_digits(recv: int, by: int):
    _, found = decoded(line(TRADE | {"T": MS * by}, "trade", recv))
    row = found["trades", "binance-usdm", "BTCUSDT"].select(pl.col("ts_recv", "ts_event").to_physical()).row(0)
    assert row == (recv * 10 ** (19 - len(str(recv))), MS * 10**6)


def test_a_mark_happens_when_it_was_sent_not_at_the_next_funding():
    _, found = decoded(line(MARK, "markPrice"))
    row = found["marks", "binance-usdm", "BTCUSDT"].with_columns(pl.col("ts_event", "ts_funding").to_physical()).row(0, named=True)
    assert (row["ts_event"], row["ts_funding"]) == (MS * 10**6, (MS + 9) * 10**6)
    assert (row["mark_e8"], row["index_e8"], row["settle_e8"], row["funding_rate"]) == (6180470000000, 6183426355556, None, 0.0001)


def test_absent_times_and_ids_are_null():
    _, found = decoded(line(SPOT["bookTicker"], "bookTicker") + line(SPOT["depth@100ms"], "depth@100ms"))
    assert found["quotes", "binance-spot", "BTCUSDT"]["ts_event"].to_list() == [None]
    depth = found["depth", "binance-spot", "BTCUSDT"].row(0, named=True)
    assert depth["prev_id"] is None
    assert depth["first_id"] == 8
    assert (depth["bid_prices"], depth["ask_prices"], depth["ask_sizes"]) == ([], [15], [3])


def test_a_buyer_who_made_the_market_was_hit_by_a_seller():
    _, found = decoded(line(TRADE, "trade") + line(TRADE | {"m": True, "X": "INSURANCE_FUND"}, "trade"))
    assert found["trades", "binance-usdm", "BTCUSDT"].select("side", "order_kind").rows() == [(1, "MARKET"), (-1, "INSURANCE_FUND")]


def test_a_first_line_snapshot_goes_to_the_only_symbol_and_stays_in_its_place():
    _, found = decoded(line(BOOK) + line(DIFF, "depth@0ms") + line(BOOK) + line(DIFF, "depth@0ms"))
    depth = found["depth", "binance-usdm", "BTCUSDT"]
    assert depth["row"].to_list() == [1, 2, 3, 4]
    assert depth["is_snapshot"].to_list() == [True, False, True, False]
    assert depth["bid_prices"].to_list()[0] == [618002, 618001]


def test_of_two_symbols_a_snapshot_goes_to_the_one_it_prices():
    eth = {"s": "ETHUSDT", "p": "2680.55"}
    text = line(TRADE, "trade") + line(TRADE | eth, "trade") + line(BOOK) + line(DIFF | {"s": "ETHUSDT", "b": [["2680.5", "1"]]}, "depth")
    tables, found = decoded(text)
    assert found["depth", "binance-usdm", "BTCUSDT"]["is_snapshot"].to_list() == [True]
    assert found["depth", "binance-usdm", "ETHUSDT"]["is_snapshot"].to_list() == [False]
    assert tables.told["binance-usdm", "BTCUSDT"].price_decimals == 1
    assert tables.told["binance-usdm", "ETHUSDT"].price_decimals == 2


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (line(TRADE | {"zz": 1}, "trade"), "unknown field zz"),
        (line(TRADE, "aggTrade"), "unknown stream"),
        (line(DIFF, "depth20@100ms"), "unknown stream"),
        (line(TRADE | {"e": "kline"}), "unknown stream"),
        (line(TRADE, "bookTicker"), "undecodable"),
        (line({"s": "BTCUSDT"}, "trade"), "undecodable"),
        (line(TRADE | {"p": "six"}, "trade"), "undecodable"),
        (line(DIFF | {"b": [["1"]]}, "depth"), "undecodable"),
        (line(DIFF | {"b": [["1", "2", "3"]]}, "depth"), "undecodable"),
        (line(TRADE | {"t": 2**64}, "trade"), "undecodable"),
        (line(TRADE, "trade")[:90] + "\n", "undecodable"),
        (f"{NS} [1,2]\n", "unknown stream"),
        (f"{NS} {{}},{{}}\n", "undecodable"),
        (f"{NS}\n", "no frame"),
        (f"{NS} {'[' * 5000}\n", "undecodable"),
        ("no time at all\n", "no receive time"),
        (line(TRADE, "trade", recv=""), "no receive time"),
        (line(TRADE, "trade", recv=1723161255), "absurd receive time"),
        (line(TRADE, "trade", recv=946684800000), "absurd receive time"),
        (line(TRADE, "trade", recv=10**19), "absurd receive time"),
        (line(TRADE | {"T": 5}, "trade"), "absurd exchange time"),
        (line(TRADE | {"s": "../etc"}, "trade"), "not a symbol"),
        (line(TRADE | {"p": "NaN"}, "trade"), "price is not a number"),
        (line(TRADE | {"q": "Infinity"}, "trade"), "size is not a number"),
        (line(TRADE | {"p": "1e200"}, "trade"), "absurd price"),
        (line(DIFF | {"b": [["1", "2"], ["3", "nan"]]}, "depth"), "size is not a number"),
        (line(MARK | {"p": ""}, "markPrice"), "mark price is not a number"),
        (line(MARK | {"i": "0.123456789"}, "markPrice"), "index price off the grid"),
    ],
)
def test_a_bad_line_is_refused_with_its_reason_and_the_others_stay(bad: str, reason: str):
    tables, found = decoded(line(TRADE, "trade") * 3 + bad + line(QUOTE, "bookTicker"))
    assert [(r.row, r.reason) for r in tables.refused] == [(4, reason)]
    assert len(found["trades", "binance-usdm", "BTCUSDT"]) == 3
    assert len(found["quotes", "binance-usdm", "BTCUSDT"]) == 1
    refused = found["refused", "binance-usdm", "BTCUSDT"].with_columns(pl.col("ts_recv").to_physical())
    assert refused.select("row", "ts_recv").rows() == [(4, NS)]


@pytest.mark.parametrize("price", ["0", "-5", "999999999"], ids=["nothing", "negative", "far off"])
def test_a_wrong_number_that_can_be_held_is_left_to_the_clean_stage(price: str):
    tables, found = decoded(line(TRADE | {"p": price}, "trade"))
    assert not tables.refused
    assert found["trades", "binance-usdm", "BTCUSDT"]["price"].to_list() == [int(price)]


def test_a_price_finer_than_the_grid_is_refused_among_a_hundred():
    tables, found = decoded(line(TRADE, "trade") * 120 + line(TRADE | {"p": "61800.333"}, "trade"))
    assert [(r.row, r.reason) for r in tables.refused] == [(121, "price off the grid")]
    assert len(found["trades", "binance-usdm", "BTCUSDT"]) == 120


def test_unknown_fields_can_be_kept_and_blank_lines_are_no_rows():
    tables, found = decoded(line(TRADE | {"zz": 1}, "trade") + "\n" + line(TRADE, "trade"), keep=True)
    assert not tables.refused
    assert found["trades", "binance-usdm", "BTCUSDT"]["row"].to_list() == [1, 3]


def test_json_written_otherwise_is_read_alike():
    loose = f"{NS} {json.dumps({'data': DIFF | {'b': [[61800.2, 0], ['1e3', '2.50']]}, 'stream': 'btcusdt@depth'}, indent=None)}\r\n"
    tables, found = decoded(loose)
    assert not tables.refused
    row = found["depth", "binance-usdm", "BTCUSDT"].row(0, named=True)
    assert (row["bid_prices"], row["bid_sizes"]) == ([618002, 10000], [0, 25])


@given(st.binary(max_size=300))
@settings(deadline=None, max_examples=200)
def test_garbage_is_refused_line_by_line(garbage: bytes):
    good = line(TRADE, "trade").encode()
    tables, found = decoded(good + garbage + b"\n" + good)
    n_lines = len([text for text in garbage.split(b"\n") if text.strip()])
    assert len(found["trades", "binance-usdm", "BTCUSDT"]) == 2
    assert len(tables.refused) == n_lines


number = st.decimals(min_value=0, max_value=10**6, places=5).map(lambda d: format(d, "f"))
odd = st.sampled_from(["007", "1e3", "-2.5", "123456789.123456789", "0.00000000000001"])
levels = st.lists(st.tuples(number | odd, number).map(list), max_size=5)


@given(st.lists(levels, min_size=1, max_size=6))
@settings(deadline=None, max_examples=100)
def test_levels_are_the_floats_nearest_to_their_text(sides: list[list[list[str]]]):
    import msgspec

    raws = [msgspec.Raw(json.dumps(side, separators=(",", ":")).encode()) for side in sides]
    counts, pairs, sound = levels_of(raws)
    at = 0
    for side, count, fine in zip(sides, counts.tolist(), sound, strict=True):
        if fine:
            assert pairs[at : at + count].tolist() == [[float(price), float(size)] for price, size in side]
        else:
            assert count == 0
            assert any(price == "007" for price, _ in side)
        at += count
    assert at == len(pairs)


@given(st.lists(st.tuples(st.integers(1, 10**7), st.integers(0, 10**6)), min_size=1, max_size=40))
@settings(deadline=None, max_examples=50)
def test_prices_and_sizes_are_the_decimals_on_the_line(drawn: list[tuple[int, int]]):
    texts = [(str(Decimal(p).scaleb(-2)), str(Decimal(q).scaleb(-3))) for p, q in drawn]
    tables, found = decoded("".join(line(TRADE | {"p": p, "q": q}, "trade") for p, q in texts))
    frame, told = found["trades", "binance-usdm", "BTCUSDT"], tables.told["binance-usdm", "BTCUSDT"]
    assert [Decimal(v).scaleb(-told.price_decimals) for v in frame["price"]] == [Decimal(p) for p, _ in texts]
    assert [Decimal(v).scaleb(-told.size_decimals) for v in frame["size"]] == [Decimal(q) for _, q in texts]
