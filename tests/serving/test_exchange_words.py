"""Orders leave as exact decimal text, and what venues say comes back exact."""

from decimal import Decimal
from typing import Any
from urllib.parse import parse_qs

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core import live_settings
from core.market import Side
from core.orders import Kind, Order, Status, Tif
from serving import binance_words as words
from serving import ccxt_words
from serving.adapters import made
from serving.binance import Binance
from serving.binance_listed import Filter, Info, Listed, chosen, listing, whole
from serving.ccxt_exchange import Ccxt
from serving.exchange import ExchangeError

from .conformance import listed

decimals = st.integers(0, 12)
units = st.integers(1, 2**53)


@given(units, units, decimals, decimals, st.sampled_from(Side), st.sampled_from(Tif), st.booleans())
@settings(deadline=None, max_examples=100)
def test_prices_and_sizes_of_an_order_are_its_units_exactly(
    price: int, size: int, of_price: int, of_size: int, side: Side, tif: Tif, spot: bool
):
    order = Order(order_id="sc1-1", symbol="BTCUSDT", side=side, size=size, price=price, tif=tif)
    told = {name: value for name, (value,) in parse_qs(words.sent(order, listed(of_price, of_size), spot)).items()}
    assert Decimal(told["price"]) == Decimal(price).scaleb(-of_price) and Decimal(told["quantity"]) == Decimal(size).scaleb(-of_size)
    assert told["side"] == side.upper() and told["newClientOrderId"] == "sc1-1"
    assert (told["type"], told.get("timeInForce")) == (("LIMIT_MAKER", None) if spot and tif is Tif.GTX else ("LIMIT", tif.upper()))


def test_a_market_order_has_no_price_and_spot_no_reduce_only():
    order = Order(order_id="sc1-1", symbol="BTCUSDT", side=Side.SELL, size=1, kind=Kind.MARKET, reduce_only=True)
    assert "price" not in words.sent(order, listed(), False) and "reduceOnly=true" in words.sent(order, listed(), False)
    assert "reduceOnly" not in words.sent(order, listed(), True)


@given(units, decimals)
@settings(deadline=None, max_examples=50)
def test_decimal_text_is_read_back_to_the_same_units(n: int, places: int):
    assert whole(f"{Decimal(n).scaleb(-places):f}", places) == n


def test_what_is_finer_than_the_grid_is_refused():
    with pytest.raises(ExchangeError, match="finer"):
        whole("1.005", 2)


def test_a_cancelled_spot_order_keeps_our_id():
    told = words.Told(s="BTCUSDT", c="x77", S="BUY", q="1", p="5", x="CANCELED", X="CANCELED", i=7, z="0.5", T=1, was="sc1-1")
    standing, fill = words.told_order(told, listed(), 9)
    assert (standing.order_id, standing.status, standing.filled, fill) == ("sc1-1", Status.CANCELLED, 500, None)


def test_a_state_that_we_do_not_know_is_unknown():
    row = words.Row(symbol="BTCUSDT", orderId=1, clientOrderId="a", status="SOMETHING_NEW")
    assert words.standing(row, listed(), 0).status is Status.UNKNOWN


@pytest.mark.parametrize(
    ("kind", "lot", "decimals", "units"),
    [("spot", "0.00001000", 8, 1_000), ("spot", "0.10000000", 6, 100_000), ("spot", "1.00000000", 0, 1), ("usdm", "0.001", 3, 1)],
)
def test_books_of_spot_are_read_finer_than_the_lot_and_orders_stay_on_it(kind: Any, lot: str, decimals: int, units: int):
    filters = [Filter("PRICE_FILTER", tickSize="0.01"), Filter("LOT_SIZE", stepSize=lot, minQty=lot, maxQty="9000000")]
    of = listing(Listed("BTCUSDT", "TRADING", "BTC", "USDT", filters), kind, "there", None, (2.0, 5.0))
    assert (of.instrument.size_decimals, of.lot, of.min_size, of.instrument.lot_size) == (decimals, units, units, float(lot))
    assert of.max_size == 9_000_000 * 10**decimals <= 2**53
    order = Order(order_id="sc1-1", symbol="BTCUSDT", side=Side.BUY, size=7 * of.lot, price=1)
    assert Decimal(parse_qs(words.sent(order, of, kind == "spot"))["quantity"][0]) == 7 * Decimal(lot)


