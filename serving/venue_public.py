"""Requests that need no key: what is listed, the time, books, trades, klines, tickers, mark prices and funding."""

from collections.abc import Callable
from typing import Any

from serving import venue_bars, venue_tickers
from serving.venue_bars import Print
from serving.venue_desk import Desk, Params, number, word
from serving.venue_market import Book
from serving.venue_words import Json, Unserved, exchange_info

DEPTHS = {"spot": (5, 10, 20, 50, 100, 500, 1_000, 5_000), "usdm": (5, 10, 20, 50, 100, 500, 1_000)}


def ping(desk: Desk, params: Params) -> Json:
    return {}


def time(desk: Desk, params: Params) -> Json:
    return {"serverTime": desk.now_ms}


def info(desk: Desk, params: Params) -> Json:
    return exchange_info(desk.scales, desk.spot, desk.weights.limits, desk.now_ms)


def depth(desk: Desk, params: Params) -> Json:
    book, limit = desk.book(params), number(params, "limit", 100 if desk.spot else 500)
    if limit < 1 or (not desk.spot and limit not in DEPTHS["usdm"]):
        raise Unserved(
            -4021, f"{limit} is not valid depth limit. Please check https://binance-docs.github.io/apidocs/futures/en/#order-book."
        )
    bids, asks = book.depth(min(limit, 5_000))
    told: Json = {"lastUpdateId": book.update_id}
    if not desk.spot:
        told |= {"E": desk.now_ms, "T": book.ts // 1_000_000}
    return told | {"bids": bids, "asks": asks}


def trade_json(desk: Desk, book: Book, trade: Print) -> Json:
    money = book.scale.notional(trade.price * trade.size)
    told: Json = {"id": trade.trade_id, "price": book.scale.price(trade.price), "qty": book.scale.size(trade.size), "quoteQty": money,
                  "time": trade.ms, "isBuyerMaker": trade.sign < 0}  # fmt: skip
    return told | {"isBestMatch": True} if desk.spot else told


def trades(desk: Desk, params: Params) -> list[Json]:
    book = desk.book(params)
    return [trade_json(desk, book, trade) for trade in list(book.trades)[-number(params, "limit", 500) :]]


def agg_trades(desk: Desk, params: Params) -> list[Json]:
    book, since, until = desk.book(params), number(params, "startTime", 0), number(params, "endTime", 2**62)
    first = number(params, "fromId", 0)
    found = [one for one in book.trades if since <= one.ms <= until and one.trade_id >= first]
    limit = number(params, "limit", 500)
    return [
        {"a": one.trade_id, "p": book.scale.price(one.price), "q": book.scale.size(one.size), "f": one.trade_id, "l": one.trade_id,
         "T": one.ms, "m": one.sign < 0, "M": True}
        for one in (found[:limit] if since or first else found[-limit:])
    ]  # fmt: skip


def klines(desk: Desk, params: Params) -> list[list[object]]:
    book, seconds = desk.book(params), venue_bars.seconds_of(word(params, "interval"))
    if seconds is None:
        raise Unserved(-1120, "Invalid interval.")
    since, until, limit = number(params, "startTime", 0), number(params, "endTime", 2**62), number(params, "limit", 500)
    bars = [bar for bar in book.bars(seconds) if since <= bar.s * 1_000 <= until]
    return [venue_bars.kline(bar, seconds, book.scale) for bar in (bars[:limit] if since else bars[-limit:])]


def each(desk: Desk, params: Params, told: Callable[[Book], Json]) -> Any:
    """One symbol's, or a list of all."""
    if "symbol" in params:
        return told(desk.book(params))
    wanted = [name.strip('" []') for name in params.get("symbols", "").split(",") if name.strip('" []')]
    return [told(book) for symbol, book in desk.markets.books.items() if not wanted or symbol in wanted]


def day(desk: Desk, params: Params) -> Any:
    return each(desk, params, lambda book: venue_tickers.day(book, desk.now_ms))


def last_price(desk: Desk, params: Params) -> Any:
    return each(desk, params, lambda book: {"symbol": book.scale.symbol, "price": book.scale.price(book.last), "time": desk.now_ms})


def book_ticker(desk: Desk, params: Params) -> Any:
    def told(book: Book) -> Json:
        bid, bid_size, ask, ask_size = book.top
        price, size = book.scale.price, book.scale.size
        shown: Json = {
            "symbol": book.scale.symbol,
            "bidPrice": price(bid),
            "bidQty": size(bid_size),
            "askPrice": price(ask),
            "askQty": size(ask_size),
        }
        return shown if desk.spot else shown | {"time": desk.now_ms, "lastUpdateId": book.update_id}

    return each(desk, params, told)


def average(desk: Desk, params: Params) -> Json:
    book = desk.book(params)
    return {"mins": 5, "price": book.scale.price(book.last), "closeTime": desk.now_ms}


def premium(desk: Desk, params: Params) -> Any:
    return each(desk, params, lambda book: venue_tickers.premium(book, desk.clock()))


def funding_rates(desk: Desk, params: Params) -> list[Json]:
    before = venue_tickers.next_funding(desk.clock()) // 1_000_000 - venue_tickers.FUNDING_S * 1_000
    books = [desk.book(params)] if "symbol" in params else desk.markets.books.values()
    return [
        {"symbol": book.scale.symbol, "fundingTime": before, "fundingRate": f"{book.rate / 1e8:.8f}", "markPrice": f"{book.mark:.8f}"}
        for book in books
    ]


def funding_info(desk: Desk, params: Params) -> list[Json]:
    return [
        {"symbol": symbol, "adjustedFundingRateCap": "0.02", "adjustedFundingRateFloor": "-0.02", "fundingIntervalHours": 8}
        for symbol in desk.scales
    ]
