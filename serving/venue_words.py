"""Words and numbers as Binance writes them: decimal text, states of orders, refusals, and what exchangeInfo tells.

Shapes of orders, accounts and user data: `serving.venue_words_spot`, `serving.venue_words_usdm`.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from core.orders import Listing, Status
from kernels.matching_words import VenueOrder, text

Json = dict[str, Any]
MS = 1_000_000
STATUS = {
    Status.NEW: "NEW",
    Status.PARTIAL: "PARTIALLY_FILLED",
    Status.FILLED: "FILLED",
    Status.CANCELLED: "CANCELED",
    Status.EXPIRED: "EXPIRED",
    Status.REJECTED: "REJECTED",
}
ZERO = "0.00000000"


class Unserved(ValueError):
    """A request that cannot be answered: Binance's code, its words, and the HTTP status."""

    def __init__(self, code: int, words: str, status: int = 400) -> None:
        super().__init__(words)
        self.code, self.words, self.status = code, words, status

    @property
    def body(self) -> Json:
        return {"code": self.code, "msg": self.words}


class Scale(NamedTuple):
    """How the numbers of one symbol are written."""

    listing: Listing
    digits: tuple[int, int]  # decimals of prices and sizes as the recording has them
    money: int  # decimals of the account's whole numbers

    @property
    def symbol(self) -> str:
        return self.listing.instrument.symbol

    def price(self, units: int) -> str:
        return text(units, self.listing.instrument.price_decimals, self.digits[0])

    def size(self, units: int) -> str:
        return text(units, self.listing.instrument.size_decimals, self.digits[1])

    def notional(self, units: int) -> str:
        """Price units times size units."""
        of = self.listing.instrument
        return text(units, of.price_decimals + of.size_decimals)

    def cash(self, units: int) -> str:
        return text(units, self.money)

    def average(self, order: VenueOrder) -> str:
        return f"{order.average / self.listing.price_unit:.{max(self.digits[0], 5)}f}"


def status_of(order: VenueOrder) -> str:
    return "EXPIRED_IN_MATCH" if order.why == "stp" else STATUS[order.status]


def fee(units: int) -> str:
    return text(units, 8)


def rate_limits(limits: Sequence[tuple[str, str, int, int]]) -> list[Json]:
    return [{"rateLimitType": kind, "interval": word, "intervalNum": n, "limit": most} for kind, word, n, most in limits]


def filters(scale: Scale, spot: bool) -> list[Json]:
    listing = scale.listing
    step = {"minQty": scale.size(listing.min_size), "maxQty": scale.size(listing.max_size), "stepSize": scale.size(listing.lot)}
    low, high = scale.price(listing.tick), scale.price(listing.tick * 10**9)
    made: list[Json] = [
        {"filterType": "PRICE_FILTER", "minPrice": low, "maxPrice": high, "tickSize": scale.price(listing.tick)},
        {"filterType": "LOT_SIZE", **step},
        {"filterType": "MARKET_LOT_SIZE", **step},
    ]
    up, down, notional = f"{1 + listing.band:.4f}", f"{1 - listing.band:.4f}", f"{listing.min_notional:.8f}"
    if spot:
        return [
            *made,
            {"filterType": "NOTIONAL", "minNotional": notional, "applyMinToMarket": True, "maxNotional": "9000000.00000000",
             "applyMaxToMarket": False, "avgPriceMins": 5},
            {"filterType": "PERCENT_PRICE_BY_SIDE", "bidMultiplierUp": up, "bidMultiplierDown": down, "askMultiplierUp": up,
             "askMultiplierDown": down, "avgPriceMins": 5},
            {"filterType": "MAX_NUM_ORDERS", "maxNumOrders": 200},
        ]  # fmt: skip
    return [
        *made,
        {"filterType": "MIN_NOTIONAL", "notional": notional.rstrip("0").rstrip(".")},
        {"filterType": "PERCENT_PRICE", "multiplierUp": up, "multiplierDown": down, "multiplierDecimal": "4"},
        {"filterType": "MAX_NUM_ORDERS", "limit": 200},
        {"filterType": "MAX_NUM_ALGO_ORDERS", "limit": 10},
    ]


def exchange_info(scales: Mapping[str, Scale], spot: bool, limits: Sequence[tuple[str, str, int, int]], now_ms: int) -> Json:
    rows = [(spot_symbol if spot else usdm_symbol)(scale) for scale in scales.values()]
    told: Json = {"timezone": "UTC", "serverTime": now_ms, "rateLimits": rate_limits(limits), "exchangeFilters": [], "symbols": rows}
    if not spot:
        quotes = sorted({scale.listing.instrument.quote for scale in scales.values()})
        told |= {
            "futuresType": "U_MARGINED",
            "assets": [{"asset": one, "marginAvailable": True, "autoAssetExchange": "0"} for one in quotes],
        }
    return told


def spot_symbol(scale: Scale) -> Json:
    of = scale.listing.instrument
    return {
        "symbol": of.symbol, "status": scale.listing.status, "baseAsset": of.base, "baseAssetPrecision": 8, "quoteAsset": of.quote,
        "quotePrecision": 8, "quoteAssetPrecision": 8, "baseCommissionPrecision": 8, "quoteCommissionPrecision": 8,
        "orderTypes": ["LIMIT", "LIMIT_MAKER", "MARKET"], "icebergAllowed": False, "ocoAllowed": False, "otoAllowed": False,
        "quoteOrderQtyMarketAllowed": True, "allowTrailingStop": False, "cancelReplaceAllowed": False, "isSpotTradingAllowed": True,
        "isMarginTradingAllowed": False, "filters": filters(scale, True), "permissions": ["SPOT"], "permissionSets": [["SPOT"]],
        "defaultSelfTradePreventionMode": "EXPIRE_MAKER",
        "allowedSelfTradePreventionModes": ["NONE", "EXPIRE_TAKER", "EXPIRE_MAKER", "EXPIRE_BOTH"],
    }  # fmt: skip


def usdm_symbol(scale: Scale) -> Json:
    of = scale.listing.instrument
    return {
        "symbol": of.symbol, "pair": of.symbol, "contractType": "PERPETUAL", "deliveryDate": 4133404800000, "onboardDate": 1569398400000,
        "status": scale.listing.status, "maintMarginPercent": f"{100 * scale.listing.maintenance:.4f}",
        "requiredMarginPercent": f"{100 / scale.listing.max_leverage:.4f}", "baseAsset": of.base, "quoteAsset": of.quote,
        "marginAsset": of.settlement or of.quote, "pricePrecision": scale.digits[0], "quantityPrecision": scale.digits[1],
        "baseAssetPrecision": 8, "quotePrecision": 8, "underlyingType": "COIN", "underlyingSubType": ["PoW"], "settlePlan": 0,
        "triggerProtect": "0.0500", "liquidationFee": "0.012500", "marketTakeBound": "0.05", "maxMoveOrderLimit": 10000,
        "filters": filters(scale, False), "orderTypes": ["LIMIT", "MARKET", "STOP_MARKET", "TAKE_PROFIT_MARKET"],
        "timeInForce": ["GTC", "IOC", "GTX"],
    }  # fmt: skip
