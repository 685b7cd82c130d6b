"""What ccxt says of markets, orders, fills and books, in our words; and market frames in the shape of Binance's combined streams.

ccxt gives floats read from short decimal text: rounded to the grid of the listing they are exact again.
"""

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any

import msgspec

from core.market import Instrument, Side
from core.orders import FEE_DECIMALS, Balance, Fill, Held, Listing, Standing, Status
from kernels.matching_words import text
from serving.binance_listed import decimals_of, size_decimals_of
from serving.exchange import ExchangeError

MS = 1_000_000
STATUS = {
    "open": Status.NEW, "canceling": Status.NEW, "closed": Status.FILLED, "canceled": Status.CANCELLED, "cancelled": Status.CANCELLED,
    "expired": Status.EXPIRED, "rejected": Status.REJECTED,
}  # fmt: skip
CODE = re.compile(r'"(?:code|sCode|retCode)"\s*:\s*"?(-?\d+)')
LEVELS = 100  # of a side, of the books that frames tell
LARGEST = 2**53
MOST = 50  # symbols, unless they are named
encode = msgspec.json.encode


def name_of(market: Mapping[str, Any]) -> str:
    """Our symbol: base and quote (BTCUSDT), as frames and tables have it."""
    return f"{market['base']}{market['quote']}".upper()


def chosen(markets: Iterable[Mapping[str, Any]], symbols: Sequence[str], usual: str) -> dict[str, Mapping[str, Any]]:
    """The markets to trade, by our symbols: those named (as ours, the exchange's or ccxt's), or all where they are few.

    Spot and swaps share symbols: the kind that ccxt takes by default comes first. Raises `ExchangeError`.
    """
    paid = [one for one in markets if not one.get("inverse") and (one.get("spot") or one.get("swap"))]
    wanted = [one for one in paid if not symbols or {name_of(one), one["id"], one["symbol"]} & set(symbols)]
    found: dict[str, Mapping[str, Any]] = {}
    for one in sorted(wanted, key=lambda one: one["type"] != usual and one["symbol"] not in symbols):
        found.setdefault(name_of(one), one)
    if not found or len(found) < len(symbols) or (not symbols and len(found) > MOST):
        some = ", ".join(one["symbol"] for one in paid[:8])
        raise ExchangeError(f"name the symbols to trade (SCALP_EXCHANGE__SYMBOLS) out of {len(paid)} that it has: {some} ...")
    return found


def step_of(market: Mapping[str, Any], what: str, ticks: bool) -> Decimal:
    """The grid of prices or amounts. `ticks`: the exchange states steps, not decimals. Raises `ExchangeError`."""
    found = market["precision"].get(what)
    if found is None:
        raise ExchangeError(f"{market['symbol']} does not say its grid of {what}s: it cannot be traded exactly")
    return Decimal(str(found)) if ticks else Decimal(1).scaleb(-int(found))


def listing(market: Mapping[str, Any], venue: str, ticks: bool) -> Listing:
    """Raises `ExchangeError` for what cannot be traded exactly."""
    tick, lot = step_of(market, "price", ticks), step_of(market, "amount", ticks)
    limits, swap = market["limits"], bool(market.get("swap"))
    price_decimals, size_decimals = decimals_of(f"{tick:f}"), size_decimals_of(f"{lot:f}", spot=not swap)

    def size(what: str, none: int) -> int:
        told = (limits.get("amount") or {}).get(what)
        return min(int(Decimal(str(told)).scaleb(size_decimals)), LARGEST) if told else none

    instrument = Instrument(
        venue=venue, symbol=name_of(market), price_decimals=price_decimals, size_decimals=size_decimals, tick_size=float(tick),
        lot_size=float(lot), contract_multiplier=float(market.get("contractSize") or 1.0), base=market["base"], quote=market["quote"],
        settlement=market.get("settle") or market["quote"], maker_bps=1e4 * float(market.get("maker") or 0.001),
        taker_bps=1e4 * float(market.get("taker") or 0.001),
    )  # fmt: skip
    step = int(lot.scaleb(size_decimals))
    leverage = (limits.get("leverage") or {}).get("max") or 10.0
    return Listing(
        instrument=instrument, tick=int(tick.scaleb(price_decimals)), lot=step, min_size=size("min", step) or step,
        max_size=size("max", LARGEST), min_notional=float((limits.get("cost") or {}).get("min") or 0.0),
        max_leverage=float(leverage) if swap else 1.0, maintenance=0.01 if swap else 0.0,
        status="TRADING" if market.get("active") in (True, None) else "BREAK",
    )  # fmt: skip


def units(value: float | str | None, decimals: int) -> int:
    return round(Decimal(str(value)).scaleb(decimals)) if value is not None else 0


def standing(order: Mapping[str, Any], of: Listing, order_id: str, now: int) -> Standing:
    """`order_id`: ours where it is known, else the venue's client id is taken."""
    one = of.instrument
    filled = units(order.get("filled"), one.size_decimals)
    told = order.get("status")
    status = STATUS.get(told, Status.UNKNOWN) if told is not None else Status.NEW  # accepted, and nothing else is said
    if status is Status.NEW and filled:
        status = Status.PARTIAL
    return Standing(
        order_id=order_id or order.get("clientOrderId") or f"venue-{order['id']}", symbol=one.symbol, status=status, filled=filled,
        venue_id=str(order["id"]), side=Side(order["side"]) if order.get("side") else Side.BUY,
        price=units(order.get("price"), one.price_decimals), size=units(order.get("amount"), one.size_decimals),
        reduce_only=bool(order.get("reduceOnly")), ts_event=int(order.get("lastUpdateTimestamp") or order.get("timestamp") or 0) * MS,
        ts_recv=now,
    )  # fmt: skip


