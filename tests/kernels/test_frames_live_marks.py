"""Mark prices of futures venues, live: exact units, whole funding rates, and a refusal for what is none."""

import json
from typing import Any

import pytest

from kernels.frames_live import Live, Mark, Refused
from kernels.live_market import END, LiveMarket
from kernels.live_market_words import Mark as Newest

NS, MS = 1_723_161_255_088_176_367, 1_723_161_256_322
SCALES = {"BTCUSDT": (2, 3)}
MARK = {
    "e": "markPriceUpdate", "E": MS, "s": "BTCUSDT", "p": "61804.70000000", "P": "61800.1", "i": "61834.26355556", "r": "-0.00012300",
    "T": MS + 9,
}  # fmt: skip


def payload(data: dict[str, Any], stream: str = "markPrice@1s") -> bytes:
    return json.dumps({"stream": f"btcusdt@{stream}", "data": data} if stream else data, separators=(",", ":")).encode()


@pytest.mark.parametrize("stream", ["markPrice", "markPrice@1s", ""], ids=["3 s", "1 s", "alone"])
def test_a_mark_price_is_read_whole(stream: str):
    read = Live(SCALES).event(payload(MARK, stream), NS)
    whole = (6_180_470_000_000, 6_183_426_355_556, 6_180_010_000_000, -12_300, (MS + 9) * 1_000_000)
    assert read == Mark("BTCUSDT", MS * 1_000_000, NS, *whole)


@pytest.mark.parametrize("left", [{"P": "", "i": "", "r": "", "T": 0}, {}], ids=["empty", "absent"])
def test_what_a_venue_leaves_out_is_0(left: dict[str, Any]):
    data = {key: MARK[key] for key in ("e", "E", "s", "p")} | left
    assert Live(SCALES).event(payload(data), NS) == Mark("BTCUSDT", MS * 1_000_000, NS, 6_180_470_000_000, 0, 0, 0, 0)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"p": ""}, "mark price is not a number"),
        ({"p": "NaN"}, "mark price is not a number"),
        ({"p": "x"}, "mark price is not a number"),
        ({"p": "-1"}, "mark price is not a number"),
        ({"i": "0.123456789"}, "index price off the grid"),
        ({"r": "1e30"}, "absurd funding rate"),
        ({"T": 5}, "absurd exchange time"),
        ({"s": "XRPUSDT"}, "unknown symbol"),
        ({"zz": 1}, "unknown field zz"),
    ],
    ids=str,
)
def test_a_refusal_says_why(change: dict[str, Any], reason: str):
    read = Live(SCALES).event(payload(MARK | change), NS)
    assert isinstance(read, Refused)
    assert read.reason == reason


def test_the_market_keeps_the_newest_mark_and_it_tells_no_time():
    market, decoder = LiveMarket(SCALES), Live(SCALES)
    assert market.mark("BTCUSDT") is None
    for n in (0, 9_000):
        batch = decoder.decode([payload(MARK | {"E": MS + n, "p": str(61_000 + n)})], NS + n)
        assert market.advance(batch.rows, batch.levels, 0, batch.ts_recv) == (1, END, -1)
    found = market.mark("BTCUSDT")
    assert found == Newest(7_000_000_000_000, 6_183_426_355_556, 6_180_010_000_000, -12_300, (MS + 9) * 1_000_000, NS + 9_000)
