"""What a simulated venue refuses before an order is anything, with Binance's codes: of spot and of USD-M futures."""

import re

from core.market import Side
from core.orders import Listing, Tif
from kernels.matching_words import Kind, New, Refusal

CLIENT_ID = {"spot": re.compile(r"[a-zA-Z0-9\-_]{1,36}"), "usdm": re.compile(r"[.A-Z:/a-z0-9_-]{1,36}")}
KINDS = {"spot": (Kind.LIMIT, Kind.MARKET), "usdm": tuple(Kind)}

NO_SYMBOL = Refusal(-1121, "Invalid symbol.")
NO_ORDER = Refusal(-2013, "Order does not exist.")
NOT_CANCELLED = Refusal(-2011, "Unknown order sent.")
NO_FUNDS = Refusal(-2010, "Account has insufficient balance for requested action.")
NO_MARGIN = Refusal(-2019, "Margin is insufficient.")
NOT_REDUCED = Refusal(-2022, "ReduceOnly Order is rejected.")
TRIGGERS_NOW = Refusal(-2021, "Order would immediately trigger.")
NO_LOT = Refusal(-1013, "Filter failure: LOT_SIZE")
EMPTY = Refusal(-2010, "Order book is empty.")
BAD_LEVERAGE = Refusal(-4028, "Leverage is not valid.")
BAD_COUNTDOWN = Refusal(-1130, "Data sent for parameter 'countdownTime' is not valid.")
NOT_ON_SPOT = Refusal(-1002, "You are not authorized to execute this request.")
TOO_MANY = {"spot": Refusal(-1013, "Filter failure: MAX_NUM_ORDERS"), "usdm": Refusal(-2025, "Reach max open order limit.")}
WOULD_TAKE = {
    "spot": Refusal(-2010, "Order would immediately match and take."),
    "usdm": Refusal(-5022, "Due to the order could not be executed as maker, the Post Only order will be rejected."),
}
DUPLICATE = {"spot": Refusal(-2010, "Duplicate order sent."), "usdm": Refusal(-4116, "ClientOrderId is duplicated.")}


def bad_client_id(kind: str, client_id: str) -> Refusal | None:
    if CLIENT_ID[kind].fullmatch(client_id):
        return None
    if kind == "usdm" and len(client_id) > 36:
        return Refusal(-4015, "Client order id length should be less than 36 chars")
    legal = "^" + CLIENT_ID[kind].pattern.replace("\\", "") + "$"
    return Refusal(-1100, f"Illegal characters found in parameter 'newClientOrderId'; legal range is '{legal}'.")


def bad_form(kind: str, new: New, listing: Listing) -> Refusal | None:
    """What is wrong with an order as such, the book and the account aside."""
    spot = kind == "spot"
    if listing.status != "TRADING":
        return Refusal(-1013, "Market is closed.") if spot else Refusal(-4140, "Invalid symbol status for opening position.")
    if new.kind not in KINDS[kind]:
        return Refusal(-1116, "Invalid orderType.")
    if spot and (new.reduce_only or new.close_position):
        return Refusal(-1106, "Parameter 'reduceOnly' sent when not required.")
    if new.kind is Kind.MARKET and new.tif is Tif.GTX:
        return Refusal(-1106, "Parameter 'timeInForce' sent when not required.")
    if new.close_position and (not new.kind.conditional or new.reduce_only or new.size):
        return Refusal(-4136, f"Target strategy invalid for orderType {new.kind},closePosition {str(new.close_position).lower()}")
    if new.quote_size and (not spot or new.kind is not Kind.MARKET or new.size):
        return Refusal(-1106, "Parameter 'quoteOrderQty' sent when not required.")
    return _bad_price(spot, new, listing) or _bad_size(spot, new, listing)


def _bad_price(spot: bool, new: New, listing: Listing) -> Refusal | None:
    asked = new.price if new.kind is Kind.LIMIT else new.stop_price if new.kind.conditional else listing.tick
    if asked <= 0:
        return Refusal(-1013, "Filter failure: PRICE_FILTER") if spot else Refusal(-4001, "Price less than 0.")
    if asked % listing.tick:
        return Refusal(-1013, "Filter failure: PRICE_FILTER") if spot else Refusal(-4014, "Price not increased by tick size.")
    return None


def _bad_size(spot: bool, new: New, listing: Listing) -> Refusal | None:
    if new.close_position or new.quote_size > 0:
        return None
    if new.size <= 0:
        return Refusal(-1013, "Invalid quantity.") if spot else Refusal(-4003, "Quantity less than or equal to zero.")
    if spot and (new.size % listing.lot or not listing.min_size <= new.size <= listing.max_size):
        return Refusal(-1013, "Filter failure: LOT_SIZE")
    if new.size < listing.min_size:
        return Refusal(-4004, "Quantity less than min quantity.")
    if new.size > listing.max_size:
        return Refusal(-4005, "Quantity greater than max quantity.")
    if new.size % listing.lot:
        return Refusal(-4023, "Qty not increased by step size.")
    return None


def bad_value(kind: str, new: New, listing: Listing, middle: float, spent: int) -> Refusal | None:
    """What is wrong with the price far from the `middle` (price units; 0: not known), or with too little notional; `spent`: that
    of a market order given by money, in price units times size units."""
    of, spot = listing.instrument, kind == "spot"
    if new.kind is Kind.LIMIT and middle:
        lowest, highest = middle * (1 - listing.band), middle * (1 + listing.band)
        if spot and not lowest <= new.price <= highest:
            return Refusal(-1013, "Filter failure: PERCENT_PRICE_BY_SIDE")
        if new.price > highest:
            return Refusal(-4016, f"Limit price can't be higher than {highest / listing.price_unit:.{of.price_decimals}f}.")
        if new.price < lowest:
            return Refusal(-4024, f"Limit price can't be lower than {lowest / listing.price_unit:.{of.price_decimals}f}.")
    if new.close_position or new.reduce_only:
        return None
    price = new.price if new.kind is Kind.LIMIT else new.stop_price if new.kind.conditional else middle
    notional = (spent or price * new.size) / listing.price_unit / listing.size_unit
    if (price or spent) and notional < listing.min_notional:
        if spot:
            return Refusal(-1013, "Filter failure: NOTIONAL")
        return Refusal(-4164, f"Order's notional must be no smaller than {listing.min_notional:g} (unless you choose reduce only).")
    return None


def triggered(kind: Kind, side: Side, stop_price: int, price: int) -> bool:
    """Whether a conditional order goes off at a price."""
    rising = (kind is Kind.STOP_MARKET) == (side is Side.BUY)
    return price >= stop_price if rising else price <= stop_price