def fill(trade: Mapping[str, Any], of: Listing, order_id: str, now: int) -> Fill:
    one, fee = of.instrument, trade.get("fee") or {}
    return Fill(
        order_id=order_id, symbol=one.symbol, trade_id=number_of(trade["id"]), side=Side(trade["side"]),
        price=units(trade["price"], one.price_decimals), size=units(trade["amount"], one.size_decimals),
        maker=trade.get("takerOrMaker") == "maker", fee=units(fee.get("cost"), FEE_DECIMALS), fee_asset=fee.get("currency") or "",
        ts_event=int(trade["timestamp"]) * MS, ts_recv=now,
    )  # fmt: skip


def number_of(trade_id: str) -> int:
    """A trade id as a whole number; one that is none as its hash, the same each time."""
    if trade_id.isdigit() and len(trade_id) < 19:
        return int(trade_id)
    return int.from_bytes(hashlib.sha256(trade_id.encode()).digest()[:8]) >> 1


def held(position: Mapping[str, Any], of: Listing) -> Held:
    size = units(position.get("contracts"), of.instrument.size_decimals)
    return Held(
        symbol=of.instrument.symbol, size=-size if position.get("side") == "short" else size,
        entry_price=float(position.get("entryPrice") or 0),
        liquidation_price=float(position.get("liquidationPrice") or 0), leverage=float(position.get("leverage") or 1),
    )  # fmt: skip


def balances(told: Mapping[str, Any], spot: bool) -> list[Balance]:
    """Of futures the wallet: margin is no order's."""
    found = []
    for asset, whole in (told.get("total") or {}).items():
        of = told.get(asset) or {}
        if whole:
            free, locked = (of.get("free") or 0, of.get("used") or 0) if spot else (whole, 0)
            found.append(Balance(asset=asset, free=plain(free), locked=plain(locked)))
    return found


def plain(value: float) -> str:
    return f"{Decimal(str(value)):f}"


def code_of(words: str) -> int:
    """The venue's own code, where ccxt's words quote one."""
    found = CODE.search(words)
    return int(found[1]) if found else 0


class Books:
    """What `watch_order_book` keeps, told as diffs with numbers of ours, and whole."""

    def __init__(self) -> None:
        self.number: dict[str, int] = {}
        self.sides: dict[str, tuple[dict[str, str], dict[str, str]]] = {}

    def change(self, book: Mapping[str, Any], of: Listing, now_ms: int) -> list[bytes]:
        """The frames (a diff, and the best of both sides) that turn the last book into this one; none where nothing changed."""
        one = of.instrument
        after = level_texts(book["bids"], of), level_texts(book["asks"], of)
        before = self.sides.get(one.symbol, ({}, {}))
        changes = [changed(was, now) for was, now in zip(before, after, strict=True)]
        if not any(changes) or not all(after):
            return []
        last = self.number.get(one.symbol, 0)
        self.number[one.symbol], self.sides[one.symbol] = last + 1, after
        times = {"E": now_ms, "T": int(book.get("timestamp") or now_ms)}
        chain = {"U": last + 1, "u": last + 1} | ({} if of.spot else {"pu": last})
        head = one.symbol.lower()
        (bid, bid_size), (ask, ask_size) = (next(iter(side.items())) for side in after)
        diff = {"e": "depthUpdate", **times, "s": one.symbol, **chain, "b": changes[0], "a": changes[1]}
        best = {"e": "bookTicker", "u": last + 1, "s": one.symbol, "b": bid, "B": bid_size, "a": ask, "A": ask_size, **times}
        return [frame(f"{head}@depth", diff), frame(f"{head}@bookTicker", best)]

    def whole(self, symbol: str) -> bytes | None:
        """The last book as a snapshot; None before the first."""
        if symbol not in self.sides:
            return None
        bids, asks = (list(side.items()) for side in self.sides[symbol])
        return encode({"lastUpdateId": self.number[symbol], "bids": bids, "asks": asks})


def level_texts(levels: Any, of: Listing) -> dict[str, str]:
    one = of.instrument
    return {
        text(units(price, one.price_decimals), one.price_decimals, one.price_decimals):
            text(units(size, one.size_decimals), one.size_decimals, one.size_decimals)
        for price, size, *_ in levels[:LEVELS]
    }  # fmt: skip


def changed(was: Mapping[str, str], now: Mapping[str, str]) -> list[tuple[str, str]]:
    """Levels that are new or have another size, then those that are gone (size 0)."""
    return [(price, size) for price, size in now.items() if was.get(price) != size] + [(price, "0") for price in was if price not in now]


def trade_frame(trade: Mapping[str, Any], of: Listing, now_ms: int) -> bytes:
    one = of.instrument
    told = {
        "e": "trade", "E": now_ms, "T": int(trade["timestamp"] or now_ms), "s": one.symbol, "t": number_of(str(trade["id"])),
        "p": text(units(trade["price"], one.price_decimals), one.price_decimals, one.price_decimals),
        "q": text(units(trade["amount"], one.size_decimals), one.size_decimals, one.size_decimals), "m": trade["side"] == "sell",
    }  # fmt: skip
    return frame(f"{one.symbol.lower()}@trade", told if of.spot else told | {"X": "MARKET"})


def frame(stream: str, data: Mapping[str, Any]) -> bytes:
    return b'{"stream":"%b","data":%b}' % (stream.encode(), encode(data))