@pytest.mark.parametrize(("told", "fee"), [("0.00000001", 1), ("-0.5", -50_000_000), ("0", 0)])
def test_fees_are_counted_in_hundred_millionths(told: str, fee: int):
    assert words.fee(told) == fee


def test_a_listing_takes_the_narrower_of_what_limit_and_market_orders_may():
    filters = [
        Filter("PRICE_FILTER", tickSize="0.10"),
        Filter("LOT_SIZE", stepSize="0.001", minQty="0.002", maxQty="1000"),
        Filter("MARKET_LOT_SIZE", stepSize="0.001", minQty="0.001", maxQty="120"),
        Filter("MIN_NOTIONAL", notional="100"),
        Filter("PERCENT_PRICE", multiplierUp="1.05", multiplierDown="0.98"),
    ]
    info = Info([Listed("BTCUSDT", "TRADING", "BTC", "USDT", filters, requiredMarginPercent="4", maintMarginPercent="2.5")])
    (one,) = chosen(info, "usdm", ())
    of = listing(one, "usdm", "there", None, (2.0, 5.0))
    assert (of.instrument.price_decimals, of.tick, of.instrument.size_decimals, of.lot) == (1, 1, 3, 1)
    assert (of.min_size, of.max_size, of.min_notional, of.max_leverage, of.maintenance) == (2, 120_000, 100.0, 25.0, 0.025)
    assert of.band == pytest.approx(0.02)
    with pytest.raises(ExchangeError, match="no tick"):
        listing(Listed("A", "TRADING", "A", "USDT", []), "usdm", "there", None, (2.0, 5.0))


levels = st.dictionaries(st.integers(1, 40), st.integers(1, 9), min_size=1, max_size=12)


@given(st.lists(st.tuples(levels, levels), min_size=1, max_size=8))
@settings(deadline=None, max_examples=50)
def test_books_told_as_diffs_add_up_to_the_last_book(books: list[tuple[dict[int, int], dict[int, int]]]):
    told, of = ccxt_words.Books(), listed(2, 3)
    kept: list[dict[str, str]] = [{}, {}]
    last = 0
    for bids, asks in books:
        book = {
            "bids": [[price / 100, size / 1000] for price, size in sorted(bids.items(), reverse=True)],
            "asks": [[(100 + price) / 100, size / 1000] for price, size in sorted(asks.items())],
        }
        for text in told.change(book, of, 1)[:1]:
            data = msgspec.json.decode(text)["data"]
            assert (data["pu"], data["U"]) == (last, last + 1)
            last = data["u"]
            for side, changes in zip(kept, (data["b"], data["a"]), strict=True):
                side.update(changes)
    live = [{price: size for price, size in side.items() if Decimal(size)} for side in kept]
    snapshot = msgspec.json.decode(told.whole("BTCUSDT") or b"{}")
    assert snapshot["lastUpdateId"] == last
    assert live == [dict(snapshot["bids"]), dict(snapshot["asks"])]
    assert live[0] == {f"{price / 100:.2f}": f"{size / 1000:.3f}" for price, size in books[-1][0].items()}


def test_trade_ids_that_are_no_numbers_become_the_same_number_each_time():
    assert ccxt_words.number_of("123") == 123
    assert ccxt_words.number_of("T-ABC") == ccxt_words.number_of("T-ABC") != ccxt_words.number_of("T-ABD")
    assert 0 <= ccxt_words.number_of("f" * 40) < 2**63


def test_exchanges_are_made_by_their_names():
    def named(name: str, **more: Any) -> object:
        return made(live_settings.Exchange(name=name, symbols=("BTCUSDT",), **more))

    spot = named("binance-spot")
    assert isinstance(spot, Binance) and spot.spot and spot.venue == "binance-spot" and spot.urls.rest == "https://api.binance.com"
    local = named("local", rest_url="http://127.0.0.1:1", ws_url="ws://127.0.0.1:2")
    assert isinstance(local, Binance) and not local.spot and local.urls.ws == "ws://127.0.0.1:2"
    assert isinstance(named("ccxt:kraken"), Ccxt)
    wrong = {"nowhere": "no exchange", "local": "scalp venue", "ccxt:nowhere": "streams from no exchange", "ccxt:kraken@moon": "@testnet"}
    for name, words_of in wrong.items():
        with pytest.raises(ExchangeError, match=words_of):
            named(name)
