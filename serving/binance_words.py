"""What Binance says of orders, fills, positions and balances, in our words; and our orders in Binance's.

Approved.order -> parameters;   order rows, trades, user data -> Standing, Fill, AccountEvent
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from urllib.parse import quote

from msgspec import Struct, field

from core.market import Side
from core.orders import FEE_DECIMALS, Balance, Fill, Held, Kind, Listing, Order, Standing, Status, Tif
from kernels.matching_words import text
from serving.binance_listed import whole
from serving.binance_rest import MS

STATUS = {
    "NEW": Status.NEW, "PENDING_NEW": Status.NEW, "PENDING_CANCEL": Status.NEW, "PARTIALLY_FILLED": Status.PARTIAL,
    "FILLED": Status.FILLED, "CANCELED": Status.CANCELLED, "REJECTED": Status.REJECTED, "EXPIRED": Status.EXPIRED,
    "EXPIRED_IN_MATCH": Status.EXPIRED,
}  # fmt: skip
SIDES = {Side.BUY: "BUY", Side.SELL: "SELL"}
DUPLICATE = -4116  # an order with that id of ours is open: what was sent before did arrive
ALREADY = "Duplicate order sent."  # the same on spot, under a code of many meanings
UNKNOWN_ORDER = -2011  # to cancel
NO_SUCH_ORDER = -2013


class Part(Struct):
    """A fill as spot's answer to an order has it: always a taker's."""

    price: str
    qty: str
    commission: str
    commissionAsset: str
    tradeId: int


class Row(Struct):
    """An order, as answers and queries have it, spot and USD-M."""

    symbol: str
    orderId: int
    clientOrderId: str
    status: str = "NEW"
    side: str = "BUY"
    price: str = "0"
    origQty: str = "0"
    executedQty: str = "0"
    reduceOnly: bool = False
    updateTime: int = 0
    transactTime: int = 0
    origClientOrderId: str = ""
    fills: list[Part] = []


class Traded(Struct):
    """A fill as `myTrades` and `userTrades` have it."""

    symbol: str
    id: int
    orderId: int
    price: str
    qty: str
    commission: str
    commissionAsset: str
    time: int
    isBuyer: bool = False
    isMaker: bool = False
    buyer: bool = False
    maker: bool = False


class Position(Struct):
    symbol: str
    positionAmt: str
    entryPrice: str = "0"
    liquidationPrice: str = "0"
    leverage: str = "1"
    positionSide: str = "BOTH"


class Money(Struct):
    """A balance: of USD-M `balance` and `availableBalance`, of spot `free` and `locked`."""

    asset: str
    balance: str = "0"
    availableBalance: str = "0"
    free: str = "0"
    locked: str = "0"


class SpotAccount(Struct):
    balances: list[Money]
    canTrade: bool = True
    commissionRates: dict[str, str] = {}


class Told(Struct):
    """`o` of ORDER_TRADE_UPDATE, and the whole of an executionReport: they name their fields alike."""

    s: str
    c: str
    S: str
    q: str
    p: str
    x: str
    X: str
    i: int
    z: str
    T: int
    lastFilled: str = field(default="0", name="l")
    lastPrice: str = field(default="0", name="L")
    fee: str | None = field(default=None, name="n")
    feeAsset: str | None = field(default=None, name="N")
    trade: int = field(default=0, name="t")
    maker: bool = field(default=False, name="m")
    reduceOnly: bool = field(default=False, name="R")
    was: str = field(default="", name="C")  # spot: our id of an order that was cancelled
    why: str | int = field(default="", name="r")


def sent(order: Order, listing: Listing, spot: bool) -> str:
    """The parameters of a new order."""
    of = listing.instrument
    made = f"symbol={order.symbol}&side={SIDES[order.side]}&quantity={text(order.size, of.size_decimals, of.size_decimals)}"
    if order.kind is Kind.LIMIT:
        quiet = spot and order.tif is Tif.GTX
        how = "LIMIT_MAKER" if quiet else f"LIMIT&timeInForce={order.tif.upper()}"
        made += f"&type={how}&price={text(order.price, of.price_decimals, of.price_decimals)}"
    else:
        made += "&type=MARKET"
    if order.reduce_only and not spot:
        made += "&reduceOnly=true"
    return f"{made}&newClientOrderId={quote(order.order_id, safe='')}&newOrderRespType={'FULL' if spot else 'ACK'}"


def standing(row: Row, listing: Listing, now: int) -> Standing:
    of = listing.instrument
    return Standing(
        order_id=row.origClientOrderId or row.clientOrderId, symbol=row.symbol, status=STATUS.get(row.status, Status.UNKNOWN),
        filled=whole(row.executedQty, of.size_decimals), venue_id=str(row.orderId), side=Side(row.side.lower()),
        price=whole(row.price, of.price_decimals), size=whole(row.origQty, of.size_decimals), reduce_only=row.reduceOnly,
        ts_event=(row.updateTime or row.transactTime) * MS, ts_recv=now,
    )  # fmt: skip


def fills_of(row: Row, order: Order, listing: Listing, now: int) -> tuple[Fill, ...]:
    """The fills that spot's answer tells."""
    of = listing.instrument
    return tuple(
        Fill(
            order_id=order.order_id, symbol=order.symbol, trade_id=part.tradeId, side=order.side, maker=False, fee=fee(part.commission),
            price=whole(part.price, of.price_decimals), size=whole(part.qty, of.size_decimals), fee_asset=part.commissionAsset,
            ts_event=row.transactTime * MS, ts_recv=now,
        )
        for part in row.fills
    )  # fmt: skip


