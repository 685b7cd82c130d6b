"""Tickers of 24 hours, mark prices and funding, as REST and the streams tell them."""

from functools import reduce
from itertools import islice

from core.market import NS
from serving.venue_bars import joined
from serving.venue_market import Book
from serving.venue_words import MS, Json

FUNDING_S = 8 * 3_600


def day(book: Book, now_ms: int) -> Json:
    """What the tickers of 24 hours tell, in REST's words."""
    scale = book.scale
    since = now_ms // 1_000 - 86_400
    whole = reduce(joined, bars) if (bars := [bar for bar in book.minutes if bar.s >= since]) else None
    bid, bid_size, ask, ask_size = book.top
    opened, last = (whole.open, whole.close) if whole else (book.last, book.last)
    ids = [trade.trade_id for trade in islice(book.trades, 1)] + ([book.trades[-1].trade_id] if book.trades else [])
    return {
        "symbol": scale.symbol, "priceChange": scale.price(last - opened),
        "priceChangePercent": f"{100 * (last / opened - 1) if opened else 0:.3f}",
        "weightedAvgPrice": f"{whole.notional / whole.volume / scale.listing.price_unit if whole else 0:.8f}",
        "prevClosePrice": scale.price(opened), "lastPrice": scale.price(last),
        "lastQty": scale.size(book.trades[-1].size if book.trades else 0), "bidPrice": scale.price(bid), "bidQty": scale.size(bid_size),
        "askPrice": scale.price(ask), "askQty": scale.size(ask_size), "openPrice": scale.price(opened),
        "highPrice": scale.price(whole.high if whole else last), "lowPrice": scale.price(whole.low if whole else last),
        "volume": scale.size(whole.volume if whole else 0), "quoteVolume": scale.notional(whole.notional if whole else 0),
        "openTime": since * 1_000, "closeTime": now_ms, "firstId": ids[0] if ids else -1, "lastId": ids[-1] if ids else -1,
        "count": whole.n if whole else 0,
    }  # fmt: skip


def day_event(book: Book, now_ms: int) -> Json:
    """The `24hrTicker` frame."""
    told = day(book, now_ms)
    names = {"s": "symbol", "p": "priceChange", "P": "priceChangePercent", "w": "weightedAvgPrice", "x": "prevClosePrice", "c": "lastPrice",
             "Q": "lastQty", "b": "bidPrice", "B": "bidQty", "a": "askPrice", "A": "askQty", "o": "openPrice", "h": "highPrice",
             "l": "lowPrice", "v": "volume", "q": "quoteVolume", "O": "openTime", "C": "closeTime", "F": "firstId", "L": "lastId",
             "n": "count"}  # fmt: skip
    return {"e": "24hrTicker", "E": now_ms} | {short: told[name] for short, name in names.items()}


def mini_event(book: Book, now_ms: int) -> Json:
    """The `24hrMiniTicker` frame."""
    whole = day_event(book, now_ms)
    return {"e": "24hrMiniTicker"} | {name: whole[name] for name in "Escohlvq"}


def next_funding(now_ns: int) -> int:
    """The next of 00:00, 08:00, 16:00 UTC, ns."""
    return (now_ns // (FUNDING_S * NS) + 1) * FUNDING_S * NS


def premium(book: Book, now_ns: int) -> Json:
    mark = f"{book.mark:.8f}"
    return {"symbol": book.scale.symbol, "markPrice": mark, "indexPrice": mark, "estimatedSettlePrice": mark,
            "lastFundingRate": f"{book.rate / 1e8:.8f}", "interestRate": "0.00010000", "nextFundingTime": next_funding(now_ns) // MS,
            "time": now_ns // MS}  # fmt: skip


def mark_event(book: Book, now_ns: int) -> Json:
    mark = f"{book.mark:.8f}"
    return {
        "e": "markPriceUpdate", "E": now_ns // MS, "s": book.scale.symbol, "p": mark, "P": mark, "i": mark, "r": f"{book.rate / 1e8:.8f}",
        "T": next_funding(now_ns) // MS,
    }  # fmt: skip