def fill(row: Traded, order_id: str, listing: Listing, now: int) -> Fill:
    of = listing.instrument
    return Fill(
        order_id=order_id, symbol=row.symbol, trade_id=row.id, side=Side.BUY if row.isBuyer or row.buyer else Side.SELL,
        price=whole(row.price, of.price_decimals), size=whole(row.qty, of.size_decimals), maker=row.isMaker or row.maker,
        fee=fee(row.commission), fee_asset=row.commissionAsset, ts_event=row.time * MS, ts_recv=now,
    )  # fmt: skip


def fee(words: str) -> int:
    return int(Decimal(words).scaleb(FEE_DECIMALS).to_integral_value())


def held(rows: Sequence[Position], listings: Mapping[str, Listing]) -> list[Held]:
    """The positions that are not flat, of what we trade."""
    return [
        Held(
            symbol=row.symbol, size=size, entry_price=float(row.entryPrice), liquidation_price=float(row.liquidationPrice),
            leverage=float(row.leverage),
        )
        for row in rows
        if row.symbol in listings and (size := whole(row.positionAmt, listings[row.symbol].instrument.size_decimals))
    ]  # fmt: skip


def balances(rows: Sequence[Money], spot: bool) -> list[Balance]:
    """Those that are not nothing; of futures the wallet is `free`, for margin is no order's."""
    if spot:
        return [Balance(asset=row.asset, free=row.free, locked=row.locked) for row in rows if Decimal(row.free) or Decimal(row.locked)]
    return [Balance(asset=row.asset, free=row.balance) for row in rows if Decimal(row.balance)]


def told_order(told: Told, listing: Listing, now: int) -> tuple[Standing, Fill | None]:
    """User data of one order: how it stands, and the fill that did it."""
    of = listing.instrument
    order_id = told.was or told.c
    price, side = whole(told.p, of.price_decimals), Side(told.S.lower())
    refused = told.x == "REJECTED"
    stands = Standing(
        order_id=order_id, symbol=told.s, status=STATUS.get(told.X, Status.UNKNOWN), filled=whole(told.z, of.size_decimals),
        venue_id=str(told.i), side=side, price=price, size=whole(told.q, of.size_decimals), reduce_only=told.reduceOnly,
        ts_event=told.T * MS, ts_recv=now, reason=str(told.why) if refused else "",
    )  # fmt: skip
    size = whole(told.lastFilled, of.size_decimals)
    if not size or told.trade <= 0:
        return stands, None
    return stands, Fill(
        order_id=order_id, symbol=told.s, trade_id=told.trade, side=side, price=whole(told.lastPrice, of.price_decimals), size=size,
        maker=told.maker, fee=fee(told.fee or "0"), fee_asset=told.feeAsset or "", ts_event=told.T * MS, ts_recv=now,
    )  # fmt: skip
